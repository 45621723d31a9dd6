"""How far scores that need no model agree with people: rank correlation on answers that people have rated.

A grade by a model can only be measured with a real model; on the twin it would say nothing.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ragkit.errors import ConfigError
from ragkit.reports.table import text_table
from ragkit_eval import metrics

RATINGS = ("completeness", "appropriateness", "faithfulness", "naturalness")
DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Agreement:
    """Spearman's rank correlation of a score with a rating, with its 95 % interval."""

    score: str
    rating: str
    correlation: float
    low: float
    high: float
    answers: int


def measure_agreement(folder: Path) -> tuple[Agreement, ...]:
    """Every score against every rating; answers that are the reference itself are left out."""
    file = folder / "mtrag_human_judgements" / "responses.jsonl.gz"
    if not file.exists():
        raise ConfigError(f"there are no rated answers in {folder}: {file.name} is missing")
    rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().splitlines()]
    rated = [row for row in rows if row["model"] != "reference"]
    found = []
    for name, score in (("f1", _f1), ("recall of words", _recall), ("precision of words", _precision)):
        for rating in RATINGS:
            pairs = [(score(row), _mean(row, rating)) for row in rated if row["scores"].get(rating)]
            found.append(_agreement(name, rating, pairs))
    return tuple(found)


def spearman(pairs: Sequence[tuple[float, float]]) -> float:
    """Correlation of the ranks, ties sharing theirs."""
    first, second = _ranks([one for one, _ in pairs]), _ranks([other for _, other in pairs])
    mean = (len(pairs) + 1) / 2
    top = sum((one - mean) * (other - mean) for one, other in zip(first, second, strict=True))
    spread = sum((one - mean) ** 2 for one in first) * sum((other - mean) ** 2 for other in second)
    return float(top / spread**0.5) if spread else 0.0


def _agreement(score: str, rating: str, pairs: Sequence[tuple[float, float]]) -> Agreement:
    rng = random.Random(0)  # noqa: S311
    drawn = sorted(spearman(rng.choices(pairs, k=len(pairs))) for _ in range(DRAWS))
    return Agreement(score, rating, spearman(pairs), drawn[int(0.025 * DRAWS)], drawn[int(0.975 * DRAWS)], len(pairs))


def _ranks(values: Sequence[float]) -> list[float]:
    places: dict[float, list[int]] = {}
    for place, value in enumerate(sorted(values), start=1):
        places.setdefault(value, []).append(place)
    return [fmean(places[value]) for value in values]


def _mean(row: dict[str, Any], rating: str) -> float:
    return fmean(float(value) for value in row["scores"][rating])


def _f1(row: dict[str, Any]) -> float:
    return metrics.token_f1(row["response"], (row["reference"],)) or 0.0


def _recall(row: dict[str, Any]) -> float:
    """The share of the reference's different words that the answer has."""
    wanted, said = set(metrics.normal(row["reference"])), set(metrics.normal(row["response"]))
    return len(wanted & said) / len(wanted) if wanted else 0.0


def _precision(row: dict[str, Any]) -> float:
    wanted, said = set(metrics.normal(row["reference"])), set(metrics.normal(row["response"]))
    return len(wanted & said) / len(said) if said else 0.0


def agreement_text(found: Sequence[Agreement]) -> str:
    rows = [
        [it.score, it.rating, f"{it.correlation:+.2f}", f"{it.low:+.2f}", f"{it.high:+.2f}", str(it.answers)]
        for it in found
    ]
    return text_table(("score", "people's rating", "Spearman", "from", "to", "answers"), rows)
