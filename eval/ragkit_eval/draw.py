"""Drawings for the report, as SVG without scripts: a plot of cost against quality, and a ladder of bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 44, 18, 46
SHADES = ("#2a6fdb", "#d9730d", "#2f9e63", "#a23bbf", "#c2334d", "#5d6b7a", "#8a7a00", "#0b8a9d")
BAR, GAP = 26, 12
LABEL = 250


@dataclass(frozen=True, slots=True)
class Point:
    """A set-up in the plot: dollars per million questions and a score from 0 to 1."""

    name: str
    cost: float
    quality: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A step of the ladder with its remaining cost and what is written beside it."""

    name: str
    cost: float
    note: str


def front(points: Sequence[Point]) -> tuple[Point, ...]:
    """Those that no other one beats in both, cheapest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda it: (it.cost, -it.quality)):
        if not best or point.quality > best[-1].quality:
            best.append(point)
    return tuple(best)


def plot(points: Sequence[Point]) -> str:
    """Costs on a logarithmic axis; the line joins the set-ups that are worth their price."""
    shown = sorted((point for point in points if point.cost > 0), key=lambda point: point.cost)
    if not shown:
        return "<p>Nothing here has a cost.</p>"
    low, high = _decades([point.cost for point in shown])
    floor = max(0.0, math.floor(min(point.quality for point in shown) * 10 - 0.5) / 10)
    parts = [_axes(low, high, floor)]
    joined = " ".join(f"{_x(it.cost, low, high):.1f},{_y(it.quality, floor):.1f}" for it in front(shown))
    parts.append(f'<polyline class="front" points="{joined}"/>')
    for number, point in enumerate(shown):
        x, y = _x(point.cost, low, high), _y(point.quality, floor)
        shade = SHADES[number % len(SHADES)]
        title = f"{point.name}: ${point.cost:,.0f} per million, {point.quality:.3f}"
        near_end = x > WIDTH - 160
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{shade}"><title>{escape(title)}</title></circle>'
            f'<text x="{x + (-10 if near_end else 10):.1f}" y="{y + (-9 if number % 2 else 17):.1f}"'
            f' text-anchor="{"end" if near_end else "start"}">{escape(point.name)}</text>'
        )
    return _svg(WIDTH, HEIGHT, "cost against quality", parts)


def ladder_bars(bars: Sequence[Bar]) -> str:
    """A waterfall: what is left of the bill, and hatched what the step took off."""
    height = TOP + len(bars) * (BAR + GAP)
    room = WIDTH - LABEL - 190
    top = max((bar.cost for bar in bars), default=0.0) or 1.0
    parts = []
    for number, bar in enumerate(bars):
        y = TOP + number * (BAR + GAP)
        before = bars[number - 1].cost if number else bar.cost
        width, gone = bar.cost / top * room, max(0.0, before - bar.cost) / top * room
        parts.append(f'<text x="{LABEL - 10}" y="{y + 18}" text-anchor="end">{escape(bar.name)}</text>')
        parts.append(f'<rect class="gone" x="{LABEL + width:.1f}" y="{y}" width="{gone:.1f}" height="{BAR}"/>')
        parts.append(f'<rect class="left" x="{LABEL}" y="{y}" width="{max(1.5, width):.1f}" height="{BAR}"/>')
        at = LABEL + width + gone + 8
        parts.append(f'<text x="{at:.1f}" y="{y + 18}">{escape(bar.note)}</text>')
    return _svg(WIDTH, height, "what each step leaves of the bill", parts)


def _axes(low: int, high: int, floor: float) -> str:
    parts = []
    for power in range(low, high + 1):
        x = _x(10**power, low, high)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">${10**power:,}</text>')
    steps = max(1, round((1 - floor) * 10))
    for step in range(steps + 1):
        value = floor + (1 - floor) * step / steps
        y = _y(value, floor)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.1f}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">dollars per million questions</text>')
    return "".join(parts)


def _decades(costs: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs)))
    return low, max(high, low + 1)


def _x(cost: float, low: int, high: int) -> float:
    return LEFT + (math.log10(cost) - low) / (high - low) * (WIDTH - LEFT - RIGHT)


def _y(quality: float, floor: float) -> float:
    return TOP + (1 - quality) / ((1 - floor) or 1) * (HEIGHT - TOP - BOTTOM)


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    inner = "".join(parts)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{inner}</svg>'
