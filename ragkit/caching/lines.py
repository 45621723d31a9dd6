"""All lines of a process, with what their questions ask for; read from the cache file on first use and written back."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ragkit.caching.file import CacheFile
from ragkit.caching.line import Kind, Line, line_to_json, restore_line
from ragkit.hot import Demand
from ragkit.nouns import Chunk

SAVE_EVERY = 20
"""Questions of a scope after which its counts are written; at the end they always are."""
SAVED_SECONDS = 5.0
"""How long a line's counts may be newer than what is written."""
MOST_SCOPES = 1_000
MOST_LINES = 2_000
"""What is kept in memory; filters and schemas can make many."""


class Scope:
    """What the questions of one tenant and access class ask for, and where those chunks are."""

    def __init__(self) -> None:
        self.demand = Demand()
        self.homes: dict[str, str] = {}
        self.unsaved = 0


class Lines:
    """Lines by kind and scopes by tenant and filters."""

    def __init__(self, file: CacheFile) -> None:
        self.file = file
        self._lines: dict[str, Line] = {}
        self._scopes: dict[str, Scope] = {}

    def line(self, kind: Kind) -> Line:
        """The line of a kind; one that was not used for long is written down and read again when it is needed."""
        found = self._lines.pop(kind.key, None)
        if found is None:
            found = Line(kind)
            for (text,) in self.file.rows("SELECT body FROM state WHERE key = ?", (f"line {kind.key}",)):
                restore_line(found, text)
        self._lines[kind.key] = found
        if len(self._lines) > MOST_LINES:
            oldest = self._lines.pop(next(iter(self._lines)))
            self._save_line(oldest, oldest.saved)
        return found

    def loaded(self) -> tuple[Line, ...]:
        return tuple(self._lines.values())

    def held(self, kind: Kind) -> Line | None:
        """The line of a kind if it is in memory; looking does not make it one that was used."""
        return self._lines.get(kind.key)

    def scope(self, name: str) -> Scope:
        found = self._scopes.pop(name, None)
        if found is None:
            found = Scope()
            for (text,) in self.file.rows("SELECT body FROM state WHERE key = ?", (f"scope {name}",)):
                told = json.loads(text)
                found.demand = Demand(told["questions"], told["weights"])
                found.homes = told["homes"]
        self._scopes[name] = found
        if len(self._scopes) > MOST_SCOPES:
            oldest = next(iter(self._scopes))
            self._save_scope(oldest, self._scopes.pop(oldest))
        return found

    def count(self, line: Line, chunks: Sequence[Chunk], now: float) -> None:
        """A question of this kind has come, and these chunks were selected for it."""
        line.arrivals.add(now)
        line.questions += 1
        line.since += 1
        scope = self.scope(line.kind.scope)
        scope.demand.add({chunk.id for chunk in chunks})
        scope.homes.update((chunk.id, chunk.document_id) for chunk in chunks)
        scope.unsaved += 1

    def save(self, line: Line, now: float) -> None:
        """Write down what was learnt, not at every question."""
        if now - line.saved >= SAVED_SECONDS:
            self._save_line(line, now)
        scope = self.scope(line.kind.scope)
        if scope.unsaved >= SAVE_EVERY:
            self._save_scope(line.kind.scope, scope)

    def save_all(self, now: float) -> None:
        for line in self._lines.values():
            self._save_line(line, now)
        for name, scope in self._scopes.items():
            if scope.unsaved:
                self._save_scope(name, scope)

    def _save_line(self, line: Line, now: float) -> None:
        line.saved = now
        self._put(f"line {line.kind.key}", now, line_to_json(line))

    def _save_scope(self, name: str, scope: Scope) -> None:
        demand = scope.demand
        weights = {chunk: weight / demand.scale for chunk, weight in demand.weights.items()}
        scope.homes = {chunk: scope.homes[chunk] for chunk in weights if chunk in scope.homes}
        body = {"questions": demand.seen, "weights": weights, "homes": scope.homes}
        self._put(f"scope {name}", 0.0, json.dumps(body))
        scope.unsaved = 0

    def _put(self, key: str, at: float, body: str) -> None:
        self.file.write("INSERT OR REPLACE INTO state (key, at, body) VALUES (?, ?, ?)", (key, at, body))
