"""The simulated prefix caches, rule by rule, on a clock of the test's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit_eval.twin.cache import Breakpoint, BreakpointCache, Outcome, Prefixes, StepCache, chain

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

MINIMUM = 100


def prompt(*sizes: int, text: str = "same") -> Prefixes:
    ends = [sum(sizes[: place + 1]) for place in range(len(sizes))]
    return Prefixes(chain("root", [f"{text} {place}" for place in range(len(sizes))]), tuple(ends))


def visit(cache: BreakpointCache, asked: Prefixes, *marks: Breakpoint, at: datetime = NOW) -> Outcome:
    outcome = cache.look_up(asked, marks, MINIMUM, at)
    cache.commit(outcome)
    return outcome


def test_a_prefix_is_written_once_and_then_read() -> None:
    cache = BreakpointCache(lookback=20)
    first, second = (visit(cache, prompt(500, 50), Breakpoint(0, "5m")) for _ in range(2))
    assert (first.read, first.written) == (0, {"5m": 500})
    assert (second.read, second.written) == (500, {})


def test_below_the_minimum_nothing_is_cached_and_nothing_fails() -> None:
    cache = BreakpointCache(lookback=20)
    for _ in range(2):
        outcome = visit(cache, prompt(99, 50), Breakpoint(0, "5m"))
        assert (outcome.read, outcome.written) == (0, {})
    assert visit(cache, prompt(100), Breakpoint(0, "5m")).written == {"5m": 100}


def test_entries_are_readable_only_once_the_first_answer_begins() -> None:
    cache = BreakpointCache(lookback=20)
    parallel = [cache.look_up(prompt(500), [Breakpoint(0, "5m")], 100, NOW) for _ in range(3)]
    assert [outcome.written for outcome in parallel] == [{"5m": 500}] * 3
    cache.commit(parallel[0])
    assert cache.look_up(prompt(500), [Breakpoint(0, "5m")], 100, NOW).read == 500


def test_lifetime_counts_from_the_request_and_a_read_refreshes_it() -> None:
    cache = BreakpointCache(lookback=20)
    mark = Breakpoint(0, "5m")
    visit(cache, prompt(500), mark)
    assert visit(cache, prompt(500), mark, at=NOW + timedelta(seconds=299)).read == 500
    assert visit(cache, prompt(500), mark, at=NOW + timedelta(seconds=299 + 299)).read == 500
    assert visit(cache, prompt(500), mark, at=NOW + timedelta(seconds=299 + 299 + 300)).read == 0


def test_an_hour_lasts_an_hour() -> None:
    cache = BreakpointCache(lookback=20)
    visit(cache, prompt(500), Breakpoint(0, "1h"))
    assert cache.look_up(prompt(500), [Breakpoint(0, None)], 100, NOW + timedelta(minutes=59)).read == 500


def test_writes_are_split_at_each_breakpoint_by_its_lifetime() -> None:
    outcome = visit(BreakpointCache(lookback=20), prompt(500, 200, 40), Breakpoint(0, "1h"), Breakpoint(1, "5m"))
    assert outcome.written == {"1h": 500, "5m": 200}
    assert outcome.cached == 700


def test_a_lookup_walks_back_over_what_was_written_before() -> None:
    cache = BreakpointCache(lookback=20)
    visit(cache, prompt(500), Breakpoint(0, "5m"))
    outcome = visit(cache, prompt(500, 30, 30), Breakpoint(2, "5m"))
    assert (outcome.read, outcome.written) == (500, {"5m": 60})


def test_a_lookup_tries_twenty_places_and_no_more() -> None:
    for blocks, read in ((20, 500), (21, 0)):
        cache = BreakpointCache(lookback=20)
        visit(cache, prompt(500), Breakpoint(0, "5m"))
        longer = prompt(500, *[10] * (blocks - 1))
        assert visit(cache, longer, Breakpoint(blocks - 1, "5m")).read == read


def test_only_equal_bytes_are_read() -> None:
    cache = BreakpointCache(lookback=20)
    visit(cache, prompt(500), Breakpoint(0, "5m"))
    assert visit(cache, prompt(500, text="other"), Breakpoint(0, "5m")).read == 0


def test_steps_are_read_as_far_as_tokens_agree() -> None:
    cache = StepCache(timedelta(minutes=5))
    tokens = [f"t{number} " for number in range(1000)]
    read, digests = cache.look_up("root", tokens, 128, NOW)
    assert read == 0
    cache.commit(digests, NOW)
    assert cache.look_up("root", tokens, 128, NOW)[0] == 896
    assert cache.look_up("root", [*tokens[:500], "new", *tokens[501:]], 128, NOW)[0] == 384
    assert cache.look_up("another salt", tokens, 128, NOW)[0] == 0
    assert cache.look_up("root", tokens, 128, NOW + timedelta(minutes=5))[0] == 0


@settings(deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=12), st.data())
def test_no_more_is_cached_than_was_sent_and_a_repeat_writes_nothing(sizes: list[int], data: st.DataObject) -> None:
    cache = BreakpointCache(lookback=20)
    places = data.draw(st.lists(st.integers(0, len(sizes) - 1), max_size=4, unique=True))
    marks = [Breakpoint(place, data.draw(st.sampled_from(["5m", "1h"]))) for place in sorted(places)]
    asked = prompt(*sizes)
    first, second = (visit(cache, asked, *marks) for _ in range(2))
    assert first.cached <= asked.total and first.read == 0
    assert second.written == {}
    assert second.read == first.cached


@settings(deadline=None)
@given(st.text(), st.text())
def test_digests_tell_block_boundaries_apart(left: str, right: str) -> None:
    if left + right and right:
        assert chain("r", [left, right])[-1] != chain("r", [left + right])[-1]
