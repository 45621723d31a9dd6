"""The router of a process: what it remembers of conversations, and whom it keeps apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from ragkit.citation import Verified
from ragkit.models import Catalogue
from ragkit.nouns import Account, Chunk, Model, Prefix, Prompt, Query, Request, Route, Turn
from ragkit.outcome import Outcome, Ready
from ragkit.routing.cost import Warmth
from ragkit.routing.signals import CONVERSATIONS, TALLIES, Router
from ragkit.settings import RoutingSettings
from ragkit.structured import answer_schema

SONNET = Model("claude-sonnet-5-5", "anthropic", "medium", "claude-sonnet-5-5", 1024, "low")
OPUS = Model("claude-opus-5-5", "anthropic", "large", "claude-opus-5-5", 1024, "medium")
FIRST = "How many litres does a standard tank of type 400 hold?"
SECOND = "How many litres does a standard tank of type 500 hold?"
TALK = Query(SECOND, history=(Turn("user", FIRST), Turn("assistant", "400.")))
WARM = Warmth("claude-opus-5-5", "medium", 1.0, 28_000, "5m", 1.0, 28_000)
COLD = Warmth("claude-sonnet-5-5", "low", 0.0, 28_000, "5m", 1e9, 28_000)
"""Nearly free in the long run, and dear now."""
CHUNK = Chunk("c", "d", "manual.md", "text", 0, 4, 0, 20_000)


def router() -> Router:
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    return Router(RoutingSettings(switching=0.0), (SONNET, OPUS), Catalogue.load(), {}, lambda: moment)


def test_a_conversation_stays_with_its_model_where_leaving_it_costs_too_much() -> None:
    one = router()
    assert one.decide(replace(TALK, text=FIRST, history=(), model="large"), (), 0.0).route.model == OPUS
    fresh = router().decide(TALK, (CHUNK,), 0.0, warmth=(WARM, COLD)).route
    stayed = one.decide(TALK, (CHUNK,), 0.0, warmth=(WARM, COLD)).route
    assert (fresh.model.id, stayed.model.id) == (SONNET.id, OPUS.id)
    assert "stays with" in stayed.reason


def test_another_tenant_with_the_same_words_is_another_conversation() -> None:
    one = router()
    one.decide(replace(TALK, text=FIRST, history=(), model="large"), (), 0.0)
    other = one.decide(replace(TALK, account=Account("globex")), (CHUNK,), 0.0, warmth=(WARM, COLD)).route
    assert other.model.id == SONNET.id


def test_only_so_many_conversations_are_remembered() -> None:
    one = router()
    for number in range(CONVERSATIONS + 10):
        one.decide(Query(f"question {number}"), (), 0.0)
    assert len(one._sessions) == CONVERSATIONS


def test_nothing_that_was_said_is_kept_of_a_conversation() -> None:
    """However long it is: what is remembered is its digest."""
    one = router()
    one.decide(replace(TALK, text="secret words " * 10_000), (), 0.0)
    (kept,) = one._sessions
    assert len(kept) <= 64
    assert "secret" not in kept


def test_only_so_many_tallies_are_kept() -> None:
    one, route = router(), Route(SONNET, 0.0, "")
    prompt = Prompt("", Prefix(), "", (), "?")
    ready = Ready(Request(prompt, SONNET, answer_schema(None).schema, 64), route, ())
    outcome = Outcome((), Verified("Yes.", ()), route)
    for number in range(TALLIES + 10):
        one.escalate(ready, outcome, Query("?", Account(f"tenant {number}")))
    assert len(one._tallies) == TALLIES
