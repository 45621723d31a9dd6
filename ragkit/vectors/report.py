"""What became of the vectors that a run asked for, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ragkit.batches.tally import Bills
from ragkit.errors import RagkitError


@dataclass(frozen=True, slots=True)
class Followed(Bills):
    """The jobs that a run worked on, how many chunks got a vector by now, and how many wait for theirs.

    `error` stopped it early; chunks are searchable by their words whatever became of this.
    """

    given: int = 0
    waiting: int = 0
    error: RagkitError | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why vectors that were asked for did not come, or were not applied."""
        return tuple(dict.fromkeys(reason for job in self.jobs for reason in (*job.reasons, *job.remarks)))


def vectors_to_json(found: Followed) -> dict[str, Any]:
    """The part `vectors` of `ragkit ingest --json`; money is a decimal string of dollars."""
    return {
        "jobs": [job.job.id for job in found.jobs],
        "given": found.given,
        "waiting": found.waiting,
        "reasons": list(found.reasons),
        **found.usd,
    }


def vectors_text(found: Followed) -> list[str]:
    """The same in lines for people."""
    lines = [f"vectors: {found.given:,} chunks got one, {found.waiting:,} wait for theirs; {found.money}"]
    lines += [f"no vectors: {reason}" for reason in found.reasons]
    return [*lines, "next: ragkit ingest --collect"] if found.waiting else lines
