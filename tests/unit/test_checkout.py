"""What an order holds: enough for the dearest that a call can be billed, and no more than it may still need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ragkit.budget import Budget
from ragkit.caching.rent import Rented, Renting
from ragkit.calls.attempt import Attempt
from ragkit.checkout import Order, Payer, checkout
from ragkit.errors import BudgetExceeded, InvalidAnswer, LedgerError, ProviderError, Unavailable
from ragkit.ledger import Purchase
from ragkit.ledgers.sql import Options, SqlLedger
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.models import Catalogue
from ragkit.nouns import Account, CacheTtl, Model, Prefix, Prompt, Request, Schema, Usage
from ragkit.tokens import upper_bound_tokens
from ragkit.window import parse_window

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CATALOGUE = Catalogue.load()
OPUS = Model("claude-opus-5-5", "anthropic", "large", "claude-opus-5-5")
LUNA = Model("gpt-6-luna", "openai", "small", "gpt-6-luna")
ROUTED_LUNA = Model("openai/gpt-6-luna", "gateway", "small", "gpt-6-luna")
FLASH = Model("gemini-3.5-flash", "gemini", "medium", "gemini-3.5-flash")
COPIED = Model("extractive", "extractive", "extractive")
SCHEMA = Schema("answer", {"type": "object", "properties": {"text": {"type": "string"}}})


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    opened = open_sqlite(tmp_path / "ledger.db")
    yield opened
    await opened.aclose()


def order(ledger: SqlLedger, cap: int | None = None) -> Order:
    return Order(Payer(ledger, CATALOGUE, Account(), NOW, cap), "one", None)


def request(model: Model, ttl: CacheTtl | None = None) -> Request:
    prefix = Prefix("Documents: the pump lasts. " * 40, marked=ttl is not None, ttl=ttl)
    prompt = Prompt("Answer from the documents, and from nothing else. " * 30, prefix, "", (), "How long?")
    return Request(prompt, model, SCHEMA, 1000)


def attempt(model: Model, usage: Usage | None) -> Attempt:
    outcome = "ok" if usage is not None and usage.output else "RateLimited"
    return Attempt("generate", model.provider, model.id, usage, 0.1, 1, "", outcome)


async def test_instructions_and_schema_before_a_mark_are_held_as_written(ledger: SqlLedger) -> None:
    asked = request(OPUS, "1h")
    spec = CATALOGUE.model("claude-opus-5-5")
    head = (asked.prompt.system, str(SCHEMA.json_schema), asked.prompt.prefix.text)
    written = sum(upper_bound_tokens(text, spec) for text in head)
    usage = Usage(cache_write_1h=written, input=upper_bound_tokens(asked.prompt.question, spec), output=1000)
    assert order(ledger).bound(asked) >= CATALOGUE.cost(usage, spec.id, at=NOW).pico


async def test_a_gateway_may_write_to_a_cache_what_nobody_marked(ledger: SqlLedger) -> None:
    assert order(ledger).bound(request(ROUTED_LUNA)) > order(ledger).bound(request(LUNA))


async def test_a_failed_attempt_that_cost_nothing_leaves_a_question_its_whole_limit(ledger: SqlLedger) -> None:
    asked = request(OPUS)
    buying = order(ledger, cap=order(ledger).bound(asked))
    for _ in range(3):
        assert (await buying.admit(asked)).max_output == 1000
        buying.record(attempt(OPUS, Usage()), OPUS, asked.prompt)


async def test_a_failed_attempt_that_cost_nothing_leaves_a_budget_as_it_was(ledger: SqlLedger) -> None:
    asked = request(OPUS)
    limit = order(ledger).bound(asked)
    await ledger.set_budget(Budget("all", "", parse_window("month"), limit))
    buying = order(ledger)
    for _ in range(3):
        assert (await buying.admit(asked)).max_output == 1000
        buying.record(attempt(OPUS, Usage()), OPUS, asked.prompt)
    await buying.close(answered=False)
    (standing,) = await ledger.standings(Purchase(Account(), 0, OPUS.id))
    assert standing.left_pico == limit


async def test_what_was_spent_counts_against_the_limit_of_a_question(ledger: SqlLedger) -> None:
    asked = request(OPUS)
    worst = order(ledger).bound(asked)
    buying = order(ledger, cap=worst)
    await buying.admit(asked)
    buying.record(attempt(OPUS, Usage(input=500, output=1000)), OPUS, asked.prompt)
    with pytest.raises(BudgetExceeded):
        await buying.admit(asked)


async def test_an_attempt_of_unknown_cost_counts_with_all_that_was_held_for_it(ledger: SqlLedger) -> None:
    asked = request(OPUS)
    buying = order(ledger, cap=2 * order(ledger).bound(asked) - 1)
    await buying.admit(asked)
    buying.record(attempt(OPUS, None), OPUS, asked.prompt)
    assert (await buying.admit(asked)).max_output < 1000


async def test_a_free_step_in_between_gives_no_hold_back_that_was_spent(ledger: SqlLedger) -> None:
    asked = request(OPUS)
    await ledger.set_budget(Budget("all", "", parse_window("month"), 10 * order(ledger).bound(asked)))
    buying = order(ledger)
    await buying.admit(asked)
    buying.record(attempt(OPUS, Usage(input=500, output=10)), OPUS, asked.prompt)
    buying.record(attempt(COPIED, Usage()), COPIED, asked.prompt)
    await buying.admit(asked)
    (standing,) = await ledger.standings(Purchase(Account(), 0, OPUS.id))
    assert standing.held_pico == 2 * order(ledger).bound(asked)


@pytest.mark.parametrize("failing", [False, True])
async def test_a_receipt_that_the_ledger_cannot_take_is_on_the_error(tmp_path: Path, failing: bool) -> None:
    """The file of the ledger is moved away while the model writes; the hold lapses, and what it held is posted."""
    file, now = tmp_path / "books" / "ledger.db", NOW
    ledger = open_sqlite(file, Options(clock=lambda: now))
    asked = request(OPUS)
    buying = order(ledger)
    with pytest.raises(InvalidAnswer if failing else LedgerError) as failed:
        async with checkout(buying):
            await buying.admit(asked)
            buying.record(attempt(OPUS, Usage(input=500, output=1000)), OPUS, asked.prompt)
            file.parent.rename(tmp_path / "away")
            if failing:
                raise InvalidAnswer("the answer was cut")
    assert failed.value.receipt is not None
    assert failed.value.receipt.cost_pico == CATALOGUE.cost(Usage(input=500, output=1000), OPUS.id, at=NOW).pico
    assert any("not on the ledger" in note for note in getattr(failed.value, "__notes__", ())) == failing
    (tmp_path / "away").rename(file.parent)
    now += timedelta(hours=1)
    await ledger.sweep()
    audit = await ledger.audit()
    assert (audit.open_holds, audit.held_pico, audit.posted_pico) == (0, 0, order(ledger).bound(asked))
    await ledger.aclose()


class Vague:
    """A landlord whose answers are lost, or who refuses."""

    def __init__(self, error: ProviderError) -> None:
        self._error = error

    async def rent(self, request: Request, seconds: int) -> Rented:
        raise self._error

    async def renew(self, request: Request, seconds: int) -> None:
        raise self._error

    def forget(self, request: Request) -> None: ...


@pytest.mark.parametrize(
    ("error", "costs"), [(Unavailable("no answer"), [None]), (Unavailable("unreachable", usage=Usage()), [])]
)
async def test_rent_that_may_have_been_paid_is_on_the_receipt(
    ledger: SqlLedger, error: ProviderError, costs: list[int | None]
) -> None:
    buying = order(ledger)
    await Renting(CATALOGUE, NOW.timestamp).ensure(request(FLASH), Vague(error), buying, wanted=True)
    receipt = await buying.close(answered=True)
    assert [event.cost_pico for event in receipt.events] == costs
    assert (receipt.cost_pico is None) == bool(costs)
