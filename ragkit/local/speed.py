"""How fast: the roofline. Reading a prompt is bound by arithmetic, writing an answer by reading weights from memory.

A step of decoding reads all active weights once for the whole batch, and each question's keys and values. Speculation
checks several tokens in one step: the same bytes, more arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ragkit.local.formats import FORMATS, Fit, Work
from ragkit.local.hardware import Gpu, LocalModel

ARITHMETIC = Fraction(1, 2)
"""Share of the data sheet's arithmetic that reading prompts reaches."""
MEMORY = Fraction(7, 10)
"""Share of the data sheet's bandwidth that decoding reaches."""
PARALLEL = Fraction(85, 100)
"""What is left of each doubling of GPUs, which must talk to each other."""


@dataclass(frozen=True, slots=True)
class Speculation:
    """So many tokens are drafted a step, each accepted with this chance if those before it were."""

    drafted: int = 4
    acceptance: Fraction = Fraction(3, 5)

    @property
    def per_step(self) -> Fraction:
        """Tokens that a step yields: one and those accepted in a row."""
        return sum((self.acceptance**n for n in range(self.drafted + 1)), Fraction(0))


NONE = Speculation(0, Fraction(0))


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second: of prompts, of one answer alone, and of all answers together; and what follows for questions.

    `seconds` is the machine's time per question when it is full, `latency` what one question waits for its answer then.
    """

    prefill: Fraction
    alone: Fraction
    decode: Fraction
    seconds: Fraction
    latency: Fraction
    gain: Fraction


def speed(model: LocalModel, gpu: Gpu, found: Fit, work: Work, speculation: Speculation) -> Speed:
    """`gain` is what speculation multiplies the decoding of a full machine by; below one it does not pay."""
    batch = max(1, min(found.concurrent, work.concurrent))
    prefill = _arithmetic(gpu, found) / (2 * model.active)
    step = _step(model, gpu, found, work, batch, speculation)
    plain = batch / _step(model, gpu, found, work, batch, NONE)
    decode = batch * speculation.per_step / step
    fresh = work.prompt * (1 - work.cached)
    seconds = fresh / prefill + work.output / decode
    alone = speculation.per_step / _step(model, gpu, found, work, 1, speculation)
    return Speed(prefill, alone, decode, seconds, seconds * batch, decode / plain)


def _step(model: LocalModel, gpu: Gpu, found: Fit, work: Work, batch: int, speculation: Speculation) -> Fraction:
    """Seconds of a step of decoding: the longer of moving its bytes and doing its arithmetic."""
    share = Fraction(model.active, model.parameters)
    kv = Fraction(found.per_question, work.tokens) * (work.prompt + Fraction(work.output, 2))
    moved = found.weights * share + batch * kv
    done = 2 * model.active * batch * (1 + speculation.drafted)
    return max(moved / (gpu.bandwidth * MEMORY * _scale(found.gpus)), done / _arithmetic(gpu, found))


def _arithmetic(gpu: Gpu, found: Fit) -> Fraction:
    peak = gpu.eight if FORMATS[found.format.name].eight else gpu.half
    return peak * ARITHMETIC * _scale(found.gpus)


def _scale(gpus: int) -> Fraction:
    """Two GPUs are worth less than twice one."""
    doublings = gpus.bit_length() - 1
    return gpus * PARALLEL**doublings
