from __future__ import annotations

from pathlib import Path

import pytest
from figures import KEPT_IN, Figure, keep, read, table, to_json

SPEED = Figure("ingest", "MB/s", 8.4, "more", {"LlamaIndex": 1.2, "Haystack": 2.1}, bar=8, ratio_bar=5)
TIME = Figure("price of a call", "us", 20, "less", {"LiteLLM": 200}, bar=20)


def test_a_ratio_says_how_many_times_better() -> None:
    assert SPEED.ratio == pytest.approx(7)
    assert TIME.ratio == pytest.approx(10)
    assert Figure("memory", "MiB", 90, "less").ratio is None


@pytest.mark.parametrize(
    ("figure", "holds"),
    [
        (SPEED, True),
        (TIME, True),
        (Figure("ingest", "MB/s", 7.9, "more", bar=8), False),
        (Figure("ingest", "MB/s", 9, "more", {"LlamaIndex": 2}, bar=8, ratio_bar=5), False),
        (Figure("ingest", "MB/s", 9, "more", bar=8, ratio_bar=5), True),
        (Figure("price", "us", 20.1, "less", bar=20), False),
        (Figure("memory", "MiB", 90, "less", {"LlamaIndex": 50}), None),
    ],
)
def test_a_bar_holds_or_not(figure: Figure, holds: bool | None) -> None:
    assert figure.holds is holds


def test_the_table_has_a_column_for_each_contender() -> None:
    slow = Figure("question, p99", "ms", 51.2, "less", bar=50)
    assert table((SPEED, TIME, slow)).splitlines() == [
        "measured         unit  ragkit  LlamaIndex  Haystack  LiteLLM  ratio  bar",
        "ingest           MB/s     8.4         1.2       2.1           7.0x   >= 8, >= 5x  pass",
        "price of a call  us      20.0                            200  10.0x  <= 20        pass",
        "question, p99    ms      51.2                                        <= 50        MISSED",
    ]


def test_figures_reach_whoever_started_the_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(SPEED)
    place = tmp_path / "figures.jsonl"
    assert read(place) == []
    monkeypatch.setenv(KEPT_IN, str(place))
    keep(SPEED, TIME)
    keep(TIME)
    assert read(place) == [SPEED, TIME, TIME]
    assert to_json(TIME)["ratio"] == 10
    assert to_json(TIME)["holds"] is True
