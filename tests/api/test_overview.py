"""What the pages are made of: their files and policy, and the routes that were made for them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ragkit.nouns import Account, Event, Receipt, Saving, Usage
from ragkit_api import pages
from ragkit_api.overview import decision_of

MANUAL = "# Pump manual\n\n## Warranty\n\nThe warranty of the pump lasts for five years and covers the motor.\n"
QUESTION = "How long does the warranty of the pump last?"
MODEL = "anthropic/claude-haiku-5-5"
CALL = Event("generate", "small-model", Usage(input=9), 5, 0.1, "simulated: plain", tier="small")


def receipt(*events: Event, savings: tuple[Saving, ...] = ()) -> Receipt:
    return Receipt("r1", datetime(2026, 11, 25, tzinfo=UTC), Account("acme"), events, 100, "note", "prices", savings)


def test_who_am_i_tells_tenant_and_scopes_and_never_the_key(start: Any) -> None:
    running = start()
    key = running.key("acme", "query")
    with running.client(key) as client:
        reply = client.get("/v1/whoami")
    assert {**reply.json(), "version": ""} == {
        "tenant": "acme",
        "key": key.split("_")[1],
        "scopes": ["query"],
        "version": "",
    }
    assert key.split("_", 2)[2] not in reply.text
    with running.client() as client:
        assert client.get("/v1/whoami").json()["error"]["code"] == "unauthorized"


def test_without_keys_one_may_do_everything(start: Any) -> None:
    with start().client() as client:
        found = client.get("/v1/whoami").json()
    assert (found["tenant"], found["key"]) == ("default", None)
    assert found["scopes"] == ["query", "ingest", "admin", "metrics"]


def test_routes_and_prefixes_tell_who_answered_why_and_what_is_simulated(start: Any) -> None:
    running = start(MODEL)
    acme, other = running.client(running.key("acme")), running.client(running.key("other"))
    with acme, other:
        assert acme.get("/v1/cache/prefixes").json() == {"lines": [], "answers": 0}
        running.upload(acme, manual_md=MANUAL)
        answers = [acme.post("/v1/query", json={"question": QUESTION}).json() for _ in range(2)]
        found = acme.get("/v1/routes").json()
        usage = acme.get("/v1/usage").json()
        prefixes = acme.get("/v1/cache/prefixes").json()
        assert (found["questions"], found["simulated"], usage["simulated_events"]) == (2, 1, 1)
        cost = answers[0]["receipt"]["cost_usd"]
        assert usage["total"]["simulated_usd"] == acme.get("/v1/usage/forecast").json()["simulated_usd"] == cost != "0"
        admin = running.client(running.key("acme", "admin"))
        with admin:
            admin.put("/v1/budgets", json={"whom": "tenant", "limit_usd": "5", "per": "total"}).raise_for_status()
        (standing,) = acme.get("/v1/budgets").json()["standings"]
        assert (standing["spent_usd"], standing["simulated_usd"]) == (cost, cost)
        assert {(route["tier"], route["questions"]) for route in found["routes"]} == {("small", 1), ("cache", 1)}
        assert [it["receipt_id"] for it in found["latest"]] == [it["receipt"]["id"] for it in reversed(answers)]
        assert found["latest"][1]["reason"] == answers[0]["route"]["reason"]
        assert found["latest"][1]["cost_usd"] == answers[0]["receipt"]["cost_usd"]
        assert prefixes["answers"] == 1
        assert prefixes["lines"][0]["questions"] == 1
        assert prefixes["lines"][0]["refused"]
        assert (prefixes["lines"][0]["simulated"], prefixes["lines"][0]["simulated_usd"]) == (1, "0")
        assert other.get("/v1/routes").json()["latest"] == []
        assert other.get("/v1/cache/prefixes").json() == {"lines": [], "answers": 0}


def test_the_last_call_made_the_answer() -> None:
    better = Event("generate", "large-model", Usage(), 7, 0.1, "asked again", tier="large")
    found = decision_of(receipt(CALL, better))
    assert found is not None
    assert (found.tier, found.model, found.reason, found.calls) == ("large", "large-model", "asked again", 2)
    assert found.simulated


@pytest.mark.parametrize(
    ("lever", "tier"),
    [("answer cache", "cache"), ("extractive", "extractive"), ("local", "local"), ("abstained", "abstained")],
)
def test_a_lever_tells_who_answered_where_nobody_was_asked(lever: str, tier: str) -> None:
    found = decision_of(receipt(savings=(Saving("trimming", 3), Saving(lever, 97))))
    assert found is not None
    assert (found.tier, found.calls, found.simulated) == (tier, 0, False)


def test_what_was_declined_for_nothing_is_no_answer_of_the_one_that_was_asked() -> None:
    free = Event("generate", "extractive", Usage(), 0, 0.1, "copied", tier="extractive")
    found = decision_of(receipt(free, savings=(Saving("abstained", 100),)))
    assert found is not None
    assert (found.tier, found.model, found.calls) == ("abstained", "extractive", 1)


def test_a_bill_that_no_question_caused_is_no_decision() -> None:
    assert decision_of(receipt(Event("embed", "embedder", Usage(input=9), 5, 0.1, "documents"))) is None


@pytest.mark.parametrize("name", pages.PAGES)
def test_every_page_is_sent_under_its_policy_and_needs_no_key(start: Any, name: str) -> None:
    running = start()
    running.key()
    with running.client() as client:
        reply = client.get(f"/{name}")
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "text/html; charset=utf-8"
        assert reply.headers["content-security-policy"] == pages.POLICY
        assert reply.headers["cache-control"] == "no-cache"
        assert "x-request-id" in reply.headers
        assert "http" not in reply.text.replace("http-equiv", "")
        assert client.get(f"/{name}", headers={"if-none-match": reply.headers["etag"]}).status_code == 304
        refused = client.post(f"/{name}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (405, "method_not_allowed")
        assert "GET" in refused.headers["allow"]


def test_assets_are_files_of_one_folder_and_load_nothing_from_elsewhere(start: Any) -> None:
    files = sorted((pages.HERE / "static").iterdir())
    with start().client() as client:
        for file in files:
            reply = client.get(f"/assets/{file.name}")
            assert reply.status_code == 200, file
            assert reply.headers["x-content-type-options"] == "nosniff"
            addresses = [line for line in reply.text.splitlines() if "://" in line and "www.w3.org" not in line]
            assert not addresses, file
        for name in ("__init__.py", "..%2f__init__.py", "layout.html", "%2e%2e/layout.html", "nothing.js"):
            assert client.get(f"/assets/{name}").status_code == 404


def test_scripts_make_no_markup_of_text() -> None:
    for file in (pages.HERE / "static").glob("*.js"):
        text = file.read_text(encoding="utf-8")
        for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "srcdoc"):
            assert sink not in text, (file.name, sink)
