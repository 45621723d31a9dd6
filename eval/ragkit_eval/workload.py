"""Traffic to replay: questions of known sets in a stated popularity, at the arrivals of a real service.

Everything that is not data is an input with a stated value, so that nobody has to guess what a result rests on.
"""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate, pairwise
from pathlib import Path

from ragkit.errors import ConfigError
from ragkit.nouns import Tier
from ragkit_eval.cases import Case, Dataset, SourceDocument
from ragkit_eval.loaders import KNOWN_SETS, known_source, load

TRACE = "trace_azure_llm/AzureLLMInferenceTrace_conv.csv.gz"
MONTH = 30 * 86_400
COMPLEX = ("multi_hop", "Comparative", "Composite", "Explanation", "How-To", "Opinion", "Summarization")
"""Kinds of questions that take several passages, a comparison or a summary, by the labels of their sets."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a replay assumes.

    `questions` are replayed at the pace of `monthly` of them, popular as 1 / rank ** `zipf`. Without an enforced schema
    a share `format_failures` of the answers has to be asked for again. A share `patient` of the questions can wait for
    a batch. The local model is a `local_model` on a `gpu` that is busy for a share `utilisation` of its time.
    """

    questions: int = 400
    monthly: int = 10_000_000
    zipf: float = 1.0
    format_failures: float = 0.05
    patient: float = 0.3
    local_model: str = "8b"
    gpu: str = "l4"
    utilisation: float = 0.5
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """A question of the traffic: when it comes, in seconds from the beginning, and whether it can wait."""

    at: float
    case: Case
    patient: bool

    @property
    def needed(self) -> Tier:
        """The tier that is taken to be good enough: the small one, but for what takes more than one passage."""
        return "medium" if is_complex(self.case) else "small"


@dataclass(frozen=True, slots=True)
class Workload:
    """One knowledge base of all sets, and the traffic on it; `distinct` of its questions differ."""

    data: Dataset
    asks: tuple[Ask, ...]

    @property
    def distinct(self) -> int:
        return len({ask.case.id for ask in self.asks})


def is_complex(case: Case) -> bool:
    return any(kind in COMPLEX for kind in case.group.split("+"))


def build_workload(data: Path, inputs: Inputs) -> Workload:
    """The traffic of a folder of sets; the same inputs are the same traffic."""
    sets = [load(known_source(data, name)) for name in KNOWN_SETS if (data / name).is_dir()]
    if not sets:
        raise ConfigError(f"{data} holds none of the sets {', '.join(KNOWN_SETS)}")
    whole = _united(sets)
    rng = random.Random(inputs.seed)  # noqa: S311
    pool = list(whole.cases)
    rng.shuffle(pool)
    weights = list(accumulate((rank + 1) ** -inputs.zipf for rank in range(len(pool))))
    drawn = rng.choices(pool, cum_weights=weights, k=inputs.questions)
    times = _arrivals(data / TRACE, inputs)
    waits = [rng.random() < inputs.patient and not case.history for case in drawn]
    asks = tuple(Ask(at, case, wait) for at, case, wait in zip(times, drawn, waits, strict=True))
    return Workload(whole, asks)


def _united(sets: Sequence[Dataset]) -> Dataset:
    """All sets as one, with answerable questions only; ids tell where they come from."""
    documents = [replace(it, id=f"{found.name}:{it.id}") for found in sets for it in found.documents]
    cases = [_renamed(case, found.name) for found in sets for case in found.cases if case.answerable and case.relevant]
    return Dataset("workload", tuple(cases), tuple(_once(documents)))


def _once(documents: Sequence[SourceDocument]) -> Iterator[SourceDocument]:
    seen: set[str] = set()
    for document in documents:
        if document.id not in seen:
            seen.add(document.id)
            yield document


def _renamed(case: Case, name: str) -> Case:
    return replace(case, id=f"{name}:{case.id}", relevant=tuple(f"{name}:{document}" for document in case.relevant))


def _arrivals(trace: Path, inputs: Inputs) -> list[float]:
    """The trace's gaps from a drawn place on, stretched to the monthly volume; even ones where there is no trace."""
    pace = MONTH / inputs.monthly
    if not trace.exists():
        return [number * pace for number in range(inputs.questions)]
    stamps = [row[0][:26] for row in list(csv.reader(gzip.decompress(trace.read_bytes()).decode().splitlines()))[1:]]
    times = [datetime.fromisoformat(stamp).timestamp() for stamp in stamps]
    gaps = [max(0.0, after - before) for before, after in pairwise(times)]
    stretch = pace / (sum(gaps) / len(gaps))
    start = random.Random(inputs.seed).randrange(len(gaps))  # noqa: S311
    turned = [gaps[(start + number) % len(gaps)] * stretch for number in range(inputs.questions)]
    return list(accumulate(turned))
