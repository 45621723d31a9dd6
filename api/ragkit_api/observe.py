"""What operations needs to see: metrics for Prometheus, taken from receipts, so that they say what the ledger says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from ragkit.nouns import Answer, Receipt, Usage

TOKENS = tuple(field.name for field in fields(Usage) if field.name not in ("reasoning", "searches"))
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
USD = 10**12


class Metrics:
    """No label names a tenant, a key or a question: they have no bound, and they are nobody else's business."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("ragkit_requests", "Requests", ["route", "method", "status"], registry=registry)
        self.seconds = Histogram("ragkit_request_seconds", "Requests", ["route"], buckets=SECONDS, registry=registry)
        self.shed = Counter("ragkit_shed", "Requests refused, by reason", ["code"], registry=registry)
        self.questions = Counter("ragkit_questions", "Questions", ["tier", "outcome"], registry=registry)
        self.cost = Counter("ragkit_cost_usd", "What was spent", ["model", "kind"], registry=registry)
        self.unknown = Counter("ragkit_unknown_cost_events", "Events of unknown cost", ["model"], registry=registry)
        self.baseline = Counter("ragkit_baseline_usd", "What it would have cost", registry=registry)
        # Savings may be negative, which a counter cannot be.
        self.saved = Gauge("ragkit_saved_usd", "Saved since the start, by lever", ["lever"], registry=registry)
        self.tokens = Counter("ragkit_tokens", "Billed tokens", ["model", "kind"], registry=registry)
        self.stage = Histogram("ragkit_stage_seconds", "Stages", ["stage"], buckets=SECONDS, registry=registry)

    def watch(self, name: str, help_: str, read: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(name, help_, registry=self._registry).set_function(read)

    def answered(self, answer: Answer) -> None:
        outcome = "abstained" if answer.abstained else "answered"
        self.questions.labels(answer.route.model.tier, outcome).inc()
        for stage, seconds in answer.seconds.items():
            self.stage.labels(stage).observe(seconds)
        self.billed(answer.receipt)

    def failed(self, code: str, receipt: Receipt | None) -> None:
        self.questions.labels("none", code).inc()
        if receipt is not None:
            self.billed(receipt)

    def billed(self, receipt: Receipt) -> None:
        for event in receipt.events:
            if event.cost_pico is None:
                self.unknown.labels(event.model).inc()
            else:
                self.cost.labels(event.model, event.kind).inc(event.cost_pico / USD)
            for name in TOKENS:
                if count := getattr(event.usage, name):
                    self.tokens.labels(event.model, name).inc(count)
        self.baseline.inc(receipt.baseline_pico / USD)
        for saving in receipt.savings:
            self.saved.labels(saving.lever).inc(saving.pico / USD)

    def text(self) -> bytes:
        return generate_latest(self._registry)
