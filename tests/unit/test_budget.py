from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.budget import (
    Budget,
    BudgetBook,
    Charge,
    OnExceed,
    Standing,
    affordable,
    check_question,
    parse_limit,
    parse_target,
    pressure,
    refusal,
    subjects,
)
from ragkit.errors import EXIT_CODES, HTTP_STATUS, BudgetExceeded, ConfigError, RequestInFlight, code_of
from ragkit.nouns import Account
from ragkit.window import Window, bucket, counted_from, from_micros, micros, parse_window, resets

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]
INSTANTS = st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
PERIODS = st.sampled_from(["hour", "day", "week", "month"])


def span(text: str, zone: str, at: datetime) -> tuple[datetime, datetime]:
    window = parse_window(text, zone)
    end = resets(window, micros(at))
    assert end is not None
    return from_micros(bucket(window, micros(at))), from_micros(end)


def standing(used: int, limit: int = 100, on: OnExceed = "degrade") -> Standing:
    return Standing(Charge(Budget("all", "", Window("month"), limit, on), ""), used // 2, used - used // 2, None)


@given(PERIODS, st.sampled_from(ZONES), INSTANTS)
def test_every_instant_is_in_exactly_one_window_that_ends_where_the_next_begins(
    period: str, zone: str, at: datetime
) -> None:
    start, end = span(period, zone, at)
    assert start <= at < end
    assert span(period, zone, start)[0] == start
    assert span(period, zone, end - timedelta(microseconds=1))[0] == start
    if period != "hour":
        assert span(period, zone, end)[0] == end


@given(st.sampled_from(ZONES), INSTANTS)
def test_a_day_begins_with_its_own_date(zone: str, at: datetime) -> None:
    start, end = (edge.astimezone(ZoneInfo(zone)) for edge in span("day", zone, at))
    local = at.astimezone(ZoneInfo(zone))
    assert start.date() == local.date()
    assert end.date() > local.date()
    before = (start.astimezone(UTC) - timedelta(microseconds=1)).astimezone(ZoneInfo(zone))
    assert before.date() < local.date() or start.fold, "where midnight is skipped, a day begins at one"


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00", 25),
        ("Africa/Cairo", "2026-04-24T12:00", 23),
        ("Australia/Lord_Howe", "2026-04-05T12:00", 24.5),
        ("UTC", "2028-02-29T12:00", 24),
    ],
)
def test_days_are_as_long_as_the_clocks_say(zone: str, day: str, hours: float) -> None:
    start, end = span("day", zone, datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)))
    assert end - start == timedelta(hours=hours)


def test_a_month_in_a_zone_begins_at_its_own_midnight() -> None:
    at = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
    assert span("month", "Europe/Berlin", at)[0] == datetime(2026, 11, 30, 23, tzinfo=UTC)
    assert span("month", "America/New_York", at)[0] == datetime(2026, 11, 1, 4, tzinfo=UTC)


def test_a_week_begins_on_monday() -> None:
    assert span("week", "UTC", datetime(2026, 11, 29, 12, tzinfo=UTC))[0] == datetime(2026, 11, 23, tzinfo=UTC)


def test_the_hour_that_happens_twice_is_two_windows() -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    starts = [span("hour", "Europe/Berlin", first + timedelta(hours=hours))[0] for hours in range(3)]
    assert [later - earlier for earlier, later in pairwise(starts)] == [timedelta(hours=1)] * 2


@given(st.sampled_from(["1m", "90m", "24h", "30d"]), INSTANTS, st.floats(0, 0.999))
def test_what_is_younger_than_a_rolling_window_counts(text: str, at: datetime, share: float) -> None:
    window = parse_window(text)
    spent = at - timedelta(seconds=window.seconds * share)
    assert bucket(window, micros(spent)) >= counted_from(window, micros(at))
    gone = from_micros(resets(window, micros(at), bucket(window, micros(spent))) or 0)
    assert spent + timedelta(seconds=window.seconds) <= gone
    assert gone <= spent + timedelta(seconds=window.seconds * (1 + 1 / 60))
    assert bucket(window, micros(spent)) < counted_from(window, micros(gone))


@pytest.mark.parametrize("text", ["", "year", "0h", "h", "1.5h", "rolling", "-1d", "9999999d", "400d"])
def test_unknown_windows_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no window"):
        parse_window(text)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_unknown_zones_are_refused(zone: str) -> None:
    with pytest.raises(ConfigError, match="no time zone"):
        parse_window("day", zone)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("all", ("all", "")),
        ("tenant=acme", ("tenant", "acme")),
        ("user=alice", ("user", "home/alice")),
        ("user=acme/alice", ("user", "acme/alice")),
        ("tag=*", ("tag", "*")),
        ("model=openai/gpt", ("model", "openai/gpt")),
    ],
)
def test_targets(text: str, target: tuple[str, str]) -> None:
    assert parse_target(text, "home") == target


