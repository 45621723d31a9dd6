"""The pure parts of vectors by batch: requests within limits, bodies as on the live lane, answers read."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from typing import Any

import pytest

from ragkit.batches import embeddings
from ragkit.batches.job import Asked
from ragkit.batches.registry import BATCH_APIS, EMBEDDING_APIS
from ragkit.embedders import openai
from ragkit.embedders.remote import Ask
from ragkit.errors import InvalidAnswer, ProviderError
from ragkit.nouns import Chunk, Completion, Usage
from ragkit.vectors.kind import Vectors, wish
from ragkit.vectors.service import MOST_TOKENS, _groups

MODEL = "text-embedding-3-small"


def chunk(number: int, tokens: int = 10) -> Chunk:
    text = f"Text {number} with “quotes”."
    return Chunk(f"c{number}", "d", "d.md", text, 0, len(text), number, tokens, "Title", ("A",), None, "Around.")


def asked(*chunks: Chunk, length: int = 2, shorter: bool = True) -> Asked:
    return wish(MODEL, length, chunks or (chunk(1), chunk(2)), shorter=shorter)


def packed(*vectors: Sequence[float]) -> str:
    return json.dumps([base64.b64encode(struct.pack(f"<{len(it)}f", *it)).decode() for it in vectors])


@pytest.mark.parametrize(("shorter", "dimensions"), [(True, 2), (False, None)])
def test_a_body_is_that_of_the_live_lane(shorter: bool, dimensions: int | None) -> None:
    request = asked(shorter=shorter).request
    texts = [f"Title A\nAround.\n{it.text}" for it in (chunk(1), chunk(2))]
    assert embeddings.to_wire(request) == openai.to_wire(Ask(MODEL, "document", texts, dimensions))[1]
    assert embeddings.dimensions_of(request) == 2
    assert [(it.id, it.text, it.context) for it in request.prompt.selected] == [
        ("c1", "", "Around."),
        ("c2", "", "Around."),
    ]


def test_an_answer_keeps_the_order_of_its_texts_and_needs_usage() -> None:
    data = [{"index": 1, "embedding": "b"}, {"index": 0, "embedding": "a"}]
    payload: dict[str, Any] = {"data": data, "model": MODEL, "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    read = embeddings.from_wire(payload)
    assert (json.loads(read.text), read.usage) == (["a", "b"], Usage(input=7))
    with pytest.raises(ProviderError, match="no price"):
        embeddings.from_wire({**payload, "usage": None})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (packed((1, 0)), "did not return 2 vectors of 2 numbers"),
        (packed((1, 0), (1, 0, 0)), "did not return 2 vectors of 2 numbers"),
        (packed((1, 0), (0, 0)), "no vectors"),
        ('["a", "b"]', "no vectors"),
        ("{", "no vectors"),
    ],
)
def test_what_are_no_such_vectors_was_paid_for_and_is_of_no_use(text: str, words: str) -> None:
    async def nowhere() -> Any:
        raise AssertionError("nothing is delivered")

    kind = Vectors(nowhere)
    kind.read(Completion(packed((1, 0), (0, 3)), Usage(input=1), "end", MODEL), asked())
    with pytest.raises(InvalidAnswer, match=words):
        kind.read(Completion(text, Usage(input=1), "end", MODEL), asked())


def test_requests_stay_within_limits_and_lose_nothing() -> None:
    chunks = [chunk(number, 1_000 if number % 7 else MOST_TOKENS - 1) for number in range(300)]
    groups = list(_groups(chunks))
    assert [it for group in groups for it in group] == chunks
    assert all(len(group) <= embeddings.MOST_TEXTS for group in groups)
    assert all(sum(it.tokens for it in group) <= MOST_TOKENS for group in groups)
    assert list(_groups([])) == []


def test_nobody_is_offered_embeddings_to_answer_questions() -> None:
    assert not EMBEDDING_APIS.keys() & BATCH_APIS.keys()
