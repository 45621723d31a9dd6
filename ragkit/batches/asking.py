"""Questions as items of a job: prepared by the straight line, answered with verified citations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ragkit.batches.beside import JournalThread
from ragkit.batches.job import Asked, Item, Job
from ragkit.batches.kind import Written
from ragkit.batches.plan import Candidate, share
from ragkit.checkout import Payer
from ragkit.citation import Rules, verify
from ragkit.errors import InvalidAnswer
from ragkit.nouns import Answer, Completion, EventKind, Query
from ragkit.outcome import Outcome, Ready, answer_of
from ragkit.present import answer_to_json
from ragkit.store import Store
from ragkit.structured import answer_schema


class Asker(Protocol):
    """The straight line of a question: up to its request, or all the way; and the index behind it."""

    async def prepare(self, query: Query) -> Ready | Answer: ...

    async def answer(self, query: Query, *, purchase: str = "") -> Answer: ...

    async def preview(self, query: Query) -> Ready | None:
        """As `prepare`, without anything that is billed or written down; None where no call is to be paid for."""
        ...

    async def store(self) -> Store: ...


@dataclass(frozen=True, slots=True)
class Questions:
    """`schema` is the caller's own model for the answers, `rules` what becomes of statements without a quote."""

    asker: Asker
    schema: type[Any] | None
    rules: Rules
    event: EventKind = "generate"

    async def prepare(self, item: Item, job: Job) -> Asked | Mapping[str, Any]:
        made = await self.asker.prepare(self._query(item, job))
        if isinstance(made, Answer):
            return answer_to_json(made)
        return Asked(made.request, made.route, made.hits, made.notes, made.compared)

    def share(self, group: Sequence[Candidate], payer: Payer) -> list[Candidate]:
        return share(group, payer, answer_schema(self.schema))

    def read(self, completion: Completion, asked: Asked) -> Written:
        """A refusal and a cut answer are results that were paid for, and no answers."""
        if completion.stop == "refusal":
            raise InvalidAnswer(f"'{asked.route.model.id}' refuses to answer: rephrase the question")
        if completion.stop == "length":
            raise InvalidAnswer(f"the answer was cut at {asked.request.max_output} tokens: raise answer.max_output")
        prompt = asked.request.prompt
        verified = verify(answer_schema(self.schema).parse(completion.text), prompt.citable, self.rules)
        outcome = Outcome(asked.hits, verified, asked.route, prompt.prefix, asked.notes)
        return lambda receipt, seconds: answer_to_json(answer_of(outcome, receipt, seconds))

    async def ask(self, item: Item, asked: Asked, job: Job) -> Mapping[str, Any]:
        return answer_to_json(await self.asker.answer(self._query(item, job), purchase=item.live))

    async def deliver(self, job: Job, journal: JournalThread) -> None:
        """Answers are kept with their questions."""

    def _query(self, item: Item, job: Job) -> Query:
        return Query(item.question.text, job.account, job.k, job.filters, schema=self.schema)
