"""Where spending will stand at the end of a window, with an interval, from its own rhythm of hours and days. Pure.

Time is cut into days of 24 hours, backwards from the end of the window. A day is expected to be like the others of its
weekday, once there are two weeks of history, and an hour to have its usual share of its day. Past days were larger or
smaller than expected; future days draw from those ratios, and so do the levels, so that a short history gives a wide
interval.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ragkit.errors import ConfigError
from ragkit.ledger import Cell
from ragkit.money import format_usd
from ragkit.window import Window, bucket, from_micros, micros, parse_window, resets

HOUR = timedelta(hours=1)
DAY = 24
HISTORY = timedelta(weeks=4)
"""Older spending says nothing about the coming weeks."""
RUNS = 1000
EVEN = (1 / DAY,) * DAY
FAST, SLOW = 10, 5
"""Times the even pace of the window at which an hour, or six hours, of spending is an alarm."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Four of five times the total is expected between `low_pico` and `high_pico`.

    `runs_out` is when the limit is expected to be reached, None where it is not before the window ends. `days` is how
    much history there was. `simulated_pico` of the spending that this is made from is nobody's money.
    """

    start: datetime
    end: datetime
    spent_pico: int
    low_pico: int
    mid_pico: int
    high_pico: int
    limit_pico: int | None
    runs_out: datetime | None
    alerts: tuple[str, ...]
    days: int
    rhythm: str
    simulated_pico: int = 0


@dataclass(frozen=True, slots=True)
class _History:
    """Whole past days, the latest first, each as its 24 hours.

    `shares` is an hour's part of a day. `levels` is what a day of each weekday costs; the first is for today.
    """

    days: tuple[tuple[float, ...], ...]
    shares: tuple[float, ...]
    levels: tuple[float, ...]

    def expected(self, day: int, begin: float = 0.0, end: float = DAY) -> float:
        """What is expected between two hours of a day: 0 is today, -1 yesterday."""
        return self.levels[day % len(self.levels)] * _part(self.shares, begin, end)


def parse_forecast_window(text: str, zone: str) -> Window:
    """A calendar window: one that is open for ever, or always, has no end to forecast."""
    window = parse_window(text, zone)
    if window.period not in ("hour", "day", "week", "month"):
        raise ConfigError(f"a forecast needs a window that ends: write hour, day, week or month, not '{text}'")
    return window


def outlook(
    cells: Sequence[Cell], window: Window, now: datetime, *, limit_pico: int | None = None, seed: int = 0
) -> Outlook:
    """Forecast a calendar window from the cells of the weeks before now."""
    start = from_micros(bucket(window, micros(now)))
    end = resets(window, micros(now))
    if end is None or window.period == "rolling":
        raise ValueError("only windows that end can be forecast")
    spent = sum(cell.posted_pico for cell in cells if start <= cell.at < now)
    days = -(-(from_micros(end) - now) // (DAY * HOUR))
    today = from_micros(end) - days * DAY * HOUR
    history, begin = _history(cells, today, now), (now - today) / HOUR
    totals = sorted(_runs(history, begin, days, random.Random(seed)))  # noqa: S311
    low, mid, high = (spent + totals[int(share * (len(totals) - 1))] for share in (0.1, 0.5, 0.9))
    runs_out = None if limit_pico is None else _runs_out(history, now, (begin, days), limit_pico - spent)
    rhythm = "weekdays and hours" if len(history.levels) > 1 else "hours" if history.shares != EVEN else "even"
    span = (from_micros(end) - start) / HOUR
    alerts = _alerts(cells, now, limit_pico, span)
    simulated = sum(cell.simulated_pico for cell in cells if min(start, today - HISTORY) <= cell.at < now)
    told = (limit_pico, runs_out, alerts, len(history.days), rhythm, simulated)
    return Outlook(start, from_micros(end), spent, low, mid, high, *told)


def _history(cells: Sequence[Cell], today: datetime, now: datetime) -> _History:
    """The whole days before today; before there is one, the mean hour so far."""
    past = [cell for cell in cells if today - HISTORY <= cell.at < now]
    first = min((cell.at for cell in past), default=now)
    whole = max(0, (today - first) // (DAY * HOUR))
    if not whole:
        hours = max(1.0, (now - first) / HOUR)
        return _History((), EVEN, (sum(cell.posted_pico for cell in past) / hours * DAY,))
    table = [[0.0] * DAY for _ in range(whole)]
    for cell in past:
        back, hour = divmod((today - cell.at - timedelta(microseconds=1)) // HOUR, DAY)
        if 0 <= back < whole:
            table[back][DAY - 1 - hour] += cell.posted_pico
    days = tuple(map(tuple, table))
    sums = [sum(day) for day in days]
    shares = EVEN if whole < 3 else tuple(sum(day[hour] for day in days) / (sum(sums) or 1.0) for hour in range(DAY))
    weekdays = 7 if whole >= 14 else 1
    levels = tuple(_mean(sums[weekdays - 1 - ahead :: weekdays]) for ahead in range(weekdays))
    return _History(days, shares, levels)


def _runs(history: _History, begin: float, days: int, dice: random.Random) -> list[int]:
    """What the rest of the window may cost, many times over: the rest of today, then whole days."""
    rest, whole = history.expected(0, begin), [history.expected(day) for day in range(1, days)]
    partly, daily = _ratios(history, begin), _ratios(history, 0.0)
    weekdays = len(history.levels)
    known = max(1, len(history.days) // weekdays)
    totals = []
    for _ in range(RUNS):
        # What a weekday costs is itself a mean of few days: it is drawn as such.
        levels = [_mean(dice.choices(daily, k=known)) for _ in range(min(weekdays, days))]
        total = rest * levels[0] * dice.choice(partly)
        total += sum(day * levels[number % weekdays] * dice.choice(daily) for number, day in enumerate(whole, start=1))
        totals.append(round(total))
    return totals


def _ratios(history: _History, begin: float) -> list[float]:
    """How past days compared with what was expected of them, from this hour on."""
    found = []
    for back, day in enumerate(history.days):
        expected = history.expected(-1 - back, begin)
        if expected:
            found.append(_part(day, begin, DAY) / expected)
    # Days were part of the means that they are compared with, so that their own spread came out too small.
    free = len(found) - len(history.levels)
    spread = (len(found) / free) ** 0.5 if free > 0 else 1.0
    mean = _mean(found)
    return [max(0.0, mean + (ratio - mean) * spread) for ratio in found] or [1.0]


def _runs_out(history: _History, now: datetime, ahead: tuple[float, int], left: int) -> datetime | None:
    """When the expected spending reaches what is left, to the hour."""
    begin, days = ahead
    spent, hour = 0.0, begin
    while spent < left:
        if hour >= days * DAY:
            return None
        day, start = divmod(hour, DAY)
        end = min(float(DAY), int(start) + 1.0)
        spent += history.expected(int(day), start, end)
        hour += end - start
    return now + (max(begin, hour - 1) - begin) * HOUR


def _part(hours: Sequence[float], begin: float, end: float) -> float:
    """The sum between two hours, either of which may be cut."""
    return sum(max(0.0, min(end, hour + 1) - max(begin, hour)) * it for hour, it in enumerate(hours))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _alerts(cells: Sequence[Cell], now: datetime, limit: int | None, hours: float) -> tuple[str, ...]:
    """Alarms for spending so fast that nobody should wait for the end of the window."""
    if not limit:
        return ()

    def pace(back: float) -> float:
        since = now - timedelta(hours=back)
        return sum(cell.posted_pico for cell in cells if since <= cell.at < now) / back / (limit / hours)

    alerts = []
    if hours > 1 and pace(1) >= FAST and pace(0.25) >= FAST:
        alerts.append(f"fast burn: the last hour cost {pace(1):.0f} times an even share of the limit")
    if hours > 6 and pace(6) >= SLOW and pace(1) >= SLOW:
        alerts.append(f"slow burn: the last six hours cost {pace(6):.0f} times an even share of the limit")
    return tuple(alerts)


def outlook_to_json(found: Outlook) -> dict[str, Any]:
    return {
        "start": found.start.isoformat(),
        "end": found.end.isoformat(),
        "spent_usd": format_usd(found.spent_pico),
        "simulated_usd": format_usd(found.simulated_pico),
        "forecast_usd": {
            "low": format_usd(found.low_pico),
            "mid": format_usd(found.mid_pico),
            "high": format_usd(found.high_pico),
            "interval": 0.8,
        },
        "limit_usd": None if found.limit_pico is None else format_usd(found.limit_pico),
        "runs_out": None if found.runs_out is None else found.runs_out.isoformat(),
        "alerts": list(found.alerts),
        "history_days": found.days,
        "rhythm": found.rhythm,
    }
