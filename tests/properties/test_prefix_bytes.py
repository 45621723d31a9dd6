"""The bytes of a prefix depend on its chunks alone: not on order of arrival, process, hash seed or locale."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.caching.file import CacheFile
from ragkit.caching.line import Kind, digest_of
from ragkit.caching.policy import Choice, Terms
from ragkit.caching.prefix import Asked, Prefixes
from ragkit.caching.versions import Head
from ragkit.hot import Candidate, Costs, Demand, in_prefix_order, select_hot, value
from ragkit.models import Catalogue
from ragkit.nouns import Chunk, Model
from ragkit.prompt import SYSTEM, render_prefix
from ragkit.settings import CacheSettings

MODEL = Model("claude-sonnet-5-5", "anthropic", "medium", "claude-sonnet-5-5")
KIND = Kind("acme", (), MODEL, "answer")
COSTS = Costs(plain=2.0, average=0.2, head=600, minimum=512, maximum=20_000)


def chunk(number: int, document: int = 0, text: str = "") -> Chunk:
    text = text or f"Fact {number} of document {document}. " * 20
    start = number * 1000
    return Chunk(
        f"d{document}#{number}", f"d{document}", f"d{document}.md", text, start, start + len(text), number, 150
    )


def candidates(rates: Sequence[float]) -> list[Candidate]:
    return [Candidate(chunk(i % 3, i // 3), 150, rate, rate * 0.9) for i, rate in enumerate(rates)]


class Documents:
    """What a prefix reads: chunks by document."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.held = {one.id: one for one in chunks}

    async def chunks(self, tenant: str, document_id: str) -> tuple[Chunk, ...]:
        return tuple(one for one in self.held.values() if one.document_id == document_id)


RATES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@given(rates=RATES, seed=st.integers(0, 2**32))
def test_the_order_in_which_candidates_come_changes_nothing(rates: list[float], seed: int) -> None:
    found = candidates(rates)
    shuffled = random.Random(seed).sample(found, len(found))
    one, other = select_hot(found, COSTS), select_hot(shuffled, COSTS)
    assert render_prefix(in_prefix_order(one)) == render_prefix(in_prefix_order(other))


@given(rates=RATES)
def test_a_chosen_prefix_pays_fits_and_is_long_enough(rates: list[float]) -> None:
    chosen = select_hot(candidates(rates), COSTS)
    size = COSTS.head + sum(it.tokens for it in chosen)
    assert not chosen or (COSTS.minimum <= size <= COSTS.maximum and value(chosen, COSTS) > 0)


@given(rates=RATES, noise=st.lists(st.floats(0.95, 1.05), min_size=40, max_size=40))
def test_what_is_there_stays_while_its_demand_only_trembles(rates: list[float], noise: list[float]) -> None:
    before = select_hot(candidates(rates), COSTS)
    held = {it.chunk.id for it in before if it.rate * COSTS.plain > COSTS.average * 1.2}
    moved = [rate * shake for rate, shake in zip(rates, noise, strict=False)]
    after = {it.chunk.id for it in select_hot(candidates(moved), COSTS, held)}
    assert not after or held <= after


@given(texts=st.lists(st.text(min_size=1, max_size=200), min_size=2, max_size=8, unique=True), place=st.integers(0, 7))
def test_one_changed_chunk_changes_the_digest(texts: list[str], place: int) -> None:
    chunks = [chunk(number, number, text) for number, text in enumerate(texts)]
    changed = list(chunks)
    index = place % len(chunks)
    changed[index] = replace(chunks[index], text=chunks[index].text + "!")
    assert digest_of(SYSTEM, render_prefix(chunks)) != digest_of(SYSTEM, render_prefix(changed))
    assert digest_of(SYSTEM, render_prefix(chunks)) == digest_of(SYSTEM, render_prefix(list(chunks)))
    assert digest_of(SYSTEM + " ", render_prefix(chunks)) != digest_of(SYSTEM, render_prefix(chunks))


@given(picks=st.lists(st.sets(st.integers(0, 9), max_size=4), max_size=300))
def test_rates_are_shares_of_the_questions(picks: list[set[int]]) -> None:
    demand = Demand()
    for picked in picks:
        demand.add({str(one) for one in picked})
    for one in map(str, range(10)):
        assert 0 <= demand.sure_rate(one) <= demand.rate(one) <= 1.0000001


