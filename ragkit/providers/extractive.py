"""The generator that costs nothing: it copies the sentences that answer a question, and says how sure it is.

It does not summarize, combine or rephrase, and it cannot fill a caller's schema: it abstains and says so.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from ragkit.nouns import Chunk, Completion, Prompt, Request, Stop, Usage
from ragkit.words.match import Candidate
from ragkit.words.ranking import Ranking, logistic, rank
from ragkit.words.reading import Words, read

WEIGHTS = {"share": 7.35, "score": -0.067, "marked_near": 1.347, "most_pairs": 1.355}
BIAS = -5.877
PRECISION = (
    (0.022, 0.697), (0.477, 0.781), (0.645, 0.827), (0.746, 0.863), (0.802, 0.89), (0.836, 0.905), (0.85, 0.921),
    (0.866, 0.93), (0.877, 0.937), (0.887, 0.941), (0.898, 0.948), (0.906, 0.956), (0.912, 0.958), (0.921, 0.958),
)  # fmt: skip
"""Chance by the weights above, and the share of right answers among held-out extractions that were at least as sure."""

LONGEST_LIST = 1200
"""Characters of a list, table or code block that are copied with the line that announces it."""

NOTHING = "the selected passages contain no sentence to copy"
NO_SCHEMA = "the extractive generator copies sentences and cannot fill {}: choose a model, or ask without a schema"


@dataclass(frozen=True, slots=True)
class Extract:
    """A passage of a chunk, by offsets in the chunk's text. `lined` passages keep their lines, as code must."""

    chunk: Chunk
    start: int
    end: int
    lined: bool = False

    @property
    def text(self) -> str:
        return self.chunk.text[self.start : self.end]

    @property
    def shown(self) -> str:
        return self.text if self.lined else " ".join(self.text.split())


@dataclass(frozen=True, slots=True)
class Extraction:
    """The passages that answer, best first.

    `confidence` is calibrated: of held-out extractions at least as sure as this one, that share held the answer.
    """

    statements: tuple[Extract, ...]
    confidence: float


def extract(question: str, chunks: Sequence[Chunk]) -> Extraction:
    """The sentences of the chunks, best chunk first, that answer the question best. A pure function."""
    ranking = rank(question, tuple(chunks))
    if not ranking.candidates:
        return Extraction((), 0.0)
    return Extraction(_joined(ranking), _precision(logistic(ranking.signals(), WEIGHTS, BIAS)))


def _precision(chance: float) -> float:
    """The curve, straight between its points."""
    after = bisect_left(PRECISION, (chance,))
    if after in (0, len(PRECISION)):
        return PRECISION[min(after, len(PRECISION) - 1)][1]
    (left, low), (right, high) = PRECISION[after - 1 : after + 1]
    return low + (high - low) * (chance - left) / (right - left)


def _joined(ranking: Ranking) -> tuple[Extract, ...]:
    """What was taken, neighbours joined into one passage, in the order of the best of each."""
    taken = ranking.candidates[: ranking.taken]
    rest = list(taken)
    passages: list[Extract] = []
    for candidate in taken:
        if candidate in rest:
            group = _neighbours(candidate, rest)
            rest = [other for other in rest if other not in group]
            passages.append(_passage(group))
    return tuple(passages)


def _neighbours(candidate: Candidate, others: Sequence[Candidate]) -> list[Candidate]:
    """The candidate with those directly before and after it, in reading order."""
    places = {other.place: other for other in others if other.chunk.id == candidate.chunk.id}
    first = last = candidate.place
    while first - 1 in places:
        first -= 1
    while last + 1 in places:
        last += 1
    return [places[place] for place in range(first, last + 1)]


def _passage(group: Sequence[Candidate]) -> Extract:
    chunk, first = group[0].chunk, group[0].place
    units = read(chunk.text)
    last = _end(units, group[-1].place)
    lined = any(unit.unit.kind in ("code", "row", "item") for unit in units[first : last + 1])
    return Extract(chunk, units[first].unit.start, units[last].unit.end, lined)


def _end(units: Sequence[Words], last: int) -> int:
    """The last unit of a passage: a line that announces a list, a table or code takes it along."""
    if not units[last].leads_in or last + 1 == len(units):
        return last
    kind, limit = units[last + 1].unit.kind, units[last].unit.end + LONGEST_LIST
    end = last
    while end + 1 < len(units) and units[end + 1].unit.kind == kind and units[end + 1].unit.end <= limit:
        end += 1
        if kind == "prose":
            break
    return end


class ExtractiveProvider:
    """A provider without a model: usage is zero, and the answer obeys the request's schema."""

    name = "extractive"

    async def complete(self, request: Request) -> Completion:
        draft = _draft(request)
        stop: Stop = "abstained" if draft["abstained"] else "end"
        return Completion(json.dumps(draft, ensure_ascii=False), Usage(), stop, served_by=self.name)

    async def stream(self, request: Request) -> AsyncIterator[str | Completion]:
        completion = await self.complete(request)
        yield completion.text
        yield completion

    async def aclose(self) -> None: ...


def _draft(request: Request) -> dict[str, object]:
    schema = request.schema
    if "data" in schema.json_schema["properties"]:
        return _abstained(NO_SCHEMA.format(schema.name)) | {"data": None}
    statements = [_statement(one, request.prompt) for one in _extraction(request.prompt).statements]
    return {"abstained": False, "reason": "", "statements": statements} if statements else _abstained(NOTHING)


def _extraction(prompt: Prompt) -> Extraction:
    return extract(prompt.asked or prompt.question, prompt.selected or prompt.citable)


def _statement(extract: Extract, prompt: Prompt) -> dict[str, object]:
    number = next(place for place, chunk in enumerate(prompt.citable, start=1) if chunk.id == extract.chunk.id)
    return {"text": extract.shown, "quotes": [{"chunk_id": str(number), "quote": extract.text}]}


def _abstained(reason: str) -> dict[str, object]:
    return {"abstained": True, "reason": reason, "statements": []}
