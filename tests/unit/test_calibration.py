"""What the ledger teaches of a tokenizer: when it is believed, how far, and that holds stay on the safe side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ragkit import load_settings
from ragkit.calibration import ENOUGH, REFRESH_SECONDS, SHORTEST, Calibration, Calibrations, calibrate, calibrated
from ragkit.doctor import examine
from ragkit.errors import LedgerError
from ragkit.ledger import Counted, Hold, Purchase
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.models import Catalogue, ModelSpec
from ragkit.nouns import Account, Event, Receipt, Usage
from ragkit.tokens import measure, upper_bound_tokens
from tests.unit.test_tokens import COUNTED

CATALOGUE = Catalogue.load()
HAIKU = CATALOGUE.model("claude-haiku-5-5")
LUNA = CATALOGUE.model("gpt-6-luna")
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def prompts(count: int, tokens: int, estimate: int = 1_000, bound: int = 2_300) -> list[Counted]:
    return [Counted(HAIKU.id, estimate, bound, tokens)] * count


def test_few_or_short_prompts_teach_nothing() -> None:
    assert calibrate(prompts(ENOUGH - 1, 1_200)) is None
    assert calibrate(prompts(ENOUGH, 1_200)) is not None
    assert calibrate(prompts(ENOUGH, 1_200, estimate=SHORTEST - 1)) is None
    assert calibrate(prompts(ENOUGH, 0)) is None


def test_a_tokenizer_that_makes_fewer_tokens_than_guessed_lowers_estimate_and_bound() -> None:
    learnt = calibrate(prompts(ENOUGH, 1_200))
    assert learnt == Calibration(Fraction(6, 5), Fraction(6, 5), Fraction(12, 23), ENOUGH)
    spec = calibrated(HAIKU, learnt)
    assert spec.typical == Fraction(6, 5)
    assert spec.bound == HAIKU.bound * Fraction(6, 5) / HAIKU.typical < HAIKU.bound
    assert calibrated(LUNA, learnt).bound == LUNA.bound, "what is known of a tokenizer is not lowered"


def test_a_prompt_that_came_near_its_bound_raises_it() -> None:
    counted = [*prompts(ENOUGH, 1_200), Counted(HAIKU.id, 1_000, 2_000, 4_000)]
    learnt = calibrate(counted)
    assert learnt is not None
    assert calibrated(HAIKU, learnt).bound == Fraction(4_000, 2_000) * Fraction(11, 10) > HAIKU.bound


def test_a_provider_that_counts_nonsense_is_not_followed() -> None:
    learnt = calibrate(prompts(ENOUGH, 10**9))
    assert learnt is not None
    spec = calibrated(HAIKU, learnt)
    assert (spec.typical, spec.bound) == (3 * HAIKU.typical, 3 * HAIKU.bound)


@st.composite
def replayed(draw: st.DrawFn) -> tuple[Fraction, list[str], list[str]]:
    """A tokenizer that is so much denser than a known one, prompts that teach, and others, noise among them."""
    density = draw(st.fractions(Fraction(1, 2), Fraction(HAIKU.bound), max_denominator=20))
    kinds = draw(st.lists(st.sampled_from(COUNTED[:12]), min_size=1, max_size=3))
    taught = ["\n".join(text for text, _, _ in kinds) * times for times in range(20, 20 + ENOUGH)]
    asked = draw(st.lists(st.sampled_from([text for text, _, _ in COUNTED]), min_size=1, max_size=6))
    return density, taught, asked


def real(text: str, density: Fraction) -> int:
    """As the older tokenizer of the family counted the parts, times the density."""
    return int(density * sum(text.count(part) * claude for part, _, claude in COUNTED))


@given(replayed())
def test_a_calibrated_bound_is_never_below_what_is_counted(case: tuple[Fraction, list[str], list[str]]) -> None:
    density, taught, asked = case
    sizes = ((measure(text), real(text, density)) for text in taught)
    learnt = calibrate(Counted(HAIKU.id, size.estimate, size.bound, tokens) for size, tokens in sizes)
    assert learnt is not None
    spec = calibrated(HAIKU, learnt)
    assert 1 <= spec.bound <= 3 * HAIKU.bound
    for text in asked:
        assert upper_bound_tokens(text, spec) >= real(text, density)


class Ledger:
    """Counts how often it is read; away where `found` is None."""

    def __init__(self) -> None:
        self.found: list[Counted] | None = prompts(ENOUGH, 1_200)
        self.reads = 0

    async def counted(self, most: int) -> Sequence[Counted]:
        self.reads += 1
        if self.found is None:
            raise LedgerError("away")
        return self.found[:most]


async def test_the_ledger_is_read_now_and_then_and_not_missed() -> None:
    ledger, now = Ledger(), 0.0
    calibrations = Calibrations(CATALOGUE, ledger.counted, clock=lambda: now)
    assert calibrations.spec(HAIKU.id) == HAIKU
    for _ in range(3):
        await calibrations.refresh()
    assert ledger.reads == 1
    assert calibrations.factors == {HAIKU.id: Fraction(6, 5)}
    ledger.found, now = None, REFRESH_SECONDS
    await calibrations.refresh()
    assert (ledger.reads, calibrations.spec(HAIKU.id).typical) == (2, Fraction(6, 5))
    ledger.found, now = [replace(one, model="gone-1") for one in prompts(ENOUGH, 900)], 2 * REFRESH_SECONDS
    await calibrations.refresh()
    assert calibrations.spec(HAIKU.id).typical == Fraction(6, 5)
    assert list(calibrations.learnt) == [HAIKU.id]


async def test_what_was_asked_and_counted_is_learnt_and_told(tmp_path: Path) -> None:
    settings = load_settings(environment={}, overrides={"store": {"path": tmp_path}})
    ledger = open_sqlite(tmp_path / "ledger.db")
    assert await ledger.counted(10) == ()
    usage, reading = Usage(input=900, cache_read=300, output=50), Usage(input=1_500)
    asked = Event("generate", "claude-haiku-5-5", usage, 7, 0.1, "asked", estimate=1_000, bound=2_300)
    others = (
        replace(asked, cost_pico=None),
        replace(asked, estimated=True),
        replace(asked, estimate=0),
        replace(asked, kind="embed", usage=reading),
    )
    for number in range(ENOUGH):
        receipt = Receipt(f"r-{number}", NOW, Account(), (asked, *others), 0, "", "")
        await ledger.settle(Hold("free", Purchase(Account(), 0, HAIKU.id), NOW), receipt)
    assert await ledger.counted(10**6) == (Counted(HAIKU.id, 1_000, 2_300, 1_200),) * ENOUGH
    assert len(await ledger.counted(3)) == 3
    await ledger.aclose()
    told = next(finding.detail for finding in await examine(settings) if finding.system == "ledger")
    assert "claude-haiku-5-5 makes 1.20 (at most" in told


def test_a_tokenizer_is_known_by_its_price() -> None:
    spec: ModelSpec = Calibrations(CATALOGUE, Ledger().counted).spec("claude-haiku-5-5")
    assert spec == HAIKU
