from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

import pytest

from ragkit.errors import ConfigError
from ragkit.ledger import Cell
from ragkit.reports.forecast import Outlook, outlook, outlook_to_json, parse_forecast_window
from ragkit.window import parse_window

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
DOLLAR = 10**12


def cell(at: datetime, pico: int) -> Cell:
    return Cell(at, "acme", "m", "standard", "generate", "", 1, 0, 1, pico)


def even(days: int, per_hour: int = DOLLAR) -> list[Cell]:
    return [cell(MONDAY + QUARTER * number, per_hour // 4) for number in range(days * 96)]


def working_week(days: int, dice: random.Random) -> list[Cell]:
    """Spending that follows the hours of a day and the days of a week, with days that are better and worse."""
    cells = []
    for number in range(days):
        luck = math.exp(dice.gauss(0, 0.25))
        for quarter in range(96):
            at = MONDAY + timedelta(days=number) + QUARTER * quarter
            busy = (1.0 if at.weekday() < 5 else 0.35) * (0.2 + math.exp(-(((at.hour - 14) / 5) ** 2)))
            mean = 25 * busy * luck
            cells.append(cell(at, int(max(0.0, dice.gauss(mean, 1.5 * math.sqrt(mean))) * 1e9)))
    return cells


def look(cells: list[Cell], per: str, now: datetime, limit: int | None = None, seed: int = 0) -> Outlook:
    past = [it for it in cells if it.at + QUARTER <= now]
    return outlook(past, parse_window(per), now, limit_pico=limit, seed=seed)


def test_what_is_even_goes_on_evenly() -> None:
    found = look(even(10), "month", MONDAY + timedelta(days=10))
    assert found.spent_pico == 240 * DOLLAR
    assert found.low_pico == found.mid_pico == found.high_pico == (240 + 17 * 24) * DOLLAR
    assert (found.start, found.end) == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    assert (found.days, found.rhythm) == (10, "even")


def test_the_week_is_known_after_two_of_them() -> None:
    busy = [it for it in even(21) if it.at.weekday() < 5]
    saturday = look(busy, "week", MONDAY + timedelta(days=19))
    assert saturday.rhythm == "weekdays and hours"
    assert saturday.mid_pico == saturday.spent_pico == 5 * 24 * DOLLAR
    wednesday = look(busy, "week", MONDAY + timedelta(days=16, hours=12))
    assert wednesday.mid_pico == 5 * 24 * DOLLAR


def test_without_history_nothing_is_expected() -> None:
    found = look([], "day", MONDAY + timedelta(hours=3), limit=DOLLAR)
    assert (found.low_pico, found.high_pico, found.runs_out, found.alerts) == (0, 0, None, ())


def test_before_the_first_whole_day_the_pace_so_far_goes_on() -> None:
    cells = [it for it in even(1) if it.at >= MONDAY + timedelta(hours=10)]
    found = look(cells, "day", MONDAY + timedelta(hours=14))
    assert (found.spent_pico, found.mid_pico, found.days) == (4 * DOLLAR, 14 * DOLLAR, 0)


def test_a_part_of_an_hour() -> None:
    found = look(even(3), "hour", MONDAY + timedelta(days=2, hours=5, minutes=15))
    assert (found.spent_pico, found.mid_pico) == (DOLLAR // 4, DOLLAR)


def test_when_the_limit_is_reached() -> None:
    now = MONDAY + timedelta(days=7)
    spent = 7 * 24 * DOLLAR
    assert look(even(7), "month", now, limit=spent + 30 * DOLLAR).runs_out == now + timedelta(hours=29)
    assert look(even(7), "month", now, limit=spent).runs_out == now
    assert look(even(7), "month", now, limit=10**6 * DOLLAR).runs_out is None


def test_alarms() -> None:
    now = MONDAY + timedelta(days=7)
    even_share = 31 * 24 * DOLLAR
    assert look(even(7), "month", now, limit=even_share).alerts == ()
    burst = [*even(7), cell(now - timedelta(minutes=30), 10 * DOLLAR), cell(now - QUARTER, 20 * DOLLAR)]
    fast, slow = look(burst, "month", now, limit=even_share).alerts
    assert fast.startswith("fast burn: the last hour cost 31 times")
    assert slow.startswith("slow burn: the last six hours cost 6 times")
    assert len(look(burst, "hour", now - timedelta(minutes=5), limit=even_share).alerts) == 0


def test_the_same_ledger_gives_the_same_forecast() -> None:
    cells = working_week(20, random.Random(1))
    now = MONDAY + timedelta(days=18, hours=9)
    assert look(cells, "week", now) == look(cells, "week", now)


@pytest.mark.parametrize("per", ["total", "question", "24h"])
def test_windows_without_an_end_are_refused(per: str) -> None:
    with pytest.raises(ConfigError, match="a window that ends"):
        parse_forecast_window(per, "UTC")
    with pytest.raises(ValueError, match="only windows that end"):
        outlook([], parse_window(per), MONDAY)


def test_json() -> None:
    found = outlook_to_json(look(even(7), "month", MONDAY + timedelta(days=7), limit=200 * DOLLAR))
    assert found["spent_usd"] == "168"
    assert found["forecast_usd"] == {"low": "648", "mid": "648", "high": "648", "interval": 0.8}
    assert found["runs_out"] == "2026-01-13T07:00:00+00:00"


def coverage(per: str, rounds: int) -> float:
    """The share of windows whose true total lay in the interval."""
    dice = random.Random(7)
    inside = 0
    for number in range(rounds):
        cells = working_week(70, dice)
        now = MONDAY + timedelta(days=dice.choice([16, 25, 36]), minutes=15 * dice.randrange(80))
        found = look(cells, per, now, seed=number)
        truth = sum(it.posted_pico for it in cells if found.start <= it.at < found.end)
        inside += found.low_pico <= truth <= found.high_pico
    return inside / rounds


def test_the_interval_covers_about_four_of_five() -> None:
    assert 0.6 <= coverage("week", 30) <= 0.97


@pytest.mark.slow
def test_the_interval_covers_four_of_five_on_a_back_test() -> None:
    found = {per: coverage(per, 250) for per in ("day", "week", "month")}
    assert 0.75 <= sum(found.values()) / 3 <= 0.85, found
    assert all(0.70 <= share <= 0.90 for share in found.values()), found
