"""What a tenant is told of its cached prefixes: its own lines, the busiest, and nothing is read for others."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from ragkit.caching.file import CacheFile
from ragkit.caching.line import Kind
from ragkit.caching.lines import Lines
from ragkit.caching.report import cache_report
from ragkit.models import Catalogue
from ragkit.nouns import Model

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


def test_the_operator_is_told_all(file: CacheFile) -> None:
    report = cache_report(file, Catalogue.load(), AT)
    assert [line.questions for line in report.lines] == sorted([1, 2, 3, 4, 5] * len(TENANTS), reverse=True)
