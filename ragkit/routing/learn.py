"""What a ledger and people's ratings tell of the router: how often each tier is right at a score, and what that needs.

The shipped expectation is where every tier starts. Ratings move it as far as there are enough of them, so that a few
angry ones change little. Pure: no file, no clock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, combinations_with_replacement, pairwise, product
from math import exp, log, sqrt
from statistics import fmean, stdev

from ragkit.errors import ConfigError
from ragkit.routing.fit import parts_of
from ragkit.routing.ratings import Asked, Rating
from ragkit.routing.tiers import RUNGS, Rung

CLOSED: Mapping[Rung, float] = {"small": 0.0, "medium": 0.5, "large": 1.0}
"""The part of the gain that a tier is expected to bring, before any rating: an assumption."""
RIGHT = 0.9
"""How often the large tier is expected to be right."""
HOLD = 4.0
"""How firmly the expectation stands: a rating moves log odds by about a quarter of what it would by itself."""
SPREAD = 0.1
"""A difference in scores that counts as one."""
FEWEST, FEWEST_EACH = 50, 15
"""Ratings in all, and of a tier, below which nothing is learnt of it."""
CUTS = 60
PARTS = 5
BOUNDS = 1.96
"""Standard errors to each side within which 95 of 100 values are."""


@dataclass(frozen=True, slots=True)
class Line:
    """How far a tier is from what was expected of it, in log odds: everywhere, and by score.

    `doubt` has the variance of the one, what they share, and the variance of the other.
    """

    shift: float = 0.0
    slope: float = 0.0
    doubt: tuple[float, float, float] = (1 / HOLD, 0.0, 1 / HOLD)


@dataclass(frozen=True, slots=True)
class Plan:
    """Thresholds, and what they are expected to bring on the questions of the ledger: estimates.

    `quality` is the share of right answers, `pico` the cost of a question, `shares` how many go to each tier, `spare`
    what the quality is above the wanted one: bounds that hold 95 of 100 times.
    """

    medium: float
    large: float
    quality: float
    pico: int
    shares: tuple[float, ...]
    spare: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Learnt:
    """What follows from the ratings. `loss` is how badly held out ones are foretold: as shipped, and as learnt.

    `gained` is the difference of the two for a rating, with bounds that hold 95 of 100 times.
    """

    asked: int
    ratings: Mapping[Rung, int]
    rungs: tuple[Rung, ...]
    now: Plan
    best: Plan
    loss: tuple[float, float]
    gained: tuple[float, float]

    @property
    def better(self) -> bool:
        """Than what is in force: cheaper with the quality surely kept, or right more often where that surely fails."""
        saves = self.best.pico < self.now.pico and self.best.spare[0] >= 0
        return saves or (self.now.spare[1] < 0 and self.best.quality > self.now.quality)


def learn(
    asked: Sequence[Asked], ratings: Sequence[Rating], floors: tuple[float, float], *, wanted: float = 0.95
) -> Learnt:
    """Thresholds that surely keep the wanted share of the best tier's quality at the least cost.

    `floors` are those in force, which they are compared with.

    Raises `ConfigError` where there are too few ratings to learn from.
    """
    counts = {rung: sum(rating.rung == rung for rating in ratings) for rung in RUNGS}
    rungs = tuple(rung for rung in RUNGS if counts[rung] >= FEWEST_EACH)
    if len(ratings) < FEWEST or len(rungs) < 2:
        raise ConfigError(_too_few(counts))
    lines = {rung: fit_line([rating for rating in ratings if rating.rung == rung], rung) for rung in rungs}
    scores = sorted(one.score for one in asked)
    table = _Table(scores, {rung: _column(asked, scores, rung, line) for rung, line in lines.items()}, wanted)
    now = table.plan(_cuts(rungs, floors), floors)
    best = _cheapest(table, floors)
    loss, gained = _held_out(ratings)
    return Learnt(len(asked), counts, rungs, now, best, loss, gained)


def fit_line(ratings: Sequence[Rating], rung: Rung) -> Line:
    """The most likely line, held to the expectation: Newton's method on two numbers."""
    shift = slope = 0.0
    doubt = Line().doubt
    for _ in range(20):
        up = [-HOLD * shift, -HOLD * slope]
        bend = [HOLD, 0.0, HOLD]
        for rating in ratings:
            chance, at = right_at(rating.score, rung, Line(shift, slope)), _place(rating.score)
            miss, yields = rating.right - chance, chance * (1 - chance)
            up = [up[0] + miss, up[1] + miss * at]
            bend = [bend[0] + yields, bend[1] + yields * at, bend[2] + yields * at * at]
        area = bend[0] * bend[2] - bend[1] ** 2
        shift += (up[0] * bend[2] - up[1] * bend[1]) / area
        slope += (up[1] * bend[0] - up[0] * bend[1]) / area
        doubt = (bend[2] / area, -bend[1] / area, bend[0] / area)
    return Line(shift, slope, doubt)


def right_at(score: float, rung: Rung, line: Line = Line()) -> float:
    """The chance that a tier is right on a question of this score."""
    expected = min(0.98, max(0.02, RIGHT - (1 - CLOSED[rung]) * score))
    odds = log(expected / (1 - expected)) + line.shift + line.slope * _place(score)
    return 1 / (1 + exp(-max(-30.0, min(30.0, odds))))


def _place(score: float) -> float:
    return score / SPREAD - 1


