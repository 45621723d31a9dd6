"""When a mark pays, for how long, and when nothing more is risked."""

from datetime import UTC, datetime

import pytest

from ragkit.caching.file import CacheFile
from ragkit.caching.line import Kind
from ragkit.caching.policy import LOCAL, Arrivals, Balance, Terms, choose_terms, terms_of
from ragkit.caching.prefix import Asked, Prefixes
from ragkit.caching.versions import Head
from ragkit.models import Catalogue
from ragkit.nouns import Chunk, Model, Usage
from ragkit.prompt import SYSTEM, render_prefix
from ragkit.settings import CacheSettings

AT = datetime(2026, 11, 24, tzinfo=UTC)
CATALOGUE = Catalogue.load()
PLAIN = Usage(input=1000)
WRITE, READ = Usage(input=100, cache_write_5m=1000), Usage(input=100, cache_read=1000)


def terms(model: str) -> tuple[Terms, ...]:
    return terms_of(CATALOGUE.bands(model, at=AT)[0], CATALOGUE.model(model).cache_ttls)


@pytest.mark.parametrize(
    ("model", "ttl", "least"),
    [
        ("claude-haiku-5-5", "5m", 0.217),
        ("claude-haiku-5-5", "1h", 0.526),
        ("claude-sonnet-5-5", "5m", 0.208),
        ("claude-opus-5-5", "1h", 0.513),
        ("gpt-6.1-terra", "30m", 0.208),
    ],
)
def test_a_write_pays_from_the_chance_that_prices_give(model: str, ttl: str, least: float) -> None:
    found = next(it for it in terms(model) if it.ttl == ttl)
    assert found.break_even == pytest.approx(least, abs=0.001)
    assert found.average(found.break_even) == pytest.approx(found.plain)


def test_a_cache_without_marks_pays_with_the_first_question_that_returns() -> None:
    (automatic,) = terms("gemini-3.8-flash")
    assert (automatic.ttl, automatic.break_even) == (None, 0.0)
    assert LOCAL.break_even == 0.0


def arrivals(*gaps: float) -> Arrivals:
    found, now = Arrivals(), 0.0
    found.add(now)
    for gap in gaps:
        now += gap
        found.add(now)
    return found


@pytest.mark.parametrize(
    ("gaps", "ttl"),
    [
        ((), None),
        ((7000.0,) * 20, None),
        ((10.0,) * 20, "5m"),
        ((1500.0,) * 20, "1h"),
        ((10.0, 10.0, 10.0, 7000.0) * 5, "5m"),
        ((200.0, 900.0) * 10, "1h"),
    ],
)
def test_the_lifetime_follows_the_gaps_between_questions(gaps: tuple[float, ...], ttl: str | None) -> None:
    choice = choose_terms(terms("claude-sonnet-5-5"), arrivals(*gaps))
    assert (choice.terms.ttl if choice.terms else None) == ttl
    assert choice.reason


def test_a_model_without_a_cache_is_never_marked() -> None:
    assert choose_terms((), arrivals(*[1.0] * 9)).reason == "the model has no prompt cache"


def test_old_habits_are_forgotten() -> None:
    changed = arrivals(*[10.0] * 300, *[9000.0] * 400)
    assert choose_terms(terms("claude-sonnet-5-5"), changed).terms is None


def balance(*usages: Usage, every: float = 10.0) -> Balance:
    found, band = Balance(), CATALOGUE.bands("claude-sonnet-5-5", at=AT)[0]
    for number, usage in enumerate(usages):
        found.add(usage, 0, band, number * every)
    return found


def test_the_balance_is_what_a_bill_would_say() -> None:
    found = balance(WRITE, READ, READ)
    cost = sum(CATALOGUE.cost(usage, "claude-sonnet-5-5", at=AT).pico for usage in (WRITE, READ, READ))
    plain = CATALOGUE.cost(Usage(input=3300), "claude-sonnet-5-5", at=AT).pico
    assert (found.paid_pico, found.plain_pico) == (cost, plain)
    assert not found.objection(100)


def test_a_first_write_may_be_tried_and_no_second_before_it_paid() -> None:
    assert not balance(PLAIN).objection(0)
    assert "cost more" in balance(PLAIN, WRITE).objection(20)
    assert not balance(*[PLAIN] * 40, WRITE).objection(500)
    assert not balance(PLAIN, WRITE, READ).objection(30)


