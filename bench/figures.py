"""What the benchmarks measured, gathered by the one that starts them all, as a table or as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ragkit.reports.table import text_table

KEPT_IN = "RAGKIT_BENCH_FIGURES"
"""Names the file in which a benchmark that was started by another one leaves its figures."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of ragkit, with those of others on the same work where there are any.

    `bar` is what it should reach, `ratio_bar` how many times better than the first of the others it should be.
    """

    what: str
    unit: str
    ragkit: float
    better: Literal["more", "less"]
    peers: Mapping[str, float] = field(default_factory=dict)
    bar: float | None = None
    ratio_bar: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times better ragkit is than the first of the others."""
        other = next(iter(self.peers.values()), None)
        if not other or not self.ragkit:
            return None
        return self.ragkit / other if self.better == "more" else other / self.ragkit

    @property
    def holds(self) -> bool | None:
        """Whether every bar is reached; None where there is none."""
        verdicts = []
        if self.bar is not None:
            verdicts.append(self.ragkit >= self.bar if self.better == "more" else self.ragkit <= self.bar)
        if self.ratio_bar is not None and self.ratio is not None:
            verdicts.append(self.ratio >= self.ratio_bar)
        return all(verdicts) if verdicts else None


def keep(*figures: Figure) -> None:
    """Leave figures for whoever started this benchmark; nobody did, nothing is written."""
    if name := os.environ.get(KEPT_IN):
        with Path(name).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(figure)) + "\n" for figure in figures)


def read(path: Path) -> list[Figure]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Figure(**json.loads(line)) for line in lines]


def to_json(figure: Figure) -> dict[str, Any]:
    return {**asdict(figure), "ratio": figure.ratio, "holds": figure.holds}


def table(figures: Sequence[Figure]) -> str:
    """A row for each figure and a column for each contender."""
    peers = list(dict.fromkeys(name for figure in figures for name in figure.peers))
    head = ("measured", "unit", "ragkit", *peers, "ratio", "bar", "")
    return text_table(head, [_row(figure, peers) for figure in figures])


def _row(figure: Figure, peers: Iterable[str]) -> tuple[str, ...]:
    verdict = {None: "", True: "pass", False: "MISSED"}[figure.holds]
    others = (_number(figure.peers[name]) if name in figure.peers else "" for name in peers)
    ratio = "" if figure.ratio is None else f"{figure.ratio:,.1f}x"
    return (figure.what, figure.unit, _number(figure.ragkit), *others, ratio, _bar(figure), verdict)


def _bar(figure: Figure) -> str:
    sign = ">=" if figure.better == "more" else "<="
    bars = [] if figure.bar is None else [f"{sign} {figure.bar:g}"]
    return ", ".join(bars if figure.ratio_bar is None else [*bars, f">= {figure.ratio_bar:g}x"])


def _number(value: float) -> str:
    """Three figures that count, which is more than a shared machine is good for."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
