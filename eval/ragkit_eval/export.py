"""Rows in the shape that Ragas reads: one JSON object a line, with its names of the fields."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ragkit_eval.reply import Row


def write_ragas(rows: Iterable[Row], folder: Path) -> tuple[Path, ...]:
    """One file per set-up; load it with `EvaluationDataset.from_jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if not row.error:
            groups.setdefault(row.setup, []).append(row)
    files = []
    for setup, own in groups.items():
        files.append(folder / f"{setup}.jsonl")
        text = "".join(json.dumps(_sample(row), ensure_ascii=False) + "\n" for row in own)
        files[-1].write_text(text, encoding="utf-8")
    return tuple(files)


def _sample(row: Row) -> dict[str, str | list[str]]:
    sample: dict[str, str | list[str]] = {
        "user_input": row.question,
        "response": row.text,
        "retrieved_contexts": list(row.contexts),
    }
    return {**sample, "reference": row.answers[0]} if row.answers else sample