def test_writes_that_are_never_read_are_given_up_and_tried_again_ever_less_often() -> None:
    rich = balance(*[PLAIN] * 400, WRITE, WRITE, WRITE)
    assert "never read" in rich.objection(4030)
    assert not rich.objection(4030 + 3600)
    rich.missed(8000)
    assert rich.objection(8000 + 3700)
    assert not rich.objection(8000 + 7300)


def test_one_read_clears_the_suspicion() -> None:
    assert not balance(*[PLAIN] * 400, WRITE, WRITE, WRITE, READ).objection(4040)


class Documents:
    def __init__(self, *chunks: Chunk) -> None:
        self.held = chunks

    async def chunks(self, tenant: str, document_id: str) -> tuple[Chunk, ...]:
        return tuple(chunk for chunk in self.held if chunk.document_id == document_id)


def chunk(number: int, words: int = 120) -> Chunk:
    text = f"Chunk {number} says this. " + "The pump runs well. " * (words // 4)
    return Chunk(f"c{number}", f"d{number}", f"d{number}.md", text, 0, len(text), 0, words)


async def reason(model: str, *, gap: float = 10.0, words: int = 400, texts: tuple[str, ...] = ()) -> str:
    """Why the last of forty questions about one chunk went out as it did."""
    now = 0.0
    settings = CacheSettings(max_tokens=120_000)
    prefixes = Prefixes(CATALOGUE, CacheFile(None), settings, Head(SYSTEM, render_prefix), lambda: now + AT.timestamp())
    only = chunk(1, words)
    kind = Kind("acme", (), Model(model, "any", "small", model if "-" in model else None), "s")
    for _ in range(40):
        now += gap
        async with prefixes.taken(Asked(kind, (only,), texts), Documents(only), "v1") as taken:
            taken.began()
    return taken.prefix.reason


async def test_every_no_has_a_reason() -> None:
    assert "read: it is warm" in await reason("claude-sonnet-5-5")
    assert "a write pays from" in await reason("claude-sonnet-5-5", gap=9000)
    assert "shorter than" in await reason("claude-opus-4-6", words=100)
    assert "every token gets dearer" in await reason("claude-haiku-5-5", texts=("word " * 90_000,))


async def test_free_local_work_is_ordered_for_its_cache_too() -> None:
    assert "read" in await reason("local")


async def test_a_question_on_its_way_does_not_warm_the_version_that_replaced_its_own() -> None:
    now = 0.0
    prefixes = Prefixes(
        CATALOGUE, CacheFile(None), CacheSettings(), Head(SYSTEM, render_prefix), lambda: now + AT.timestamp()
    )
    only = chunk(1, 400)
    asked = Asked(
        Kind("acme", (), Model("claude-sonnet-5-5", "anthropic", "medium", "claude-sonnet-5-5"), "s"), (only,)
    )
    for _ in range(30):
        now += 10
        async with prefixes.taken(asked, Documents(only), "v1") as taken:
            taken.began()
    (line,) = prefixes.lines.loaded()
    async with prefixes.taken(asked, Documents(only), "v1") as taken:
        assert taken.prefix.marked
        await prefixes.revalidate("acme", Documents())
        taken.began()
        assert (line.version, line.warm_until) == (None, 0.0)


async def test_an_extractive_answer_needs_no_prefix() -> None:
    prefixes = Prefixes(CATALOGUE, CacheFile(None), CacheSettings(), Head(SYSTEM, render_prefix))
    kind = Kind("acme", (), Model("extractive", "extractive", "extractive"), "s")
    async with prefixes.taken(Asked(kind, (chunk(1),)), Documents(), "v1") as taken:
        assert taken.prefix.reason == "no model is asked"


def test_kinds_are_told_apart_by_all_that_a_cache_depends_on() -> None:
    model = Model("m", "p", "small")
    kinds = [
        Kind("a", (), model, "s"),
        Kind("b", (), model, "s"),
        Kind("a", (("x", "y"),), model, "s"),
        Kind("a", (), model, "t"),
        Kind("a", (), Model("m", "p", "small", effort="low"), "s"),
        Kind("a", (), Model("m", "q", "small"), "s"),
    ]
    assert len({kind.key for kind in kinds}) == len(kinds)
    assert len({kind.scope for kind in kinds}) == 3
