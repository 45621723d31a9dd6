"""What is remembered of the questions that can share a prefix, and how that is written down and read back."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from ragkit.caching.policy import Arrivals, Balance
from ragkit.nouns import CacheTtl, Chunk, Model
from ragkit.tokens import estimate_tokens


@dataclass(frozen=True)
class Kind:
    """What a provider's cache tells apart, and what tenants and access classes must not share.

    `filters` are the access class; `schema` is the digest of the answer's schema, which stands before the prefix.
    """

    tenant: str
    filters: tuple[tuple[str, str], ...]
    model: Model
    schema: str

    def like(self, other: Kind) -> bool:
        """The same but for the model."""
        return (self.tenant, self.filters, self.schema) == (other.tenant, other.filters, other.schema)

    @cached_property
    def scope(self) -> str:
        """Whose documents are counted together."""
        return json.dumps([self.tenant, self.filters], ensure_ascii=False)

    @cached_property
    def key(self) -> str:
        model = self.model
        return json.dumps([self.tenant, self.filters, model.provider, model.id, model.effort, self.schema])


@dataclass(frozen=True)
class Version:
    """A prefix in force: these chunks as these bytes. `sizes` are in the model's tokens, by chunk.

    `corpus` is the version of the documents for which the chunks were last found unchanged, `bound` the most tokens
    that the model can make of the text.
    """

    number: int
    created: float
    corpus: str | None
    chunks: tuple[Chunk, ...]
    text: str
    digest: str
    sizes: Mapping[str, int]
    bound: int

    @cached_property
    def tokens(self) -> int:
        return sum(self.sizes.values())

    @cached_property
    def estimate(self) -> int:
        """In tokens of no model in particular, as prompts are estimated."""
        return estimate_tokens(self.text)

    @cached_property
    def documents(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(chunk.document_id for chunk in self.chunks))


@dataclass(slots=True)
class Line:
    """The questions of one kind, one after the other. Times are seconds since 1970.

    `warm_until` is when the provider forgets the version's bytes, `touched` when they were last asked for, `since` the
    questions since the hot chunks were last chosen. `refused` counts why questions went out without a mark, `lack` says
    why no chunks were chosen. `lapses` is when the entry would have ended had nobody refreshed it since the last
    question, 0 where nobody has; `keeping` says why it was refreshed last, or why not, and `lost` when the provider had
    forgotten it all the same. `restored` and `saved` tell how
    the line stands to the cache file.
    """

    kind: Kind
    arrivals: Arrivals = field(default_factory=Arrivals)
    balance: Balance = field(default_factory=Balance)
    version: Version | None = None
    ttl: CacheTtl | None = None
    warm_until: float = 0.0
    touched: float = 0.0
    since: int = 0
    questions: int = 0
    marked: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lack: str = ""
    lapses: float = 0.0
    keeping: str = ""
    lost: float = 0.0
    restored: bool = False
    saved: float = 0.0


def line_to_json(line: Line) -> str:
    """Everything but the version, which has a row of its own."""
    model = line.kind.model
    return json.dumps(
        {
            "tenant": line.kind.tenant,
            "filters": line.kind.filters,
            "model": {"id": model.id, "provider": model.provider, "price_id": model.price_id, "effort": model.effort},
            "arrivals": asdict(line.arrivals),
            "balance": asdict(line.balance),
            "ttl": line.ttl,
            "warm_until": line.warm_until,
            "touched": line.touched,
            "since": line.since,
            "questions": line.questions,
            "marked": line.marked,
            "refused": dict(line.refused),
            "keeping": line.keeping,
            "lost": line.lost,
        }
    )


def restore_line(line: Line, text: str) -> None:
    """Go on where another process, or this one before, has left off."""
    told: dict[str, Any] = json.loads(text)
    arrivals = told["arrivals"]
    within = {int(seconds): count for seconds, count in arrivals["within"].items()}
    line.arrivals = Arrivals(arrivals["last"], arrivals["gaps"], within)
    line.balance = Balance(**told["balance"])
    line.refused = Counter(told["refused"])
    line.keeping, line.lost = told.get("keeping", ""), told.get("lost", 0.0)
    for name in ("ttl", "warm_until", "touched", "since", "questions", "marked"):
        setattr(line, name, told[name])


def version_to_json(version: Version) -> str:
    return json.dumps(
        {"corpus": version.corpus, "sizes": dict(version.sizes), "chunks": [asdict(chunk) for chunk in version.chunks]}
    )


def chunks_from_json(told: Mapping[str, Any]) -> tuple[Chunk, ...]:
    return tuple(Chunk(**{**chunk, "section": tuple(chunk["section"])}) for chunk in told["chunks"])


def digest_of(head: str, text: str) -> str:
    """Names the bytes that a mark covers: instructions and documents."""
    return hashlib.sha256(f"{len(head)}:{head}{text}".encode()).hexdigest()[:32]
