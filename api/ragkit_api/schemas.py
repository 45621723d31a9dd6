"""Bodies of requests and replies; what is not named here is refused."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StringConstraints

from ragkit.query import LONGEST_QUESTION
from ragkit.reports.spending import parse_moment
from ragkit_api.declared import ErrorDetail

VISIBLE = r"[^\x00-\x20\x7f-\xa0\s]"
"""At least one character that can be seen."""
NAMED = r"[^./\\ ]"
"""A document's name has more than what only says where it is. No `\\w`: every language takes that for other letters."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9._@:+-]{0,127}$"

WHOM = r"^(tenant|(user|tag)=(\*|[A-Za-z0-9._@:+-]{1,128})|key=[a-z0-9]{1,64})$"

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Name = Annotated[str, StringConstraints(pattern=NAME)]
Question = Annotated[str, StringConstraints(pattern=VISIBLE, min_length=1, max_length=LONGEST_QUESTION)]
Usd = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}(\.[0-9]{1,12})?$")]
Ago = Annotated[str, StringConstraints(pattern=r"^([1-9]|[1-9][0-9]|[12][0-9][0-9]|3[0-5][0-9])[hd]$")]
Hours = Annotated[str, StringConstraints(pattern=r"^([1-9]|[1-9][0-9]|1[0-5][0-9]|16[0-8])h$")]
Day = Annotated[
    str,
    StringConstraints(pattern=r"^20[0-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"),
    Field(examples=["2026-11-24"]),
]
Window = Annotated[
    str, StringConstraints(pattern=r"^(question|hour|day|week|month|total|([1-9]|[1-9][0-9]|[12][0-9][0-9])[hd])$")
]
Filters = Annotated[
    dict[Name, Annotated[str, StringConstraints(max_length=512)]],
    Field(max_length=16, json_schema_extra={"additionalProperties": False}),
]

META_KEY, META_VALUE = r"[A-Za-z_][A-Za-z0-9_.-]{0,39}", r"[^\x00-\x1f\x7f]{0,100}"
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(pattern=f"^{META_KEY}$")],
        Annotated[str, StringConstraints(pattern=f"^{META_VALUE}$")],
    ],
    Field(max_length=16, json_schema_extra={"additionalProperties": False}, examples=[{"team": "hr"}]),
]
MetadataPair = Annotated[str, StringConstraints(pattern=f"^{META_KEY}={META_VALUE}$"), Field(examples=["team=hr"])]


@lru_cache(maxsize=1)
def zones() -> tuple[str, ...]:
    return tuple(sorted(name for name in available_timezones() if "/" in name or name == "UTC"))


def whole(value: object) -> object:
    """JSON knows one kind of number, so that 3.0 is a whole one; true is none at all."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("it should be a whole number")
    return value


def _known_zone(name: str) -> str:
    if name not in zones():
        raise ValueError("use an IANA name such as Europe/Berlin")
    return name


Zone = Annotated[str, AfterValidator(_known_zone), Field(json_schema_extra={"enum": list(zones())})]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TurnBody(Body):
    role: Literal["user", "assistant"]
    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_QUESTION)]


class SearchBody(Body):
    """What is searched for, in whose documents the key alone decides."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"question": "How long does the warranty last?"}]})

    question: Question
    k: Annotated[int, Field(ge=1, le=200), BeforeValidator(whole)] | None = None
    filters: Filters = Field(default_factory=dict)


class QueryBody(SearchBody):
    """A question. `response_schema` is a JSON schema of an object, which `data` of the answer then obeys."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"question": "How long does the warranty last?", "stream": False},
                {"question": "And what is covered?", "history": [{"role": "user", "text": "How long does it last?"}]},
            ]
        }
    )

    history: Annotated[tuple[TurnBody, ...], Field(max_length=20)] = ()
    user: Name | None = None
    max_cost_usd: Usd | None = None
    response_schema: dict[str, Any] | None = None
    stream: StrictBool = False


class BatchQuestion(Body):
    """A question of a batch; `id` is yours and comes back with the answer."""

    question: Question
    id: Id | None = None


class BatchBody(Body):
    """Questions that may take a day; after `within_hours` they are asked live, if budgets allow."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"questions": [{"question": "How long does the warranty last?"}]}]}
    )

    questions: Annotated[tuple[BatchQuestion, ...], Field(min_length=1, max_length=1000)]
    k: Annotated[int, Field(ge=1, le=200), BeforeValidator(whole)] | None = None
    filters: Filters = Field(default_factory=dict)
    user: Name | None = None
    within_hours: Annotated[int, Field(ge=0, le=96), BeforeValidator(whole)] | None = None
    response_schema: dict[str, Any] | None = None


