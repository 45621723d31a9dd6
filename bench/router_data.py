"""Outcomes that the router is trained and measured on, as examples."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragkit.routing.fit import Example

STRONG, WEAK = "gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"


def mmlu(data: Path) -> list[Example]:
    """Questions with choices; their group is the domain."""
    with gzip.open(data / "routellm_mmlu" / "outcomes.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Example(row["text"], row["strong_correct"], row["weak_correct"], row["domain"]) for row in rows]


def mtbench(data: Path) -> list[Example]:
    """Open tasks with graded answers."""
    rows = _lines(data / "routellm_mtbench" / "outcomes.jsonl")
    return [Example(row["text"], _grade(row, STRONG), _grade(row, WEAK)) for row in rows]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A question to documents, and whether it takes several passages or steps."""

    source: str
    text: str
    hard: bool


def labelled(data: Path) -> list[Labelled]:
    rows = _lines(data / "query_complexity" / "queries.jsonl")
    return [Labelled(row["source"], row["text"], row["label"] == "complex") for row in rows]


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _grade(row: dict[str, Any], model: str) -> float:
    scores = row["scores"][model]
    return float(sum(scores) / len(scores) / 10)
