"""Prepared questions as JSON and back, so that another process can verify and bill the answer a day later.

Prefixes are many questions' and large: they are kept once, by their digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from ragkit.batches.job import Asked
from ragkit.nouns import Chunk, Hit, Model, Prefix, Prompt, Request, Route, Schema, Turn
from ragkit.savings import Counterfactual

NO_PREFIX = Prefix()


def asked_to_json(asked: Asked) -> str:
    """Everything but the prefix."""
    prompt = replace(asked.request.prompt, prefix=NO_PREFIX)
    bare = replace(asked, request=replace(asked.request, prompt=prompt))
    return json.dumps(asdict(bare), ensure_ascii=False)


def asked_from_json(text: str, prefix: Prefix) -> Asked:
    record = json.loads(text)
    compared = record["compared"]
    route = record["route"]
    return Asked(
        _request(record["request"], prefix),
        Route(Model(**route["model"]), route["score"], route["reason"]),
        tuple(Hit(**{**hit, "chunk": _chunk(hit["chunk"])}) for hit in record["hits"]),
        tuple(record["notes"]),
        None if compared is None else Counterfactual(**compared),
    )


def prefix_to_json(prefix: Prefix) -> str:
    return json.dumps(asdict(prefix), ensure_ascii=False)


def prefix_from_json(text: str) -> Prefix:
    record = json.loads(text)
    chunks = tuple(map(_chunk, record["chunks"]))
    return Prefix(**{**record, "chunks": chunks, "documents": tuple(record["documents"])})


def _request(record: Mapping[str, Any], prefix: Prefix) -> Request:
    changes = {
        "prompt": _prompt(record["prompt"], prefix),
        "model": Model(**record["model"]),
        "schema": Schema(**record["schema"]),
        "repair": _turns(record["repair"]),
    }
    return Request(**{**record, **changes})


def _prompt(record: Mapping[str, Any], prefix: Prefix) -> Prompt:
    changes = {
        "prefix": prefix,
        "chunks": tuple(map(_chunk, record["chunks"])),
        "history": _turns(record["history"]),
        "selected": tuple(map(_chunk, record["selected"])),
    }
    return Prompt(**{**record, **changes})


def _chunk(record: Mapping[str, Any]) -> Chunk:
    return Chunk(**{**record, "section": tuple(record["section"])})


def _turns(records: list[dict[str, Any]]) -> tuple[Turn, ...]:
    return tuple(Turn(**turn) for turn in records)
