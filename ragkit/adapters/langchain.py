"""ragkit as the retriever of a LangChain app.

It takes a `Ragkit` of the running event loop, or what `adapters.blocking.open_blocking` gives to synchronous code.
"""

from __future__ import annotations

from ragkit.adapters.blocking import Link
from ragkit.adapters.search import Search, metadata_of
from ragkit.errors import MissingExtra
from ragkit.nouns import Hit
from ragkit.rag import Ragkit

try:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from pydantic import PrivateAttr
except ImportError as error:
    raise MissingExtra("langchain", "ragkit in a LangChain app") from error


class RagkitRetriever(BaseRetriever):
    """Finds documents as ragkit does: lexical and dense, fused, reranked and cut to the few that an answer needs."""

    _link: Link = PrivateAttr()
    _search: Search = PrivateAttr()

    def __init__(self, rag: Ragkit | Link, search: Search | None = None) -> None:
        super().__init__()
        self._link = Link.to(rag)
        self._search = search or Search()

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return _documents(self._link.wait(self._search.hits(query)))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        return _documents(await self._link.run(self._search.hits(query)))


def _documents(hits: tuple[Hit, ...]) -> list[Document]:
    return [Document(page_content=hit.chunk.text, id=hit.chunk.id, metadata=metadata_of(hit)) for hit in hits]
