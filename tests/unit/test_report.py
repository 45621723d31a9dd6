from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ConfigError
from ragkit.ledger import Bill, Cell
from ragkit.reports.plot import terminal_bars, write_png
from ragkit.reports.spending import (
    BYS,
    OF_EVENTS,
    By,
    Line,
    Report,
    Span,
    declined_note,
    parse_by,
    parse_moment,
    report,
    report_to_csv,
    report_to_json,
)

START = datetime(2026, 11, 23, 22, tzinfo=UTC)
SPAN = Span(START, START + timedelta(days=2))
WORDS = st.sampled_from(["a", "b", ""])
QUARTERS = st.integers(0, 191).map(lambda number: START + timedelta(minutes=15 * number))
COUNTS = st.integers(0, 10**6)
CELLS = st.builds(
    Cell,
    QUARTERS,
    WORDS,
    WORDS,
    WORDS,
    WORDS,
    WORDS,
    COUNTS,
    COUNTS,
    COUNTS,
    st.integers(-(10**15), 10**15),
    COUNTS,
    COUNTS,
)
SAVINGS = st.lists(st.tuples(WORDS, st.integers(-(10**15), 10**15)), max_size=2, unique_by=lambda it: it[0]).map(tuple)
BILLS = st.builds(Bill, QUARTERS, WORDS, COUNTS, COUNTS, st.integers(0, 10**15), SAVINGS)

CELL = Cell(START, "acme", "small", "standard", "generate", "small", 3, 1, 900, 2 * 10**12)
LATER = Cell(START + timedelta(hours=3), "globex", "large", "batch", "repair", "large", 1, 0, 100, 5 * 10**11)
BILL = Bill(START, "acme", 2, 1, 10**13, (("cache", 3 * 10**12), ("routing", -(10**12))))


def lines(by: By, zone: str = "UTC") -> dict[str, Line]:
    found = report(by, [CELL, LATER], [BILL], Span(START, SPAN.until, zone))
    return {line.group: line for line in found.lines}


@given(st.sampled_from([by for by in BYS if by != "lever"]), st.lists(CELLS), st.lists(BILLS))
def test_lines_add_up_to_the_total(by: By, cells: list[Cell], bills: list[Bill]) -> None:
    found = report(by, cells, bills, SPAN)
    parts = ("spent_pico", "simulated_pico", "events", "tokens", "unknown")
    for part in parts if by in OF_EVENTS else (*parts, "saved_pico", "baseline_pico", "questions", "overruns"):
        assert sum(getattr(line, part) for line in found.lines) == getattr(found.total, part)


@given(st.lists(BILLS))
def test_levers_add_up_to_what_was_saved(bills: list[Bill]) -> None:
    found = report("lever", [], bills, SPAN)
    assert sum(line.saved_pico or 0 for line in found.lines) == found.total.saved_pico


def test_by_day_in_a_zone() -> None:
    assert list(lines("day")) == ["2026-11-23", "2026-11-24"]
    assert list(lines("day", "Europe/Berlin")) == ["2026-11-23", "2026-11-24"]
    assert list(lines("day", "America/New_York")) == ["2026-11-23"]
    assert lines("day")["2026-11-23"] == Line("2026-11-23", 2 * 10**12, 2 * 10**12, 10**13, 2, 3, 900, 1, 1)


def test_by_what_only_events_have_no_saving_is_claimed() -> None:
    assert lines("model") == {
        "small": Line("small", 2 * 10**12, None, None, None, 3, 900, 1),
        "large": Line("large", 5 * 10**11, None, None, None, 1, 100, 0),
    }
    assert list(lines("lane")) == ["standard", "batch"]
    assert list(lines("kind")) == ["generate", "repair"]
    assert list(lines("tier")) == ["small", "large"]


def test_by_lever_the_largest_saving_first() -> None:
    assert [(line.group, line.saved_pico) for line in lines("lever").values()] == [
        ("cache", 3 * 10**12),
        ("routing", -(10**12)),
    ]


DECLINED = Bill(LATER.at, "globex", 3, 0, 7 * 10**12, (("abstained", 7 * 10**12), ("embedding", -(10**9))))


