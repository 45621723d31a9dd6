"""Suites on a real index, real SDKs and the twin: compared, resumed, priced beforehand and billed to the last digit."""

import json
from pathlib import Path

import pytest

from ragkit.errors import ConfigError
from ragkit_eval.estimate import estimate_suite
from ragkit_eval.loaders import Source
from ragkit_eval.run import Place, Progress, forget, run_suite
from ragkit_eval.sandbox import Base, merged, twin_overlay
from ragkit_eval.suite import DataTable, Setup, Suite
from ragkit_eval.summary import summarize
from ragkit_eval.twin.fixture import running_twin
from ragkit_eval.twin.world import Options

PARTS = ("filter", "valve", "motor", "seal", "rotor", "gauge", "hose", "clamp", "spring", "bearing")
HAIKU = {"answer": {"model": "anthropic/claude-haiku-5-5", "minimum_evidence": 0.0}}
OPUS = {"answer": {"model": "anthropic/claude-opus-5-5", "minimum_evidence": 0.0}, "reranker": {"name": "none"}}


@pytest.fixture
def source(tmp_path: Path) -> Source:
    folder = tmp_path / "set"
    folder.mkdir()
    corpus, queries, qrels = [], [], ["query-id\tcorpus-id\tscore"]
    for number, part in enumerate(PARTS):
        life = 100 + 7 * number
        text = f"The {part} of the pump is made of steel.\n\nThe {part} must be replaced every {life} hours.\n\n"
        corpus.append({"id": f"d{number}", "title": f"Care of the {part}", "text": text + "Clean it with water. " * 30})
        queries.append({"id": f"q{number}", "text": f"When is the {part} replaced?", "answers": [f"{life} hours"]})
        qrels.append(f"q{number}\td{number}\t1")
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)), encoding="utf-8")
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    (folder / "qrels.tsv").write_text("\n".join(qrels), encoding="utf-8")
    return Source("pump", "beir", folder)


def suite(*setups: Setup) -> Suite:
    chosen = setups or (Setup(name="opus", overlay=OPUS), Setup(name="haiku", overlay=HAIKU))
    return Suite(data=(DataTable(set="pump"),), setups=chosen)


def place(tmp_path: Path, heard: list[Progress] | None = None) -> Place:
    return Place(tmp_path / "out", Base(None, {}), (heard if heard is not None else []).append)


async def test_set_ups_are_compared_and_every_cent_is_on_the_twins_invoice(tmp_path: Path, source: Source) -> None:
    heard: list[Progress] = []
    found = await run_suite(suite(), [source], place(tmp_path, heard))
    assert found.difference_pico == 0
    dear, cheap = summarize(found.rows, "opus")
    assert (dear.questions, dear.failed, cheap.failed) == (10, 0, 0)
    assert dear.scores["in_context"] == cheap.scores["in_context"] == 1.0
    assert cheap.scores["contains"] == 1.0
    assert dear.cost_pico > 20 * cheap.cost_pico > 0
    assert cheap.differences["cost_pico"].certain
    assert cheap.differences["cost_pico"].mean < 0
    assert (heard[-1].done, heard[-1].total) == (20, 20)


async def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, source: Source) -> None:
    whole = await run_suite(suite(), [source], place(tmp_path))
    file = tmp_path / "out" / "rows.jsonl"
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:13]) + lines[13][:40], encoding="utf-8")
    heard: list[Progress] = []
    again = await run_suite(suite(), [source], place(tmp_path, heard))
    assert len(heard) == 7
    assert [row.key for row in again.rows] == [row.key for row in whole.rows]
    assert [row.scores for row in again.rows] == [row.scores for row in whole.rows]


async def test_results_of_another_suite_are_not_mixed_in(tmp_path: Path, source: Source) -> None:
    await run_suite(suite(), [source], place(tmp_path))
    other = suite(Setup(name="haiku", overlay=HAIKU))
    with pytest.raises(ConfigError, match="--fresh"):
        await run_suite(other, [source], place(tmp_path))
    forget(tmp_path / "out")
    assert len((await run_suite(other, [source], place(tmp_path))).rows) == 10


async def test_a_dry_run_prices_the_run_within_five_percent(tmp_path: Path, source: Source) -> None:
    estimates = await estimate_suite(suite(), [source], place(tmp_path))
    found = await run_suite(suite(), [source], place(tmp_path))
    for estimate, line in zip(estimates, summarize(found.rows, "opus"), strict=True):
        assert abs(estimate.pico - line.cost_pico) <= 0.05 * line.cost_pico
        assert estimate.low_pico <= estimate.pico <= estimate.high_pico


async def test_wrong_settings_of_a_set_up_end_the_run(tmp_path: Path, source: Source) -> None:
    wrong = suite(Setup(name="wrong", overlay={"reranker": {"name": "no-such"}}))
    with pytest.raises(ConfigError, match="no reranker is called 'no-such'"):
        await run_suite(wrong, [source], place(tmp_path))


async def test_a_run_in_batches_costs_half_at_most(tmp_path: Path, source: Source) -> None:
    plain = {**HAIKU, "cache": {"prefix": False, "answers": False}}
    live = await run_suite(suite(Setup(name="haiku", overlay=plain)), [source], place(tmp_path))
    with running_twin(options=Options(batch_seconds=0.05)) as twin:
        overlay = merged(twin_overlay(twin), plain)
        waiting = suite(Setup(name="haiku", overlay=overlay)).model_copy(update={"mode": "batch"})
        where = Place(tmp_path / "batched", Base(None, {}), poll=0.1)
        batched = await run_suite(waiting, [source], where)
        billed = sum(row.cost_pico or 0 for row in batched.rows)
        assert billed == twin.invoice.total_pico
    assert 0 < billed * 2 <= sum(row.cost_pico or 0 for row in live.rows)
    assert [row.scores["in_context"] for row in batched.rows] == [1.0] * 10
    assert all(sum(row.savings.values()) == row.baseline_pico - (row.cost_pico or 0) for row in batched.rows)


async def test_a_judge_grades_and_is_paid_apart(tmp_path: Path, source: Source) -> None:
    judged = suite(Setup(name="haiku", overlay=HAIKU)).model_copy(update={"judge": "anthropic/claude-sonnet-5-5"})
    found = await run_suite(judged, [source], place(tmp_path))
    assert found.difference_pico == 0
    assert found.judged_pico > sum(row.cost_pico or 0 for row in found.rows) > 0
    assert all(0 <= row.scores["judge"] <= 1 for row in found.rows)
