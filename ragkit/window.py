"""Windows of time over which money is counted: calendar periods in a time zone, rolling ones, or all time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ragkit.errors import ConfigError

Period = Literal["question", "hour", "day", "week", "month", "total", "rolling"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
QUARTER = 15 * 60 * 10**6
"""Microseconds; the offsets of all zones in use change at, and by, multiples of a quarter of an hour."""
STEPS = 60
"""A rolling window moves in steps of a sixtieth; spending leaves it up to one step late, never early."""
LONGEST = 366 * 86400
"""Seconds; balances of rolling windows are kept for so long."""
_UNITS = {"m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Window:
    """`seconds` is the length of a rolling window, a multiple of `STEPS`; `zone` matters to calendar periods."""

    period: Period
    zone: str = "UTC"
    seconds: int = 0

    @property
    def name(self) -> str:
        """What makes two windows the same one, whatever their zone."""
        if self.period != "rolling":
            return self.period
        unit = next(unit for unit in "dhm" if self.seconds % _UNITS[unit] == 0)
        return f"rolling {self.seconds // _UNITS[unit]}{unit}"

    def __str__(self) -> str:
        return self.name if self.zone == "UTC" else f"{self.name} ({self.zone})"


def parse_window(text: str, zone: str = "UTC") -> Window:
    """`hour`, `day`, `week`, `month`, `total`, `question`, or a rolling length such as `90m`, `24h`, `30d`."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"no time zone '{zone}': use an IANA name such as Europe/Berlin") from error
    for period in get_args(Period):
        if text == period != "rolling":
            return Window(period, zone)
    match = re.fullmatch(r"([1-9]\d{0,5})([mhd])", text)
    if match is None or int(match[1]) * _UNITS[match[2]] > LONGEST:
        raise ConfigError(f"no window '{text}': use hour, day, week, month, total, question, or a length such as 24h")
    return Window("rolling", "UTC", int(match[1]) * _UNITS[match[2]])


def micros(at: datetime) -> int:
    """An aware time as whole microseconds since 1970."""
    return (at - EPOCH) // MICROSECOND


def from_micros(at: int) -> datetime:
    return EPOCH + at * MICROSECOND


def bucket(window: Window, at: int) -> int:
    """The start of the stretch of time that spending at `at` is booked under, in microseconds."""
    if window.period == "rolling":
        return at - at % _step(window)
    return _span(window, at // QUARTER)[0]


def counted_from(window: Window, at: int) -> int:
    """The earliest bucket that counts at `at`."""
    if window.period == "rolling":
        return bucket(window, at) - window.seconds * 10**6
    return bucket(window, at)


def resets(window: Window, at: int, oldest: int | None = None) -> int | None:
    """When the window is over, or when the `oldest` bucket with spending leaves a rolling one."""
    if window.period == "rolling":
        return (bucket(window, at) if oldest is None else oldest) + window.seconds * 10**6 + _step(window)
    return _span(window, at // QUARTER)[1]


def _step(window: Window) -> int:
    return window.seconds * 10**6 // STEPS


@lru_cache(maxsize=4096)
def _span(window: Window, quarter: int) -> tuple[int, int | None]:
    """Start and end of the calendar period that holds a quarter of an hour."""
    if window.period in ("total", "question"):
        return 0, None
    at = quarter * QUARTER
    local = from_micros(at).astimezone(ZoneInfo(window.zone))
    if window.period == "hour":
        # An hour is cut by the clock on the wall but lasts an hour, also where the wall clock repeats one.
        start = at - local.minute * 60 * 10**6
        return start, start + 3600 * 10**6
    first, last = _days(window.period, local.date())
    return _midnight(first, local), _midnight(last, local)


def _days(period: Period, day: date) -> tuple[date, date]:
    if period == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    if period == "month":
        first = day.replace(day=1)
        return first, (first + timedelta(days=31)).replace(day=1)
    return day, day + timedelta(days=1)


def _midnight(day: date, local: datetime) -> int:
    """The first instant of a local day; where the clock skips midnight, the instant of the skip."""
    return micros(datetime(day.year, day.month, day.day, tzinfo=local.tzinfo).astimezone(UTC))
