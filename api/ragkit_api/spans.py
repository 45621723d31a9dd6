"""Spans of answers by the GenAI conventions, made from receipts after the fact; no text of any kind is in them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from ragkit.errors import MissingExtra
from ragkit.money import format_usd
from ragkit.nouns import Answer, Event, Receipt

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

NANO = 10**9
OPERATIONS = {"generate": "chat", "repair": "chat", "classify": "chat", "embed": "embeddings"}
Attributes = dict[str, str | int | float | bool]


class Spans(Protocol):
    def record(self, answer: Answer) -> None: ...

    def close(self) -> None: ...


class NoSpans:
    def record(self, answer: Answer) -> None: ...

    def close(self) -> None: ...


def open_spans(otlp: str | None, exporter: SpanExporter | None = None) -> Spans:
    """Where spans go: to a collector, to an exporter of the caller's, or nowhere."""
    if otlp is None and exporter is None:
        return NoSpans()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtra("otel", "sending spans") from error

    class Exported:
        def __init__(self) -> None:
            self._provider = TracerProvider(resource=Resource.create({"service.name": "ragkit"}))
            self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter(endpoint=otlp)))
            self._tracer = self._provider.get_tracer("ragkit")

        def record(self, answer: Answer) -> None:
            """The span of the answer around those of its events, which came one after the other before now."""
            from opentelemetry.trace import set_span_in_context

            end = time.time_ns()
            start = end - int(sum(answer.seconds.values()) * NANO)
            whole = self._tracer.start_span("ragkit.answer", start_time=start, attributes=of_answer(answer))
            context = set_span_in_context(whole)
            at = end - int(sum(event.seconds for event in answer.receipt.events) * NANO)
            for event in answer.receipt.events:
                name = f"{OPERATIONS.get(event.kind, event.kind)} {event.model}"
                span = self._tracer.start_span(name, context, start_time=at, attributes=of_event(event))
                at += int(event.seconds * NANO)
                span.end(at)
            whole.end(end)

        def close(self) -> None:
            self._provider.shutdown()

    return Exported()


def of_answer(answer: Answer) -> Attributes:
    return {
        "ragkit.tier": answer.route.model.tier,
        "ragkit.abstained": answer.abstained,
        "ragkit.citations": len(answer.citations),
        **_costs(answer.receipt),
    }


def of_event(event: Event) -> Attributes:
    usage = event.usage
    found: Attributes = {
        "gen_ai.operation.name": OPERATIONS.get(event.kind, event.kind),
        "gen_ai.request.model": event.model,
        "gen_ai.usage.input_tokens": usage.prompt,
        "gen_ai.usage.output_tokens": usage.output,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_written,
        "ragkit.attempt": event.attempt,
        "ragkit.lane": event.lane,
    }
    if event.cost_pico is not None:
        found["ragkit.cost.usd"] = format_usd(event.cost_pico)
    if event.request_id is not None:
        found["gen_ai.response.id"] = event.request_id
    return found


def _costs(receipt: Receipt) -> Attributes:
    amounts = {"usd": receipt.cost_pico, "saved_usd": receipt.saved_pico, "baseline_usd": receipt.baseline_pico}
    known = {f"ragkit.cost.{name}": format_usd(pico) for name, pico in amounts.items() if pico is not None}
    return {"ragkit.receipt": receipt.id, **known}
