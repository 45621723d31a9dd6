"""Haystack: its splitter, its in-memory BM25 retriever and its prompt builder, with the prompt of its guides."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from haystack import Document, Pipeline
from haystack.components.builders import PromptBuilder
from haystack.components.preprocessors import DocumentSplitter
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from ragkit.tokens import estimate_tokens
from ragkit_eval.cases import Case, Dataset
from ragkit_eval.peers.seller import Seller
from ragkit_eval.reply import Passage, Reply

TEMPLATE = """\
Given the following documents, answer the question.

{% for document in documents %}
{{ document.content }}
{% endfor %}

Question: {{ question }}
Answer:"""
SENT = 10
"""Chunks that are retrieved and sent: the retriever's own default."""


@dataclass(frozen=True, slots=True)
class HaystackSystem:
    """The pipeline up to its prompt; its answer is bought outside."""

    pipeline: Any
    seller: Seller

    async def ask(self, case: Case) -> Reply:
        began = time.perf_counter()
        inputs = {"retriever": {"query": case.question}, "prompt": {"question": case.question}}
        made = await asyncio.to_thread(self.pipeline.run, inputs, include_outputs_from={"retriever"})
        sale = await self.seller.complete(made["prompt"]["prompt"], case.question)
        found = made["retriever"]["documents"]
        sources = [str(document.meta["case_id"]) for document in found]
        return Reply(
            text=sale.text,
            context=tuple(
                Passage(source, document.content, estimate_tokens(document.content))
                for source, document in zip(sources, found, strict=True)
            ),
            ranking=tuple(sources),
            cost_pico=sale.cost_pico,
            seconds=time.perf_counter() - began,
            model=self.seller.model,
            tier="fixed",
            tokens=sale.tokens,
        )


def build(data: Dataset, seller: Seller) -> HaystackSystem:
    store = InMemoryDocumentStore()
    documents = [Document(content=it.text, meta={"case_id": it.id}) for it in data.documents if it.text.strip()]
    store.write_documents(DocumentSplitter(split_by="word", split_length=200).run(documents=documents)["documents"])
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(document_store=store, top_k=SENT))
    pipeline.add_component("prompt", PromptBuilder(template=TEMPLATE, required_variables=["documents", "question"]))
    pipeline.connect("retriever.documents", "prompt.documents")
    return HaystackSystem(pipeline, seller)
