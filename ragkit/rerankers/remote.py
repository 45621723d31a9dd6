"""What rerankers behind an API share: calls within its limits, hits in their new order, a bill for every call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ragkit.errors import ProviderError
from ragkit.nouns import Hit, Usage
from ragkit.providers.priced import priced_model
from ragkit.providers.rest import Rest, add_spent, named
from ragkit.rerank import Reranked, passage
from ragkit.settings import Settings
from ragkit.tokens import estimate_tokens

Scores = Mapping[int, float]
"""By place among the texts."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One call."""

    model: str
    question: str
    texts: Sequence[str]

    @property
    def tokens(self) -> int:
        """An estimate of what is billed by token: the question counts once per text."""
        return sum(map(estimate_tokens, self.texts)) + estimate_tokens(self.question) * len(self.texts)


@dataclass(frozen=True, slots=True)
class Api:
    """What differs between APIs: limits of a call, path and body of a request, scores and bill of an answer.

    A bill of None was not reported; `estimate` says what it must have been.
    """

    provider: str
    most_texts: int
    most_tokens: int
    to_wire: Callable[[Ask], tuple[str, dict[str, Any]]]
    from_wire: Callable[[Mapping[str, Any], Ask], tuple[Scores, Usage | None]]
    estimate: Callable[[Ask], Usage]


class RemoteReranker:
    """A reranker behind an API. It judges each text by itself, so that more than a call takes go out in several."""

    def __init__(self, api: Api, rest: Rest, model: str) -> None:
        self.name = f"{api.provider}:{model}"
        self.price_id: str | None = model
        self._api = api
        self._rest = rest
        self._model = model

    @classmethod
    def configured(cls, api: Api, rest: Rest, settings: Settings, usual_model: str) -> RemoteReranker:
        """Raises `ConfigError` or `UnpricedModel` for a model that is no reranker of this provider."""
        spec = priced_model(settings, api.provider, settings.reranker.model or usual_model, "rerank")
        return cls(api, rest, spec.id)

    async def rerank(self, question: str, hits: Sequence[Hit]) -> Reranked:
        ranked: list[Hit] = []
        ids: tuple[str, ...] = ()
        usage, estimated = Usage(), False
        for batch in self._batches(question, hits):
            try:
                part = await self._ask(question, batch)
            except ProviderError as error:
                add_spent(error, usage)
                raise
            ranked += part.hits
            usage, estimated, ids = usage + part.usage, estimated or part.estimated, ids + part.request_ids
        ranked.sort(key=lambda hit: (-hit.score, hit.chunk.id))
        return Reranked(tuple(ranked), usage, usage.searches, estimated, ids)

    async def aclose(self) -> None:
        await self._rest.aclose()

    async def _ask(self, question: str, hits: Sequence[Hit]) -> Reranked:
        ask = Ask(self._model, question, [passage(hit.chunk) for hit in hits])
        path, body = self._api.to_wire(ask)
        (scores, billed), ids = await self._rest.ask(
            path, body, ask.model, lambda payload, id_: (self._api.from_wire(payload, ask), named(id_))
        )
        usage = self._api.estimate(ask) if billed is None else billed
        if scores.keys() != set(range(len(hits))):
            ranked = f"{len(scores)} of {len(hits)} texts"
            wrong = f"{self._api.provider} ranked {ranked}: choose another reranker"
            raise ProviderError(wrong, usage=usage, request_id=next(iter(ids), None))
        found = tuple(hit.scored(scores[place]) for place, hit in enumerate(hits))
        return Reranked(found, usage, usage.searches, billed is None, ids)

    def _batches(self, question: str, hits: Sequence[Hit]) -> Iterator[Sequence[Hit]]:
        """Calls within the limits; tokens are estimated, so a half is added to them."""
        asked, start, tokens = estimate_tokens(question), 0, 0
        for place, hit in enumerate(hits):
            size = (estimate_tokens(passage(hit.chunk)) + asked) * 3 // 2 + 1
            full = place - start == self._api.most_texts or tokens + size > self._api.most_tokens
            if place > start and full:
                yield hits[start:place]
                start, tokens = place, 0
            tokens += size
        if start < len(hits):
            yield hits[start:]