def test_what_was_declined_is_a_lever_of_its_own_and_a_part_of_what_was_saved() -> None:
    found = report("lever", [CELL], [BILL, DECLINED], SPAN)
    assert {line.group: line.declined_pico for line in found.lines} == {
        "abstained": 7 * 10**12,
        "cache": 0,
        "embedding": 0,
        "routing": 0,
    }
    assert (found.total.saved_pico, found.total.declined_pico) == (8_999 * 10**9, 7 * 10**12)
    by_tenant = {line.group: line for line in report("tenant", [CELL], [BILL, DECLINED], SPAN).lines}
    assert (by_tenant["globex"].declined_pico, by_tenant["acme"].declined_pico) == (7 * 10**12, 0)
    assert report_to_json(found)["total"]["declined_usd"] == "7"
    assert report_to_json(report("model", [CELL], [BILL, DECLINED], SPAN))["lines"][0]["declined_usd"] is None
    rows = list(csv.DictReader(io.StringIO(report_to_csv(found))))
    assert (rows[0]["lever"], rows[0]["saved_usd"], rows[0]["declined_usd"]) == ("abstained", "7", "7")
    assert declined_note(found) == "declined: $7 of what was saved is of questions without an answer"
    assert declined_note(report("lever", [CELL], [BILL], SPAN)) == ""
    assert any("abstained" in bar for bar in terminal_bars(found.lines).splitlines())


def test_json_writes_money_as_strings() -> None:
    found = report_to_json(report("tenant", [CELL, LATER], [BILL], SPAN))
    assert found["lines"][0] == {
        "group": "acme",
        "cost_usd": "2",
        "simulated_usd": "0",
        "baseline_usd": "10",
        "saved_usd": "2",
        "declined_usd": "0",
        "questions": 2,
        "events": 3,
        "tokens": 900,
        "unknown_costs": 1,
        "overruns": 1,
    }
    assert found["total"]["cost_usd"] == "2.5"


def test_csv_is_read_back_and_holds_no_formula() -> None:
    evil = Cell(START, '=cmd|"/c calc"!A1', "m", "standard", "generate", "", 1, 0, 1, 1)
    rows = list(csv.DictReader(io.StringIO(report_to_csv(report("tenant", [CELL, evil], [BILL], SPAN)))))
    assert [row["tenant"] for row in rows] == ["acme", '\'=cmd|"/c calc"!A1']
    assert rows[0]["cost_usd"] == "2"
    assert rows[1]["cost_usd"] == "0.000000000001"


def test_a_word_that_is_no_kind_of_report() -> None:
    assert parse_by("lever") == "lever"
    with pytest.raises(ConfigError, match="day, tenant, model"):
        parse_by("colour")


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("7d", "UTC", START - timedelta(days=7)),
        ("90m", "UTC", START - timedelta(minutes=90)),
        ("2026-11-01", "UTC", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01", "Europe/Berlin", datetime(2026, 10, 31, 23, tzinfo=UTC)),
        ("2026-11-01T10:00+01:00", "UTC", datetime(2026, 11, 1, 9, tzinfo=UTC)),
    ],
)
def test_moments(text: str, zone: str, moment: datetime) -> None:
    assert parse_moment(text, START, zone) == moment


@pytest.mark.parametrize(("text", "zone"), [("yesterday", "UTC"), ("", "UTC"), ("2026-11-01", "Mars")])
def test_moments_that_are_none(text: str, zone: str) -> None:
    with pytest.raises(ConfigError):
        parse_moment(text, START, zone)


def test_bars_are_as_long_as_their_amounts() -> None:
    drawn = terminal_bars([Line("a", 2 * 10**12), Line("bb", 10**12), Line("c", 0), Line("d", saved_pico=-1)], 40)
    first, second, third, fourth = drawn.splitlines()
    assert first.count("█") == 2 * second.count("█") > 0
    assert "█" not in third
    assert fourth.endswith("-$0.000000000001")
    assert {len(line.split("$")[0].rstrip("-")) for line in drawn.splitlines()[:3]} == {len(first.split("$")[0])}
    assert terminal_bars([]) == "nothing was recorded in this time"


@pytest.mark.parametrize("by", BYS)
def test_a_picture_is_drawn(by: By, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    many = [
        Cell(START + timedelta(days=n), f"t{n}", f"m{n}", "standard", "generate", "", 1, 0, 1, n) for n in range(40)
    ]
    pictures = []
    for bills in ([BILL], [BILL, DECLINED]):
        write_png(report(by, [CELL, LATER, *many], bills, SPAN), tmp_path / "cost.png")
        pictures.append((tmp_path / "cost.png").read_bytes())
    assert pictures[0].startswith(b"\x89PNG")
    assert pictures[0] != pictures[1]


def test_a_picture_of_nothing_and_one_that_cannot_be_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    empty: Report = report("day", [], [], SPAN)
    write_png(empty, tmp_path / "cost.png")
    with pytest.raises(ConfigError, match="cannot write"):
        write_png(empty, tmp_path / "no-such-folder" / "cost.png")
