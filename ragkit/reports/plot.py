"""Reports as pictures: bars for a terminal, and a PNG where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.errors import ConfigError, MissingExtra
from ragkit.money import format_usd, to_usd
from ragkit.reports.spending import Line, Report, declined_note, simulated_note

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EIGHTHS = " ▏▎▍▌▋▊▉█"
INK, SAVED, DECLINED, GRID = "#1f4e79", "#9fc5e8", "#e3edf6", "#d9d9d9"
Parts = Mapping[str, Sequence[float]]
TALLEST = 20
"""Most bars in a picture; the rest are added up in one."""


def amount(line: Line) -> int:
    """What a line's bar shows: what was spent, or for a lever what it saved."""
    return (line.saved_pico or 0) if line.spent_pico is None else line.spent_pico


def terminal_bars(lines: Sequence[Line], width: int = 80) -> str:
    """A bar per line, in eighths of a character, with its dollars; negative amounts to the right of a minus sign."""
    if not lines:
        return "nothing was recorded in this time"
    names = max(len(line.group) for line in lines)
    labels = [_dollars(amount(line)) for line in lines]
    room = max(8, width - names - max(map(len, labels)) - 4)
    top = max(abs(amount(line)) for line in lines) or 1
    return "\n".join(
        f"{line.group.ljust(names)}  {_bar(abs(amount(line)), top, room)}  {label}"
        for line, label in zip(lines, labels, strict=True)
    )


def _bar(value: int, top: int, room: int) -> str:
    eighths = -(-value * room * 8 // top)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()).ljust(room)


def write_png(found: Report, file: Path) -> None:
    """Spent as bars and, where it is known, what the levers saved on top of them; what was declined is apart."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("plot", "a report as a picture") from error
    lines = list(found.lines) if found.by == "day" else _shown(found.lines)
    wide = 9.0 if found.by != "day" else max(9.0, 0.25 * len(lines))
    figure = Figure(figsize=(wide, 4.5 if found.by == "day" else 1.4 + 0.32 * max(len(lines), 3)), layout="constrained")
    axes = figure.add_subplot()
    # Pictures are drawn in floats; the numbers written beside the bars are exact.
    spent = [float(to_usd(amount(line))) for line in lines]
    parts = {
        "saved against the baseline": [_drawn(line, (line.saved_pico or 0) - line.declined_pico) for line in lines],
        "declined without an answer": [_drawn(line, line.declined_pico) for line in lines],
    }
    what = "Saved" if found.by == "lever" else "Cost"
    axes.set_title(f"{what} by {found.by}, {found.span.since:%Y-%m-%d} to {found.span.until:%Y-%m-%d}", loc="left")
    notes = [declined_note(found), simulated_note(found.total.simulated_pico, "of what was spent")]
    if any(notes):
        figure.supxlabel("\n".join(filter(None, notes)), fontsize="small")
    if found.by == "day":
        _draw_days(axes, lines, spent, parts)
    else:
        _draw_groups(axes, lines, spent, parts)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if any(map(any, parts.values())):
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.2)
    try:
        figure.savefig(file, format="png", dpi=150)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error}") from error


def _drawn(line: Line, pico: int) -> float:
    """A part of what was saved, on top of what was spent; none where a bar shows what a lever saved itself."""
    return float(to_usd(max(0, pico))) if line.spent_pico is not None else 0.0


def _draw_days(axes: Axes, lines: Sequence[Line], spent: Sequence[float], parts: Parts) -> None:
    days = [line.group for line in lines]
    axes.bar(days, spent, color=INK, label="spent")
    ends = list(spent)
    for color, (label, saved) in zip((SAVED, DECLINED), parts.items(), strict=True):
        if any(saved):
            axes.bar(days, saved, bottom=ends, color=color, label=label)
        ends = [end + more for end, more in zip(ends, saved, strict=True)]
    step = max(1, len(days) // 12)
    axes.set_xticks(range(0, len(days), step), [day[5:] for day in days[::step]])
    axes.set_ylabel("US dollars")
    axes.grid(axis="y", color=GRID)


def _draw_groups(axes: Axes, lines: Sequence[Line], spent: Sequence[float], parts: Parts) -> None:
    names = [line.group if len(line.group) <= 40 else f"{line.group[:39]}…" for line in lines]
    axes.barh(names, spent, color=INK, label="spent")
    ends = list(spent)
    for color, (label, saved) in zip((SAVED, DECLINED), parts.items(), strict=True):
        if any(saved):
            axes.barh(names, saved, left=ends, color=color, label=label)
        ends = [end + more for end, more in zip(ends, saved, strict=True)]
    for place, (line, end) in enumerate(zip(lines, ends, strict=True)):
        axes.annotate(
            _short(amount(line)), (max(end, 0), place), xytext=(4, 0), textcoords="offset points", va="center"
        )
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("US dollars")
    axes.grid(axis="x", color=GRID)


def _shown(lines: Sequence[Line]) -> list[Line]:
    if len(lines) <= TALLEST:
        return list(lines)
    rest = lines[TALLEST - 1 :]
    saved = [line.saved_pico for line in rest if line.saved_pico is not None]
    spent = [line.spent_pico for line in rest if line.spent_pico is not None]
    others = Line(f"{len(rest)} others", sum(spent) if spent else None, sum(saved) if saved else None)
    other = replace(others, declined_pico=sum(line.declined_pico for line in rest))
    return [*lines[: TALLEST - 1], other]


def _dollars(pico: int) -> str:
    return f"-${format_usd(-pico)}" if pico < 0 else f"${format_usd(pico)}"


def _short(pico: int) -> str:
    """Four significant digits, for a label in a picture."""
    digits = max(0, len(str(abs(pico))) - 4)
    return _dollars(round(pico, -digits))
