"""When a machine of your own pays: its month against the same questions at the API tiers, priced by the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from ragkit.local.formats import Work
from ragkit.models import Catalogue
from ragkit.money import PICO_PER_USD
from ragkit.nouns import Usage

HOURS_A_MONTH = 730
RULE_TOKENS = 5 * 10**9
"""The rule of thumb for a machine of one's own, in tokens a month; the plan computes at which price it is true."""
API_MODELS = ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "gpt-6-luna", "gemini-3.8-flash")


@dataclass(frozen=True, slots=True)
class BreakEven:
    """From how many tokens a month on the machine is cheaper than this model, and which share of it that keeps busy.

    A share above one means that no number of questions makes it pay: the machine cannot answer as many.
    """

    model: str
    api_pico: int
    questions: int
    tokens: int
    share: Fraction


@dataclass(frozen=True, slots=True)
class Costs:
    """The machine's month, and a question on it: at full load, and for each share of load that is asked about."""

    month_pico: int
    full_pico: int
    questions_a_month: int
    against: tuple[BreakEven, ...]


def costs(hour_pico: int, seconds: Fraction, work: Work, catalogue: Catalogue, at: datetime) -> Costs:
    """`seconds` is the machine's own time per question when it is full."""
    month = hour_pico * HOURS_A_MONTH
    possible = int(HOURS_A_MONTH * 3600 / seconds)
    against = tuple(_against(model, month, possible, work, catalogue, at) for model in API_MODELS)
    return Costs(month, round(hour_pico * seconds / 3600), possible, against)


def api_cost(model: str, work: Work, catalogue: Catalogue, at: datetime) -> int:
    """A question at the API, with the same share of its prompt read from a cache that the machine is granted."""
    cached = round(work.prompt * work.cached)
    usage = Usage(input=work.prompt - cached, cache_read=cached, output=work.output)
    return catalogue.cost(usage, model, at=at).pico


def _against(model: str, month: int, possible: int, work: Work, catalogue: Catalogue, at: datetime) -> BreakEven:
    each = api_cost(model, work, catalogue, at)
    questions = -(-month // each)
    return BreakEven(model, each, questions, questions * work.tokens, Fraction(questions, max(1, possible)))


def per_million(pico: int, tokens: int) -> Fraction:
    """Dollars per million tokens."""
    return Fraction(pico * 10**6, tokens * PICO_PER_USD)
