"""How jobs and outcomes cross the border to a worker process: JSON and flat arrays.

Not pickle: what a parser process says after it met a hostile file must not be able to run code here.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import asdict
from itertools import accumulate, pairwise
from typing import Any, Literal

from ragkit.child import LENGTH, frame
from ragkit.nouns import Sparse
from ragkit_ingest.chunk import Sizes, Span
from ragkit_ingest.limits import Limits
from ragkit_ingest.work import Job, Outcome, Recipe

WHOLE: Literal["I"] = "I"
SINGLE: Literal["f"] = "f"
"""Four bytes each: terms are hashed to 32 bits, and their weights come from the engine in single precision."""


def pack_recipe(recipe: Recipe) -> bytes:
    return json.dumps(asdict(recipe)).encode()


def unpack_recipe(payload: bytes) -> Recipe:
    values = json.loads(payload)
    return Recipe(Sizes(**values["sizes"]), Limits(**values["limits"]), values["cutter"])


def pack_job(job: Job) -> bytes:
    return json.dumps([job.path, job.known]).encode()


def unpack_job(payload: bytes) -> Job:
    return Job(*json.loads(payload))


def pack_outcome(outcome: Outcome) -> bytes:
    sections = list(dict.fromkeys(span.section for span in outcome.spans))
    place = {section: index for index, section in enumerate(sections)}
    spans = array(WHOLE)
    for span in outcome.spans:
        spans.extend((span.start, span.end, span.tokens, place[span.section], span.page or 0))
    lengths = array(WHOLE, (len(sparse.indices) for sparse in outcome.sparse))
    indices, values = array(WHOLE), array(SINGLE)
    for sparse in outcome.sparse:
        indices.extend(sparse.indices)
        values.extend(sparse.values)
    text = outcome.text.encode()
    header: dict[str, Any] = {
        "digest": outcome.digest,
        "reason": outcome.reason,
        "unchanged": outcome.unchanged,
        "kind": outcome.kind,
        "title": outcome.title,
        "metadata": dict(outcome.metadata),
        "sections": sections,
        "sizes": [len(text), len(spans), len(lengths), len(indices)],
    }
    return frame(json.dumps(header).encode()) + b"".join(
        (text, spans.tobytes(), lengths.tobytes(), indices.tobytes(), values.tobytes())
    )


def unpack_outcome(payload: bytes) -> Outcome:
    body = LENGTH + int.from_bytes(payload[:LENGTH], "big")
    header = json.loads(payload[LENGTH:body])
    sections = [tuple(section) for section in header.pop("sections")]
    text_size, *counts, terms = header.pop("sizes")
    text = payload[body : body + text_size].decode()
    position = body + text_size
    integers = []
    for count in (*counts, terms):
        integers.append(array(WHOLE, payload[position : position + 4 * count]))
        position += 4 * count
    spans, lengths, indices = integers
    values = array(SINGLE, payload[position:])
    return Outcome(text=text, spans=_spans(spans, sections), sparse=_sparse(lengths, indices, values), **header)


def _spans(flat: array[int], sections: list[tuple[str, ...]]) -> tuple[Span, ...]:
    fields = (iter(flat),) * 5
    return tuple(
        Span(start, end, tokens, sections[section], page or None)
        for start, end, tokens, section, page in zip(*fields, strict=True)
    )


def _sparse(lengths: array[int], indices: array[int], values: array[float]) -> tuple[Sparse, ...]:
    cuts = pairwise(accumulate(lengths, initial=0))
    return tuple(Sparse(tuple(indices[start:end]), tuple(values[start:end])) for start, end in cuts)
