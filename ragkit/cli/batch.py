"""`ragkit batch`: many questions at half price, answered within a day."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.options import ConfigOption, JsonOption, StoreOption, TenantOption, print_json, read_settings, run
from ragkit.errors import PARTIAL_FAILURE

if TYPE_CHECKING:
    from ragkit.batches.job import Question
    from ragkit.batches.report import Quote, Report
    from ragkit.settings import Settings

app = typer.Typer(help="Ask many questions at half price, answered within a day.", no_args_is_help=True)

FileArgument = Annotated[
    Path, typer.Argument(metavar="QUESTIONS", help='Lines of {"id", "question"}, or a question per line.')
]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The job that `submit` named.")]
KOption = Annotated[int | None, typer.Option("--k", "-k", min=1, max=1000, help="Chunks to retrieve before reranking.")]
WithinOption = Annotated[
    float | None,
    typer.Option("--within", min=0, help="Hours; what no batch can answer by then is asked live, if budgets allow."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Tell what it would cost; buy and write nothing.")]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Write the answers to this file as JSON lines.")]
WaitOption = Annotated[
    float | None, typer.Option("--wait", min=0, help="Look again every so many seconds until the job is done.")
]


@app.command()
def submit(
    questions: FileArgument,
    within: WithinOption = None,
    k: KOption = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Retrieve and rerank now, hold the money for all, submit; again with the same questions it continues."""
    from ragkit.batches.questions import read_questions

    settings, asked = read_settings(store, tenant, config), read_questions(questions)
    if dry_run:
        _print_quote(run(_price(settings, asked)), as_json)
    else:
        _print(run(_submit(settings, asked, k, within)), as_json)


@app.command()
def status(
    job: JobArgument,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how far a job is; nothing is changed."""
    _print(run(_status(read_settings(store, tenant, config), job)), as_json)


@app.command()
def collect(
    job: JobArgument,
    out: OutOption = None,
    wait: WaitOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify and bill what has been answered, submit again what failed for free; also continues after a crash."""
    report = run(_collect(read_settings(store, tenant, config), job, wait))
    if out is not None:
        from ragkit.batches.report import item_to_json

        lines = [json.dumps(item_to_json(item), ensure_ascii=False) for item in report.items]
        out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    _print(report, as_json, answers=out is None)
    if report.job.state == "done" and report.counts.get("failed"):
        raise typer.Exit(PARTIAL_FAILURE)


@app.command()
def cancel(
    job: JobArgument,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a job; what was worked off by now is kept and billed, so collect it afterwards."""
    _print(run(_cancel(read_settings(store, tenant, config), job)), as_json)


@app.command("list")
def list_(
    store: StoreOption = None, tenant: TenantOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List all jobs, the oldest first."""
    reports = run(_list(read_settings(store, tenant, config)))
    if as_json:
        from ragkit.batches.report import report_to_json

        print_json({"jobs": [report_to_json(report) for report in reports]})
        return
    for report in reports:
        counts = ", ".join(f"{count} {state}" for state, count in report.counts.items())
        typer.echo(f"{report.job.id}  {report.job.at:%Y-%m-%d %H:%M} UTC  {report.job.state}  {counts}")


async def _submit(settings: Settings, questions: list[Question], k: int | None, within: float | None) -> Report:
    from ragkit.rag import Ragkit

    deadline = None if within is None else datetime.now(UTC) + timedelta(hours=within)
    async with Ragkit.open(settings) as rag:
        return await rag.batches.submit(questions, k=k, deadline=deadline)


async def _price(settings: Settings, questions: list[Question]) -> Quote:
    from ragkit.rag import Ragkit

    async with Ragkit.open(settings) as rag:
        return await rag.batches.price(questions)


async def _status(settings: Settings, job: str) -> Report:
    from ragkit.rag import Ragkit

    async with Ragkit.open(settings) as rag:
        return await rag.batches.status(job)


async def _collect(settings: Settings, job: str, wait: float | None) -> Report:
    """Without `wait` once, else until nothing is open any more."""
    import asyncio

    from ragkit.rag import Ragkit

    async with Ragkit.open(settings) as rag:
        report = await rag.batches.collect(job)
        while wait is not None and report.job.state in ("open", "cancelling"):
            await asyncio.sleep(wait)
            report = await rag.batches.collect(job)
        return report


async def _cancel(settings: Settings, job: str) -> Report:
    from ragkit.rag import Ragkit

    async with Ragkit.open(settings) as rag:
        return await rag.batches.cancel(job)


async def _list(settings: Settings) -> tuple[Report, ...]:
    from ragkit.rag import Ragkit

    async with Ragkit.open(settings) as rag:
        return rag.batches.jobs()


def _print(report: Report, as_json: bool, *, answers: bool = False) -> None:
    from ragkit.batches.report import report_text, report_to_json

    if as_json:
        print_json(report_to_json(report, answers=answers))
        return
    typer.echo(report_text(report))
    for item in report.items if answers else ():
        if item.state == "answered" and item.answer is not None:
            typer.echo(f"\n{item.question.id}  {item.question.text}\n{_short(item.answer)}")


def _short(answer: Any) -> str:
    if "context" in answer:
        return str(answer["context"])
    if "applied" in answer:
        return f"{answer['applied']} vectors"
    cited = sorted({citation["source"] for citation in answer["citations"]})
    return f"{answer['answer']}" + (f"\n    from {', '.join(cited)}" if cited else "")


def _print_quote(quote: Quote, as_json: bool) -> None:
    from ragkit.batches.report import quote_text, quote_to_json

    print_json(quote_to_json(quote)) if as_json else typer.echo(quote_text(quote))
