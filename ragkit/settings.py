"""Everything that can be set, as frozen tables with defaults. `ragkit.config` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from ragkit.nouns import Effort


class Section(BaseModel):
    """A table of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreSettings(Section):
    """Where documents and chunks live: `edge` in a folder of this machine, `qdrant` on a server or cluster."""

    kind: Literal["edge", "qdrant"] = "edge"
    path: Path = Path(".ragkit")
    url: str = "http://127.0.0.1:6333"
    api_key: SecretStr | None = None
    collection: str = "ragkit"
    timeout: float = Field(default=10.0, gt=0)
    shards: int = Field(default=1, ge=1)
    replicas: int = Field(default=1, ge=1)


class IngestSettings(Section):
    """How documents are cut; chunk sizes are in estimated tokens."""

    target_tokens: int = Field(default=320, ge=32)
    max_tokens: int = Field(default=512, ge=64)
    workers: int = Field(default=0, ge=0)
    """Worker processes for parsing; 0 means one per core."""
    cutter: Literal["ragkit", "llama-index"] = "ragkit"
    """Who decides where texts are cut; `llama-index` is its sentence splitter, from the extra `ingest`."""
    max_file_mib: int = Field(default=50, ge=1)
    parse_seconds: float = Field(default=30.0, gt=0)
    context: Literal["off", "live", "batch"] = "off"
    """Whether a model says, for money, what a document says around each of its chunks: at once, or at half price."""
    context_model: str = ""
    """Which one, as PROVIDER/MODEL; empty, the cheapest tier's."""


class EmbedderSettings(Section):
    """The dense embedder; `none` means lexical retrieval. `dimensions` asks for shorter vectors than its own.

    In the lane `batch` vectors of documents cost half and come within a day; those of questions are made at once.
    """

    name: str = "none"
    model: str = ""
    dimensions: int | None = Field(default=None, ge=1)
    lane: Literal["standard", "batch"] = "standard"


class RetrievalSettings(Section):
    """How many chunks are retrieved before reranking."""

    k: int = Field(default=40, ge=1, le=1000)


class RerankerSettings(Section):
    """The reranker; `embedded` needs no download."""

    name: str = "embedded"
    model: str = ""


class SelectSettings(Section):
    """What is kept of the reranked chunks; beyond `minimum` only what scores at least the share `floor` of the best."""

    minimum: int = Field(default=3, ge=1)
    maximum: int = Field(default=5, ge=1)
    token_budget: int = Field(default=2400, ge=100)
    floor: float = Field(default=0.1, ge=0, le=1)


class AnswerSettings(Section):
    """Who answers, and how sure the evidence must be before anybody does (a probability).

    `model` is `auto` (the tiers whose provider has a key, else extractive), `extractive`, or `PROVIDER/MODEL`.
    """

    model: str = "auto"
    minimum_evidence: float | None = Field(default=None, ge=0, le=1)
    max_output: int = Field(default=1024, ge=1)
    repairs: int = Field(default=1, ge=0, le=3)
    unsupported: Literal["drop", "mark"] = "drop"
    links: Literal["none", "quoted"] = "none"
    """Links in answers: none, or those that stand in the words quoted. Citations always show their source as it is."""


class TierSettings(Section):
    """A rung of the ladder of models: `model` is `PROVIDER/MODEL`, empty for the provider's usual one."""

    model: str = ""
    effort: Effort | None = None


class TiersSettings(Section):
    """The models that questions are routed to, cheapest first."""

    local: TierSettings = TierSettings()
    small: TierSettings = TierSettings()
    medium: TierSettings = TierSettings()
    large: TierSettings = TierSettings()


class RoutingSettings(Section):
    """How the model for a question is chosen; scores are what a strong model is expected to gain, as `route fit` fits.

    `medium` and `large` are the scores from which a question needs that tier, in place of those in the router's file;
    `switching` is the share of a conversation's bill that may go into changing models. With `escalate` a better model
    is asked, once, where an answer fails its check and that should pay. `classifier` is a model that is asked how hard
    a question is, for money, in place of the local router: PROVIDER/MODEL.
    """

    enabled: bool = True
    medium: float | None = Field(default=None, ge=0, le=1)
    large: float | None = Field(default=None, ge=0, le=1)
    switching: float = Field(default=0.1, ge=0)
    escalate: bool = True
    classifier: str = ""
    file: Path | None = None


class ProviderSettings(Section):
    """How to reach a provider; `region` is where it computes, when that has a price."""

    api_key: SecretStr | None = None
    base_url: str | None = None
    region: str | None = None

    @property
    def usable(self) -> bool:
        """Whether calls can be paid for."""
        return self.api_key is not None


