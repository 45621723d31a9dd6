"""The values that flow through ragkit: frozen, small, without behaviour beyond arithmetic and `str`.

Money fields end in `_pico` (whole pico-dollars). Times are aware and in UTC. Spans are half-open character offsets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from ragkit.record import DocumentRecord as DocumentRecord
from ragkit.record import DocumentVersion as DocumentVersion
from ragkit.usage import Usage as Usage

Lane = Literal["standard", "batch", "flex", "priority", "local"]
Tier = Literal["cache", "extractive", "local", "small", "medium", "large"]
EventKind = Literal["generate", "repair", "embed", "rerank", "classify", "context", "warm", "store", "unresolved"]
Stop = Literal["end", "length", "refusal", "abstained"]
CacheTtl = Literal["5m", "30m", "1h", "12h"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Role = Literal["user", "assistant"]
Pressure = Literal["none", "warn", "lower", "free", "refuse"]
"""What budgets ask of a question: nothing, a warning, the cheapest paid model, only free answers, no answer."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks and who pays; the tenant limits what may be seen. `key` is an id, never a secret."""

    tenant: str = "default"
    user: str | None = None
    key: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document; `document_text[start:end] == text`.

    `context` says what the document says around it: it is found by that, and never quoted from it.
    """

    id: str
    document_id: str
    source: str
    text: str
    start: int
    end: int
    ordinal: int
    tokens: int
    title: str = ""
    section: tuple[str, ...] = ()
    page: int | None = None
    context: str = ""

    def __reduce__(self) -> tuple[type[Chunk], tuple[object, ...]]:
        """Pickled as a call: what a dataclass does for itself takes ten times as long, for forty chunks a question."""
        place = (self.start, self.end, self.ordinal, self.tokens, self.title, self.section, self.page)
        return Chunk, (self.id, self.document_id, self.source, self.text, *place, self.context)


@dataclass(frozen=True, slots=True)
class Sparse:
    """A sparse vector: sorted or not, `len(indices) == len(values)`."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk with its score; ranks are 1-based in the channel that found it, None where it did not."""

    chunk: Chunk
    score: float
    sparse_rank: int | None = None
    dense_rank: int | None = None
    sparse_score: float | None = None
    dense_score: float | None = None

    def scored(self, score: float) -> Hit:
        """The same hit with another score; `dataclasses.replace` takes five times as long, for each of forty hits."""
        return Hit(self.chunk, score, self.sparse_rank, self.dense_rank, self.sparse_score, self.dense_score)

    def __reduce__(self) -> tuple[type[Hit], tuple[object, ...]]:
        return Hit, (self.chunk, self.score, self.sparse_rank, self.dense_rank, self.sparse_score, self.dense_score)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """A question and how it may be answered; `k` chunks are retrieved before reranking.

    `schema` is the caller's own Pydantic model for `Answer.data`; `max_cost_pico` caps this one question. `model` is a
    permitted tier or model that must answer; empty, the router chooses.
    """

    text: str
    account: Account = Account()
    k: int = 40
    filters: tuple[tuple[str, str], ...] = ()
    history: tuple[Turn, ...] = ()
    schema: type[Any] | None = None
    max_cost_pico: int | None = None
    model: str = ""


@dataclass(frozen=True)
class Schema:
    """A JSON schema that the provider must enforce; `name` is made of letters, digits, `_` and `-`."""

    name: str
    json_schema: Mapping[str, Any]

    @cached_property
    def text(self) -> str:
        """The schema as text, by whose size its tokens are bounded."""
        return str(self.json_schema)


