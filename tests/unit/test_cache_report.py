"""What a tenant is told of its cached prefixes: its own lines, the busiest, and nothing is read for others."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ragkit.caching.file import CacheFile
from ragkit.caching.line import Kind, Line, line_to_json, restore_line
from ragkit.caching.lines import Lines
from ragkit.caching.report import CacheReport, cache_report, report_to_json, report_to_text
from ragkit.caching.taken import Taken
from ragkit.calls.attempt import Attempt
from ragkit.models import Catalogue
from ragkit.nouns import Model, Prefix, Usage

AT = datetime(2026, 11, 23, tzinfo=UTC)
TENANTS = ("acme", "acme2", 'ac"me', "ac%", "äcme", "acme, inc")
HAIKU = Model("claude-haiku-5-5", "anthropic", "small", "claude-haiku-5-5")


@pytest.fixture
def file() -> CacheFile:
    file = CacheFile(None)
    lines = Lines(file)
    for tenant in TENANTS:
        for number in range(5):
            line = lines.line(Kind(tenant, (("team", f"t{number}"),), HAIKU, ""))
            for _ in range(number + 1):
                lines.count(line, (), AT.timestamp())
    lines.save_all(AT.timestamp())
    return file


@pytest.mark.parametrize("tenant", TENANTS)
def test_a_tenant_is_told_its_busiest_lines_and_nothing_of_others(file: CacheFile, tenant: str) -> None:
    for key, body in file.rows("SELECT key, body FROM state WHERE key LIKE 'line %'"):
        if json.loads(body)["tenant"] != tenant:
            file.write("UPDATE state SET body = 'broken' WHERE key = ?", (key,))
    report = cache_report(file, Catalogue.load(), AT, tenant, 3)
    assert {line.tenant for line in report.lines} == {tenant}
    assert [line.questions for line in report.lines] == [5, 4, 3]
    assert report.answers == ()


def test_what_was_kept_warm_once_is_not_told_as_if_it_still_were() -> None:
    file = CacheFile(None)
    lines = Lines(file)
    line = lines.line(Kind("acme", (), replace(HAIKU, id="claude-sonnet-5-5", price_id="claude-sonnet-5-5"), ""))
    for number in range(30):
        lines.count(line, (), AT.timestamp() + 7200 * number)
    line.keeping = "it pays"
    line.balance.plain_pico = 10**12
    line.balance.refresh(Usage(cache_read=900), 7 * 10**9, AT.timestamp())
    lines.save_all(AT.timestamp())
    ((on,), (off,)) = (
        cache_report(file, Catalogue.load(), AT, keep_alive=keep_alive).lines for keep_alive in (True, False)
    )
    assert (on.keeping, off.keeping) == ("it pays", "")
    assert "kept warm" in on.verdict
    assert "kept warm" not in off.verdict
    assert (on.refreshes, on.kept_pico) == (off.refreshes, off.kept_pico) == (1, 7 * 10**9)
    text = report_to_text(CacheReport((off,), ()))
    assert "1 refreshes cost $0.007" in text
    assert "latest" not in text


@pytest.mark.parametrize(("answered_by", "simulated"), [("req_twin00000001", True), ("req_011C", False)])
def test_what_a_simulation_has_billed_is_told_apart(answered_by: str, simulated: bool) -> None:
    file = CacheFile(None)
    lines = Lines(file)
    line = lines.line(Kind("acme", (), HAIKU, ""))
    lines.count(line, (), AT.timestamp())
    band = Catalogue.load().bands("claude-haiku-5-5", at=AT)[0]
    attempt = Attempt("generate", "anthropic", HAIKU.id, Usage(cache_read=10**6), 1.0, 1, "", "ok")
    Taken(Prefix(), line, band=band).record(replace(attempt, request_id=answered_by))
    lines.save_all(AT.timestamp())
    report = cache_report(file, Catalogue.load(), AT)
    (told,) = report_to_json(report)["lines"]
    assert told["saved_usd"] == "0.09"
    assert (told["simulated"], told["simulated_usd"]) == ((1, "0.09") if simulated else (0, "0"))
    said = "simulated: 1 calls, with $0.09 saved, came from simulated providers; nobody pays it"
    assert (said in report_to_text(report)) == simulated


def test_a_refresh_of_a_simulation_is_a_loss_that_nobody_bears() -> None:
    file = CacheFile(None)
    lines = Lines(file)
    line = lines.line(Kind("acme", (), HAIKU, ""))
    line.balance.refresh(Usage(cache_read=9), 90_000, AT.timestamp(), simulated=True)
    line.balance.unanswered(10_000, simulated=True)
    line.balance.unanswered(5_000)
    lines.save_all(AT.timestamp())
    text = report_to_text(cache_report(file, Catalogue.load(), AT))
    assert "3 refreshes cost $0.000000105 and" in text
    assert "simulated: 2 calls, with $0.0000001 lost, came from simulated providers; nobody pays it" in text


def test_a_file_of_before_tells_that_nothing_was_simulated() -> None:
    line = Line(Kind("acme", (), HAIKU, ""))
    told = json.loads(line_to_json(line))
    del told["balance"]["simulated"], told["balance"]["simulated_pico"]
    restore_line(line, json.dumps(told))
    assert (line.balance.simulated, line.balance.simulated_pico) == (0, 0)


def test_the_operator_is_told_all(file: CacheFile) -> None:
    report = cache_report(file, Catalogue.load(), AT)
    assert [line.questions for line in report.lines] == sorted([1, 2, 3, 4, 5] * len(TENANTS), reverse=True)
