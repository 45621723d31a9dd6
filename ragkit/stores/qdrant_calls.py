"""What is said to a Qdrant server: in batches, with the tenant in every filter, errors as sentences.

Every call may be repeated without harm, so a server that is away for a moment is asked again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from ragkit.errors import MissingExtra, StoreCorrupt, StoreError

try:
    from httpx import TimeoutException
    from pydantic import ValidationError
    from qdrant_client import AsyncQdrantClient, models
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
except ImportError as error:
    raise MissingExtra("qdrant", "an index on a Qdrant server") from error

from ragkit.stores.codec import TENANT, tenant_filter

__all__ = ["AsyncQdrantClient", "Calls", "models"]

T = TypeVar("T")
Fields = bool | list[str]

BATCH = 256
"""Points per request: about 1 MB with 384 dimensions, far below the server's limit of 32 MB."""
IDS = 1000
"""Ids per filter, points per page."""
TENANTS = 100_000
"""The most tenants that a check looks at."""
PAUSES = (0.2, 1.0, 3.0)
"""Seconds between attempts while a server does not answer: a restart takes about that long."""


class Calls:
    """A client that batches, repeats and translates; `place` is where it talks to, for messages."""

    def __init__(self, client: AsyncQdrantClient, place: str, *, replicas: int = 1) -> None:
        self.client = client
        self.place = place
        self._read = models.ReadConsistencyType.MAJORITY if replicas > 1 else None

    async def upsert(self, collection: str, points: Sequence[models.PointStruct]) -> None:
        for batch in _batches(points, BATCH):
            self._done(await self.ask(partial(self.client.upsert, collection, batch, wait=True)))

    async def set_vectors(self, collection: str, points: Sequence[models.PointVectors]) -> None:
        for batch in _batches(points, BATCH):
            self._done(await self.ask(partial(self.client.update_vectors, collection, batch, wait=True)))

    async def take_steps(self, collection: str, steps: Sequence[models.UpdateOperation]) -> None:
        """Several changes in their order."""
        for batch in _batches(steps, BATCH):
            for result in await self.ask(partial(self.client.batch_update_points, collection, batch, wait=True)):
                self._done(result)

    async def set_payload(self, collection: str, point: UUID, payload: dict[str, str]) -> None:
        ask = partial(self.client.set_payload, collection, payload, points=[str(point)], wait=True)
        self._done(await self.ask(ask))

    async def delete(self, collection: str, tenant: str, points: Sequence[UUID | int]) -> int:
        gone = 0
        for batch in _batches(points, IDS):
            these = _these(tenant, batch)
            gone += (await self.ask(partial(self.client.count, collection, these, exact=True))).count
            chosen = models.FilterSelector(filter=these)
            self._done(await self.ask(partial(self.client.delete, collection, chosen, wait=True)))
        return gone

    async def find(
        self, collection: str, tenant: str, points: Iterable[UUID], fields: Fields = True
    ) -> list[models.Record]:
        """Those of the points that are there, and the tenant's."""
        found: list[models.Record] = []
        for batch in _batches(list(points), IDS):
            found += [point async for point in self.pages(collection, _these(tenant, batch), fields)]
        return found

    async def pages(
        self, collection: str, wanted: models.Filter, fields: Fields = True
    ) -> AsyncIterator[models.Record]:
        scroll = partial(self.client.scroll, collection, wanted, IDS, with_payload=fields, consistency=self._read)
        offset = None
        while True:
            points, offset = await self.ask(partial(scroll, offset=offset))
            for point in points:
                yield point
            if offset is None:
                return

    async def query(self, collection: str, requests: Sequence[models.QueryRequest]) -> list[list[models.ScoredPoint]]:
        answers = await self.ask(
            partial(self.client.query_batch_points, collection, list(requests), consistency=self._read)
        )
        return [answer.points for answer in answers]

    async def tenants(self, collection: str) -> dict[str, int]:
        """Names of tenants and how many points each has: the one question without a filter, and without content."""
        answer = await self.ask(partial(self.client.facet, collection, TENANT, limit=TENANTS, exact=True))
        return {str(hit.value): hit.count for hit in answer.hits}

    async def ask(self, call: Callable[[], Awaitable[T]], *, pauses: Sequence[float] = PAUSES) -> T:
        for pause in (*pauses, None):
            try:
                return await call()
            except Exception as failure:  # local mode and the client's own checks raise plain errors
                if pause is None or not _passing(failure):
                    raise self._translated(failure) from failure
                await asyncio.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _done(self, result: models.UpdateResult) -> None:
        if result.status != models.UpdateStatus.COMPLETED:
            raise StoreError(f"{self._server} did not finish a write ({result.status}): run the command again")

    @property
    def _server(self) -> str:
        return f"the Qdrant server at {self.place}"

    def _translated(self, failure: Exception) -> StoreError:
        if isinstance(failure, ResponseHandlingException):
            return self._unanswered(failure.source)
        if isinstance(failure, UnexpectedResponse):
            return self._refused(failure)
        return StoreError(f"{self._server} failed: {failure}")

    def _unanswered(self, source: Exception) -> StoreError:
        if isinstance(source, TimeoutException):
            return StoreError(f"{self._server} did not answer in time: raise [store] timeout, or give it more room")
        if isinstance(source, ValidationError):
            return StoreError(f"{self._server} speaks another version: update the server and qdrant-client")
        return StoreError(f"no Qdrant server answers at {self.place}: start it, or correct [store] url")

    def _refused(self, failure: UnexpectedResponse) -> StoreError:
        if failure.status_code in (401, 403):
            return StoreError(f"{self._server} refuses the key: correct [store] api_key (RAGKIT_STORE_API_KEY)")
        if failure.status_code == 404:
            return StoreCorrupt(f"{self._server} lost a collection: restore it, or run ragkit ingest --rebuild")
        return StoreError(f"{self._server} refused a request with {failure.status_code}: {_reason(failure)}")


def _these(tenant: str, points: Iterable[UUID | int]) -> models.Filter:
    ids = models.HasIdCondition(has_id=[point if isinstance(point, int) else str(point) for point in points])
    wanted: models.Filter = tenant_filter(models, tenant, also=[ids])
    return wanted


def _passing(failure: Exception) -> bool:
    """Whether asking again may help: the server is away, or says that it has too much to do."""
    if isinstance(failure, ResponseHandlingException):
        return not isinstance(failure.source, ValidationError | TimeoutException)
    if isinstance(failure, UnexpectedResponse):
        return failure.status_code in (429, 502, 503, 504)
    return isinstance(failure, ResourceExhaustedResponse)


def _reason(failure: UnexpectedResponse) -> str:
    """The server's own words, without the rest of its answer."""
    try:
        return str(json.loads(failure.content)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return failure.reason_phrase or "no reason given"


def _batches(items: Sequence[Any], size: int) -> Iterable[Any]:
    return (items[start : start + size] for start in range(0, len(items), size))
