"""The twin as Cohere (real SDK) and Voyage (REST): rerank and embeddings, each billed by its own rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cohere
import httpx
import httpx2
import pytest

from ragkit_eval.twin import Fault, RunningTwin, running_twin
from ragkit_eval.twin.tokens import WIDE, count

QUERY = "warranty of the pump"
PUMP = "Pumps are blue. The warranty of the pump lasts seven years."
DOCUMENTS = ["Filters are changed each spring.", PUMP, "The pump is heavy."]


@pytest.fixture(scope="module")
def running() -> Iterator[RunningTwin]:
    with running_twin() as running:
        yield running


@pytest.fixture(autouse=True)
def twin(running: RunningTwin) -> RunningTwin:
    running.reset()
    running.faults.set(())
    return running


@pytest.fixture(scope="module")
def client(running: RunningTwin) -> Iterator[cohere.ClientV2]:
    with httpx.Client() as http:
        yield cohere.ClientV2("key", base_url=running.base_url("cohere"), httpx_client=http)


def voyage(twin: RunningTwin, path: str, **body: Any) -> httpx2.Response:
    headers = {"authorization": "Bearer key"}
    return httpx2.post(twin.base_url("voyage") + path, json=body, headers=headers)


class TestCohere:
    @pytest.mark.parametrize("model", ["rerank-v5.0-pro", "rerank-v4.0-pro", "rerank-v3.5"])
    def test_the_best_document_comes_first(self, client: cohere.ClientV2, model: str) -> None:
        ranked = client.rerank(model=model, query=QUERY, documents=DOCUMENTS, top_n=2)
        assert [result.index for result in ranked.results] == [1, 2]
        assert all(0 <= result.relevance_score <= 1 for result in ranked.results)

    @pytest.mark.parametrize(
        ("documents", "units"),
        [(["short"] * 100, 1), (["short"] * 101, 2), (["word " * 496] * 50, 1), (["word " * 600] * 51, 2)],
        ids=["100 documents", "101 documents", "500 tokens with the query", "longer ones count twice"],
    )
    def test_a_search_unit_is_a_hundred_documents(
        self, twin: RunningTwin, client: cohere.ClientV2, documents: list[str], units: int
    ) -> None:
        meta = client.rerank(model="rerank-v4.0-pro", query="pump", documents=documents).meta
        assert meta is not None and meta.billed_units is not None and meta.billed_units.search_units == units
        assert twin.invoice.lines[0].pico == units * 2_500_000_000

    def test_version_5_is_billed_by_token_and_tells_them(self, twin: RunningTwin, client: cohere.ClientV2) -> None:
        meta = client.rerank(model="rerank-v5.0-fast", query=QUERY, documents=DOCUMENTS).meta
        tokens = 3 * count(QUERY, WIDE) + sum(count(document, WIDE) for document in DOCUMENTS)
        assert meta is not None and meta.billed_units is not None and meta.billed_units.input_tokens == tokens
        assert twin.invoice.lines[0].pico == tokens * 20_000

    def test_documents_are_cut_at_the_asked_length(self, twin: RunningTwin, client: cohere.ClientV2) -> None:
        client.rerank(model="rerank-v5.0-pro", query="pump", documents=["word " * 900], max_tokens_per_doc=100)
        assert twin.invoice.lines[0].usage["input"] == 101

    def test_relevant_spans_are_half_open_and_of_version_5_only(self, client: cohere.ClientV2) -> None:
        wanted: Any = {"mode": "enabled", "threshold": 0.5, "max_spans": 1}
        asked: dict[str, Any] = {"query": QUERY, "documents": DOCUMENTS, "relevant_spans": wanted}
        best = client.rerank(model="rerank-v5.0-pro", **asked).results[0]
        assert best.relevant_spans is not None
        (span,) = best.relevant_spans
        assert PUMP[span.start : span.end] == "The warranty of the pump lasts seven years."
        with pytest.raises(cohere.BadRequestError):
            client.rerank(model="rerank-v4.0-pro", **asked)

    def test_errors(self, twin: RunningTwin, client: cohere.ClientV2) -> None:
        with pytest.raises(cohere.NotFoundError):
            client.rerank(model="rerank-unheard-of", query=QUERY, documents=DOCUMENTS)
        with pytest.raises(cohere.BadRequestError):
            client.rerank(model="rerank-v3.5", query=QUERY, documents=[])
        assert twin.invoice.lines == ()

    def test_embeddings_of_every_type(self, twin: RunningTwin, client: cohere.ClientV2) -> None:
        kinds: Any = ["float", "int8", "uint8", "binary", "ubinary"]
        made = client.embed(
            model="embed-v4.0", input_type="search_query", texts=["a pump"], embedding_types=kinds, output_dimension=256
        )
        floats, ints, bits = made.embeddings.float_, made.embeddings.int8, made.embeddings.ubinary
        assert floats is not None and ints is not None and bits is not None
        assert (len(floats[0]), len(ints[0]), len(bits[0])) == (256, 256, 32)
        assert sum(value * value for value in floats[0]) == pytest.approx(1)
        assert twin.invoice.lines[0].pico == twin.invoice.lines[0].usage["input"] * 120_000

    def test_embedding_limits(self, client: cohere.ClientV2) -> None:
        kind: Any = "unheard-of"
        for texts, input_type in ((["x"] * 97, "search_query"), (["x"], kind)):
            with pytest.raises(cohere.BadRequestError):
                client.embed(model="embed-v4.0", input_type=input_type, texts=texts)


class TestVoyage:
    def test_the_query_is_billed_once_per_document(self, twin: RunningTwin) -> None:
        answer = voyage(twin, "/rerank", model="rerank-3", query=QUERY, documents=DOCUMENTS, top_k=2).json()
        assert [each["index"] for each in answer["data"]] == [1, 2]
        tokens = 3 * count(QUERY, WIDE) + sum(count(document, WIDE) for document in DOCUMENTS)
        assert answer["usage"]["total_tokens"] == tokens
        assert twin.invoice.lines[0].pico == tokens * 50_000

    def test_documents_come_back_on_request(self, twin: RunningTwin) -> None:
        asked = {"model": "rerank-2.5-lite", "query": QUERY, "documents": DOCUMENTS, "return_documents": True}
        assert voyage(twin, "/rerank", **asked).json()["data"][0]["document"] == PUMP

    @pytest.mark.parametrize(
        "changes",
        [
            {"model": "rerank-9"},
            {"documents": []},
            {"documents": ["x"] * 1001},
            {"query": "word " * 8001},
            {"documents": ["word " * 32_001], "truncation": False},
            {"documents": ["word " * 31_000] * 20},
        ],
        ids=["model", "none", "1000 documents", "8000 in the query", "32000 in a pair", "600000 in all"],
    )
    def test_limits(self, twin: RunningTwin, changes: dict[str, Any]) -> None:
        answer = voyage(twin, "/rerank", **{"model": "rerank-2.5", "query": "pump", "documents": ["x"], **changes})
        assert answer.status_code == 400 and answer.json()["detail"]
        assert twin.invoice.lines == ()

    def test_embeddings(self, twin: RunningTwin) -> None:
        answer = voyage(twin, "/embeddings", model="voyage-4", input=["a pump"], input_type="query").json()
        assert len(answer["data"][0]["embedding"]) == 1024
        assert twin.invoice.lines[0].pico == answer["usage"]["total_tokens"] * 60_000
        assert voyage(twin, "/embeddings", model="voyage-4", input=["x"] * 1001).status_code == 400
        assert voyage(twin, "/embeddings", model="voyage-4", input=["x"], output_dimension=100).status_code == 400

    def test_missing_usage_on_request(self, twin: RunningTwin) -> None:
        twin.faults.set([Fault("missing_usage", protocol="voyage")])
        answer = voyage(twin, "/rerank", model="rerank-3", query=QUERY, documents=DOCUMENTS).json()
        assert "usage" not in answer and twin.invoice.lines[0].usage["input"] > 0
