"""Chunks in want of a vector as items of a job, some of them together; what comes back goes into the index."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ragkit.batches.beside import JournalThread
from ragkit.batches.embeddings import NAME, dimensions_of, question
from ragkit.batches.job import Asked, Item, Job, paid
from ragkit.batches.journal import VECTOR, Journal
from ragkit.batches.journal_file import chunk_name
from ragkit.batches.kind import Written
from ragkit.batches.plan import Candidate
from ragkit.batches.sending import pass_by
from ragkit.checkout import Payer
from ragkit.embed import index_text
from ragkit.embedders.remote import Vector, unit, unpack
from ragkit.errors import InvalidAnswer
from ragkit.nouns import Chunk, Completion, EventKind, Model, Prefix, Prompt, Request, Route, Schema
from ragkit.receipt import receipt_to_json
from ragkit.store import Store
from ragkit.tokens import estimate_tokens

OUTDATED = "billed, and not applied: the chunks were replaced or deleted meanwhile"
USELESS, ALONE = "", "alone"
"""What is remembered of a text: it was billed to no avail, and is not asked for again; or it was refused together with
others, at no cost, and goes alone the next time."""
WHY = "vectors of chunks"
NO_SCHEMA = Schema("none", {})


@dataclass(slots=True)
class Vectors:
    """`store` opens the index that they are for, `at` hears of steps, `given` counts the chunks that got one."""

    store: Callable[[], Awaitable[Store]]
    at: Callable[[str], None] = pass_by
    given: int = 0

    @property
    def event(self) -> EventKind:
        return "embed"

    async def prepare(self, item: Item, job: Job) -> Asked | Mapping[str, Any]:
        raise RuntimeError("what is asked for chunks is written down together with the job")

    def share(self, group: Sequence[Candidate], payer: Payer) -> list[Candidate]:
        """Texts have nothing in common that could be shared."""
        return list(group)

    def read(self, completion: Completion, asked: Asked) -> Written:
        """Checked here, and kept as they came until the index has them."""
        name = asked.request.model.id
        try:
            found = _vectors(completion.text)
        except (ValueError, TypeError, struct.error) as error:
            raise InvalidAnswer(f"'{name}' returned what are no vectors") from error
        wanted, dimensions = len(asked.request.prompt.selected), dimensions_of(asked.request)
        if len(found) != wanted or any(len(vector) != dimensions for vector in found):
            raise InvalidAnswer(f"'{name}' did not return {wanted} vectors of {dimensions} numbers")
        text = completion.text
        return lambda receipt, seconds: {"vectors": text, "receipt": receipt_to_json(receipt)}

    async def ask(self, item: Item, asked: Asked, job: Job) -> Mapping[str, Any]:
        raise RuntimeError("vectors that are wanted at once are made without a job")

    async def deliver(self, job: Job, journal: JournalThread) -> None:
        """First the index has the vectors of an item, then the journal lets go of them."""
        await journal.run(partial(_remember, job=job))
        async for page in journal.pages(job.id):
            for item in filter(_undelivered, page):
                await self._place(item, job.account.tenant, journal)

    async def _place(self, item: Item, tenant: str, journal: JournalThread) -> None:
        store = await self.store()
        schema = (await store.info()).schema
        (asked,) = await journal.run(partial(_asked, item=item))
        given, answer = 0, dict(item.answer or {})
        vectors = _vectors(answer.pop("vectors"))
        made = (f"openai:{asked.request.model.id}", dimensions_of(asked.request))
        if made == (schema.embedder, schema.dimensions):
            pairs = list(zip(asked.request.prompt.selected, vectors, strict=True))
            given = await store.set_dense(tenant, pairs)
        self.at("filled")
        lost = len(asked.request.prompt.selected) - given
        reason = f"{lost} vectors were {OUTDATED}" if lost else item.reason
        await journal.put_arrived([replace(item, reason=reason, answer={**answer, "applied": given})])
        self.given += given


def wish(model: str, dimensions: int, chunks: Sequence[Chunk], *, shorter: bool) -> Asked:
    """What is asked for some chunks; of them only names are kept, for their texts stand in the question."""
    texts = [index_text(chunk.title, chunk.section, chunk.text, chunk.context) for chunk in chunks]
    told, bare = question(texts, dimensions, shorter=shorter), tuple(replace(chunk, text="") for chunk in chunks)
    prompt = Prompt("", Prefix(), "", bare, told, tokens=sum(map(estimate_tokens, texts)), selected=bare)
    embedder = Model(model, NAME, "small", model, 0)
    return Asked(Request(prompt, embedder, NO_SCHEMA, 0, lane="batch"), Route(embedder, 0.0, WHY), (), (), None)


def name(chunk: Chunk) -> str:
    """What its vector belongs to."""
    return chunk_name(chunk.id, chunk.context)


def name_of(model: str, dimensions: int, text: str) -> str:
    """The name under which it is remembered what became of a text."""
    return VECTOR + hashlib.sha256(json.dumps([model, dimensions, text]).encode()).hexdigest()[:32]


def _remember(journal: Journal, job: Job) -> None:
    """Lines that were billed to no avail, and those that the provider itself refused."""
    sent = {part.id for part in journal.parts(job.id) if part.state == "collected" and job.state == "open"}
    failed = [item for item in journal.items(job.id, "failed") if paid(item) or item.part in sent]
    for item, asked in zip(failed, journal.asked(failed), strict=True):
        model, told = asked.request.model.id, json.loads(asked.request.prompt.question)
        names = [name_of(model, told["dimensions"], text) for text in told["texts"]]
        journal.keep_contexts(job.account.tenant, dict.fromkeys(names, USELESS if paid(item) else ALONE))


def _undelivered(item: Item) -> bool:
    return item.answer is not None and "vectors" in item.answer


def _asked(journal: Journal, item: Item) -> tuple[Asked, ...]:
    return tuple(journal.asked([item]))


def _vectors(text: str) -> list[Vector]:
    return [unit(unpack(each)) for each in json.loads(text)]
