"""What one twin knows: its options, clock, invoice, faults, caches and the requests that it has seen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ragkit_eval.twin.cache import BreakpointCache, StepCache
from ragkit_eval.twin.clock import TwinClock
from ragkit_eval.twin.faults import Faults
from ragkit_eval.twin.invoice import Invoice, Line, price

ANTHROPIC_LOOKBACK = 20
"""Places that a lookup tries per breakpoint, the breakpoint first."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the simulated accounts and machines are set up; what the vendors do not document is set here.

    `keys`, when given, are the only ones accepted. `latency` is real seconds before a first token. `tokens_per_event`
    is the size of stream events. `minimums` overrides minimum cacheable prefixes by model. `prompt_details` is vLLM's
    `--enable-prompt-tokens-details`, `accepted` the drafts it accepts of each four.
    """

    keys: tuple[str, ...] = ()
    latency: float = 0.0
    tokens_per_event: int = 4
    batch_seconds: float = 600.0
    batch_cache: bool = True
    requests_per_minute: int = 4_000
    input_tokens_per_minute: int = 4_000_000
    output_tokens_per_minute: int = 800_000
    automatic_ttl: timedelta = timedelta(minutes=5)
    minimums: Mapping[str, int] = field(default_factory=dict)
    vllm_models: tuple[str, ...] = ("twin-local",)
    prompt_details: bool = True
    accepted: int = 3


@dataclass(slots=True)
class Seen:
    """A request as it came, without its key, and what became of it."""

    number: int
    at: datetime
    protocol: str
    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes
    body: Any
    status: int | None = None
    fault: str | None = None
    request_id: str = ""
    aborted: bool = False

    def to_json(self) -> dict[str, Any]:
        names = ("number", "protocol", "method", "path", "status", "fault", "request_id", "aborted", "body")
        return {"at": self.at.isoformat(), **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True, slots=True)
class Bill:
    """What a request will cost when it is done; `free` marks local work.

    It is priced by the row in force at `at`, which is now unless something was done earlier, as in a batch.
    """

    protocol: str
    model: str
    usage: Mapping[str, int]
    lane: str = "standard"
    id: str = ""
    free: bool = False
    detail: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None


class World:
    """The state behind one twin; everything in it is in memory. Tests look at it from a thread of their own."""

    def __init__(self, options: Options, clock: TwinClock, faults: Faults) -> None:
        self.options = options
        self.clock = clock
        self.faults = faults
        self.invoice = Invoice()
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Forget requests, invoice and caches; options, clock and faults stay."""
        self.requests: list[Seen] = []
        self.anthropic_cache = BreakpointCache(lookback=ANTHROPIC_LOOKBACK)
        self.openai_cache = BreakpointCache(lookback=1)
        self.step_cache = StepCache(self.options.automatic_ttl)
        self.local_cache = StepCache()
        self.rates: dict[str, Any] = {}
        self.stored: dict[str, dict[str, Any]] = {}
        self.counters: dict[str, float] = {}
        self._ids = 0
        self._later: list[Callable[[], bool]] = []
        self.invoice = Invoice()

    def new_id(self, kind: str) -> str:
        """The next id of a kind, in order, so that two runs give the same ids."""
        self._ids += 1
        return f"{kind}_twin{self._ids:08d}"

    def later(self, work: Callable[[], bool]) -> None:
        """Try this again whenever the twin is looked at, until it says that it is done."""
        with self._lock:
            self._later.append(work)

    def catch_up(self) -> None:
        """Do what the clock made due."""
        with self._lock:
            self._later = [work for work in self._later if not work()]

    def shelf(self, kind: str) -> dict[str, Any]:
        """Things kept for later requests: batches, files, explicit caches."""
        return self.stored.setdefault(kind, {})

    def count(self, counter: str, amount: float = 1) -> None:
        """Add to a counter that /metrics shows."""
        self.counters[counter] = self.counters.get(counter, 0) + amount

    def bill(self, bill: Bill, status: str, invoice: Invoice | None = None) -> Line:
        """Post a line, on the open invoice if none is named; what costs nothing by its nature has a line too."""
        now = bill.at or self.clock.now()
        usage = {kind: amount for kind, amount in bill.usage.items() if amount}
        pico = 0 if bill.free else price(bill.model, bill.lane, usage, now)
        line = Line(
            bill.id or self.new_id("line"), now, bill.protocol, bill.model, bill.lane, usage, pico, status, bill.detail
        )
        (invoice or self.invoice).add(line)
        return line
