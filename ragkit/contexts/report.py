"""What became of the contexts that a run asked for, or would ask for, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ragkit.batches.tally import Bills
from ragkit.errors import RagkitError
from ragkit.money import format_usd

OUTDATED = "billed, and not applied: the document was replaced or deleted meanwhile"
OTHERS = "billed, kept, and not applied: by the settings another model writes contexts now"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A dry run: chunks in want of a context, prompt tokens for them, what they will cost and what will be held.

    Nothing is given, nothing waits, and nothing can have gone wrong.
    """

    chunks: int = 0
    tokens: int = 0
    expected_pico: int = 0
    most_pico: int = 0
    batch: bool = True
    given: int = 0
    waiting: int = 0
    error: RagkitError | None = None


@dataclass(frozen=True, slots=True)
class Placed(Bills):
    """A run: the jobs it worked on, and how many chunks got a context by now. `error` stopped it early.

    Documents are searchable by their own words whatever became of this.
    """

    given: int = 0
    error: RagkitError | None = None

    @property
    def waiting(self) -> int:
        """Chunks whose context is to come."""
        return sum(job.open for job in self.jobs)

    @property
    def outdated(self) -> int:
        """Contexts that were paid for and had no chunk any more."""
        return sum(job.unused for job in self.jobs)

    @property
    def failed(self) -> int:
        return sum(job.counts.get("failed", 0) for job in self.jobs)

    @property
    def reason(self) -> str:
        """Why the first one failed."""
        return next((reason for job in self.jobs for reason in job.reasons), "")


def context_to_json(found: Foreseen | Placed) -> dict[str, Any]:
    """The part `context` of `ragkit ingest --json`; money is a decimal string of dollars."""
    if isinstance(found, Foreseen):
        money = {"cost_usd": format_usd(found.expected_pico), "most_usd": format_usd(found.most_pico)}
        return {"chunks": found.chunks, "tokens": found.tokens, **money, "estimated": True}
    return {
        "jobs": [job.job.id for job in found.jobs],
        "given": found.given,
        "waiting": found.waiting,
        "outdated": found.outdated,
        "failed": found.failed,
        "reason": found.reason,
        **found.usd,
    }


def context_text(found: Foreseen | Placed) -> list[str]:
    """The same in lines for people."""
    if isinstance(found, Foreseen):
        lane = "at batch price, " if found.batch else ""
        money = f"${format_usd(found.expected_pico)}, at most ${format_usd(found.most_pico)} (this much is held)"
        return [f"contexts for {found.chunks:,} chunks, {found.tokens:,} tokens: {lane}about {money} (estimated)"]
    lines = [
        f"contexts: {found.given:,} chunks got one, {found.waiting:,} wait for theirs, {found.failed:,} failed;"
        f" {found.money}"
    ]
    if found.outdated:
        lines.append(f"{found.outdated:,} contexts were {OUTDATED}")
    if found.failed:
        lines.append(f"no context: {found.reason}")
    if found.waiting:
        lines.append("next: ragkit ingest --collect")
    return lines
