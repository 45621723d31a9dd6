"""What goes over the wire to a Qdrant server: the tenant in every filter, and errors that help."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from ragkit.errors import StoreCorrupt, StoreError
from ragkit.nouns import Chunk, DocumentRecord
from ragkit.settings import StoreSettings
from ragkit.store import SCHEMA_VERSION, IndexedChunk, IndexSchema, StoreQuery
from ragkit.stores.codec import chunk_ids, record_id, record_payload
from ragkit.stores.qdrant import QdrantStore, open_qdrant
from ragkit.words.bm25 import encode_document, encode_query

SCHEMA = IndexSchema("test-1", "test:3", 3)
META = {"chunking": "test-1", "embedder": "test:3", "dimensions": 3, "version": SCHEMA_VERSION}
RECORD = DocumentRecord("d", "acme", "d.md", "", "r1", 1, 2, 9, datetime(2026, 11, 24, tzinfo=UTC))
CHUNK = Chunk("c0", "d", "d.md", "fox", 0, 3, 0, 1)
PAYLOAD = {
    "tenant": "acme",
    "text": "fox",
    "chunk": '[0,"c0",0,3,1,null,"d","r1","d.md","",[]]',
}
TENANT = {"key": "tenant", "match": {"value": "acme"}}
UPDATED = {"operation_id": 1, "status": "completed"}

Answer = tuple[int, Any]


@dataclass
class Recorder:
    """A loopback server that answers like Qdrant and keeps what it was asked."""

    url: str = ""
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    failures: list[Answer] = field(default_factory=list)
    metadata: Any = field(default_factory=lambda: {"ragkit": META})
    exists: bool = True

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        self.requests.append((method, path, body))
        if self.failures:
            return self.failures.pop(0)
        return 200, self.result(method, path, body)

    def result(self, method: str, path: str, body: dict[str, Any]) -> Any:
        documents = "_documents" in path
        if path.endswith("/exists"):
            return {"exists": self.exists}
        if path.endswith("/points/scroll"):
            chunks = [{"id": str(point), "payload": PAYLOAD} for point in chunk_ids(RECORD)]
            record = [{"id": str(record_id("acme", "d")), "payload": record_payload(RECORD)}]
            ids = [ids for condition in body["filter"]["must"] for ids in condition.get("has_id", ())]
            points = [point for point in (record if documents else chunks) if not ids or point["id"] in ids]
            return {"points": points, "next_page_offset": None}
        if path.endswith("/points/count"):
            return {"count": 2}
        if path.endswith("/facet"):
            return {"hits": [{"value": "acme", "count": 1 if documents else 2}]}
        if path.endswith("/query/batch"):
            hits = [{"id": str(chunk_ids(RECORD)[0]), "version": 1, "score": 0.5, "payload": PAYLOAD}]
            return [{"points": hits}, {"points": hits}]
        if method == "GET":
            return self.collection()
        return UPDATED if "/points" in path or "/index" in path else True

    def collection(self) -> Any:
        optimizers = {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 0,
            "flush_interval_sec": 5,
        }
        config = {
            "params": {},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
            "optimizer_config": optimizers,
            "metadata": self.metadata,
        }
        return {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": 1,
            "config": config,
            "payload_schema": {},
        }

    def asked(self, ending: str) -> list[dict[str, Any]]:
        return [body for _, path, body in self.requests if path.endswith(ending)]


def handler(recorder: Recorder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            recorder.keys.append(self.headers.get("api-key"))
            status, result = recorder.answer(self.command, self.path.partition("?")[0], body)
            answer = {"result": result, "status": "ok", "time": 0.001} if status == 200 else result
            sent = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Stay silent."""

    return Handler


@pytest.fixture
def server() -> Iterator[Recorder]:
    recorder = Recorder()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(recorder)) as http:
        recorder.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield recorder
        http.shutdown()
        thread.join()


async def opened(server: Recorder, **settings: Any) -> QdrantStore:
    return await open_qdrant(StoreSettings(kind="qdrant", url=server.url, **settings), SCHEMA)


def filters_in(body: Any) -> Iterator[Any]:
    """Every filter that a request carries, and None where a query or a prefetch has none."""
    if isinstance(body, dict):
        if "query" in body or "prefetch" in body:
            yield body.get("filter")
        elif "filter" in body:
            yield body["filter"]
        for name, value in body.items():
            if name not in ("filter", "payload"):
                yield from filters_in(value)
    if isinstance(body, list):
        for value in body:
            yield from filters_in(value)


EVERYTHING: dict[str, Callable[[QdrantStore], Any]] = {
    "records": lambda store: store.records("acme"),
    "chunks": lambda store: store.chunks("acme", "d"),
    "search": lambda store: store.search(
        StoreQuery("acme", encode_query("fox"), 5, (1.0, 0.0, 0.0), (("lang", "en"),))
    ),
    "commit": lambda store: store.commit([RECORD]),
    "remove": lambda store: store.remove("acme", ["d"]),
    "pending_dense": lambda store: store.pending_dense("acme", 5),
    "set_dense": lambda store: store.set_dense("acme", [(CHUNK, (1.0, 0.0, 0.0))]),
    "verify": lambda store: store.verify(),
    "sweep": lambda store: store.sweep(),
}
READS = ("/points/scroll", "/points/count", "/points/delete", "/query/batch", "/points/query")


