"""Answers that were given before, for questions that are the same in every respect that an answer depends on.

Tenant, access class, documents, schema, instructions, models, settings, earlier turns and the question itself are all
part of an entry's key, so that a change of any of them is a miss, never a wrong answer. Only what was paid for is kept.
"""

from __future__ import annotations

import hashlib
import json
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from ragkit.caching.file import CacheFile
from ragkit.nouns import Chunk, Citation, Hit, Model, Query

MOST_ANSWERS = 10_000
"""Answers kept per tenant; the oldest go first."""
LONGEST_KEPT = 30 * 86_400
"""Seconds after which an answer is asked for anew even if nothing has changed."""
TIDIED_EVERY = 50
CACHED = Model("answer cache", provider="cache", tier="cache")
NOT_IN_KIND = {"text", "account", "max_cost_pico", "schema"}
"""Fields of a question that are no part of its kind: they stand in the key by themselves, or change no answer."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer belongs. `kind` is a digest of all that it depends on beside documents and question."""

    tenant: str
    corpus: str
    kind: str
    question: str
    signature: str = ""

    @property
    def key(self) -> str:
        return _digest([self.tenant, self.corpus, self.kind, self.question])


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was given to the question `asked`; `compared` are the sizes that its baseline is priced by.

    `alike` says that the question now is another one, which asks the same.
    """

    text: str
    data: Mapping[str, Any] | None
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...]
    model: str
    notes: tuple[str, ...]
    compared: Mapping[str, int]
    asked: str = ""
    at: float = 0.0
    alike: bool = False


def normalize(question: str) -> str:
    """The question without differences that no reader sees: composition of characters, blanks, one last mark.

    Capital letters stay, and so do all other signs: "US" is not "us", and 5! is not 5.
    """
    text = " ".join(unicodedata.normalize("NFC", question).split())
    bare = text.rstrip(" ?")
    return bare if bare and bare[-1].isalnum() else text


def kind_of(query: Query, *, schema: Mapping[str, Any], policy: str) -> str:
    """What tells answers to the same words apart: filters, earlier turns, depth, schema, instructions and models."""
    told = {it.name: repr(getattr(query, it.name)) for it in fields(query) if it.name not in NOT_IN_KIND}
    return _digest([told, schema, policy])


def policy_of(*parts: object) -> str:
    """A digest of settings and versions that decide how questions are answered."""
    return _digest([repr(part) for part in parts])


class Answers:
    """Kept answers, in the cache file. `clock` gives seconds since 1970."""

    def __init__(self, file: CacheFile, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._puts = 0

    def get(self, place: Place, same: Callable[[str, str], bool] | None = None) -> Kept | None:
        """The answer to this very question; with `same`, also to one of like signature that it takes for the same."""
        since = self._clock() - LONGEST_KEPT
        for question, at, body in self._file.rows(
            "SELECT question, at, body FROM answer WHERE key = ? AND at > ?", (place.key, since)
        ):
            return _from_json(body, question, at)
        if same is None or not place.signature:
            return None
        rows = self._file.rows(
            "SELECT question, at, body FROM answer WHERE tenant = ? AND corpus = ? AND kind = ? AND signature = ?"
            " AND at > ? ORDER BY at DESC LIMIT 20",
            (place.tenant, place.corpus, place.kind, place.signature, since),
        )
        found = (_from_json(body, asked, at) for asked, at, body in rows if same(place.question, asked))
        return next((replace(kept, alike=True) for kept in found), None)

    def put(self, place: Place, kept: Kept) -> None:
        """Keep an answer, in place of an older one."""
        self._file.write(
            "INSERT OR REPLACE INTO answer (key, tenant, corpus, kind, signature, question, at, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                place.key,
                place.tenant,
                place.corpus,
                place.kind,
                place.signature,
                place.question,
                self._clock(),
                _to_json(kept),
            ),
        )
        if self._puts % TIDIED_EVERY == 0:
            self._tidy(place.tenant)
        self._puts += 1

    def forget(self, tenant: str, *, but: str | None = None) -> None:
        """Delete a tenant's answers from other versions of its documents than this one."""
        self._file.write("DELETE FROM answer WHERE tenant = ? AND corpus <> ?", (tenant, but or ""))
        self._file.scrub()

    def _tidy(self, tenant: str) -> None:
        self._file.write("DELETE FROM answer WHERE at <= ?", (self._clock() - LONGEST_KEPT,))
        self._file.write(
            "DELETE FROM answer WHERE key IN"
            " (SELECT key FROM answer WHERE tenant = ? ORDER BY at DESC LIMIT -1 OFFSET ?)",
            (tenant, MOST_ANSWERS),
        )


def reason_of(kept: Kept) -> str:
    """Why a kept answer is given, in words."""
    given = datetime.fromtimestamp(kept.at, UTC)
    what = f'"{kept.asked}", which asks the same,' if kept.alike else "this question"
    return f"{what} was answered by {kept.model} on {given:%Y-%m-%d %H:%M} UTC, and no document has changed since"


def _to_json(kept: Kept) -> str:
    told = asdict(kept)
    return json.dumps({name: value for name, value in told.items() if name not in ("asked", "at", "alike")})


def _from_json(body: str, asked: str, at: float) -> Kept:
    told = json.loads(body)
    return Kept(
        text=told["text"],
        data=told["data"],
        citations=tuple(Citation(**_tuples(citation)) for citation in told["citations"]),
        hits=tuple(Hit(**{**hit, "chunk": Chunk(**_tuples(hit["chunk"]))}) for hit in told["hits"]),
        model=told["model"],
        notes=tuple(told["notes"]),
        compared=told["compared"],
        asked=asked,
        at=at,
    )


def _tuples(told: Mapping[str, Any]) -> dict[str, Any]:
    return {**told, "section": tuple(told["section"])}


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]