@pytest.mark.parametrize("text", ["", "acme", "tenant", "tenant=", "all=acme", "team=acme"])
def test_bad_targets_say_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match="tenant=acme"):
        parse_target(text, "home")


def test_limits() -> None:
    assert parse_limit("12.5") == parse_limit("$12.50") == 12_500_000_000_000
    assert parse_limit("0") == 0
    assert parse_limit("none") is None
    for text in ("", "-1", "much", "NaN", "Infinity", "1e-13", "9000001", "1e99999999"):
        with pytest.raises(ConfigError, match="no limit"):
            parse_limit(text)


@pytest.mark.parametrize(
    ("used", "degrade", "refuse"),
    [
        (0, "none", "none"),
        (79, "none", "none"),
        (80, "warn", "warn"),
        (89, "warn", "warn"),
        (90, "lower", "warn"),
        (94, "lower", "warn"),
        (95, "free", "warn"),
        (99, "free", "warn"),
        (100, "refuse", "refuse"),
        (130, "refuse", "refuse"),
    ],
)
def test_the_ladder(used: int, degrade: str, refuse: str) -> None:
    assert pressure([standing(used)]) == degrade
    assert pressure([standing(used, on="refuse")]) == refuse


def test_the_tightest_budget_decides() -> None:
    assert pressure([standing(10), standing(96), standing(85)]) == "free"
    assert pressure([]) == "none"
    assert pressure([standing(0, limit=0)]) == "refuse"


def test_what_is_affordable() -> None:
    assert affordable([]) is None
    assert affordable([standing(30), standing(90)]) == 10
    assert affordable([standing(130)]) == 0
    assert affordable([standing(30)], max_cost_pico=5) == 5


def test_a_book_finds_the_nearest_budget_per_window() -> None:
    def of(scope: str, subject: str, window: str, limit: int | None) -> Budget:
        return Budget(scope, subject, parse_window(window), limit)  # type: ignore[arg-type]

    book = BudgetBook(
        [
            of("user", "*", "day", 1),
            of("user", "acme/*", "day", 2),
            of("user", "acme/alice", "day", 3),
            of("user", "*", "month", 4),
            of("tenant", "acme", "day", None),
            of("all", "", "total", 5),
        ]
    )

    def limits(account: Account) -> list[int | None]:
        return [charge.budget.limit_pico for charge in book.purchase(account, ("m",), "standard")]

    assert limits(Account("acme", "alice")) == [5, 3, 4]
    assert limits(Account("acme", "bob")) == [5, 2, 4]
    assert limits(Account("globex", "alice")) == [5, 1, 4]
    assert limits(Account("acme")) == [5]


def test_a_purchase_counts_once_per_subject() -> None:
    account = Account("acme", "alice", "k", ("a", "a", "b"))
    assert subjects(account, ("m", "m", "n"), "batch") == (
        ("all", ""),
        ("tenant", "acme"),
        ("key", "k"),
        ("user", "acme/alice"),
        ("tag", "acme/a"),
        ("tag", "acme/b"),
        ("model", "m"),
        ("model", "n"),
        ("lane", "batch"),
    )


def test_a_refusal_names_scope_window_rest_and_reset() -> None:
    budget = Budget("tenant", "*", parse_window("day", "Europe/Berlin"), 2 * 10**12)
    end = datetime(2026, 11, 24, 23, tzinfo=UTC)
    error = refusal(Standing(Charge(budget, "acme"), 0, 19 * 10**11, micros(end)), 3 * 10**11)
    assert str(error) == (
        "the budget of 2 USD per day (Europe/Berlin) for tenant=acme has 0.1 USD left and this may cost up to 0.3 USD:"
        " it resets at 2026-11-24T23:00:00+00:00; `ragkit budget set` raises it"
    )
    assert (error.scope, error.window, error.left_pico, error.resets) == (
        "tenant=acme",
        "day (Europe/Berlin)",
        10**11,
        end,
    )


def test_a_question_within_its_cap_passes() -> None:
    check_question(5, None)
    check_question(5, 5)
    with pytest.raises(BudgetExceeded):
        check_question(6, 5)


def test_codes() -> None:
    assert code_of(BudgetExceeded(), HTTP_STATUS) == 402
    assert code_of(RequestInFlight(), HTTP_STATUS) == 409
    assert code_of(RequestInFlight(), EXIT_CODES) == 12
