"""ragkit inside the real LlamaIndex: retriever, postprocessor and query engine, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ragkit import Account, Ragkit, load_settings
from ragkit.adapters.blocking import Link, open_blocking
from ragkit.adapters.search import Search
from ragkit.errors import ConfigError
from ragkit.settings import Settings

pytest.importorskip("llama_index.core", reason="needs the extra 'llama-index'")

from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from ragkit.adapters.llama_index import RagkitPostprocessor, RagkitQueryEngine, RagkitRetriever

pytestmark = pytest.mark.slow

MANUAL = """# Pump manual

## Filters

The filter must be replaced every 400 hours of operation. A clogged filter raises the pressure.

## Warranty

The warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.
"""
QUESTION = "How long does the warranty of the pump last?"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder: Path = tmp_path_factory.mktemp("llama")
    (folder / "manual.md").write_text(MANUAL, encoding="utf-8")
    (folder / "other.md").write_text("# Lamp\n\nThe lamp uses 4 watts and lasts for 900 hours.\n", encoding="utf-8")
    overrides = {
        "store": {"path": folder / "kb"},
        "answer": {"model": "extractive"},
        "ingest": {"target_tokens": 32, "max_tokens": 64, "workers": 1},
    }
    settings = load_settings(environment={}, overrides=overrides)
    with open_blocking(settings) as link:
        link.wait(lambda rag: rag.ingest(folder))
    return settings


@pytest.fixture
def link(settings: Settings) -> Iterator[Link]:
    with open_blocking(settings) as opened:
        yield opened


def nodes(*texts: str) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(id_=f"n{place}", text=text), score=0.5) for place, text in enumerate(texts)]


def test_a_retriever_gives_nodes_that_can_be_cited(link: Link) -> None:
    best, *others = RagkitRetriever(link).retrieve(QUESTION)
    metadata = best.node.metadata
    assert "five years" in best.text
    assert best.score is not None and all(best.score >= (other.score or 0) for other in others)
    assert MANUAL[metadata["start"] : metadata["end"]] == best.text
    assert metadata["source"].endswith("manual.md")
    assert best.node.ref_doc_id == metadata["document_id"]
    assert "document_id" not in best.node.get_content(metadata_mode=MetadataMode.LLM)


async def test_many_questions_are_retrieved_at_once(settings: Settings) -> None:
    async with Ragkit.open(settings) as rag:
        retriever = RagkitRetriever(rag)
        found = await asyncio.gather(*(retriever.aretrieve(QUESTION) for _ in range(8)))
        with pytest.raises(ConfigError, match="await the asynchronous method"):
            retriever.retrieve(QUESTION)
    assert all("five years" in each[0].text for each in found)


def test_a_search_can_be_narrowed_or_be_all(link: Link) -> None:
    everything = RagkitRetriever(link, Search(selected=False)).retrieve("hours")
    assert len(everything) >= len(RagkitRetriever(link).retrieve("hours"))
    assert len(RagkitRetriever(link, Search(k=1)).retrieve("hours")) == 1
    source = everything[0].node.metadata["source"]
    only = RagkitRetriever(link, Search(filters={"source": source})).retrieve("hours")
    assert {found.node.metadata["source"] for found in only} == {source}
    assert RagkitRetriever(link, Search(account=Account("somebody else"))).retrieve("hours") == []


def test_it_serves_llama_indexs_own_query_engine(link: Link) -> None:
    llm = MockLLM()
    engine = RetrieverQueryEngine(
        retriever=RagkitRetriever(link, Search(selected=False)),
        response_synthesizer=get_response_synthesizer(llm=llm),
        node_postprocessors=[RagkitPostprocessor(link)],
    )
    response = engine.query(QUESTION)
    assert "five years" in response.source_nodes[0].text
    assert "five years" in str(response)


def test_a_postprocessor_reranks_nodes_of_any_origin(link: Link) -> None:
    given = nodes("Lamps use 4 watts.", "The warranty of the pump lasts five years.", "Filters are replaced.")
    kept = RagkitPostprocessor(link).postprocess_nodes(given, query_str=QUESTION)
    assert kept[0].node is given[1].node
    assert kept[0].score is not None and 0 <= kept[0].score <= 1
    assert given[0].score == 0.5


def test_a_postprocessor_takes_what_other_retrievers_give(link: Link) -> None:
    texts = nodes("same", "same", "pump warranty")
    texts[0].score, texts[1].score = None, -3.5
    texts.append(texts[2])
    kept = RagkitPostprocessor(link).postprocess_nodes(texts, query_str=QUESTION)
    assert kept[0].node is texts[2].node
    assert RagkitPostprocessor(link).postprocess_nodes([], query_str=QUESTION) == []
    with pytest.raises(ConfigError, match="question"):
        RagkitPostprocessor(link).postprocess_nodes(texts)


async def test_a_postprocessor_does_not_block_the_loop(settings: Settings) -> None:
    given = nodes("Lamps use 4 watts.", "The warranty of the pump lasts five years.")
    async with Ragkit.open(settings) as rag:
        kept = await RagkitPostprocessor(rag).apostprocess_nodes(given, QueryBundle(QUESTION))
    assert kept[0].node is given[1].node


def test_a_query_engine_answers_with_citations_and_a_receipt(link: Link) -> None:
    response = RagkitQueryEngine(link).query(QUESTION)
    assert "five years" in str(response)
    assert "five years" in response.source_nodes[0].text
    assert response.metadata is not None
    receipt, (citation, *_) = response.metadata["receipt"], response.metadata["citations"]
    assert MANUAL[citation["start"] : citation["end"]] == citation["quote"]
    assert Decimal(receipt["cost_usd"]) + Decimal(receipt["saved_usd"]) == Decimal(receipt["baseline_usd"])
    assert {event["kind"] for event in receipt["events"]} >= {"rerank", "generate"}


async def test_a_query_engine_is_asynchronous(settings: Settings) -> None:
    async with Ragkit.open(settings) as rag:
        engine = RagkitQueryEngine(rag, Search(k=10))
        one, other = await asyncio.gather(engine.aquery(QUESTION), engine.aquery(QueryBundle("What uses 4 watts?")))
    assert "five years" in str(one)
    assert "lamp" in str(other).lower()


def test_errors_are_ours(link: Link) -> None:
    with pytest.raises(ConfigError, match="empty"):
        RagkitQueryEngine(link).query("  ")
