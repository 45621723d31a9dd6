"""What the embedders behind an API share: calls within its limits, unit vectors, and a bill for every call."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ragkit.embed import Embedded
from ragkit.errors import ConfigError, ProviderError
from ragkit.nouns import Usage
from ragkit.providers.priced import priced_model
from ragkit.providers.rest import Rest, add_spent, named
from ragkit.settings import Settings
from ragkit.tokens import estimate_tokens

Vector = tuple[float, ...]
UNIT = 1e-6
"""How far a length may be from 1."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One call. `dimensions` is None for the model's own number."""

    model: str
    purpose: Literal["document", "query"]
    texts: Sequence[str]
    dimensions: int | None = None


@dataclass(frozen=True, slots=True)
class Api:
    """What differs between APIs: limits of a call, path and body of a request, vectors and billed tokens of an answer.

    Tokens of None were not reported.
    """

    provider: str
    most_texts: int
    most_tokens: int
    to_wire: Callable[[Ask], tuple[str, dict[str, Any]]]
    from_wire: Callable[[Mapping[str, Any]], tuple[Sequence[Sequence[float]], int | None]]


class RemoteEmbedder:
    """An embedder behind an API; `shorter` asks for vectors of `dimensions` where the model's own are longer."""

    def __init__(self, api: Api, rest: Rest, model: str, dimensions: int, *, shorter: bool = False) -> None:
        self.name = f"{api.provider}:{model}"
        self.dimensions = dimensions
        self.price_id: str | None = model
        self._api = api
        self._rest = rest
        self._model = model
        self._asked = dimensions if shorter else None

    @classmethod
    def configured(cls, api: Api, rest: Rest, settings: Settings, usual_model: str) -> RemoteEmbedder:
        """Raises `ConfigError` or `UnpricedModel` for a model that is no embedder of this provider."""
        wanted = settings.embedder
        spec = priced_model(settings, api.provider, wanted.model or usual_model, "embed")
        dimensions = wanted.dimensions or spec.dimensions
        if dimensions is None:
            raise ConfigError(f"nothing says how long the vectors of '{spec.id}' are: set [embedder] dimensions")
        return cls(api, rest, spec.id, dimensions, shorter=dimensions != spec.dimensions)

    async def embed_documents(self, texts: Sequence[str]) -> Embedded:
        vectors: list[Vector] = []
        ids: tuple[str, ...] = ()
        usage, estimated = Usage(), False
        for batch in _batches(texts, self._api):
            try:
                part = await self._ask(Ask(self._model, "document", batch, self._asked))
            except ProviderError as error:
                add_spent(error, usage)
                raise
            vectors += part.vectors
            usage, estimated, ids = usage + part.usage, estimated or part.estimated, ids + part.request_ids
        return Embedded(tuple(vectors), usage, estimated, ids)

    async def embed_query(self, text: str) -> Embedded:
        return await self._ask(Ask(self._model, "query", [text], self._asked))

    async def aclose(self) -> None:
        await self._rest.aclose()

    async def _ask(self, ask: Ask) -> Embedded:
        path, body = self._api.to_wire(ask)
        return await self._rest.ask(path, body, ask.model, lambda payload, id_: self._read(payload, id_, ask))

    def _read(self, payload: Mapping[str, Any], request_id: str | None, ask: Ask) -> Embedded:
        found, tokens = self._api.from_wire(payload)
        usage = Usage(input=sum(map(estimate_tokens, ask.texts)) if tokens is None else tokens)
        if len(found) != len(ask.texts) or any(len(vector) != self.dimensions for vector in found):
            shape = f"{len(found)} vectors of {len(found[0]) if found else 0} numbers"
            wanted = f"{len(ask.texts)} of {self.dimensions}"
            wrong = f"{self._api.provider} returned {shape} instead of {wanted}"
            raise ProviderError(wrong, usage=usage, request_id=request_id)
        return Embedded(tuple(map(unit, found)), usage, tokens is None, named(request_id))


def unpack(encoded: str) -> Vector:
    """Little-endian 32-bit floats in base64: a quarter of the bytes of their digits, and quicker to read."""
    raw = base64.b64decode(encoded, validate=True)
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def unit(vector: Sequence[float]) -> Vector:
    """A vector of length 1, as it is kept."""
    length = math.hypot(*vector)
    if not 0 < length < math.inf:
        raise ValueError("a vector without a direction")
    return tuple(vector) if abs(length - 1) <= UNIT else tuple(value / length for value in vector)


def _batches(texts: Sequence[str], api: Api) -> Iterator[Sequence[str]]:
    """Calls within the limits; tokens are estimated, so a half is added to them."""
    start = tokens = 0
    for place, text in enumerate(texts):
        size = estimate_tokens(text) * 3 // 2 + 1
        if place > start and (place - start == api.most_texts or tokens + size > api.most_tokens):
            yield texts[start:place]
            start, tokens = place, 0
        tokens += size
    if start < len(texts):
        yield texts[start:]