SCRIPT = """
import asyncio, hashlib, sys
sys.path.insert(0, {tests!r})
from test_prefix_bytes import KIND, Documents, chunk, replayed
print(asyncio.run(replayed(seed={seed})))
"""


async def replayed(*, seed: int) -> str:
    """The digest after questions that select the same chunks in an order of their own."""
    chunks = [chunk(i % 3, i // 3) for i in range(12)]
    now = 0.0
    prefixes = Prefixes(
        Catalogue.load(), CacheFile(None), CacheSettings(), Head(SYSTEM, render_prefix), lambda: now + 1.8e9
    )
    documents, order = Documents(chunks), random.Random(seed)
    for number in range(60):
        now = number * 10.0
        picked = [chunks[number % 4], chunks[4 + number % 2], chunks[8]]
        order.shuffle(picked)
        async with prefixes.taken(Asked(KIND, tuple(picked)), documents, "v1") as taken:
            taken.began()
    return taken.prefix.digest


@pytest.mark.parametrize(
    ("hash_seed", "locale", "seed"), [("0", "C", 1), ("1", "C.UTF-8", 2), ("4711", "tr_TR.UTF-8", 3)]
)
def test_every_process_makes_the_same_bytes(hash_seed: str, locale: str, seed: int) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "LC_ALL": locale}
    script = SCRIPT.format(tests=str(Path(__file__).parent), seed=seed)
    ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == asyncio.run(replayed(seed=0)) != ""


async def test_ten_thousand_questions_never_move_a_prefix_by_accident() -> None:
    """Demand is steady and fades in and out by chance; each new version must be one that was decided for."""
    chunks = [chunk(i % 3, i // 3) for i in range(60)]
    chance, now = random.Random(7), 0.0
    file = CacheFile(None)
    prefixes = Prefixes(Catalogue.load(), file, CacheSettings(), Head(SYSTEM, render_prefix), lambda: now + 1.8e9)
    documents, weights = Documents(chunks), [1 / (rank + 1) for rank in range(60)]
    digests: list[str] = []
    for _ in range(10_000):
        now += chance.expovariate(1 / 20)
        picked = tuple(dict.fromkeys(chance.choices(chunks, weights, k=4)))
        async with prefixes.taken(Asked(KIND, picked), documents, "v1") as taken:
            taken.began()
        if taken.prefix.text and (not digests or digests[-1] != taken.prefix.digest):
            digests.append(taken.prefix.digest)
    decided = [digest for (digest,) in file.rows("SELECT digest FROM version ORDER BY number")]
    assert digests == decided
    assert len(digests) <= 20


async def test_a_version_holds_for_a_lifetime_at_least() -> None:
    chunks = [chunk(0, document) for document in range(8)]
    now = 0.0
    file = CacheFile(None)
    prefixes = Prefixes(Catalogue.load(), file, CacheSettings(), Head(SYSTEM, render_prefix), lambda: now + 1.8e9)
    for number in range(400):
        now += 5
        half = number // 30 % 2 * 4
        picked = tuple(chunks[half : half + 3])
        async with prefixes.taken(Asked(KIND, picked), Documents(chunks), "v1") as taken:
            taken.began()
    made = [at for (at,) in file.rows("SELECT at FROM version ORDER BY number")]
    assert made
    assert all(later - earlier >= 300 for earlier, later in pairwise(made))


@settings(max_examples=25)
@given(gap=st.floats(1, 7200))
def test_average_cost_is_least_at_the_chosen_lifetime(gap: float) -> None:
    from ragkit.caching.policy import Arrivals, choose_terms

    arrivals = Arrivals()
    for number in range(50):
        arrivals.add(number * gap)
    offered = (Terms("5m", 300, 2.0, 0.1, 2.5), Terms("1h", 3600, 2.0, 0.1, 4.0))
    choice: Choice = choose_terms(offered, arrivals)
    best = min([2.0, *(terms.average(arrivals.warm(terms.seconds)) for terms in offered)])
    paid = 2.0 if choice.terms is None else choice.terms.average(choice.warm)
    assert paid == best
