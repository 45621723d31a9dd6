"""The levers as settings, and the set-ups that the ladder compares: one after the other, each alone, each left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ragkit_eval.evidence import EVERY_CHUNK, USUAL, Evidence, exactly
from ragkit_eval.sandbox import merged

LEVERS = ("caching", "routing", "reranking", "structured", "batch", "local", "answers")
"""In the order in which the ladder pulls them; structured answers and batches are not settings but ways of asking."""
NAMES = {
    "caching": "prompt caching",
    "routing": "routing",
    "reranking": "reranking",
    "structured": "structured output",
    "batch": "batch",
    "local": "local, quantized and speculative",
    "answers": "answer cache",
}
NAIVE_MODEL = "anthropic/claude-opus-5-5"
LOCAL = "vllm/twin-local"
COUNTS = (5, 8, 12, 20)
"""Fixed numbers of chunks that the ladder holds against keeping them by score."""

NAIVE: Mapping[str, Any] = {
    "answer": {"model": NAIVE_MODEL, "minimum_evidence": 0.0},
    "cache": {"prefix": False, "answers": False, "semantic": False},
}
ON: Mapping[str, Mapping[str, Any]] = {
    "caching": {"cache": {"prefix": True}},
    "routing": {"answer": {"model": "auto"}},
    "local": {"tiers": {"local": {"model": LOCAL}}},
    "answers": {"cache": {"answers": True}},
}


@dataclass(frozen=True, slots=True)
class Step:
    """A set-up: which levers are pulled, and which chunks are sent once reranking is one of them."""

    name: str
    levers: frozenset[str]
    evidence: Evidence = USUAL

    @property
    def what(self) -> tuple[frozenset[str], Evidence]:
        """Everything but its name."""
        return self.levers, self.sent

    @property
    def sent(self) -> Evidence:
        """Without reranking all K retrieved chunks go out."""
        return self.evidence if "reranking" in self.levers else EVERY_CHUNK

    def overlay(self) -> Mapping[str, Any]:
        """The settings of the step."""
        pulled = [ON[lever] for lever in LEVERS if lever in self.levers and lever in ON]
        alone = {"answer": {"model": LOCAL}} if "local" in self.levers and "routing" not in self.levers else {}
        return merged(NAIVE, *pulled, self.sent.overlay(), alone)


def one_after_the_other(evidence: Evidence) -> tuple[Step, ...]:
    """The ladder itself, from naive to everything."""
    pulled: list[str] = []
    steps = [Step("naive", frozenset())]
    for lever in LEVERS:
        pulled.append(lever)
        steps.append(Step(f"+ {NAMES[lever]}", frozenset(pulled), evidence))
    return tuple(steps)


def each_alone(evidence: Evidence) -> tuple[Step, ...]:
    return tuple(Step(f"only {NAMES[lever]}", frozenset((lever,)), evidence) for lever in LEVERS)


def each_left_out(evidence: Evidence) -> tuple[Step, ...]:
    return tuple(Step(f"without {NAMES[lever]}", all_but(lever), evidence) for lever in LEVERS)


def all_but(*left_out: str) -> frozenset[str]:
    return frozenset(LEVERS) - frozenset(left_out)


def other_ways(evidence: Evidence) -> tuple[Step, ...]:
    """Everything with other numbers of chunks, the usual one among them."""
    ways = dict.fromkeys((evidence, USUAL, *map(exactly, COUNTS)))
    return tuple(Step(f"all, {way.name}", all_but(), way) for way in ways)


def distinct(steps: Collection[Step]) -> tuple[Step, ...]:
    """Without those that only differ in their name."""
    found: dict[tuple[frozenset[str], Evidence], Step] = {}
    for step in steps:
        found.setdefault(step.what, step)
    return tuple(found.values())
