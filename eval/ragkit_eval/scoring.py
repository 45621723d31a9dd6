"""From a case and a reply to scores by name; what does not apply is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragkit_eval import metrics
from ragkit_eval.cases import Case, Dataset
from ragkit_eval.reply import Passage, Reply, Row

HIGHER_IS_BETTER = (
    "recall@4",
    "ndcg@10",
    "mrr",
    "in_context",
    "context_recall",
    "context_precision",
    "contains",
    "exact",
    "f1",
    "citation_precision",
    "citation_recall",
    "abstains",
    "answers",
    "judge",
)
"""All scores in the order in which they are shown; `abstains` and `answers` are abstention seen from both sides."""
QUALITY = "in_context"
"""The score that stands beside costs: without it in the context no model can answer."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores the replies to a data set. `verbatim` are the cases whose answer stands in a document that is known.

    Where it stands nowhere, because somebody wrote it in words of their own, a chunk of a relevant document has to do.
    """

    verbatim: frozenset[str]

    @classmethod
    def of(cls, data: Dataset) -> Scorer:
        texts = {document.id: document.text for document in data.documents}
        return cls(frozenset(case.id for case in data.cases if _stands(case, texts)))

    def score(self, case: Case, reply: Reply) -> dict[str, float]:
        relevant = case.relevant
        found = {
            "recall@4": metrics.recall_at(reply.ranking, relevant, 4),
            "ndcg@10": metrics.ndcg_at(reply.ranking, relevant, 10),
            "mrr": metrics.reciprocal_rank(reply.ranking, relevant),
            **self._context(case, reply.context),
            **_answer(case, reply),
            "judge": reply.grade,
        }
        return {name: value for name, value in found.items() if value is not None}

    def in_context(self, case: Case, context: Sequence[Passage]) -> float | None:
        """Whether a chunk that the model saw comes from a relevant document and holds an answer."""
        if case.answerable is False:
            return None
        useful = [passage for passage in context if not case.relevant or passage.document in case.relevant]
        if not case.answers or (case.relevant and case.id not in self.verbatim):
            return float(bool(useful)) if case.relevant else None
        return metrics.answer_in([passage.text for passage in useful], case.answers)

    def row(self, case: Case, reply: Reply, where: tuple[str, str, int]) -> Row:
        data, setup, seed = where
        return Row(
            data,
            setup,
            seed,
            case.id,
            case.question,
            self.score(case, reply),
            reply.cost_pico,
            reply.seconds,
            reply.baseline_pico,
            reply.text,
            reply.model,
            reply.tier,
            reply.abstained,
            reply.tokens,
            reply.savings,
            tuple(passage.text for passage in reply.context),
            case.answers,
            reply.reason,
            judge_pico=reply.judge_pico,
        )

    def _context(self, case: Case, context: Sequence[Passage]) -> Mapping[str, float | None]:
        sources = [passage.document for passage in context]
        return {
            "in_context": self.in_context(case, context),
            "context_recall": metrics.recall_at(sources, case.relevant, len(sources)) if case.relevant else None,
            "context_precision": metrics.precision(sources, case.relevant),
            "context_tokens": float(sum(passage.tokens for passage in context)),
        }


def _answer(case: Case, reply: Reply) -> Mapping[str, float | None]:
    abstained = float(reply.abstained)
    if case.answerable is False:
        return {"abstains": abstained}
    text = "" if reply.abstained else reply.text
    cited = reply.cited if not reply.abstained else ()
    return {
        "answers": 1 - abstained if case.answerable else None,
        "contains": metrics.answer_in([text], case.answers) if case.answers else None,
        "exact": metrics.exact_match(text, case.answers),
        "f1": metrics.token_f1(text, case.answers),
        "citation_precision": metrics.precision(cited, case.relevant),
        "citation_recall": metrics.recall_at(cited, case.relevant, len(cited)) if case.relevant else None,
    }


def _stands(case: Case, texts: Mapping[str, str]) -> bool:
    own = [texts[document] for document in case.relevant if document in texts]
    return bool(case.answers) and bool(metrics.answer_in(own, case.answers))
