"""Every page does what it is for, in a real browser before a real service; the twin is the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chromium import Chromium, Page
from ragkit.money import from_usd
from ragkit_eval.twin.faults import Fault
from tests.integration.batch_world import DONE
from tests.integration.context_world import HAIKU
from tests.integration.context_world import MANUAL as PARTS

MANUAL = """# Pump manual 🛠️

## Filters

🧪🧪 The filter must be replaced every 400 hours of operation. A clogged filter raises the pressure.

## Warranty

The 🏭 warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.
"""
CONTEXTS = f'[ingest]\ncontext = "batch"\ncontext_model = "{HAIKU}"\ntarget_tokens = 80\nmax_tokens = 160\n'
QUESTION = "How long does the warranty of the pump last?"


def ask(page: Page, question: str) -> None:
    answered = page.js("document.querySelectorAll('.feedback').length")
    page.write("#question", question)
    page.press("Enter")
    page.wait(f"document.querySelectorAll('.feedback').length > {answered}")


def test_an_answer_opens_its_source_at_the_quote_and_its_bill_adds_up(chromium: Chromium, tenant: Any) -> None:
    tenant.upload(pump_md=MANUAL)
    with chromium.page() as page:
        tenant.enter(page)
        page.see("1 document is there to answer from")
        ask(page, QUESTION)
        page.see("five years", ".answer")
        page.click(".cite")
        quote = page.text("dialog mark")
        assert "warranty of the pump lasts for five years" in quote
        assert quote in MANUAL
        page.dismiss()
        assert page.js("document.activeElement.className") == "cite"
        page.see("simulated", ".bill summary")
        page.click(".bill summary")
        page.see("without levers", ".waterfall")
        steps = page.js("[...document.querySelectorAll('.waterfall li')].map((it) => it.innerText.split('\\n')[0])")
        exact = page.js("[...document.querySelectorAll('.waterfall data')].map((it) => it.title.replace('$', ''))")
        signs = page.js("[...document.querySelectorAll('.waterfall .value')].map((it) => it.textContent[0])")
        receipt = tenant.get(f"/v1/receipts/{page.text('.receipt code')}")
        shown = [from_usd(amount) for amount in exact]
        assert steps == ["without levers", *(it["lever"] for it in receipt["savings"]), "paid"]
        assert sum(shown[:-1]) == shown[-1] == from_usd(receipt["cost_usd"])
        assert [sign == "+" for sign in signs[1:-1]] == [it["usd"].startswith("-") for it in receipt["savings"]]
        page.see("any model is good enough", ".receipt")
        assert page.problems == []


def test_an_answer_is_rated_and_followed_up(chromium: Chromium, tenant: Any) -> None:
    tenant.upload(pump_md=MANUAL)
    with chromium.page() as page:
        tenant.enter(page)
        ask(page, QUESTION)
        page.click(".feedback button")
        page.see("Thank you.", ".feedback")
        assert page.js("document.querySelector('.feedback button').getAttribute('aria-pressed')") == "true"
        page.write(".comment input", "found it at once")
        page.press("Enter")
        page.see("noted", ".feedback")
        said = tenant.get("/v1/feedback")["feedback"]
        assert [(it["rating"], it["comment"]) for it in said] == [("up", "found it at once"), ("up", "")]
        ask(page, "What does the warranty of the pump cover?")
        bodies = [json.loads(it["postData"]) for it in page.requests if it["url"].endswith("/v1/query")]
        assert bodies[1]["history"][0]["text"] == QUESTION
        assert [turn["role"] for turn in bodies[1]["history"]] == ["user", "assistant"]
        page.click("#fresh")
        page.see("Ask your documents")
        assert not page.js("document.querySelectorAll('.turn').length")


def test_an_answer_that_takes_long_can_be_stopped_and_is_settled(chromium: Chromium, tenant: Any) -> None:
    tenant.upload(pump_md=MANUAL)
    tenant.site.twin.faults.set([Fault("slow_first_token", seconds=600.0)])
    with chromium.page() as page:
        tenant.enter(page)
        page.write("#question", QUESTION)
        page.press("Enter")
        page.see("claude-haiku-5-5 (small tier) answers")
        page.click("#stop")
        page.see("What it has cost by then is on the ledger")
        assert page.js("document.activeElement.id") == "question"
        page.until(lambda: tenant.get("/v1/usage")["total"]["questions"] == 1, "the bill to be settled")
        page.click(".turn .notice button")
        assert page.js("document.querySelector('#question').value") == QUESTION


def test_what_cannot_be_answered_says_what_to_do(chromium: Chromium, tenant: Any) -> None:
    with chromium.page() as page:
        tenant.enter(page)
        page.see("There are no documents yet")
        page.write("#question", QUESTION)
        page.press("Enter")
        page.see("No answer is made up", ".turn")
        assert "no answer, nothing was paid" in page.text(".bill summary")
        assert "saved" not in page.text(".bill")
        tenant.upload(pump_md=MANUAL)
        tenant.post("/v1/budgets", {"whom": "tenant", "limit_usd": "0.0000001", "per": "day"}, "PUT")
        page.write("#question", QUESTION)
        page.press("Enter")
        page.see("USD left", ".turn:last-child")
        assert page.js("document.querySelector('.turn:last-child .notice a').pathname") == "/budgets"
        page.click(".turn:last-child .notice button")
        assert page.js("document.querySelector('#question').value") == QUESTION
        tenant.post("/v1/budgets", {"whom": "tenant", "limit_usd": None, "per": "day"}, "PUT")
        tenant.site.twin.faults.set([Fault("refusal")])
        page.press("Enter")
        page.wait("document.querySelectorAll('.turn .notice.error').length === 2")
        page.see("failed", ".turn:last-child .bill summary")
        spent = page.js("document.querySelector('.turn:last-child .bill data').value")
        assert spent == tenant.get("/v1/usage")["total"]["cost_usd"] != "0"
        tenant.site.twin.faults.set([])
        page.click(".turn:last-child .notice button")
        page.press("Enter")
        page.see("five years", ".turn:last-child .answer")


def test_costs_are_those_of_the_ledger_to_the_last_digit(chromium: Chromium, tenant: Any) -> None:
    tenant.upload(pump_md=MANUAL)
    for question in (QUESTION, QUESTION, "How often must the filter be replaced?"):
        tenant.ask(question)
    usage = tenant.get("/v1/usage")
    with chromium.page() as page:
        tenant.enter(page, "/costs")
        exact = page.js("[...document.querySelectorAll('#tiles data')].map((it) => it.title)")
        assert exact[:2] == [f"${usage['total']['cost_usd']}", f"${usage['total']['saved_usd']}"]
        page.see(f"{usage['simulated_events']} of {usage['total']['events']} calls came from simulated", "#labels")
        assert page.js("document.querySelectorAll('.chart svg[role=img]').length") == 2
        assert page.js("document.querySelectorAll('#days tbody tr').length") == 1
        levers = {it["group"]: it["saved_usd"] for it in tenant.get("/v1/usage", by="lever")["lines"]}
        shown = page.js(
            "[...document.querySelectorAll('#parts .bars li')].map((it) =>"
            " [it.querySelector('.name').textContent, it.querySelector('data').title.replace('$', '')])"
        )
        assert dict(shown) == levers
        for by in ("model", "tier", "lane", "kind", "tenant"):
            page.choose("#by", by)
            groups = {it["group"].replace("(none)", "no tier") for it in tenant.get("/v1/usage", by=by)["lines"]}
            names = "[...document.querySelectorAll('#parts tbody th')].map((it) => it.textContent.split(' (steps')[0])"
            page.wait(f"JSON.stringify({json.dumps(sorted(groups))}) === JSON.stringify({names}.sort())")
        page.choose("#per", "day")
        page.see("Expected at the end", "#ahead")
        page.choose("#since", "24h")
        page.wait("!document.querySelector('[aria-busy]')")
        assert page.js("document.querySelector('#tiles data').title") == exact[0]
        assert page.problems == []


def test_what_failed_once_is_asked_for_again(chromium: Chromium, tenant: Any) -> None:
    """All parts that one reply is for come back by the button of any of them."""
    for path, route, parts, change in (
        ("/costs", "/v1/usage?by=day", ("#tiles", "#days"), ("#since", "7d")),
        ("/cache", "/v1/routes", ("#routes", "#latest"), ("#since", "1h")),
    ):
        with chromium.page() as page:
            tenant.enter(page, path)
            page.wait("!document.querySelector('[aria-busy]')")
            page.js(
                "(() => { const real = window.fetch; let left = 1; window.fetch = (where, ...more) =>"
                f" String(where).includes({route!r}) && left-- > 0"
                " ? Promise.reject(new TypeError('away')) : real(where, ...more); return true; })()"
            )
            page.choose(*change)
            for part in parts:
                page.see("Try again", part)
            page.click(f"{parts[0]} button")
            page.wait(
                "!document.querySelector('[aria-busy]') && !document.querySelector('.notice.error')"
                f" && {len(parts)} === [...document.querySelectorAll('{', '.join(parts)}')]"
                ".filter((it) => it.hasChildNodes()).length"
            )


def test_passages_that_wait_for_a_batch_are_told_and_collected(
    chromium: Chromium, serve: Callable[..., Any], tmp_path: Path, pictures: Path
) -> None:
    manual = tmp_path / "manual.md"
    manual.write_text(PARTS, encoding="utf-8")
    with serve(settings=CONTEXTS) as site, chromium.page() as page:
        page.goto(site.url + "/documents")
        page.see("There are no documents yet")
        page.choose_files("#files", manual)
        page.see("A batch is still to bring something for 9 passages", "#jobs")
        page.picture(pictures / "documents-waiting.png")
        site.twin.clock.advance(DONE)
        page.goto(site.url + "/documents")
        page.click("#jobs .waits button")
        page.see("9 contexts came", "#jobs")
        assert not page.js("document.querySelector('.waits')")
        page.picture(pictures / "documents-collected.png")
        assert page.problems == []


def test_documents_are_added_replaced_read_and_deleted(chromium: Chromium, tenant: Any, tmp_path: Path) -> None:
    pump, broken = tmp_path / "pump.md", tmp_path / "broken.pdf"
    pump.write_text(MANUAL, encoding="utf-8")
    broken.write_bytes(b"%PDF-1.4 this is none")
    with chromium.page() as page:
        tenant.enter(page, "/documents")
        page.see("There are no documents yet")
        page.choose_files("#files", pump, broken)
        page.see("1 new, 1 failed", "#jobs")
        page.see("it cannot be opened as a PDF", ".failures")
        page.see("pump.md", "#list")
        pump.write_text(MANUAL.replace("five", "six"), encoding="utf-8")
        page.choose_files("#files", pump)
        page.see("1 updated", "#jobs")
        page.wait("document.querySelector('#list td[data-head=Version]').innerText === '2'")
        page.click("#list .link")
        page.see("six years", "dialog .source")
        page.dismiss()
        page.click("#list .danger")
        assert page.text("dialog h2") == "Delete pump.md?"
        page.press("Enter")  # the focus is on what does nothing
        page.wait("!document.querySelector('dialog')")
        assert tenant.get("/v1/documents")["total"] == 1
        page.click("#list .danger")
        page.click("dialog .danger")
        page.see("There are no documents yet")
        assert tenant.get("/v1/documents")["total"] == 0
        # The reason of a failure is still there when somebody comes back.
        page.goto(tenant.site.url + "/documents")
        page.see("it cannot be opened as a PDF", ".failures")


def test_caches_and_routes_tell_why(chromium: Chromium, tenant: Any) -> None:
    tenant.upload(pump_md=MANUAL)
    with chromium.page() as page:
        tenant.enter(page, "/cache")
        page.see("No model has been asked yet", "#hot")
        for question in (QUESTION, QUESTION):
            tenant.ask(question)
        page.goto(tenant.site.url + "/cache")
        page.see("1 question, 0 marked", "#hot")
        page.see("Why questions went out without a mark", "#hot")
        page.see("1 of 2 answers came from simulated", "#labels")
        page.wait("document.querySelectorAll('#routes tbody tr').length == 2")
        newest = tenant.get("/v1/routes")["latest"]
        reasons = page.js("[...document.querySelectorAll('#latest td[data-head=Why]')].map((it) => it.textContent)")
        assert reasons == [it["reason"] for it in newest]
        page.click("#latest tr:last-child button")
        page.see(newest[-1]["receipt_id"], "dialog .receipt")
        page.dismiss()
        assert page.js("document.activeElement.textContent") == "Receipt"
        assert page.problems == []


def test_budgets_are_set_watched_changed_and_ended(chromium: Chromium, tenant: Any) -> None:
    tenant.upload(pump_md=MANUAL)
    with chromium.page() as page:
        tenant.enter(page, "/budgets")
        page.see("There is no budget.")
        page.click("#add")
        page.write("dialog input[inputmode=decimal]", "0.002")
        page.press("Enter")
        page.see(f"tenant {tenant.name}", "#rules")
        tenant.ask(QUESTION)
        page.goto(tenant.site.url + "/budgets")
        (standing,) = tenant.get("/v1/budgets")["standings"]
        page.see("left of $0.002", "#standings")
        exact = page.js("[...document.querySelectorAll('.standing data')].map((it) => it.title.slice(1))")
        assert exact == [standing[it] for it in ("left_usd", "limit_usd", "spent_usd", "simulated_usd", "held_usd")]
        page.click("#rules button")
        page.write("dialog input[inputmode=decimal]", "5")
        page.press("Enter")
        page.see("left of $5.00", "#standings")
        page.click("#add")
        page.choose("dialog select", "user")
        page.write("dialog label:nth-of-type(2) input", "alice")
        page.write("dialog input[inputmode=decimal]", "1.5")
        page.press("Enter")
        page.see("user alice", "#rules")
        page.click("#rules tr:last-child .danger")
        page.click("dialog .danger")
        page.wait("document.querySelectorAll('#rules tbody tr').length == 1")
        limits = [(it["scope"], it["limit_usd"]) for it in tenant.get("/v1/budgets")["budgets"]]
        assert limits == [("tenant", "5")]
        page.click("#add")
        page.write("dialog input[inputmode=decimal]", "-1")
        page.press("Enter")
        assert page.js("document.querySelector('dialog input[inputmode=decimal]').validity.patternMismatch")
        assert page.problems == []
