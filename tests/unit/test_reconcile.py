"""The ledger beside an invoice: what agrees, what becomes known, and what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ragkit.errors import ConfigError
from ragkit.ledger import Posting
from ragkit.reports.reconcile import Difference, Line, concerning, read_invoice, reconcile, reconciliation_to_json

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


def known(request: str, pico: int, *, estimated: bool = False) -> Posting:
    return Posting(AT, f"r-{request}", "", "small", pico, pico, estimated, request)


def unknown(receipt: str, pico: int, request: str | None = None, model: str = "small") -> Posting:
    return Posting(AT, receipt, "", model, pico, None, False, request)


def lapsed(hold: str, pico: int, model: str = "small") -> Posting:
    return Posting(AT, "", hold, model, pico, pico, False, None)


def line(id_: str, pico: int, model: str = "small", after: float = 1.0) -> Line:
    return Line(id_, AT + timedelta(seconds=after), model, pico)


def test_what_is_known_agrees_by_request() -> None:
    found = reconcile([known("a", 5), known("b", 0)], [line("a", 5)])
    assert found.clean
    assert (found.agreed, found.difference_pico, found.unknown_pico) == (1, 0, 0)


def test_where_no_id_is_told_equal_amounts_agree() -> None:
    nameless = [Posting(AT, f"r-{number}", "", "embedder", 7, 7, False, None) for number in range(2)]
    found = reconcile(nameless, [line("x", 7, "embedder"), line("y", 7, "embedder")])
    assert found.clean
    assert (found.agreed, found.difference_pico) == (2, 0)
    assert not reconcile(nameless, [line("x", 7, "embedder"), line("y", 8, "embedder")]).clean


def test_a_request_that_is_billed_twice_is_wrong() -> None:
    found = reconcile([known("a", 5)], [line("a", 5), line("a", 5)])
    assert found.wrong == (Difference("a", 5, 10),)
    assert found.difference_pico == -5


def test_unknown_and_estimated_costs_become_known() -> None:
    postings = [unknown("r", 50, "a"), known("b", 7, estimated=True), unknown("s", 30), lapsed("h", 40)]
    found = reconcile(postings, [line("a", 9), line("b", 8), line("x", 12), line("y", 33)])
    assert found.clean
    assert (found.ledger_pico, found.invoice_pico, found.unknown_pico, found.difference_pico) == (127, 62, 65, 0)
    assert set(found.settled) == {
        Difference("a", 50, 9),
        Difference("b", 7, 8),
        Difference("s", 30, 12),
        Difference("h", 40, 33),
    }


def test_an_unknown_call_that_was_never_billed_cost_nothing() -> None:
    found = reconcile([lapsed("h", 40)], [])
    assert found.clean
    assert found.settled == (Difference("h", 40, 0, 0),)
    assert (found.unknown_pico, found.difference_pico) == (40, 0)


def test_a_lapsed_hold_that_was_settled_late_is_no_open_end() -> None:
    found = reconcile([lapsed("h", 40), lapsed("h", -40), known("a", 5)], [line("a", 5)])
    assert found.settled == ()
    assert found.difference_pico == 0


def test_attempts_of_one_receipt_share_what_was_set_aside() -> None:
    found = reconcile([unknown("r", 50), unknown("r", 0)], [line("x", 20), line("y", 25)])
    assert found.clean
    assert found.settled == (Difference("r", 50, 45, 2),)


@pytest.mark.parametrize(
    "billed",
    [line("x", 41), line("x", 12, "large"), line("x", 12, after=3600), line("x", 12, after=-3600)],
    ids=["too dear", "another model", "too late", "too early"],
)
def test_a_line_that_nothing_explains_is_missing(billed: Line) -> None:
    found = reconcile([lapsed("h", 40)], [billed])
    assert not found.clean
    assert found.missing == (billed,)
    assert found.difference_pico == -billed.pico


def test_an_exact_cost_that_differs_is_wrong_and_one_that_is_not_billed_is_told() -> None:
    found = reconcile([known("a", 5), known("b", 6)], [line("a", 4)])
    assert not found.clean
    assert (found.wrong, found.unbilled) == ((Difference("a", 5, 4),), (Difference("b", 6, 0, 0),))
    assert found.difference_pico == 7
    told = reconciliation_to_json(found)
    assert told["wrong"] == [{"what": "a", "posted_usd": "0.000000000005", "billed_usd": "0.000000000004", "lines": 1}]
    assert not told["clean"]


def test_models_are_compared_by_the_name_that_both_sides_mean() -> None:
    found = reconcile([lapsed("h", 40, "small")], [line("x", 12, "SMALL-2026")], canonical=lambda n: n.lower()[:5])
    assert found.clean


def test_an_invoice_is_read_from_csv_and_json(tmp_path: Path) -> None:
    rows = [{"id": "a", "at": "2026-11-24T12:00:00", "model": "small", "amount_usd": "0.000000000005"}]
    (tmp_path / "it.csv").write_text("id,at,model,amount_usd,more\na,2026-11-24T12:00:00,small,0.000000000005,x\n")
    (tmp_path / "it.json").write_text(json.dumps({"lines": rows}))
    wanted = (Line("a", AT, "small", 5),)
    assert read_invoice(tmp_path / "it.csv") == read_invoice(tmp_path / "it.json") == wanted


def test_lines_without_an_id_are_one_request_each() -> None:
    nameless = [Posting(AT, f"r-{number}", "", "embedder", 7, 7, False, None) for number in range(2)]
    found = reconcile(nameless, [line("", 7, "embedder"), line("", 7, "embedder")])
    assert (found.clean, found.agreed) == (True, 2)
    left = reconcile(nameless, [line("", 7, "embedder"), line("", 7, "embedder"), line("", 9, "embedder")])
    assert [(it.id, it.pico) for it in left.missing] == [("line 3", 9)]


def test_other_providers_and_the_invoices_before_and_after_are_left_out() -> None:
    ours, theirs = known("a", 5), Posting(AT, "r-v", "", "voyage-4", 3, 3, False, None)
    billed = [line("a", 5)]
    providers = {"small": "anthropic", "voyage-4": "voyage"}
    assert concerning([ours, theirs], billed, providers.__getitem__) == (ours,)
    early = replace(known("b", 9), at=AT - timedelta(minutes=10))
    late = replace(known("c", 9), at=AT + timedelta(minutes=10))
    found = reconcile([early, ours, late], billed)
    assert (found.clean, found.ledger_pico, found.difference_pico) == (True, 5, 0)


def test_amounts_and_ids_of_an_invoice_are_read_as_they_stand(tmp_path: Path) -> None:
    row = '{"id": null, "at": "2026-11-24T12:00:00", "model": "small", "amount_usd": 0.000000000005}'
    (tmp_path / "it.json").write_text('{"lines": [' + row + "]}")
    (tmp_path / "it.csv").write_text(
        '\ufeffid,at,model,amount_usd,note\n,2026-11-24T12:00:00,small,0.000000000005,"two\nlines"\n', encoding="utf-8"
    )
    wanted = (Line("", AT, "small", 5),)
    assert read_invoice(tmp_path / "it.csv") == read_invoice(tmp_path / "it.json") == wanted


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "id,at,model,amount_usd\na,today,small,1\n"])
def test_what_is_no_invoice_says_what_one_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "it.csv").write_text(text)
    if not text:
        assert read_invoice(tmp_path / "it.csv") == ()
        return
    with pytest.raises(ConfigError, match="needs id, at, model and amount_usd"):
        read_invoice(tmp_path / "it.csv")
