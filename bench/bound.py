"""Replays questions on real texts with real token counts: is the bound ever below the cost, and how far is it above?

`python bench/bound.py --data FOLDER`; needs the packages of `token_data.py`. A question goes out with the instructions
and five passages, in one of three cases with two of them as a marked prefix, cold or warm. Its answer is a real one of
`mtrag_human_judgements`, in ragkit's schema with a quote per sentence. All is counted by the family's own tokenizer.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from token_data import SETS, counters, records

from ragkit.bound import Call, Plan, Side, worst_call, worst_case
from ragkit.calibration import calibrate, calibrated
from ragkit.ledger import Counted
from ragkit.models import Catalogue, ModelSpec
from ragkit.nouns import CacheTtl, Usage
from ragkit.prompt import SYSTEM
from ragkit.tokens import Size, measure, upper_bound_tokens

AT = datetime(2026, 11, 24, tzinfo=UTC)
MAX_OUTPUT = 1024
MODELS = (("gpt-6-luna", "o200k"), ("gpt-6.1-sol", "o200k"), ("gpt-5.4", "o200k"), ("claude-haiku-4-5", "claude"))
"""Only families whose tokenizer is at hand; counts of Claude's newer ones cannot be replayed here."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A replayed question: what is sent before and after the mark, and the usage as a provider would report it."""

    prefix: str
    rest: str
    usage: Usage

    @property
    def size(self) -> Size:
        return measure(self.prefix) + measure(self.rest)

    def counted(self, model: str) -> Counted:
        return Counted(model, self.size.estimate, self.size.bound, self.usage.prompt)


def replay(data: Path, count: Callable[[str], int], writes: str, chance: random.Random) -> Iterator[Asked]:
    answers = [record["response"] for record in records(data / "mtrag_human_judgements" / "responses.jsonl.gz")]
    for name in SETS:
        passages = [record["text"][:1400] for record in records(data / name / "corpus.jsonl.gz")]
        queries = next(data.joinpath(name).glob("queries.jsonl*"), None)
        questions = [record["text"] for record in records(queries)] if queries else passages
        for question in chance.sample(questions, min(120, len(questions))):
            evidence, hot = chance.sample(passages, 5), chance.choice((0, 0, 2))
            prefix = "\n\n".join((SYSTEM, *evidence[:hot])) if hot else ""
            rest = "\n\n".join((*evidence[hot:], question) if hot else (SYSTEM, *evidence, question))
            output = min(MAX_OUTPUT, count(draft(chance.choice(answers), evidence, chance)))
            kind = chance.choice((writes, "cache_read")) if hot else "input"
            usage = Usage(input=count(rest) + chance.randrange(20, 300), output=output)
            yield Asked(prefix, rest, usage + Usage(**{kind: count(prefix)}))


def draft(answer: str, evidence: list[str], chance: random.Random) -> str:
    """The answer as the schema wants it: a quote of two dozen words for each sentence."""
    statements = []
    for sentence in answer.split(". "):
        words = chance.choice(evidence).split()
        start = chance.randrange(max(1, len(words) - 24))
        quote = {"chunk_id": "3", "quote": " ".join(words[start : start + 24])}
        statements.append({"text": sentence, "quotes": [quote]})
    return json.dumps({"abstained": False, "reason": "", "statements": statements}, ensure_ascii=False)


def call_of(one: Asked, spec: ModelSpec) -> Call:
    prefix, rest = (upper_bound_tokens(text, spec) for text in (one.prefix, one.rest))
    ttl: CacheTtl = "5m" if spec.provider == "anthropic" else "30m"
    return Call(spec.id, rest, MAX_OUTPUT, prefix, ttl if one.prefix else None)


def ratios(asked: list[Asked], spec: ModelSpec, catalogue: Catalogue) -> list[float]:
    found = []
    for one in asked:
        cost = catalogue.cost(one.usage, spec.id, at=AT).pico
        found.append(worst_call(call_of(one, spec), catalogue, AT) / cost)
    return found


def whole(asked: list[Asked], spec: ModelSpec, catalogue: Catalogue) -> list[float]:
    """A question with its embedding and rerank, one more attempt and one repair, of which none was needed."""
    found = []
    for one in asked:
        embed, rerank = Side("text-embedding-3-small", Usage(input=60)), Side("rerank-v5.0-pro", Usage(input=20_000))
        beside = sum(catalogue.cost(side.usage, side.price_id, at=AT).pico for side in (embed, rerank))
        plan = Plan((call_of(one, spec),), (embed, rerank), attempts=2, repairs=1)
        found.append(worst_case(plan, catalogue, AT) / (catalogue.cost(one.usage, spec.id, at=AT).pico + beside))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data, catalogue, count = parser.parse_args().data, Catalogue.load(), counters()
    print(f"{'model':18} {'calls':>5} {'below':>5}   bound/actual: a call, calibrated: least, median; whole: median")
    for model, tokenizer in MODELS:
        spec = catalogue.model(model)
        writes = {"anthropic": "cache_write_5m", "openai": "cache_write_30m"}[spec.provider]
        asked = list(replay(data, count[tokenizer], writes, random.Random(5)))
        half = len(asked) // 2
        random.Random(6).shuffle(asked)
        learnt = calibrate(one.counted(model) for one in asked[:half])
        assert learnt is not None
        plain, taught = ratios(asked, spec, catalogue), ratios(asked[half:], calibrated(spec, learnt), catalogue)
        below = sum(ratio < 1 for ratio in plain + taught)
        print(
            f"{model:18} {len(asked):5} {below:5}   {min(plain):.2f} {median(plain):.2f};"
            f" {min(taught):.2f} {median(taught):.2f}; {median(whole(asked, spec, catalogue)):.2f}"
        )


if __name__ == "__main__":
    main()