@dataclass(frozen=True, slots=True)
class Prefix:
    """The stable, cacheable head of a prompt: hot documents as frozen bytes.

    `marked` says whether the provider is asked to cache it, for `ttl`; `reason` says why or why not.
    """

    text: str = ""
    chunks: tuple[Chunk, ...] = ()
    documents: tuple[str, ...] = ()
    digest: str = ""
    tokens: int = 0
    marked: bool = False
    ttl: CacheTtl | None = None
    reason: str = "no hot documents"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked, in the order in which it goes out: stable first, the question last.

    `system`, `prefix.text`, `evidence` and `question` are rendered texts that adapters send as they are. `chunks` are
    those rendered in `evidence`. What may be cited are those of prefix and evidence, by their place, counted from 1.
    `selected` were chosen for this question, best first, wherever they stand; `asked` is the bare question.
    """

    system: str
    prefix: Prefix
    evidence: str
    chunks: tuple[Chunk, ...]
    question: str
    history: tuple[Turn, ...] = ()
    tokens: int = 0
    selected: tuple[Chunk, ...] = ()
    asked: str = ""

    @property
    def citable(self) -> tuple[Chunk, ...]:
        return self.prefix.chunks + self.chunks


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be routed to; `price_id` names its rows in the price table, None for free local work.

    `effort` is the thinking level that its tier asks for, None for the provider's default.
    """

    id: str
    provider: str
    tier: Tier
    price_id: str | None = None
    max_output: int = 1024
    effort: Effort | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """The model chosen for a question, the score it was chosen by, and why.

    `expected_pico` is what it was expected to cost, None where nothing was weighed.
    """

    model: Model
    score: float
    reason: str
    fallbacks: tuple[Model, ...] = ()
    expected_pico: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One call to a generator. `repair` holds the failed answer and what was wrong with it, as two more turns.

    `timeout` is in seconds. `cache_key` steers and isolates provider-side caches: an opaque name per tenant and prefix.
    A `max_output` of 0, for providers that know it, wants the prompt read or cached and nothing written.
    """

    prompt: Prompt
    model: Model
    schema: Schema
    max_output: int
    timeout: float = 120.0
    lane: Lane = "standard"
    cache_key: str = ""
    repair: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model returned; `text` is the JSON answer object in the request's schema, as it came.

    `lane` is the one that the provider says it served; `reported_pico` a gateway's own idea of the cost.
    """

    text: str
    usage: Usage
    stop: Stop
    served_by: str
    request_id: str | None = None
    lane: Lane = "standard"
    reported_pico: int | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote that occurs verbatim in its source: `start` and `end` are offsets in the document's text."""

    chunk_id: str
    document_id: str
    source: str
    section: tuple[str, ...]
    page: int | None
    quote: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Event:
    """One billable (or expressly free) step of an answer. A cost of None means unknown, never zero.

    `price_row` names the dated row that priced it, empty for free local work. `estimated` marks usage that the
    provider did not report. Reports group by `tier`, `prefix` (its digest), `chunks` and `evidence` (those after the
    prefix, and their tokens); what-if replays vary them. `estimate` and `bound` are our own sizes of the whole prompt.
    """

    kind: EventKind
    model: str
    usage: Usage
    cost_pico: int | None
    seconds: float
    reason: str
    attempt: int = 1
    lane: Lane = "standard"
    price_row: str = ""
    estimated: bool = False
    reported_pico: int | None = None
    request_id: str | None = None
    tier: Tier | None = None
    prefix: str = ""
    chunks: int = 0
    evidence: int = 0
    estimate: int = 0
    bound: int = 0


@dataclass(frozen=True, slots=True)
class Saving:
    """What one lever took off the baseline; negative where it cost more than it saved."""

    lever: str
    pico: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """The bill of one answer: `cost + saved == baseline`, exactly; None where an event's cost is unknown.

    `savings` split `saved_pico` by lever and add up to it exactly; they are empty where it is unknown.
    """

    id: str
    at: datetime
    account: Account
    events: tuple[Event, ...]
    baseline_pico: int
    baseline_note: str
    price_version: str
    savings: tuple[Saving, ...] = ()

    @property
    def cost_pico(self) -> int | None:
        costs = [event.cost_pico for event in self.events]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    @property
    def saved_pico(self) -> int | None:
        return None if self.cost_pico is None else self.baseline_pico - self.cost_pico


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, what supports it, and what it cost."""

    text: str
    data: Mapping[str, Any] | None
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...]
    route: Route
    prefix: Prefix
    receipt: Receipt
    abstained: bool
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()