@dataclass(frozen=True, slots=True)
class _Column:
    """A tier's sums over the questions from a place on: of its chances, and of how its line's two numbers move them."""

    right: Sequence[float]
    by_shift: Sequence[float]
    by_slope: Sequence[float]
    doubt: tuple[float, float, float]
    pico: Fraction

    def variance(self, since: int, until: int, less: float) -> float:
        """Of the sum of chances between two places, less a part of the sum of them all."""
        both = (self.by_shift, self.by_slope)
        shift, slope = (sums[since] - sums[until] - less * sums[0] for sums in both)
        own, shared, other = self.doubt
        return own * shift * shift + 2 * shared * shift * slope + other * slope * slope


@dataclass(frozen=True, slots=True)
class _Table:
    """Scores in order with a column for each tier, and the share of the best tier's quality that is wanted."""

    scores: Sequence[float]
    columns: Mapping[Rung, _Column]
    wanted: float

    def plan(self, cuts: Sequence[float], floors: tuple[float, float]) -> Plan:
        """What it comes to if each tier takes the questions between two cuts."""
        places = [0, *(bisect_left(self.scores, cut) for cut in cuts), len(self.scores)]
        spans = list(zip(self.columns.values(), pairwise(places), strict=True))
        right = sum(one.right[since] - one.right[until] for one, (since, until) in spans)
        pico = sum((one.pico * (until - since) for one, (since, until) in spans), Fraction())
        best, count = spans[-1][0], len(self.scores)
        parts = [one.variance(since, until, self.wanted * (one is best)) for one, (since, until) in spans]
        spare, margin = right - self.wanted * best.right[0], BOUNDS * sqrt(max(0.0, sum(parts)))
        shares = tuple((until - since) / count for _, (since, until) in spans)
        bounds = ((spare - margin) / count, (spare + margin) / count)
        return Plan(*floors, right / count, round(pico / count), shares, bounds)


def _column(asked: Sequence[Asked], scores: Sequence[float], rung: Rung, line: Line) -> _Column:
    right = [right_at(score, rung, line) for score in scores]
    yields = [chance * (1 - chance) for chance in right]
    by_slope = [of * _place(score) for of, score in zip(yields, scores, strict=True)]
    return _Column(_from_on(right), _from_on(yields), _from_on(by_slope), line.doubt, _price(asked, rung))


def _from_on(values: Sequence[float]) -> Sequence[float]:
    return [*accumulate(reversed(values), initial=0.0)][::-1]


def _price(asked: Sequence[Asked], rung: Rung) -> Fraction:
    known = [one.pico for one in asked if one.rung == rung and one.pico is not None]
    if not known:
        raise ConfigError(f"no answer of the {rung} tier has a known cost: what it takes to ask it cannot be weighed")
    return Fraction(sum(known), len(known))


def _cheapest(table: _Table, floors: tuple[float, float]) -> Plan:
    """The best tier alone always keeps the quality."""
    steps = [table.scores[len(table.scores) * at // CUTS] for at in range(CUTS)]
    options = sorted({0.0, 1.0, *(min(1.0, max(0.0, step)) for step in steps)})
    rungs = tuple(table.columns)
    choices = combinations_with_replacement(options, len(rungs) - 1)
    plans = [table.plan(cuts, _floors(rungs, cuts, floors)) for cuts in choices]
    enough = [plan for plan in plans if plan.spare[0] >= 0] or [max(plans, key=lambda plan: plan.quality)]
    return min(enough, key=lambda plan: (plan.pico, -plan.quality))


def _cuts(rungs: tuple[Rung, ...], floors: tuple[float, float]) -> tuple[float, ...]:
    """Where one known tier ends and the next begins."""
    if len(rungs) == len(RUNGS):
        return floors
    return floors[:1] if rungs[0] == "small" else floors[1:]


def _floors(rungs: tuple[Rung, ...], cuts: Sequence[float], floors: tuple[float, float]) -> tuple[float, float]:
    """The thresholds that make these cuts; what is not known of a tier leaves its own as it is where it can."""
    if len(rungs) == len(RUNGS):
        return cuts[0], cuts[1]
    if rungs == ("small", "medium"):
        return cuts[0], max(cuts[0], floors[1])
    return (cuts[0], cuts[0]) if rungs[0] == "small" else (min(floors[0], cuts[0]), cuts[0])


def _held_out(ratings: Sequence[Rating]) -> tuple[tuple[float, float], tuple[float, float]]:
    """How badly ratings are foretold that were held out, as shipped and as learnt, and bounds for the difference."""
    parts = parts_of([rating.receipt for rating in ratings], PARTS, seed=1)
    shipped, learnt = [0.0] * len(ratings), [0.0] * len(ratings)
    for part, rung in product(range(PARTS), RUNGS):
        others = [it for it, number in zip(ratings, parts, strict=True) if number != part and it.rung == rung]
        line = fit_line(others, rung)
        for place, (it, number) in enumerate(zip(ratings, parts, strict=True)):
            if number == part and it.rung == rung:
                shipped[place], learnt[place] = _loss(it, Line()), _loss(it, line)
    gains = [a - b for a, b in zip(shipped, learnt, strict=True)]
    mean, margin = fmean(gains), BOUNDS * stdev(gains) / sqrt(len(gains))
    return (fmean(shipped), fmean(learnt)), (mean - margin, mean + margin)


def _loss(rating: Rating, line: Line) -> float:
    chance = right_at(rating.score, rating.rung, line)
    return -log(chance if rating.right else 1 - chance)


def _too_few(counts: Mapping[Rung, int]) -> str:
    have = ", ".join(f"{rung} {count}" for rung, count in counts.items())
    return (
        f"{sum(counts.values())} rated answers are too few to learn from ({have}): collect at least {FEWEST}, of them"
        f" {FEWEST_EACH} from each of two tiers, with POST /v1/feedback"
    )
