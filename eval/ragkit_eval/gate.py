"""Keeps questions from getting dearer or worse: a recorded run against the same run now, question by question.

A set-up fails where a mean has certainly moved by more than its tolerance: the whole interval of the difference lies
beyond it. So neither a drift below notice nor the luck of a few questions stops anybody.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ragkit.errors import ConfigError
from ragkit.money import format_usd
from ragkit_eval.bootstrap import compare
from ragkit_eval.reply import Row
from ragkit_eval.scoring import HIGHER_IS_BETTER

FORMAT = 1
LEVEL = 0.99
MOVED = 10
"""Questions that are shown for each finding, those that moved most first."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """`cost` is a share of the mean cost, `quality` a difference of a mean score."""

    cost: float = 0.05
    quality: float = 0.02


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a row, so that a recording is small and readable."""

    data: str
    setup: str
    seed: int
    case: str
    cost_pico: int | None
    model: str
    tokens: Mapping[str, int]
    scores: Mapping[str, float]
    error: str = ""

    @property
    def key(self) -> tuple[str, str, int, str]:
        return self.data, self.setup, self.seed, self.case


@dataclass(frozen=True, slots=True)
class Recording:
    """A run as it was when all was well; `suite` is where its suite lies, seen from the recording."""

    suite: str
    prices: str
    rows: tuple[Kept, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What got dearer or worse, by how much, and the questions that moved, in words."""

    data: str
    setup: str
    what: str
    before: float
    after: float
    moved: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Passed without findings. `notes` are differences that are no regression, such as questions that are new."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    compared: int

    @property
    def passed(self) -> bool:
        return not self.findings


def keep(rows: Iterable[Row]) -> tuple[Kept, ...]:
    return tuple(
        Kept(it.data, it.setup, it.seed, it.case, it.cost_pico, it.model, it.tokens, it.scores, it.error) for it in rows
    )


def write_recording(recording: Recording, file: Path) -> None:
    """One line per question, so that a difference of two recordings can be read."""
    lines = ",\n".join(f"  {json.dumps(asdict(row), sort_keys=True)}" for row in recording.rows)
    head = json.dumps({"format": FORMAT, "suite": recording.suite, "prices": recording.prices})[1:-1]
    file.write_text(f'{{{head}, "rows": [\n{lines}\n]}}\n', encoding="utf-8")


def read_recording(file: Path) -> Recording:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        if told["format"] != FORMAT:
            raise ConfigError(f"{file} has another format: record it again with --record")
        return Recording(told["suite"], told["prices"], tuple(Kept(**row) for row in told["rows"]))
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}; make it with --record --suite SUITE.toml") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} is no recording of `ragkit eval gate`: record it again with --record") from error


def check(before: Recording, rows: Sequence[Kept], tolerance: Tolerance) -> Verdict:
    """Compare the questions that both runs have."""
    old = {row.key: row for row in before.rows}
    new = {row.key: row for row in rows}
    groups: dict[tuple[str, str], list[tuple[Kept, Kept]]] = {}
    for key in old.keys() & new.keys():
        groups.setdefault(key[:2], []).append((old[key], new[key]))
    findings = [
        finding
        for (data, setup), pairs in sorted(groups.items())
        for finding in _findings(data, setup, sorted(pairs, key=lambda pair: pair[0].key), tolerance)
    ]
    gone, fresh = len(old.keys() - new.keys()), len(new.keys() - old.keys())
    notes = [f"{gone} recorded questions were not asked"] if gone else []
    notes += [f"{fresh} questions are not in the recording: record it again to have them watched"] if fresh else []
    if gone and not groups:
        raise ConfigError("the recording is of another suite: record it again with --record")
    return Verdict(tuple(findings), tuple(notes), sum(map(len, groups.values())))


def _findings(data: str, setup: str, pairs: Sequence[tuple[Kept, Kept]], tolerance: Tolerance) -> Iterable[Finding]:
    failing = [(old, new) for old, new in pairs if new.error and not old.error]
    if failing:
        moved = tuple(f"{new.case}: {new.error}" for _, new in failing[:MOVED])
        yield Finding(data, setup, "questions that fail", 0, len(failing), moved)
    priced = [(old, new) for old, new in pairs if old.cost_pico is not None is not new.cost_pico]
    mean = fmean(float(old.cost_pico or 0) for old, _ in priced) if priced else 0.0
    costs = _moved(priced, lambda row: float(row.cost_pico or 0), tolerance.cost * mean, worse=1)
    if costs is not None:
        yield Finding(data, setup, "cost", *costs, _lines(priced, lambda old, new: _cost(new) - _cost(old), _dearer))
    for name in HIGHER_IS_BETTER:
        scored = [(old, new) for old, new in pairs if name in old.scores and name in new.scores]
        means = _moved(scored, _score_of(name), tolerance.quality, worse=-1)
        if means is not None:
            yield Finding(data, setup, name, *means, _worse(scored, name))


def _score_of(name: str) -> Callable[[Kept], float]:
    return lambda row: row.scores[name]


def _moved(
    pairs: Sequence[tuple[Kept, Kept]], value: Callable[[Kept], float], tolerance: float, *, worse: int
) -> tuple[float, float] | None:
    """Both means where the second is certainly worse by more than is tolerated; `worse` is its direction."""
    if not pairs:
        return None
    before, after = [value(old) for old, _ in pairs], [value(new) for _, new in pairs]
    found = compare(before, after, level=LEVEL)
    if (found.low if worse > 0 else -found.high) <= tolerance:
        return None
    return fmean(before), fmean(after)


def _worse(pairs: Sequence[tuple[Kept, Kept]], name: str) -> tuple[str, ...]:
    return _lines(
        pairs,
        lambda old, new: old.scores[name] - new.scores[name],
        lambda old, new: f"{new.case}: {old.scores[name]:.3f} -> {new.scores[name]:.3f}{_asked(old, new)}",
    )


def _lines(
    pairs: Sequence[tuple[Kept, Kept]],
    size: Callable[[Kept, Kept], float],
    words: Callable[[Kept, Kept], str],
) -> tuple[str, ...]:
    moved = sorted((pair for pair in pairs if size(*pair) > 0), key=lambda pair: (-size(*pair), pair[0].key))
    return tuple(words(*pair) for pair in moved[:MOVED])


def _dearer(old: Kept, new: Kept) -> str:
    """A question's cost with what explains it: another model, or tokens of other classes."""
    kinds = [kind for kind in {**old.tokens, **new.tokens} if old.tokens.get(kind, 0) != new.tokens.get(kind, 0)]
    tokens = "".join(f", {kind} {old.tokens.get(kind, 0):,} -> {new.tokens.get(kind, 0):,}" for kind in sorted(kinds))
    return f"{new.case}: ${format_usd(_cost(old))} -> ${format_usd(_cost(new))}{_asked(old, new)}{tokens}"


def _asked(old: Kept, new: Kept) -> str:
    return "" if old.model == new.model else f", {old.model or 'nobody'} -> {new.model or 'nobody'}"


def _cost(row: Kept) -> int:
    return row.cost_pico or 0


def verdict_text(verdict: Verdict) -> str:
    """What a pull request shows."""
    lines = [f"{verdict.compared} questions compared: {'passed' if verdict.passed else 'FAILED'}"]
    for finding in verdict.findings:
        shown = _shown(finding)
        lines += ["", f"{finding.data} / {finding.setup}: {finding.what} {shown}", *(f"  {it}" for it in finding.moved)]
    return "\n".join([*lines, *verdict.notes])


def _shown(finding: Finding) -> str:
    if finding.what == "cost":
        rise = f" ({finding.after / finding.before - 1:+.1%})" if finding.before else ""
        before, after = format_usd(round(finding.before)), format_usd(round(finding.after))
        return f"${before} -> ${after} a question{rise}"
    return f"{finding.before:.3f} -> {finding.after:.3f}"


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "passed": verdict.passed,
        "compared": verdict.compared,
        "findings": [{**asdict(finding), "moved": list(finding.moved)} for finding in verdict.findings],
        "notes": list(verdict.notes),
    }
