"""When a prefix is read again without a question: where that costs less than the write it saves, and only there."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ragkit.caching.file import CacheFile
from ragkit.caching.line import Kind, Line, Version, line_to_json, restore_line
from ragkit.caching.policy import SECONDS, Arrivals, Balance, Terms, choose_terms
from ragkit.caching.prefix import Prefixes
from ragkit.caching.refresh_due import Keeping
from ragkit.caching.refresh_worth import CLEARLY, LONGEST, Outlook, Stay, kept_warm, outlook, refresh_verdict
from ragkit.caching.versions import Head
from ragkit.models import Catalogue
from ragkit.nouns import CacheTtl, Model, Prefix, Prompt, Request, Schema, Usage
from ragkit.prompt import SYSTEM, render_prefix
from ragkit.settings import CacheSettings

HOUR = Stay(3600, refresh=0.1, saved=3.9)
"""Claude Sonnet 5.5 for an hour: a read costs 0.1, a write 4."""
STAYS = st.builds(
    Stay,
    st.sampled_from(sorted(SECONDS.values())[:3]),
    st.floats(0.01, 1.0),
    st.floats(0.1, 10.0),
)


def random(rate: float) -> Callable[[float], float]:
    """Questions at random, so many a second."""
    return lambda seconds: exp(-rate * seconds)


def worth(stay: Stay, rate: float) -> float:
    """What one refresh saves where questions come at random: the first comes after the old end and before the new."""
    step = stay.seconds - stay.lead
    return stay.saved * exp(-rate * stay.lead) * (1 - exp(-rate * step))


@given(stay=STAYS)
def test_it_pays_on_one_side_of_the_break_even_and_not_on_the_other(stay: Stay) -> None:
    step = stay.seconds - stay.lead
    low, high = 0.0, log(stay.seconds / stay.lead) / step
    assume(worth(stay, high) > 1.02 * CLEARLY * stay.refresh)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if worth(stay, middle) < CLEARLY * stay.refresh else (low, middle)
    assert outlook(random(high * 1.001), stay, step).pays
    assert not outlook(random(low * 0.999), stay, step).pays


def test_one_question_in_thirty_hours_is_enough_for_an_hour_of_claude_sonnet() -> None:
    assert outlook(random(1 / (30 * 3600)), HOUR, 3540).pays
    assert not outlook(random(1 / (36 * 3600)), HOUR, 3540).pays


@given(stay=STAYS, slow=st.floats(1e-7, 1e-4), factor=st.floats(1, 10), age=st.floats(0, LONGEST - 1))
def test_what_pays_at_a_rate_pays_at_a_higher_one(stay: Stay, slow: float, factor: float, age: float) -> None:
    assert not outlook(random(slow), stay, age).pays or outlook(random(slow * factor), stay, age).pays


@given(stay=STAYS, rate=st.floats(1e-7, 1e-3), dearer=st.floats(1, 10))
def test_what_does_not_pay_pays_no_better_where_refreshes_are_dearer(stay: Stay, rate: float, dearer: float) -> None:
    much = Stay(stay.seconds, stay.refresh * dearer, stay.saved)
    first = stay.seconds - stay.lead
    assert outlook(random(rate), stay, first).gain >= outlook(random(rate), much, first).gain


@given(stay=STAYS, rate=st.floats(1e-6, 1e-3))
def test_what_is_expected_is_what_the_sum_over_all_arrivals_says(stay: Stay, rate: float) -> None:
    found, step = outlook(random(rate), stay, stay.seconds - stay.lead), stay.seconds - stay.lead
    if not found.pays:
        return
    left, alive, refreshes, saved = random(rate), 1.0, 0.0, 0.0
    age = step
    while refreshes + 1e-9 < found.refreshes:
        alive = left(age) / left(step)
        refreshes += alive
        saved += (left(age + stay.lead) - left(age + stay.lead + step)) / left(step)
        age += step
    assert found.cost == pytest.approx(refreshes * stay.refresh)
    assert found.worth == pytest.approx(saved * stay.saved)


@given(stay=STAYS, rate=st.floats(1e-7, 1e-2))
def test_keeping_never_promises_more_than_a_warm_prefix(stay: Stay, rate: float) -> None:
    left = random(rate)
    assert 0 <= kept_warm(left, stay) <= left(stay.seconds) + 1e-9


def arrivals(*gaps: float) -> Arrivals:
    found, now = Arrivals(), 0.0
    found.add(now)
    for gap in gaps:
        now += gap
        found.add(now)
    return found


@given(gaps=st.lists(st.floats(0, 1e5), max_size=60), one=st.floats(0, 1e5), other=st.floats(0, 1e5))
def test_the_chance_that_nobody_has_come_falls_with_time(gaps: list[float], one: float, other: float) -> None:
    left = arrivals(*gaps).left()
    assert 1 >= left(min(one, other)) >= left(max(one, other)) > 0
    for seconds in SECONDS.values():
        assert left(seconds) == pytest.approx(1 - arrivals(*gaps).warm(seconds))


@pytest.mark.parametrize(
    ("gaps", "age", "pays"),
    [
        ((), 3540, False),
        ((60.0,) * 50, 3540, False),
        ((7200.0,) * 50, 3540, True),
        ((60.0,) * 45 + (7200.0,) * 5, 3540, True),
        ((7200.0,) * 50, 43_200, False),
        ((90_000.0,) * 50, 3540, False),
    ],
    ids=["nothing known", "never so late", "every two hours", "a pause now and then", "too long ago", "days apart"],
)
def test_the_gaps_between_questions_decide(gaps: tuple[float, ...], age: float, pays: bool) -> None:
    verdict = refresh_verdict(arrivals(*gaps).left(), HOUR, age, 5000)
    assert verdict.pays == pays
    assert len(verdict.reason.splitlines()) == 1


def test_the_sentence_holds_what_was_compared() -> None:
    told = refresh_verdict(random(1 / 7200), HOUR, 3540, 10**9).reason
    assert told.startswith("2.")
    assert "clearly more" in told
    assert "no question is known" in refresh_verdict(lambda _: 0.5, HOUR, 3540, 1000).reason
    assert "not enough" in refresh_verdict(random(1e-7), HOUR, 3540, 1000).reason


def test_it_ends_by_itself_when_nobody_comes() -> None:
    """Questions by day and none by night: the longer the silence, the surer that it is the night."""
    left = arrivals(*([600.0] * 59 + [50_000.0]) * 5).left()
    decided = [outlook(left, HOUR, age).pays for age in range(300, LONGEST, 600)]
    assert decided == sorted(decided, reverse=True)
    assert decided[0]
    assert not decided[20]


HOURS = Terms("1h", 3600, 2.0, 0.1, 4.0)


def test_a_prefix_that_is_kept_pays_where_its_lifetime_alone_would_not() -> None:
    seldom = arrivals(*[9000.0] * 30)
    kept = Terms("1h", 3600, 2.0, 0.1, 4.0, refresh=0.11)
    assert choose_terms((HOURS,), seldom).terms is None
    choice = choose_terms((kept,), seldom)
    assert choice.terms == kept
    assert "kept warm" in choice.reason
    assert kept.average(choice.warm) < kept.plain / 2


@given(gaps=st.lists(st.floats(1, 1e5), min_size=1, max_size=40), refresh=st.floats(0.1, 5))
def test_keeping_never_makes_a_prefix_look_dearer(gaps: list[float], refresh: float) -> None:
    kept = Terms("1h", 3600, 2.0, 0.1, 4.0, refresh)
    assert arrivals(*gaps).warm(3600) <= arrivals(*gaps).kept(kept) <= 1


def test_refreshes_may_be_ahead_of_what_they_saved_by_one_write() -> None:
    balance = Balance()
    balance.refresh(Usage(cache_read=1000), 600, 0.0)
    assert not balance.keeping_objection(1000)
    balance.refresh(Usage(cache_read=1000), 600, 0.0)
    assert "refreshes have cost more" in balance.keeping_objection(1000)
    balance.won_pico += 300
    assert not balance.keeping_objection(1000)
    assert (balance.refreshes, balance.kept_pico, balance.paid_pico) == (2, 1200, 1200)


def test_a_line_remembers_its_refreshes() -> None:
    line, found = Line(KIND), Line(KIND)
    line.balance.refresh(Usage(cache_write_1h=9), 7, 1.0)
    line.keeping, line.lost = "because", 5.0
    restore_line(found, line_to_json(line))
    assert (found.balance, found.keeping, found.lost) == (line.balance, "because", 5.0)


KIND = Kind("acme", (), Model("claude-sonnet-5-5", "anthropic", "medium", "claude-sonnet-5-5"), "s")
NOW = 1.8e9


def keeping() -> tuple[Keeping, Prefixes]:
    prefixes = Prefixes(Catalogue.load(), CacheFile(None), CacheSettings(), Head(SYSTEM, render_prefix), lambda: NOW)
    prefixes.kept_warm = True
    return Keeping(prefixes, lambda: NOW), prefixes


def remembered(
    provider: str, ttl: CacheTtl | None, kinds: tuple[Kind, ...] = (KIND,), left: float = 30.0
) -> tuple[Keeping, list[Line]]:
    """Lines of questions two hours apart, that share a prefix which ends in so many seconds."""
    found, prefixes = keeping()
    prefix = Prefix("documents", digest="d", marked=ttl is not None, ttl=ttl)
    lines = [prefixes.lines.line(kind) for kind in kinds]
    for line in lines:
        line.arrivals = arrivals(*[7200.0] * 30)
        line.arrivals.last = NOW - SECONDS["1h"] + left
        line.version = Version(1, 0.0, "v", (), "documents", "d", {"c": 5000}, 6000)
        line.ttl, line.warm_until = ttl, NOW + left
        model = Model(line.kind.model.id, provider, "medium", line.kind.model.price_id)
        prompt = Prompt(SYSTEM, prefix, "evidence", (), "the question")
        found.remember(Request(prompt, model, Schema("s", {}), 800, cache_key="acme d"), line)
    return found, lines


@pytest.mark.parametrize(
    ("provider", "ttl", "kept"),
    [
        ("anthropic", "1h", True),
        ("openai", "30m", True),
        ("openai-chat", "30m", True),
        ("gateway", "1h", False),
        ("gemini", None, False),
        ("vllm", None, False),
    ],
)
def test_only_marked_entries_of_providers_that_keep_what_is_read_are_kept(
    provider: str, ttl: CacheTtl | None, kept: bool
) -> None:
    found, _ = remembered(provider, ttl)
    assert (found.next_due() is not None) == kept


def test_a_refresh_holds_nothing_of_the_question() -> None:
    (due,) = remembered("anthropic", "1h")[0].due()
    request = due.entry.request
    assert (request.prompt.evidence, request.prompt.question, request.prompt.history) == ("", ".", ())
    assert (request.prompt.system, request.prompt.prefix.text) == (SYSTEM, "documents")


def test_kinds_with_the_same_bytes_share_one_refresh_and_its_lifetime() -> None:
    other = Kind("acme", (("team", "a"),), KIND.model, "s")
    found, lines = remembered("anthropic", "1h", (KIND, other))
    (due,) = found.due()
    assert found.due() == []
    found.done(due, Usage(cache_read=5600), 7, NOW)
    assert [line.warm_until for line in lines] == [NOW + 3600] * 2
    assert sum(line.balance.refreshes for line in lines) == 1
    assert found.next_due() == NOW + 3600 - 60


@pytest.mark.parametrize("left", [1.0, -5.0])
def test_an_entry_that_has_all_but_ended_is_left_alone(left: float) -> None:
    found, _ = remembered("anthropic", "1h", left=left)
    assert found.due() == []
    assert found.next_due() is None


def test_a_refresh_that_had_to_write_is_the_last_for_a_week() -> None:
    found, (line,) = remembered("anthropic", "1h")
    (due,) = found.due()
    found.done(due, Usage(cache_write_1h=5600), 7, NOW)
    assert found.next_due() is None
    assert "had forgotten" in line.keeping
    assert line.warm_until == NOW + 3600
    assert not found.verdict(line).pays
    line.lost = NOW - 8 * 86_400
    assert found.verdict(line).reason != "there is nothing that a refresh could read"


def test_a_retired_prefix_is_not_refreshed() -> None:
    found, (line,) = remembered("anthropic", "1h")
    (due,) = found.due()
    line.version = None
    assert not found.still(due)


def test_nothing_is_kept_while_nobody_keeps_it() -> None:
    found, prefixes = keeping()
    line = prefixes.lines.line(KIND)
    assert all(terms.refresh is not None for terms in prefixes.market(line)[0].offered)
    prefixes.kept_warm = False
    assert all(terms.refresh is None for terms in prefixes.market(line)[0].offered)
    assert found.next_due() is None


def test_an_outlook_without_refreshes_gains_nothing() -> None:
    assert outlook(lambda _: 0.0, HOUR, 100) == Outlook(0.0, 0.0, 0.0)
    assert not Outlook(0.0, 0.0, 0.0).pays


def test_only_lifetimes_that_the_adapter_asks_for_are_counted_on() -> None:
    """Chat Completions mark for half an hour, whatever the model offers elsewhere."""
    _, prefixes = keeping()
    terra = "gpt-6.1-terra"
    ttls = {
        name: [
            it.ttl
            for it in prefixes.market(Line(Kind("acme", (), Model(terra, name, "medium", terra), "s")))[0].offered
        ]
        for name in ("openai", "openai-chat")
    }
    assert ttls == {"openai": ["30m", "12h"], "openai-chat": ["30m"]}
