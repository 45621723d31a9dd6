"""What an ingest planned, is doing and has done, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ragkit.contexts.report import Foreseen, Placed, context_text, context_to_json
from ragkit.errors import RagkitError
from ragkit.money import format_usd
from ragkit.nouns import Usage
from ragkit.reports.spending import simulated_note
from ragkit.vectors.report import Followed, vectors_text, vectors_to_json

Phase = Literal["read", "embed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; `done` and `total` are bytes of files while it reads, chunks while it embeds."""

    phase: Phase
    done: int
    total: int
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that did not become text, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a run did, or with `dry_run` would do.

    `usage` is what the embedder billed (estimated in a dry run), `cost_pico` its price, None where nobody knows it;
    `simulated_pico` of that is nobody's money.
    `tokens` counts the chunks that were written. `error` ended the embedding early: everything is searchable by its
    words, and running again embeds the rest. `context` is about contexts of chunks, None where none are wanted,
    `vectors` about those that a batch is to bring.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    failures: tuple[Failure, ...] = ()
    skipped: tuple[str, ...] = ()
    chunks_added: int = 0
    chunks_deleted: int = 0
    tokens: int = 0
    usage: Usage = field(default_factory=Usage)
    cost_pico: int | None = 0
    error: RagkitError | None = None
    context: Foreseen | Placed | None = None
    vectors: Followed | None = None
    simulated_pico: int = 0
    seconds: float = 0.0
    seconds_searchable: float = 0.0
    dry_run: bool = False

    @property
    def first_error(self) -> RagkitError | None:
        """What ended a part of the run early: its vectors, its contexts, or what is made by batch."""
        found = (self, self.context, self.vectors)
        return next((it.error for it in found if it is not None and it.error is not None), None)


def report_to_json(report: IngestReport) -> dict[str, Any]:
    """The body of `ragkit ingest --json`; money is a decimal string of dollars."""
    context = {} if report.context is None else {"context": context_to_json(report.context)}
    vectors = {} if report.vectors is None else {"vectors": vectors_to_json(report.vectors)}
    return {
        "documents": {
            "added": report.added,
            "updated": report.updated,
            "unchanged": report.unchanged,
            "deleted": report.deleted,
            "failed": len(report.failures),
        },
        "chunks": {"added": report.chunks_added, "deleted": report.chunks_deleted},
        "failures": [{"source": failure.source, "reason": failure.reason} for failure in report.failures],
        "cost_usd": None if report.cost_pico is None else format_usd(report.cost_pico),
        "simulated_usd": format_usd(report.simulated_pico),
        **context,
        **vectors,
        "seconds": round(report.seconds, 3),
    }


def report_text(report: IngestReport) -> str:
    """The summary for people."""
    would = "would be " if report.dry_run else ""
    cost = "unknown" if report.cost_pico is None else f"${format_usd(report.cost_pico)}"
    lines = [
        f"documents {would}added {report.added}, updated {report.updated}, deleted {report.deleted}; "
        f"unchanged {report.unchanged}, failed {len(report.failures)}",
        f"chunks {would}added {report.chunks_added:,} ({report.tokens:,} tokens), deleted {report.chunks_deleted:,}",
        f"embedding {'estimate' if report.dry_run else 'cost'} {cost} for {report.usage.prompt:,} tokens; "
        f"{report.seconds:.1f} s",
    ]
    if note := simulated_note(report.simulated_pico, "of what embedding has cost"):
        lines.append(note)
    lines += [] if report.context is None else context_text(report.context)
    lines += [] if report.vectors is None else vectors_text(report.vectors)
    if report.skipped:
        lines.append(f"{len(report.skipped)} files that hold no text, like images, were passed over")
    lines += [f"failed: {failure.source} {failure.reason}" for failure in report.failures]
    return "\n".join(lines)
