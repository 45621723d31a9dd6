"""`ragkit ingest`: bring the index up to date with files and folders."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import (
    ConfigOption,
    JsonOption,
    StoreOption,
    TenantOption,
    pairs,
    print_json,
    read_settings,
    run,
)

if TYPE_CHECKING:
    from ragkit.config import Settings
    from ragkit_ingest.pipeline import IngestOptions
    from ragkit_ingest.report import IngestReport, Progress

PathsArgument = Annotated[list[Path] | None, typer.Argument(help="Files and folders.", show_default=False)]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would change and cost; write nothing.")]
NoDeleteOption = Annotated[bool, typer.Option("--no-delete", help="Keep documents whose files have vanished.")]
RebuildOption = Annotated[bool, typer.Option("--rebuild", help="Read and write again what has not changed.")]
CollectOption = Annotated[
    bool, typer.Option("--collect", help="Read no files: take the contexts of chunks that batches have brought.")
]
WaitOption = Annotated[
    float | None, typer.Option("--wait", min=0, help="With --collect: look again every so many seconds until all came.")
]
MetaOption = Annotated[
    list[str] | None,
    typer.Option("--meta", metavar="KEY=VALUE", help="Metadata of these documents, for --where; repeatable."),
]


def ingest(
    paths: PathsArgument = None,
    dry_run: DryRunOption = False,
    no_delete: NoDeleteOption = False,
    rebuild: RebuildOption = False,
    meta: MetaOption = None,
    collect: CollectOption = False,
    wait: WaitOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read files and folders, cut them into chunks and make them searchable."""
    from ragkit.errors import PARTIAL_FAILURE, ConfigError
    from ragkit_ingest.facts import check_given
    from ragkit_ingest.pipeline import IngestOptions
    from ragkit_ingest.report import report_text, report_to_json

    if collect and (paths or dry_run or rebuild or meta):
        raise ConfigError("--collect reads no files: leave out what belongs to them")
    if wait is not None and not collect:
        raise ConfigError("--wait looks again for what batches bring: give it together with --collect")
    given = tuple(check_given(pairs("--meta", meta).items()).items())
    options = IngestOptions(
        dry_run=dry_run, delete_missing=not no_delete, rebuild=rebuild, metadata=given, collect=collect
    )
    report = run(_ingest(read_settings(store, tenant, config), paths or [], options, wait, quiet=as_json))
    if as_json:
        print_json(report_to_json(report))
    else:
        typer.echo(report_text(report))
    if (error := report.first_error) is not None:
        raise error
    if report.failures:
        raise typer.Exit(PARTIAL_FAILURE)


async def _ingest(
    settings: Settings, paths: list[Path], options: IngestOptions, wait: float | None, *, quiet: bool
) -> IngestReport:
    """The last of its rounds; what the others brought is said as it comes, unless quiet."""
    import asyncio

    from ragkit.rag import Ragkit
    from ragkit_ingest.report import report_text

    with _bar() as progress:
        async with Ragkit.open(settings) as rag:
            report = await rag.ingest(paths, options=options, progress=progress)
            while wait is not None and options.collect and _waiting(report):
                if _given(report) and not quiet:
                    typer.echo(report_text(report))
                await asyncio.sleep(wait)
                report = await rag.ingest(paths, options=options, progress=progress)
            return report


def _waiting(report: IngestReport) -> bool:
    """Whether something is to come; not where an error has to be looked at first."""
    context, vectors = report.context, report.vectors
    return report.first_error is None and any(it is not None and it.waiting for it in (context, vectors))


def _given(report: IngestReport) -> int:
    """What a round brought: chunks that got a context or a vector."""
    return sum(it.given for it in (report.context, report.vectors) if it is not None)


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    """A bar with rate and time left, for people who watch a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[rate]}  {task.fields[count]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("finding files", total=None, rate="", count="")

        def show(progress: Progress) -> None:
            reading = progress.phase == "read"
            speed = bar.tasks[0].speed or 0.0
            bar.update(
                task,
                description="reading" if reading else "searchable; embedding",
                total=progress.total,
                completed=progress.done,
                rate=f"{speed / 1e6:.1f} MB/s" if reading else f"{speed:.0f} chunks/s",
                count=f"{progress.documents:,} documents, {progress.chunks:,} chunks",
            )

        yield show
