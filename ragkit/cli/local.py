"""`ragkit local`: models on machines of your own, planned, served and watched."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, print_json, run

if TYPE_CHECKING:
    from pathlib import Path

    from ragkit.local.hardware import LocalModel
    from ragkit.local.metrics import LocalStatus
    from ragkit.models import Catalogue

app = typer.Typer(help="Plan, start and watch a model on a machine of your own.", no_args_is_help=True)

ModelOption = Annotated[str, typer.Option("--model", "-m", help="A model or a size, as in qwen3-32b or 32B.")]
GpuOption = Annotated[str, typer.Option("--gpu", "-g", help="A GPU or its gigabytes, as in h100 or 80; cpu for none.")]
FormatOption = Annotated[str | None, typer.Option("--format", help="bf16, fp8, int8, int4, gguf-q8 or gguf-q4.")]
GpusOption = Annotated[int, typer.Option("--gpus", min=1, help="GPUs, together with --format.")]
HourOption = Annotated[str | None, typer.Option("--hour-usd", help="What an hour of one GPU costs, in dollars.")]
PromptOption = Annotated[int, typer.Option("--prompt", min=1, help="Tokens of a prompt.")]
OutputOption = Annotated[int, typer.Option("--output", min=1, help="Tokens of an answer.")]
ConcurrentOption = Annotated[int, typer.Option("--concurrent", min=1, help="Questions at once.")]
CachedOption = Annotated[float, typer.Option("--cached", min=0, max=1, help="Share of prompts in the prefix cache.")]
AcceptanceOption = Annotated[float, typer.Option("--acceptance", min=0, max=0.99, help="Chance that a draft holds.")]
ShapeOption = Annotated[
    str | None,
    typer.Option(
        "--shape", metavar="PARAMS:LAYERS:KV_HEADS:HEAD_DIM", help="A model of your own, as in 12.2e9:40:8:128."
    ),
]
UrlOption = Annotated[str, typer.Option("--url", help="The server, without /v1.")]
OverOption = Annotated[float, typer.Option("--over", min=0, help="Measure over so many seconds, not since its start.")]
EngineOption = Annotated[str, typer.Option("--engine", help="vllm, tensorrt-llm or llama.cpp.")]
SpeculationOption = Annotated[
    str, typer.Option("--speculation", help="ngram, suffix, eagle3, mtp, draft_model or none.")
]
DraftOption = Annotated[str, typer.Option("--draft", help="The model or head that drafts.")]
QuantizationOption = Annotated[
    str | None, typer.Option("--quantization", "-q", help="vLLM's own word; by the GPU if left out, or none.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the command line and start nothing.")]


@app.command()
def plan(
    model: ModelOption = "8B",
    gpu: GpuOption = "24",
    format_: FormatOption = None,
    gpus: GpusOption = 1,
    hour_usd: HourOption = None,
    prompt: PromptOption = 3000,
    output: OutputOption = 200,
    concurrent: ConcurrentOption = 16,
    cached: CachedOption = 0.5,
    acceptance: AcceptanceOption = 0.6,
    shape: ShapeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose the format from memory, and tell speed, cost and when it pays against the APIs."""
    from ragkit.local.formats import Work, format_named
    from ragkit.local.hardware import find_gpu
    from ragkit.local.plan import Wanted, make_plan, plan_text, plan_to_json
    from ragkit.local.speed import Speculation
    from ragkit.money import from_usd

    work = Work(prompt, output, concurrent, _fraction(cached))
    wanted = Wanted(format_named(format_), gpus, None if hour_usd is None else from_usd(hour_usd))
    speculation = Speculation(acceptance=_fraction(acceptance))
    prices = (_catalogue(config), datetime.now(UTC))
    made = make_plan(_model(model, shape), find_gpu(gpu), work, speculation, wanted, prices)
    print_json(plan_to_json(made)) if as_json else typer.echo(plan_text(made))


@app.command()
def serve(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A folder or a repository with the weights.")],
    gpu: GpuOption = "80",
    engine: EngineOption = "vllm",
    name: Annotated[str, typer.Option("--name", help="The name that it is asked by.")] = "",
    quantization: QuantizationOption = None,
    context: Annotated[int, typer.Option("--context", min=512, help="Longest prompt and answer, in tokens.")] = 16_384,
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="GPUs that share the model.")] = 1,
    speculation: SpeculationOption = "ngram",
    draft: DraftOption = "",
    drafted: Annotated[int, typer.Option("--drafted", min=1, help="Tokens drafted a step.")] = 4,
    host: Annotated[str, typer.Option("--host", help="Where it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Where it listens.")] = 8000,
    dry_run: DryRunOption = False,
) -> None:
    """Start a server for a local model, quantized for its GPU, with prefix caching and speculation."""
    from ragkit.local.hardware import find_gpu
    from ragkit.local.serve import Serving, check_installed, command, quantization_for

    machine = find_gpu(gpu)
    serving = Serving(
        model,
        engine,  # type: ignore[arg-type]
        name,
        quantization_for(model, machine, quantization),
        "fp8" if machine.fp8 and engine == "vllm" else "auto",
        context,
        gpus if machine.generation != "cpu" else 0,
        method=speculation,
        draft=draft,
        drafted=drafted,
        host=host,
        port=port,
    )
    line = command(serving)
    if dry_run:
        typer.echo(shlex.join(line))
        return
    check_installed(serving, line[0])
    import subprocess

    typer.echo(f"starting: {shlex.join(line)}", err=True)
    raise typer.Exit(subprocess.run(line, check=False).returncode)  # noqa: S603


@app.command()
def status(
    url: UrlOption = "http://127.0.0.1:8000",
    gpu: GpuOption = "80",
    hour_usd: HourOption = None,
    over: OverOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Read a server's metrics: accepted drafts, prefix hits, queue, and with --over what an answer costs."""
    from ragkit.local.hardware import find_gpu
    from ragkit.local.metrics import status_text, status_to_json
    from ragkit.money import from_usd

    hour = from_usd(hour_usd) if hour_usd is not None else from_usd(find_gpu(gpu).hour_usd)
    found = run(_watch(url, over, hour))
    print_json(status_to_json(found)) if as_json else typer.echo(status_text(found))


async def _watch(url: str, over: float, hour_pico: int) -> LocalStatus:
    import asyncio
    import time

    from ragkit.local.metrics import read, status

    if over == 0:
        return status(await read(url), hour_pico=hour_pico)
    before, start = await read(url), time.monotonic()
    await asyncio.sleep(over)
    now = await read(url)
    return status(now, before=before, seconds=time.monotonic() - start, hour_pico=hour_pico)


def _model(name: str, shape: str | None) -> LocalModel:
    from ragkit.local.hardware import find_model, parse_shape

    return find_model(name) if shape is None else parse_shape(name, shape)


def _fraction(value: float) -> Fraction:
    return Fraction(value).limit_denominator(1000)


def _catalogue(config: Path | None) -> Catalogue:
    from ragkit.config import load_settings
    from ragkit.models import Catalogue

    file = load_settings(config).prices.file
    return Catalogue.of(file)