class GatewaySettings(ProviderSettings):
    """An OpenAI-compatible gateway; `headers` go out with each request, `body` is added to the body of each."""

    headers: dict[str, str] = Field(default_factory=dict)
    body: dict[str, Any] = Field(default_factory=dict)


class GeminiSettings(ProviderSettings):
    """Gemini by key, or Vertex AI by project and location; `vertex_bucket` is where its batches are kept."""

    vertex_project: str | None = None
    vertex_location: str = "global"
    vertex_bucket: str | None = None
    vertex_storage_url: str | None = None

    @property
    def usable(self) -> bool:
        """With a project, Google Cloud's own credentials count."""
        return self.api_key is not None or self.vertex_project is not None


class ProvidersSettings(Section):
    """Keys and addresses."""

    anthropic: ProviderSettings = ProviderSettings()
    openai: ProviderSettings = ProviderSettings()
    gemini: GeminiSettings = GeminiSettings()
    vllm: ProviderSettings = ProviderSettings()
    gateway: GatewaySettings = GatewaySettings()
    cohere: ProviderSettings = ProviderSettings()
    voyage: ProviderSettings = ProviderSettings()


class RetrySettings(Section):
    """How failed calls are tried again; seconds."""

    deadline: float = Field(default=120.0, gt=0)
    attempts: int = Field(default=2, ge=1, le=5)
    timeout: float = Field(default=60.0, gt=0)


class LedgerSettings(Section):
    """Where receipts and budgets are kept: `sqlite` beside the index, or `postgres` at `dsn` for several processes."""

    kind: Literal["sqlite", "postgres"] = "sqlite"
    dsn: SecretStr | None = None
    lease: float = Field(default=300.0, gt=0)


class PricesSettings(Section):
    """A TOML file of your own dated prices, laid over the packaged table."""

    file: Path | None = None


class BaselineSettings(Section):
    """What a receipt compares with: the same question to this model with all retrieved chunks and no lever."""

    model: str = "claude-opus-5-5"
    output_tokens: int = Field(default=300, ge=1)


class CacheSettings(Section):
    """Which caches are used; each can be switched off alone.

    `rent` lets Gemini keep prefixes for money by the hour; `keep_alive` lets a service read prefixes again before their
    entries end, where that pays. Both spend money that no question asks for, hence neither does so unless it is told.
    `max_tokens` bounds the documents in a prefix; `wait` is how long a question waits for another one to write it.
    """

    prefix: bool = True
    answers: bool = True
    semantic: bool = False
    rent: bool = False
    keep_alive: bool = False
    max_tokens: int = Field(default=20_000, ge=1_000)
    wait: float = Field(default=2.0, ge=0)


class ApiSettings(Section):
    """The REST service. Seconds, unless the name says otherwise."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    secret: SecretStr | None = None
    """What keys are hashed with; without it, a file beside the index holds one."""
    in_flight: int = Field(default=64, ge=1)
    """Questions answered at once by a process."""
    compute_processes: int = Field(default=1, ge=0)
    """Processes that rank hits and read texts beside the one that answers; without any, a thread of it does."""
    queue: int = Field(default=128, ge=0)
    """Questions that may wait for their turn; more are refused at once."""
    tenant_share: float = Field(default=0.25, gt=0, le=1)
    """The part of the queue that one tenant may fill while there are others."""
    wait: float = Field(default=10.0, gt=0)
    deadline: float = Field(default=120.0, gt=0)
    drain: float = Field(default=20.0, gt=0)
    """How long questions may go on when the service is stopped."""
    max_body_kib: int = Field(default=1024, ge=1)
    max_upload_mib: int = Field(default=50, ge=1)
    otlp: str | None = None
    """Where spans go, such as http://127.0.0.1:4318/v1/traces; needs the extra `otel`."""


class Settings(Section):
    """Everything that can be set."""

    tenant: str = Field(default="default", min_length=1, max_length=128)
    store: StoreSettings = StoreSettings()
    ingest: IngestSettings = IngestSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    reranker: RerankerSettings = RerankerSettings()
    select: SelectSettings = SelectSettings()
    answer: AnswerSettings = AnswerSettings()
    cache: CacheSettings = CacheSettings()
    tiers: TiersSettings = TiersSettings()
    routing: RoutingSettings = RoutingSettings()
    providers: ProvidersSettings = ProvidersSettings()
    retry: RetrySettings = RetrySettings()
    ledger: LedgerSettings = LedgerSettings()
    prices: PricesSettings = PricesSettings()
    baseline: BaselineSettings = BaselineSettings()
    api: ApiSettings = ApiSettings()

    @field_validator("tenant")
    @classmethod
    def _printable(cls, value: str) -> str:
        if not value.isprintable() or value != value.strip():
            raise ValueError("use printable characters without blanks at the ends")
        return value
