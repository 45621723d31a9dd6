"""What a tenant is told of its cached prefixes: its own lines, the busiest, and nothing is read for others."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ragkit.caching.file import CacheFile
from ragkit.caching.line import Kind
from ragkit.caching.lines import Lines
from ragkit.caching.report import CacheReport, cache_report, report_to_text
from ragkit.models import Catalogue
from ragkit.nouns import Model, Usage

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


def test_the_operator_is_told_all(file: CacheFile) -> None:
    report = cache_report(file, Catalogue.load(), AT)
    assert [line.questions for line in report.lines] == sorted([1, 2, 3, 4, 5] * len(TENANTS), reverse=True)
