"""ragkit as the retriever, the reranking postprocessor or the query engine of a LlamaIndex app.

Each takes a `Ragkit` of the running event loop, or what `adapters.blocking.open_blocking` gives to synchronous code.
"""

from __future__ import annotations

from typing import Any

from ragkit.adapters.blocking import Link, Work
from ragkit.adapters.search import Search, metadata_of
from ragkit.errors import ConfigError, MissingExtra
from ragkit.nouns import Account, Answer, Chunk, Hit
from ragkit.present import answer_to_json
from ragkit.rag import Ragkit
from ragkit.tokens import estimate_tokens

try:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.base.response.schema import Response
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.query_engine import CustomQueryEngine
    from llama_index.core.schema import (
        MetadataMode,
        NodeRelationship,
        NodeWithScore,
        QueryBundle,
        RelatedNodeInfo,
        TextNode,
    )
except ImportError as error:
    raise MissingExtra("llama-index", "ragkit in a LlamaIndex app") from error

HIDDEN = ["document_id", "start", "end", "score"]
"""Metadata that neither a model nor an embedder should read."""


class RagkitRetriever(BaseRetriever):
    """Finds nodes as ragkit does: lexical and dense, fused, reranked and cut to the few that an answer needs."""

    def __init__(self, rag: Ragkit | Link, search: Search | None = None) -> None:
        super().__init__()
        self._link = Link.to(rag)
        self._search = search or Search()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes(self._link.wait(self._search.hits(query_bundle.query_str)))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes(await self._link.run(self._search.hits(query_bundle.query_str)))


class RagkitPostprocessor(BaseNodePostprocessor):
    """Reranks nodes of any retriever with ragkit's reranker and keeps the few that an answer needs."""

    _link: Link = PrivateAttr()
    _account: Account | None = PrivateAttr()

    def __init__(self, rag: Ragkit | Link, account: Account | None = None) -> None:
        super().__init__()
        self._link = Link.to(rag)
        self._account = account

    @classmethod
    def class_name(cls) -> str:
        return "RagkitPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return _reordered(nodes, self._link.wait(self._work(nodes, query_bundle)))

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return _reordered(nodes, await self._link.run(self._work(nodes, query_bundle)))

    def _work(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None) -> Work[tuple[Hit, ...]]:
        if query_bundle is None:
            raise ConfigError("a reranker needs the question: pass query_bundle or query_str")
        question, hits = query_bundle.query_str, [_hit(place, node) for place, node in enumerate(nodes)]
        return lambda rag: rag.rerank(question, hits, account=self._account)


class RagkitQueryEngine(CustomQueryEngine):
    """Answers with verified citations; the response's metadata holds them, the route and the receipt.

    `schema` is a Pydantic model for `metadata["data"]`.
    """

    _link: Link = PrivateAttr()
    _schema: type[Any] | None = PrivateAttr()
    _search: Search = PrivateAttr()

    def __init__(self, rag: Ragkit | Link, search: Search | None = None, schema: type[Any] | None = None) -> None:
        super().__init__()
        self._link = Link.to(rag)
        self._search = search or Search()
        self._schema = schema

    def custom_query(self, query_str: str) -> Response:
        return _response(self._link.wait(self._work(query_str)))

    async def acustom_query(self, query_str: str) -> Response:
        return _response(await self._link.run(self._work(query_str)))

    def _work(self, question: str) -> Work[Answer]:
        how = self._search
        return lambda rag: rag.ask(question, k=how.k, filters=how.filters, account=how.account, schema=self._schema)


def _response(answer: Answer) -> Response:
    return Response(answer.text, _nodes(answer.hits), answer_to_json(answer))


def _nodes(hits: tuple[Hit, ...]) -> list[NodeWithScore]:
    return [NodeWithScore(node=_node(hit), score=hit.score) for hit in hits]


def _node(hit: Hit) -> TextNode:
    chunk = hit.chunk
    return TextNode(
        id_=chunk.id,
        text=chunk.text,
        metadata=metadata_of(hit),
        excluded_llm_metadata_keys=HIDDEN,
        excluded_embed_metadata_keys=HIDDEN,
        start_char_idx=chunk.start,
        end_char_idx=chunk.end,
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=chunk.document_id)},
    )


def _hit(place: int, given: NodeWithScore) -> Hit:
    """A node as a hit; its place is its id, for a list may hold a node twice."""
    node = given.node
    text, metadata = node.get_content(metadata_mode=MetadataMode.NONE), node.metadata
    source = str(metadata.get("source") or metadata.get("file_name") or "")
    title = str(metadata.get("title") or "")
    document = node.ref_doc_id or node.node_id
    chunk = Chunk(f"{place:06}", document, source, text, 0, len(text), place, estimate_tokens(text), title)
    return Hit(chunk, max(0.0, given.score or 0.0))


def _reordered(nodes: list[NodeWithScore], hits: tuple[Hit, ...]) -> list[NodeWithScore]:
    return [NodeWithScore(node=nodes[hit.chunk.ordinal].node, score=hit.score) for hit in hits]
