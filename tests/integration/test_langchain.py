"""ragkit inside the real LangChain: the retriever by itself and in a chain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragkit import Account, Ragkit, load_settings
from ragkit.adapters.blocking import Link, open_blocking
from ragkit.adapters.search import Search
from ragkit.errors import ConfigError
from ragkit.settings import Settings

pytest.importorskip("langchain_core", reason="needs the extra 'langchain'")

from langchain_core.language_models.fake_chat_models import ParrotFakeChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

from ragkit.adapters.langchain import RagkitRetriever

pytestmark = pytest.mark.slow

MANUAL = "# Pump\n\nThe warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.\n"
QUESTION = "How long does the warranty of the pump last?"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder: Path = tmp_path_factory.mktemp("chain")
    (folder / "manual.md").write_text(MANUAL, encoding="utf-8")
    overrides = {"store": {"path": folder / "kb"}, "ingest": {"workers": 1}}
    settings = load_settings(environment={}, overrides=overrides)
    with open_blocking(settings) as link:
        link.wait(lambda rag: rag.ingest(folder))
    return settings


@pytest.fixture
def link(settings: Settings) -> Iterator[Link]:
    with open_blocking(settings) as opened:
        yield opened


def test_a_retriever_gives_documents_that_can_be_cited(link: Link) -> None:
    best = RagkitRetriever(link).invoke(QUESTION)[0]
    assert "five years" in best.page_content
    assert MANUAL[best.metadata["start"] : best.metadata["end"]] == best.page_content
    assert best.id is not None
    assert 0 <= best.metadata["score"] <= 1


def test_tenants_are_apart(link: Link) -> None:
    assert RagkitRetriever(link, Search(account=Account("somebody else"))).invoke(QUESTION) == []


def test_it_works_in_a_chain(link: Link) -> None:
    chain = (
        {"context": RagkitRetriever(link), "question": RunnablePassthrough()}
        | ChatPromptTemplate.from_template("{context}\n\n{question}")
        | ParrotFakeChatModel()
        | StrOutputParser()
    )
    assert "five years" in chain.invoke(QUESTION)
    assert all("five years" in text for text in chain.batch([QUESTION] * 4))


async def test_it_is_asynchronous(settings: Settings) -> None:
    async with Ragkit.open(settings) as rag:
        retriever = RagkitRetriever(rag)
        found = await asyncio.gather(*(retriever.ainvoke(QUESTION) for _ in range(8)))
        with pytest.raises(ConfigError, match="await the asynchronous method"):
            retriever.invoke(QUESTION)
    assert all("five years" in documents[0].page_content for documents in found)
