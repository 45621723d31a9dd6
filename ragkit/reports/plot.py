"""Reports as pictures: bars for a terminal, and a PNG where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.errors import ConfigError, MissingExtra
from ragkit.money import format_usd, to_usd
from ragkit.reports.spending import Line, Report, simulated_note

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EIGHTHS = " ▏▎▍▌▋▊▉█"
INK, SAVED, GRID = "#1f4e79", "#9fc5e8", "#d9d9d9"
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
    """Spent as bars and, where it is known, what the levers saved on top of them."""
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
    saved = [float(to_usd(max(0, line.saved_pico or 0))) if line.spent_pico is not None else 0.0 for line in lines]
    what = "Saved" if found.by == "lever" else "Cost"
    axes.set_title(f"{what} by {found.by}, {found.span.since:%Y-%m-%d} to {found.span.until:%Y-%m-%d}", loc="left")
    if note := simulated_note(found.total.simulated_pico, "of what was spent"):
        figure.supxlabel(note, fontsize="small")
    if found.by == "day":
        _draw_days(axes, lines, spent, saved)
    else:
        _draw_groups(axes, lines, spent, saved)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if any(saved):
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2)
    try:
        figure.savefig(file, format="png", dpi=150)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error}") from error


def _draw_days(axes: Axes, lines: Sequence[Line], spent: Sequence[float], saved: Sequence[float]) -> None:
    days = [line.group for line in lines]
    axes.bar(days, spent, color=INK, label="spent")
    if any(saved):
        axes.bar(days, saved, bottom=spent, color=SAVED, label="saved against the baseline")
    step = max(1, len(days) // 12)
    axes.set_xticks(range(0, len(days), step), [day[5:] for day in days[::step]])
    axes.set_ylabel("US dollars")
    axes.grid(axis="y", color=GRID)


def _draw_groups(axes: Axes, lines: Sequence[Line], spent: Sequence[float], saved: Sequence[float]) -> None:
    names = [line.group if len(line.group) <= 40 else f"{line.group[:39]}…" for line in lines]
    axes.barh(names, spent, color=INK, label="spent")
    if any(saved):
        axes.barh(names, saved, left=spent, color=SAVED, label="saved against the baseline")
    for place, (line, one, other) in enumerate(zip(lines, spent, saved, strict=True)):
        end = (max(one, 0) + other, place)
        axes.annotate(_short(amount(line)), end, xytext=(4, 0), textcoords="offset points", va="center")
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
    other = Line(f"{len(rest)} others", sum(spent) if spent else None, sum(saved) if saved else None)
    return [*lines[: TALLEST - 1], other]


def _dollars(pico: int) -> str:
    return f"-${format_usd(-pico)}" if pico < 0 else f"${format_usd(pico)}"


def _short(pico: int) -> str:
    """Four significant digits, for a label in a picture."""
    digits = max(0, len(str(abs(pico))) - 4)
    return _dollars(round(pico, -digits))
