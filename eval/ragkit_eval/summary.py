"""From rows to what is shown: means per set-up, differences to the reference with their intervals, and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles
from typing import Any

from ragkit.money import format_usd
from ragkit.savings import ABSTAINED
from ragkit_eval.bootstrap import Difference, compare
from ragkit_eval.reply import Row
from ragkit_eval.scoring import HIGHER_IS_BETTER

SHOWN = (*HIGHER_IS_BETTER, "context_tokens")


@dataclass(frozen=True, slots=True)
class Line:
    """A set-up on a data set. `unknown` questions have no known cost; `differences` are to the reference.

    `declined` of the questions cost no call and got no answer; `savings` are by lever, as on the receipts.
    """

    data: str
    setup: str
    questions: int
    failed: int
    scores: dict[str, float]
    cost_pico: int
    unknown: int
    p50: float
    p95: float
    tiers: dict[str, int]
    differences: dict[str, Difference]
    declined: int
    savings: dict[str, int]

    @property
    def per_million_usd(self) -> float | None:
        """Dollars for a million questions of this kind, None where no cost is known; only for showing."""
        known = self.questions - self.unknown
        return self.cost_pico / known / 1e6 if known else None


def summarize(rows: Sequence[Row], reference: str) -> tuple[Line, ...]:
    """One line per data set and set-up, in the order of the rows."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.data, row.setup), []).append(row)
    return tuple(_line(own, groups.get((data, reference), [])) for (data, _), own in groups.items())


def _line(rows: list[Row], reference: list[Row]) -> Line:
    names = [name for name in SHOWN if any(name in row.scores for row in rows)]
    scores = {name: fmean(row.scores[name] for row in rows if name in row.scores) for name in names}
    seconds = sorted(row.seconds for row in rows if not row.error) or [0.0]
    cuts = quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else seconds * 19
    tiers: dict[str, int] = {}
    for row in rows:
        tiers[row.tier or "failed"] = tiers.get(row.tier or "failed", 0) + 1
    savings: Counter[str] = Counter()
    for row in rows:
        savings.update(row.savings)
    first = rows[0]
    return Line(
        first.data,
        first.setup,
        len(rows),
        sum(bool(row.error) for row in rows),
        scores,
        sum(row.cost_pico or 0 for row in rows),
        sum(row.cost_pico is None for row in rows),
        cuts[9],
        cuts[18],
        tiers,
        {} if first.setup == (reference[0].setup if reference else "") else _differences(reference, rows),
        sum(bool(row.savings.get(ABSTAINED)) for row in rows),
        dict(savings),
    )


def _differences(reference: Iterable[Row], rows: Iterable[Row]) -> dict[str, Difference]:
    before = {(row.seed, row.case): row for row in reference}
    pairs = [(before[row.seed, row.case], row) for row in rows if (row.seed, row.case) in before]
    found: dict[str, Difference] = {}
    for name in SHOWN:
        both = [(old.scores[name], new.scores[name]) for old, new in pairs if name in old.scores and name in new.scores]
        if both:
            found[name] = compare([old for old, _ in both], [new for _, new in both])
    costs = [(old.cost_pico, new.cost_pico) for old, new in pairs if old.cost_pico is not None is not new.cost_pico]
    if costs:
        found["cost_pico"] = compare([float(old or 0) for old, _ in costs], [float(new or 0) for _, new in costs])
    return found


def line_to_json(line: Line) -> dict[str, Any]:
    return {
        "data": line.data,
        "setup": line.setup,
        "questions": line.questions,
        "failed": line.failed,
        "scores": {name: round(value, 4) for name, value in line.scores.items()},
        "cost_usd": format_usd(line.cost_pico),
        "unknown_costs": line.unknown,
        "usd_per_million": None if line.per_million_usd is None else round(line.per_million_usd, 2),
        "declined": line.declined,
        "savings_usd": {lever: format_usd(pico) for lever, pico in line.savings.items()},
        "seconds": {"p50": round(line.p50, 4), "p95": round(line.p95, 4)},
        "tiers": line.tiers,
        "differences": {name: difference_to_json(found) for name, found in line.differences.items()},
    }


def difference_to_json(found: Difference) -> dict[str, Any]:
    return {
        "mean": round(found.mean, 6),
        "low": round(found.low, 6),
        "high": round(found.high, 6),
        "pairs": found.pairs,
        "certain": found.certain,
    }


def text_lines(lines: Sequence[Line]) -> list[list[str]]:
    """Rows of a table for people; differences that are certain carry a sign."""
    shown = ("recall@4", "in_context", "context_tokens", "contains", "f1")
    return [
        [
            line.data,
            line.setup,
            str(line.questions),
            *(_cell(line, name) for name in shown),
            str(line.declined),
            "unknown" if line.per_million_usd is None else f"{line.per_million_usd:,.2f}",
            f"{line.p50 * 1000:,.0f}",
        ]
        for line in lines
    ]


HEADS = (
    *("data", "set-up", "n", "recall@4", "in context", "tokens", "contains", "F1", "declined"),
    *("USD per million", "p50 ms"),
)


def _cell(line: Line, name: str) -> str:
    if name not in line.scores:
        return ""
    value = f"{line.scores[name]:,.0f}" if name == "context_tokens" else f"{line.scores[name]:.3f}"
    found = line.differences.get(name) if name in HIGHER_IS_BETTER else None
    return value + ("" if found is None or not found.certain else "+" if found.mean > 0 else "-")
