"""`ragkit eval`: set-ups compared on the user's own questions, and what each lever is worth."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, StoreOption, print_json, read_settings, run

if TYPE_CHECKING:
    from ragkit_eval.run import Progress

app = typer.Typer(help="Compare set-ups by quality and cost, and keep both from getting worse.", no_args_is_help=True)

SuiteArgument = Annotated[Path, typer.Argument(metavar="SUITE.toml", help="Data, set-ups and how to run them.")]
RecordingArgument = Annotated[Path, typer.Argument(metavar="BASELINE.json", help="The run to compare with.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder of the results.", show_default=".eval/NAME")
]
DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of BEIR sets that a suite names by `set`.")]
FolderOption = Annotated[Path, typer.Option("--data", help="Folder of BEIR sets and, if there is one, the trace.")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Forget earlier results in the folder.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Tell what the run would cost, and spend nothing.")]
ReportOption = Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page of it, too.")]
RagasOption = Annotated[Path | None, typer.Option("--ragas", metavar="DIR", help="Write answers as Ragas reads them.")]
SuiteOption = Annotated[Path | None, typer.Option("--suite", help="Suite to record.", show_default="the recorded one")]
RecordOption = Annotated[bool, typer.Option("--record", help="Write the recording instead of comparing with it.")]
CostOption = Annotated[float, typer.Option("--cost", min=0, help="Tolerated rise of the mean cost, a share.")]
QualityOption = Annotated[float, typer.Option("--quality", min=0, help="Tolerated fall of a mean score.")]
QuestionsOption = Annotated[int, typer.Option("--questions", "-n", min=20, help="Questions that are replayed.")]
MonthlyOption = Annotated[int, typer.Option("--monthly", min=1, help="Questions a month, which sets their pace.")]
ZipfOption = Annotated[float, typer.Option("--zipf", min=0, help="Popularity of a question: 1 / rank to this power.")]
FailuresOption = Annotated[float, typer.Option("--format-failures", min=0, max=0.5, help="Without an enforced schema.")]
PatientOption = Annotated[float, typer.Option("--patient", min=0, max=1, help="Share of questions that can wait.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Draws questions, arrivals and failures.")]
FloorOption = Annotated[float, typer.Option("--floor", min=0, max=1, help="Share of answers that must be in context.")]
BudgetOption = Annotated[int | None, typer.Option("--budget", min=1, metavar="USD", help="Dollars a month.")]
UpkeepOption = Annotated[int, typer.Option("--upkeep", min=0, help="Dollars a month that a router's care costs.")]
SinceOption = Annotated[str, typer.Option("--since", help="A day, a time, or how long ago, such as 7d.")]


@app.command("run")
def run_command(
    suite: SuiteArgument,
    data: DataOption = None,
    out: OutOption = None,
    fresh: FreshOption = False,
    dry_run: DryRunOption = False,
    report: ReportOption = None,
    ragas: RagasOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask every question of a suite by every set-up, and compare them."""
    from ragkit_eval.commands import RunFiles, estimate_file, run_file

    files = RunFiles(suite, data, out, config, report, ragas)
    with _progress() as progress:
        shown = run(estimate_file(files, progress) if dry_run else run_file(files, progress, fresh=fresh))
    print_json(shown.json) if as_json else typer.echo(shown.text)


@app.command()
def ladder(
    data: FolderOption,
    questions: QuestionsOption = 400,
    monthly: MonthlyOption = 10_000_000,
    zipf: ZipfOption = 1.0,
    failures: FailuresOption = 0.05,
    patient: PatientOption = 0.3,
    seed: SeedOption = 0,
    out: OutOption = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay traffic with no lever, with one more at a time, with each alone and with each left out."""
    from ragkit_eval.ladder import run_ladder
    from ragkit_eval.ladder_text import ladder_text, ladder_to_json
    from ragkit_eval.workload import Inputs

    inputs = Inputs(questions, monthly, zipf, failures, patient, seed=seed)
    with _progress() as progress:
        found = run_ladder(data, out or Path(".eval/ladder"), inputs, progress)
    if report is not None:
        from ragkit_eval.report import write_ladder_report

        write_ladder_report(found, report)
    print_json(ladder_to_json(found)) if as_json else typer.echo(ladder_text(found))


@app.command()
def gate(
    recording: RecordingArgument,
    suite: SuiteOption = None,
    record: RecordOption = False,
    cost: CostOption = 0.05,
    quality: QualityOption = 0.02,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a recorded suite again, and fail where the same questions have become dearer or worse."""
    from ragkit_eval.commands import GateFiles, gate_files
    from ragkit_eval.gate import Tolerance

    files = GateFiles(recording, suite, data, config)
    with _progress() as progress:
        shown, passed = run(gate_files(files, Tolerance(cost, quality), progress, record=record))
    print_json(shown.json) if as_json else typer.echo(shown.text)
    if not passed:
        raise typer.Exit(1)


@app.command()
def plan(
    suite: SuiteArgument,
    monthly: MonthlyOption = 10_000_000,
    floor: FloorOption = 0.8,
    budget: BudgetOption = None,
    upkeep: UpkeepOption = 2_000,
    questions: QuestionsOption = 400,
    patient: PatientOption = 0.3,
    seed: SeedOption = 0,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the cheapest set-up that is good enough, on a suite's first data set, for a monthly volume."""
    from ragkit_eval.commands import plan_file
    from ragkit_eval.plan import Wishes
    from ragkit_eval.workload import Inputs

    inputs, wishes = Inputs(questions, monthly, patient=patient, seed=seed), Wishes(floor, budget, upkeep)
    with _progress() as progress:
        shown = plan_file(suite, data, inputs, wishes, progress)
    print_json(shown.json) if as_json else typer.echo(shown.text)


@app.command()
def replay(
    since: SinceOption = "30d", store: StoreOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Replay your own ledger under other settings, one change at a time, the cheapest first."""
    from ragkit_eval.ledger_replay import alternatives, alternatives_text, alternatives_to_json

    found = run(alternatives(read_settings(store, None, config), since))
    print_json(alternatives_to_json(found)) if as_json else typer.echo(alternatives_text(found))


@app.command()
def agreement(data: FolderOption, as_json: JsonOption = False) -> None:
    """Measure how far scores that need no model agree with people's ratings."""
    from dataclasses import asdict

    from ragkit_eval.agreement import agreement_text, measure_agreement

    found = measure_agreement(data)
    print_json({"agreement": [asdict(it) for it in found]}) if as_json else typer.echo(agreement_text(found))


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Progress on stderr, only where somebody looks at it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("preparing") as status:
        yield lambda progress: status.update(str(progress))
