"""Ragkit itself as a system to be measured."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from ragkit.nouns import Answer, Chunk, Query, Usage
from ragkit.query import make_query
from ragkit.rag import Ragkit
from ragkit_eval.cases import Case
from ragkit_eval.reply import Passage, Reply


@dataclass(frozen=True, slots=True)
class RagkitSystem:
    """`homes` maps sources to documents of the data set.

    With `ranked` each question is searched once more for its whole ranking; do so only where that costs nothing.
    """

    rag: Ragkit
    homes: Mapping[str, str]
    ranked: bool = True

    async def ask(self, case: Case) -> Reply:
        query = self.query(case)
        began = time.perf_counter()
        answer = await self.rag.answer(query)
        seconds = time.perf_counter() - began
        ranking = tuple(self._home(hit.chunk) for hit in answer.hits)
        if self.ranked:
            ranking = tuple(self._home(hit.chunk) for hit in await self.rag.search(query))
        return self._reply(answer, ranking, seconds)

    def query(self, case: Case) -> Query:
        return replace(make_query(case.question, self.rag.parts.settings), history=case.history)

    def _reply(self, answer: Answer, ranking: tuple[str, ...], seconds: float) -> Reply:
        chunks = {chunk.id: chunk for chunk in (*answer.prefix.chunks, *(hit.chunk for hit in answer.hits))}
        receipt = answer.receipt
        usage = sum((event.usage for event in receipt.events), Usage())
        written = [event for event in receipt.events if event.kind in ("generate", "repair")]
        return Reply(
            text=answer.text,
            context=tuple(Passage(self._home(chunk), chunk.text, chunk.tokens) for chunk in chunks.values()),
            ranking=ranking,
            cost_pico=receipt.cost_pico,
            seconds=seconds,
            cited=tuple(self.homes.get(citation.source, citation.source) for citation in answer.citations),
            abstained=answer.abstained,
            model=written[-1].model if written else answer.route.model.id,
            tier=answer.route.model.tier,
            baseline_pico=receipt.baseline_pico,
            tokens={field.name: count for field in fields(usage) if (count := getattr(usage, field.name))},
            savings={saving.lever: saving.pico for saving in receipt.savings},
            reason=answer.route.reason,
        )

    def _home(self, chunk: Chunk) -> str:
        return self.homes.get(chunk.source, chunk.source)