@pytest.mark.parametrize("name", EVERYTHING)
async def test_the_tenant_is_in_every_filter_of_every_request(server: Recorder, name: str) -> None:
    store = await opened(server)
    server.requests.clear()
    await EVERYTHING[name](store)
    await store.aclose()
    asked = [(path, body) for _, path, body in server.requests if path.endswith(READS)]
    assert asked
    for path, body in asked:
        filters = list(filters_in(body))
        assert filters, path
        for found in filters:
            assert TENANT in found["must"], (path, body)
            assert not found.get("should"), "an alternative to the tenant"
    assert not [path for method, path, _ in server.requests if method == "POST" and path.endswith("/points")], (
        "retrieve"
    )


async def test_a_question_is_one_batch_and_one_look_at_the_records(server: Recorder) -> None:
    store = await opened(server)
    server.requests.clear()
    found = await EVERYTHING["search"](store)
    await store.aclose()
    assert [path for _, path, _ in server.requests] == [
        "/collections/ragkit/points/query/batch",
        "/collections/ragkit_documents/points/scroll",
    ]
    sparse, dense = server.requests[0][2]["searches"]
    assert sparse["using"] == "bm25"
    assert sparse["params"] == {"idf": {"corpus": {"must": [TENANT]}}}
    assert sparse["filter"] == dense["filter"] == {"must": [TENANT, {"key": "facts", "match": {"value": "4:lang=en"}}]}
    assert dense["using"] == "dense"
    assert dense["query"] == {"nearest": [1.0, 0.0, 0.0]}
    assert [hit.chunk for hit in found.sparse] == [hit.chunk for hit in found.dense] == [CHUNK]


async def test_writes_wait_until_they_are_applied(server: Recorder) -> None:
    store = await opened(server)
    server.requests.clear()
    await store.stage([IndexedChunk(CHUNK, "acme", "r1", encode_document("fox"), (1.0, 0.0, 0.0))])
    await store.aclose()
    (point,) = server.requests[0][2]["points"]
    assert point["id"] == str(chunk_ids(RECORD)[0])
    assert point["payload"] == PAYLOAD
    assert set(point["vector"]) == {"bm25", "dense"}


async def test_a_write_that_was_only_accepted_is_not_done(server: Recorder) -> None:
    store = await opened(server)
    server.failures.append((200, UPDATED | {"status": "acknowledged"}))
    with pytest.raises(StoreError, match="did not finish a write"):
        await store.stage([IndexedChunk(CHUNK, "acme", "r1", encode_document("fox"))])
    await store.aclose()


async def test_collections_are_made_as_the_settings_say(server: Recorder) -> None:
    server.exists = False
    settings = StoreSettings(url=server.url, collection="kb", shards=3, replicas=3, api_key=SecretStr("k-1"))
    with pytest.warns(UserWarning, match="insecure"):
        store = await open_qdrant(settings, SCHEMA, create=True)
    await store.aclose()
    made = {path: body for method, path, body in server.requests if method == "PUT" and path.count("/") == 2}
    assert list(made) == ["/collections/kb", "/collections/kb_documents"]
    for body in made.values():
        assert (body["shard_number"], body["replication_factor"], body["write_consistency_factor"]) == (3, 3, 2)
    assert made["/collections/kb"]["metadata"] == {"ragkit": META}
    assert made["/collections/kb"]["sparse_vectors"] == {"bm25": {"modifier": "idf"}}
    assert made["/collections/kb"]["vectors"]["dense"]["size"] == 3
    indexes = server.asked("/collections/kb/index")
    assert {"field_name": "tenant", "field_schema": {"type": "keyword", "is_tenant": True}} in indexes
    assert set(server.keys) == {"k-1"}


async def test_somebody_elses_collection_is_left_alone(server: Recorder) -> None:
    server.metadata = None
    with pytest.raises(StoreError, match=r"'ragkit' at .* was not made by ragkit, or the server is older than 1\.16"):
        await opened(server)
    assert not [method for method, _, _ in server.requests if method == "DELETE"]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"status": {"error": "nope"}}, r"refuses the key: correct \[store\] api_key"),
        (403, "Forbidden", r"refuses the key"),
        (
            400,
            {"status": {"error": "Wrong input: vector size"}},
            "refused a request with 400: Wrong input: vector size",
        ),
        (500, "<html>", "refused a request with 500"),
        (200, {"unexpected": True}, "speaks another version: update the server and qdrant-client"),
    ],
)
async def test_refusals_are_sentences(server: Recorder, status: int, body: Any, words: str) -> None:
    store = await opened(server, timeout=1)
    server.failures.append((status, body))
    with pytest.raises(StoreError, match=words):
        await store.records("acme")
    await store.aclose()


async def test_a_lost_collection_is_damage(server: Recorder) -> None:
    store = await opened(server)
    server.failures.append((404, {"status": {"error": "Not found"}}))
    with pytest.raises(StoreCorrupt, match="lost a collection"):
        await store.records("acme")
    await store.aclose()


async def test_a_server_that_is_away_for_a_moment_is_asked_again(server: Recorder) -> None:
    store = await opened(server)
    server.failures.append((503, {"status": {"error": "starting"}}))
    assert await store.records("acme") == (RECORD,)
    await store.aclose()


async def test_no_server_is_one_sentence_without_the_password(server: Recorder) -> None:
    port = server.url.rpartition(":")[2]
    settings = StoreSettings(url=f"http://me:secret@127.0.0.1:{int(port) % 60000 + 1}")
    with pytest.raises(StoreError, match=r"no Qdrant server answers at http://127\.0\.0\.1:\d+: start it") as caught:
        await open_qdrant(settings, SCHEMA)
    assert "secret" not in str(caught.value)
