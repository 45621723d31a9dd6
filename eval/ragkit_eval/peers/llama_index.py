"""LlamaIndex: its sentence splitter, its BM25 retriever and its compact question-answering prompt."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from llama_index.core import Document
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.prompts.default_prompts import DEFAULT_TEXT_QA_PROMPT
from llama_index.core.schema import MetadataMode
from llama_index.retrievers.bm25 import BM25Retriever

from ragkit.tokens import estimate_tokens
from ragkit_eval.cases import Case, Dataset
from ragkit_eval.peers.seller import Seller
from ragkit_eval.reply import Passage, Reply

RANKED = 10
"""Chunks that are retrieved, so that the ranking can be scored."""
SENT = 2
"""Chunks that are sent: the framework's own default."""


@dataclass(frozen=True, slots=True)
class LlamaIndexSystem:
    """Retrieves, renders and asks, as its retriever query engine does."""

    retriever: Any
    seller: Seller

    async def ask(self, case: Case) -> Reply:
        began = time.perf_counter()
        nodes = [found.node for found in await self.retriever.aretrieve(case.question)]
        texts = [node.get_content(metadata_mode=MetadataMode.LLM).strip() for node in nodes[:SENT]]
        prompt = DEFAULT_TEXT_QA_PROMPT.format(context_str="\n\n".join(texts), query_str=case.question)
        sale = await self.seller.complete(prompt, case.question)
        sources = [str(node.ref_doc_id) for node in nodes]
        return Reply(
            text=sale.text,
            context=tuple(
                Passage(source, node.get_content(), estimate_tokens(node.get_content()))
                for source, node in zip(sources[:SENT], nodes[:SENT], strict=True)
            ),
            ranking=tuple(sources),
            cost_pico=sale.cost_pico,
            seconds=time.perf_counter() - began,
            model=self.seller.model,
            tier="fixed",
            tokens=sale.tokens,
        )


def build(data: Dataset, seller: Seller) -> LlamaIndexSystem:
    documents = [Document(text=it.text, id_=it.id, metadata={"title": it.title}) for it in data.documents if it.text]
    nodes = SentenceSplitter().get_nodes_from_documents(documents)
    return LlamaIndexSystem(BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=RANKED), seller)
