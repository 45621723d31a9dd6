"""Outcomes of a strong and a weak model, as people write them down, and reports as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ragkit.errors import ConfigError
from ragkit.routing.fit import Example
from ragkit.routing.report import RouterReport

FEWEST = 50
"""Outcomes below which nothing can be learnt or said."""


def read_outcomes(file: Path) -> list[Example]:
    """Lines of JSON with `text`, `strong_correct` and `weak_correct` (0 to 1), and `group` if there are any."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error
    found = [_example(line, f"{file}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if len(found) < FEWEST:
        raise ConfigError(f"{file} has {len(found)} outcomes: a router needs at least {FEWEST} to say anything")
    return found


def _example(line: str, place: str) -> Example:
    try:
        row = json.loads(line)
        strong, weak = float(row["strong_correct"]), float(row["weak_correct"])
        text, group = row["text"], row.get("group") or row.get("domain") or ""
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{place}: write text, strong_correct and weak_correct (0 to 1) as JSON") from error
    if not (isinstance(text, str) and isinstance(group, str) and 0 <= strong <= 1 and 0 <= weak <= 1):
        raise ConfigError(f"{place}: text must be a text, strong_correct and weak_correct numbers from 0 to 1")
    return Example(text, strong, weak, group)


def report_to_json(found: RouterReport) -> dict[str, Any]:
    return {
        "questions": found.questions,
        "always": {"strong": found.strong, "weak": found.weak},
        "routers": [
            {
                "name": one.name,
                "strong_calls_at_95": one.calls,
                "strong_calls_bounds": list(one.calls_bounds),
                "gap_closed": one.recovered,
                "gap_closed_bounds": list(one.recovered_bounds),
            }
            for one in found.routers
        ],
        "pays": found.pays,
        "verdict": found.verdict,
    }
