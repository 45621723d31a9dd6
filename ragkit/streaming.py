"""An answer as it comes: statements are shown as soon as they are complete and their quotes are found to be real."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ragkit.citation import Rules, Verifier
from ragkit.nouns import Chunk, Citation, Hit, Route
from ragkit.structured import Statement

ARRAY = re.compile(r'(?<!\\)"statements"\s*:\s*\[')
DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Found:
    """What was retrieved, reranked and selected."""

    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Routed:
    """The model that answers, and why."""

    route: Route


@dataclass(frozen=True, slots=True)
class Said:
    """A statement of the answer, with the citations that it is the first to use."""

    text: str
    citations: tuple[Citation, ...]


Signal = Found | Routed | Said
Tell = Callable[[Signal], None]


class StatementReader:
    """Finds the complete statements in the JSON of an answer while it is being written."""

    def __init__(self) -> None:
        self._text = ""
        self._at: int | None = None

    def feed(self, piece: str) -> tuple[Statement, ...]:
        """The statements that this piece completes; what is no statement is left to the validation of the whole."""
        self._text += piece
        if self._at is None:
            begun = ARRAY.search(self._text)
            if begun is None:
                return ()
            self._at = begun.end()
        found = []
        while (value := self._next()) is not None:
            found.append(value)
        return tuple(found)

    def _next(self) -> Statement | None:
        at = self._at or 0
        while at < len(self._text) and self._text[at] in " \n\r\t,":
            at += 1
        try:
            value, self._at = DECODER.raw_decode(self._text, at)
            return Statement.model_validate(value)
        except ValueError:
            return None


class Saying:
    """Hears the pieces of a streamed answer and says each statement that its sources bear out."""

    def __init__(self, citable: Sequence[Chunk], rules: Rules, tell: Tell) -> None:
        self._reader, self._verifier, self._tell = StatementReader(), Verifier(citable, rules), tell

    def hear(self, piece: str) -> None:
        for statement in self._reader.feed(piece):
            known = len(self._verifier.citations)
            if text := self._verifier.enter(statement):
                self._tell(Said(text, tuple(self._verifier.citations[known:])))
