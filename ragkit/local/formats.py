"""Formats of weights, and which one a GPU should serve a model in: the most precise one that leaves room to work."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ragkit.errors import ConfigError
from ragkit.local.hardware import GIGA, Gpu, LocalModel

FormatName = Literal["bf16", "fp8", "int8", "int4", "gguf-q8", "gguf-q4"]
UTILIZATION = Fraction(92, 100)
"""vLLM's own default for the share of a GPU's memory that it takes."""
OVERHEAD = 2 * GIGA
"""Per GPU: context of the driver, graphs, and the activations of a running batch."""
TENSOR_PARALLEL = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Format:
    """`bits` per quantized weight, scales included; `eight` says that it computes in 8 bits."""

    name: FormatName
    bits: Fraction
    eight: bool
    label: str


FORMATS = {
    it.name: it
    for it in (
        Format("bf16", Fraction(16), False, "BF16, not quantized"),
        Format("fp8", Fraction(8), True, "FP8 weights and activations"),
        Format("int8", Fraction(8), True, "INT8 weights and activations (W8A8)"),
        Format("int4", Fraction(17, 4), False, "INT4 weights in groups of 128 (AWQ or GPTQ)"),
        Format("gguf-q8", Fraction(17, 2), False, "GGUF Q8_0"),
        Format("gguf-q4", Fraction(97, 20), False, "GGUF Q4_K_M"),
    )
}


def format_named(name: str | None) -> FormatName | None:
    """A format that was asked for by name; None leaves the choice to the plan."""
    if name is None:
        return None
    for known in FORMATS:
        if known == name:
            return known
    raise ConfigError(f"there is no format '{name}': write one of {', '.join(FORMATS)}")


@dataclass(frozen=True, slots=True)
class Work:
    """What the machine has to do: questions of so many tokens in and out, so many at once.

    `cached` is the share of a prompt that the prefix cache holds.
    """

    prompt: int = 3_000
    output: int = 200
    concurrent: int = 16
    cached: Fraction = Fraction(1, 2)

    @property
    def tokens(self) -> int:
        return self.prompt + self.output


@dataclass(frozen=True, slots=True)
class Fit:
    """A format on so many GPUs: what it takes, and how many questions find room at once."""

    format: Format
    gpus: int
    weights: int
    room: int
    per_question: int

    @property
    def concurrent(self) -> int:
        return max(0, self.room // self.per_question)


def weight_bytes(model: LocalModel, format_: Format) -> int:
    """Quantized weights and those that stay in 16 bits."""
    kept = model.parameters if format_.name == "bf16" else model.kept
    return round(kept * 2 + (model.parameters - kept) * format_.bits / 8)


def fit(model: LocalModel, gpu: Gpu, format_: Format, work: Work, gpus: int = 1) -> Fit:
    """Memory less overhead less weights is what keys and values have."""
    weights = weight_bytes(model, format_)
    usable = round(gpu.memory * UTILIZATION) - OVERHEAD
    kv_bytes = model.kv_bytes(1 if gpu.fp8 else 2)
    return Fit(format_, gpus, weights, usable * gpus - weights, kv_bytes * work.tokens)


def candidates(gpu: Gpu) -> tuple[FormatName, ...]:
    """The formats for a GPU, the most precise first; BF16 is no candidate, for it reads twice the bytes per token."""
    if gpu.generation == "cpu":
        return ("gguf-q8", "gguf-q4")
    return ("fp8", "int4") if gpu.fp8 else ("int8", "int4")


def choose(model: LocalModel, gpu: Gpu, work: Work) -> tuple[Fit | None, list[str]]:
    """The fewest GPUs on which a format has room for the work, and a sentence for each that was looked at."""
    reasons: list[str] = []
    for gpus in TENSOR_PARALLEL if gpu.generation != "cpu" else (1,):
        for name in candidates(gpu):
            found = fit(model, gpu, FORMATS[name], work, gpus)
            reasons.append(_reason(found, gpu, work))
            if found.concurrent >= work.concurrent:
                return found, reasons
    return None, reasons


def _reason(found: Fit, gpu: Gpu, work: Work) -> str:
    machine = f"{found.gpus} x {gpu.id}" if found.gpus > 1 else gpu.id
    head = f"{found.format.label} on {machine}: weights {_gb(found.weights)}"
    if found.room <= 0:
        return f"{head} leave no room for keys and values"
    verdict = "enough" if found.concurrent >= work.concurrent else f"{work.concurrent} are wanted"
    room = f"{_gb(found.room)} left for keys and values"
    return f"{head}, {room}, {_gb(found.per_question, 2)} a question: {found.concurrent} at once, {verdict}"


def _gb(amount: int, digits: int = 1) -> str:
    return f"{amount / GIGA:.{digits}f} GB"
