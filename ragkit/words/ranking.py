"""Which units of the selected chunks answer the question best. Weights are learned by `bench/train_evidence.py`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from ragkit.nouns import Chunk
from ragkit.words.match import FEATURES, Candidate, match

WEIGHTS = {
    "cover": -0.98, "cover_near": 4.39, "cover_local": 5.83, "marked": -0.49, "marked_near": 1.23, "pairs": 1.33,
    "rarest": -0.56, "density": 0.49, "novelty": 0.67, "cover_after": 0.51, "cover_chunk": 1.18, "rank": 2.01,
    "first": 0.21, "length": 1.11, "heading": -3.77, "item": 0.91, "row": 0.28, "code": 0.88, "asks": -2.17,
    "leads_in": 1.2, "who": 0.9, "when": 0.48, "where": 0.37, "number": 0.68, "why": 0.26, "how": 0.75,
    "definition": 0.45, "measure": 0.58, "refers_back": 0.99,
}  # fmt: skip

ENOUGH = 0.85
"""Units are taken until their chances add up to this."""

FAINT = 0.08
"""A unit less likely than this share of the best one is not taken."""

MOST_UNITS = 3


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates, best first, each with its score and its chance of being the one that answers, if any does."""

    candidates: tuple[Candidate, ...]
    scores: tuple[float, ...]
    chances: tuple[float, ...]

    @property
    def taken(self) -> int:
        """How many of the first candidates make the answer."""
        count = 0
        for chance in self.chances[:MOST_UNITS]:
            if count and (sum(self.chances[:count]) >= ENOUGH or chance < FAINT * self.chances[0]):
                break
            count += 1
        return count

    def signals(self) -> dict[str, float]:
        """What tells whether there is an answer at all, and whether it was found."""
        best = self.candidates[0].features
        return {
            "share": sum(self.chances[: self.taken]),
            "score": self.scores[0],
            "cover": best[FEATURES.index("cover")],
            "marked_near": best[FEATURES.index("marked_near")],
            "most_pairs": self._most("pairs"),
            "most_marked": self._most("marked_near"),
            "most_density": self._most("density"),
        }

    def _most(self, feature: str) -> float:
        place = FEATURES.index(feature)
        return max(candidate.features[place] for candidate in self.candidates)


@lru_cache(maxsize=64)
def rank(question: str, chunks: tuple[Chunk, ...]) -> Ranking:
    """The units of the chunks, ranked; kept a while, since judging, routing and answering ask for the same one."""
    scored = [(_score(candidate.features), candidate) for candidate in match(question, chunks)]
    scored.sort(key=lambda pair: -pair[0])
    scores = tuple(score for score, _ in scored)
    powers = [math.exp(score - scores[0]) for score in scores]
    total = sum(powers)
    chances = tuple(power / total for power in powers)
    return Ranking(tuple(candidate for _, candidate in scored), scores, chances)


def logistic(signals: dict[str, float], weights: dict[str, float], bias: float) -> float:
    """A chance from signals, by learned weights."""
    return 1 / (1 + math.exp(-(bias + sum(weight * signals[name] for name, weight in weights.items()))))


def _score(features: tuple[float, ...]) -> float:
    return sum(map(float.__mul__, _VECTOR, features))


_VECTOR = tuple(WEIGHTS[name] for name in FEATURES)
