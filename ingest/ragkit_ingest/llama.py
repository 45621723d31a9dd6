"""Cuts by LlamaIndex's sentence splitter, for those who want its chunks; the spans, and their proof, stay ours."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, TextNode

from ragkit.tokens import estimate_tokens
from ragkit_ingest.chunk import Sizes


def cuts(text: str, sizes: Sizes) -> tuple[int, ...]:
    """Where the splitter's nodes begin. Its tokens are counted like ours: its own tokenizer wants a download."""
    splitter = SentenceSplitter(
        chunk_size=sizes.target,
        chunk_overlap=0,
        tokenizer=_countable,
        include_metadata=False,
        include_prev_next_rel=False,
    )
    nodes = splitter.get_nodes_from_documents([Document(text=text)])
    return tuple(
        node.start_char_idx for node in nodes if isinstance(node, TextNode) and node.start_char_idx is not None
    )


def _countable(text: str) -> Sequence[int]:
    """Only the length of the list of tokens is ever looked at."""
    return range(estimate_tokens(text))