class CollectBody(Body):
    """The schema that the job was submitted with, if it had one."""

    response_schema: dict[str, Any] | None = None


class InlineDocument(Body):
    source: Annotated[str, StringConstraints(pattern=NAMED, min_length=1, max_length=400)]
    text: Annotated[str, StringConstraints(min_length=1)]


class IngestBody(Body):
    """Documents as texts; files go to `POST /v1/documents`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"documents": [{"source": "pump.md", "text": "# Pump\n\nIt pumps."}]}]}
    )

    documents: Annotated[tuple[InlineDocument, ...], Field(min_length=1, max_length=100)]
    metadata: Metadata = Field(default_factory=dict)


class BudgetBody(Body):
    """A limit. `whom` is `tenant`, or `user=`, `tag=` or `key=` with a name, or `*` for each one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"whom": "user=alice", "limit_usd": "5.00", "per": "day"}]}
    )

    whom: Annotated[str, StringConstraints(pattern=WHOM)]
    limit_usd: Usd | None
    per: Window = "month"
    zone: Zone = "UTC"
    on_exceed: Literal["refuse", "degrade"] = "refuse"
    note: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")] = ""


class FeedbackBody(Body):
    """What somebody thought of an answer."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"receipt_id": "2b1c", "rating": "up", "comment": "found it at once"}]}
    )

    receipt_id: Id
    rating: Literal["up", "down"]
    comment: Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")] = ""


class AnswerBody(BaseModel):
    """As `ragkit ask --json` prints it. Money is a decimal string of dollars."""

    answer: str
    data: dict[str, Any] | None
    abstained: bool
    citations: list[dict[str, Any]]
    chunks: list[dict[str, Any]]
    route: dict[str, Any]
    prefix: dict[str, Any]
    receipt: dict[str, Any]
    seconds: dict[str, float]
    notes: list[str]


class HitsBody(BaseModel):
    hits: list[dict[str, Any]]


class JobBody(BaseModel):
    """`report` is as `ragkit ingest --json` prints it; its `context` and `vectors` say what waits for a batch."""

    job_id: str
    kind: Literal["ingest", "collect"]
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    at: datetime
    sources: list[str]
    progress: dict[str, Any]
    report: dict[str, Any] | None
    error: ErrorDetail | None


class JobsBody(BaseModel):
    jobs: list[JobBody]


class DocumentBody(BaseModel):
    id: str
    source: str
    title: str
    version: int
    chunks: int
    characters: int
    modified: datetime


class DocumentsBody(BaseModel):
    documents: list[DocumentBody]
    total: int
    next: str | None


class VersionBody(BaseModel):
    """`sha256` is that of the file; equal for equal bytes."""

    version: int
    committed: datetime
    sha256: str
    chunks: int
    characters: int


class PassagesBody(DocumentBody):
    """`metadata` is what `filters` compare, `versions` are the latest ones, the one in force at their end."""

    metadata: list[tuple[str, str]]
    versions: list[VersionBody]
    passages: list[dict[str, Any]]


class DeletedBody(BaseModel):
    id: str
    deleted: bool
    chunks: int


def moment(given: str | None, now: datetime, zone: str) -> datetime:
    """The beginning of a day, or how long ago; the 31st of a shorter month is its last day."""
    if given is None:
        return now
    if given.count("-") == 2:
        year, month, day = map(int, given.split("-"))
        given = date(year, month, min(day, monthrange(year, month)[1])).isoformat()
    return parse_moment(given, now, zone)
