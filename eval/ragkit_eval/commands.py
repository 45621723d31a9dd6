"""What the commands of `ragkit eval` do: from files and options to what is shown, as text and as JSON."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ragkit.errors import ConfigError
from ragkit.models import Catalogue
from ragkit.money import format_usd, to_usd
from ragkit.reports.table import text_table
from ragkit_eval.estimate import estimate_suite, estimate_to_json
from ragkit_eval.export import write_ragas
from ragkit_eval.gate import (
    Recording,
    Tolerance,
    check,
    keep,
    read_recording,
    verdict_text,
    verdict_to_json,
    write_recording,
)
from ragkit_eval.loaders import load
from ragkit_eval.plan import Wishes, make_plan
from ragkit_eval.plan_text import plan_text, plan_to_json
from ragkit_eval.report import write_run_report
from ragkit_eval.run import Finished, Place, Progress, forget, run_suite
from ragkit_eval.sandbox import Base
from ragkit_eval.suite import Suite, read_suite
from ragkit_eval.summary import HEADS, line_to_json, summarize, text_lines
from ragkit_eval.workload import Inputs

SIMULATED = "simulated: the twin answered, no real model and no real money; costs are those of its invoice"


@dataclass(frozen=True, slots=True)
class Shown:
    """The same result for people and for machines."""

    text: str
    json: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunFiles:
    """A suite, where its data is and where its results go."""

    suite: Path
    data: Path | None = None
    out: Path | None = None
    config: Path | None = None
    report: Path | None = None
    ragas: Path | None = None


async def run_file(files: RunFiles, progress: Callable[[Progress], None], *, fresh: bool = False) -> Shown:
    """`ragkit eval run`."""
    suite = read_suite(files.suite)
    place = _place(suite, files, progress)
    if fresh:
        forget(place.folder)
    found = await run_suite(suite, suite.sources(files.suite.parent, files.data), place)
    if files.report is not None:
        write_run_report(suite, found, files.report)
    if files.ragas is not None:
        write_ragas(found.rows, files.ragas)
    return show_run(suite, found)


def show_run(suite: Suite, found: Finished) -> Shown:
    lines = summarize(found.rows, suite.reference)
    simulated = suite.mode == "twin"
    notes = [SIMULATED] if simulated else []
    notes.append(f"+ and -: certainly above or below '{suite.reference}' (95 %, paired bootstrap)")
    if found.difference_pico is not None:
        notes.append(f"twin's invoice less receipts: ${format_usd(found.difference_pico)}")
    if found.unreadable:
        notes.append(f"{len(found.unreadable)} documents cannot be read; the first, {found.unreadable[0]}")
    failed = sum(line.failed for line in lines)
    if failed:
        first = next(row for row in found.rows if row.error)
        notes.append(f"{failed} questions failed; the first, '{first.case}': {first.error}")
    return Shown(
        "\n".join([text_table(HEADS, text_lines(lines)), "", *notes]),
        {
            "suite": suite.name,
            "simulated": simulated,
            "reference": suite.reference,
            "lines": [line_to_json(line) for line in lines],
            "invoice_difference_usd": None if found.difference_pico is None else format_usd(found.difference_pico),
            "ingest_usd": None if found.ingested_pico is None else format_usd(found.ingested_pico),
            "judge_usd": format_usd(found.judged_pico),
        },
    )


async def estimate_file(files: RunFiles, progress: Callable[[Progress], None]) -> Shown:
    """`ragkit eval run --dry-run`."""
    suite = read_suite(files.suite)
    sources = suite.sources(files.suite.parent, files.data)
    found = await estimate_suite(suite, sources, _place(suite, files, progress))
    rows = [
        [it.data, it.setup, f"{it.questions:,}", *(_usd(pico) for pico in (it.pico, it.low_pico, it.high_pico))]
        for it in found
    ]
    total = sum(it.pico for it in found)
    note = "estimated on the twin from a sample of each set-up; nothing was sent to a provider"
    if suite.mode != "twin":
        note += "; real answers and tokenizers may differ by more than the interval"
    return Shown(
        text_table(("data", "set-up", "questions", "USD", "from", "to"), rows) + f"\n\ntotal ${_usd(total)}\n{note}",
        {"suite": suite.name, "estimates": [estimate_to_json(it) for it in found], "total_usd": format_usd(total)},
    )


@dataclass(frozen=True, slots=True)
class GateFiles:
    """`suite` is needed to record; a recording remembers where its suite lies."""

    recording: Path
    suite: Path | None = None
    data: Path | None = None
    config: Path | None = None


async def gate_files(
    files: GateFiles, tolerance: Tolerance, progress: Callable[[Progress], None], *, record: bool
) -> tuple[Shown, bool]:
    """`ragkit eval gate`: record, or run the same again and compare. Nothing is spent: it runs on the twin."""
    before = None if record else read_recording(files.recording)
    file = files.suite or (None if before is None else files.recording.parent / before.suite)
    if file is None:
        raise ConfigError("name the suite that is to be recorded with --suite SUITE.toml")
    suite = read_suite(file).model_copy(update={"mode": "twin", "parallel": 1})
    with TemporaryDirectory() as folder:
        place = Place(Path(folder), Base(files.config, {}), progress)
        found = await run_suite(suite, suite.sources(file.parent, files.data), place)
    prices = Catalogue.load().version
    if before is None:
        write_recording(Recording(_way(file, files.recording), prices, keep(found.rows)), files.recording)
        text = f"recorded {len(found.rows)} questions in {files.recording} ({SIMULATED})"
        return Shown(text, {"recorded": len(found.rows), "file": str(files.recording), "simulated": True}), True
    verdict = check(before, keep(found.rows), tolerance)
    notes = () if before.prices == prices else ("prices have changed since the recording",)
    verdict = replace(verdict, notes=(*verdict.notes, *notes))
    shown = Shown(f"{verdict_text(verdict)}\n{SIMULATED}", {**verdict_to_json(verdict), "simulated": True})
    return shown, verdict.passed


def _way(file: Path, recording: Path) -> str:
    """The suite as seen from its recording, so that both can be moved together."""
    return Path(os.path.relpath(file, recording.parent)).as_posix()


def _usd(pico: int) -> str:
    """Of an estimate, to a millionth of a dollar; what is less is shown in full."""
    return f"{to_usd(pico):,.6f}" if pico >= 10**6 else format_usd(pico)


def plan_file(
    file: Path, data: Path | None, inputs: Inputs, wishes: Wishes, progress: Callable[[Progress], None]
) -> Shown:
    """`ragkit eval plan`."""
    source = read_suite(file).sources(file.parent, data)[0]
    with TemporaryDirectory() as folder:
        found = make_plan(load(source, inputs.seed), Path(folder), inputs, wishes, progress)
    return Shown(plan_text(found), plan_to_json(found))


def _place(suite: Suite, files: RunFiles, progress: Callable[[Progress], None]) -> Place:
    """A run on the twin reads no environment: whoever has keys there must not need to worry."""
    environment: dict[str, str] | None = {} if suite.mode == "twin" else None
    return Place(files.out or Path(".eval") / suite.name, Base(files.config, environment), progress)
