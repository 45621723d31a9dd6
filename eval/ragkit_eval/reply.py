"""What any system answered to a case, in one shape, and what it scored; rows are what runs are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from ragkit_eval.cases import Case


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk by the data set's own name for its document."""

    document: str
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with everything that is scored. `ranking` are documents by their best chunk, as far as retrieved.

    `context` is what the model saw, `cited` the documents of its citations. A cost of None is unknown, never zero.
    """

    text: str
    context: tuple[Passage, ...]
    ranking: tuple[str, ...]
    cost_pico: int | None
    seconds: float
    cited: tuple[str, ...] = ()
    abstained: bool = False
    model: str = ""
    tier: str = ""
    baseline_pico: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)
    savings: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    grade: float | None = None
    """What a judge gave, from 0 to 1, and what asking it cost."""
    judge_pico: int = 0


class System(Protocol):
    """A way to answer questions over documents that it holds already."""

    async def ask(self, case: Case) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One case answered by one set-up. `error` is set, and there are no scores, where it failed."""

    data: str
    setup: str
    seed: int
    case: str
    question: str
    scores: Mapping[str, float]
    cost_pico: int | None
    seconds: float
    baseline_pico: int = 0
    text: str = ""
    model: str = ""
    tier: str = ""
    abstained: bool = False
    tokens: Mapping[str, int] = field(default_factory=dict)
    savings: Mapping[str, int] = field(default_factory=dict)
    contexts: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    reason: str = ""
    error: str = ""
    judge_pico: int = 0

    @property
    def key(self) -> tuple[str, str, int, str]:
        return self.data, self.setup, self.seed, self.case


def row_to_line(row: Row) -> str:
    return json.dumps(asdict(row), ensure_ascii=False, sort_keys=True)


def row_from_line(line: str) -> Row:
    told: dict[str, Any] = json.loads(line)
    return Row(**{**told, "contexts": tuple(told["contexts"]), "answers": tuple(told["answers"])})
