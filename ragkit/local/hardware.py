"""GPUs and models as numbers. Memory counts gigabytes of 10^9 bytes, speeds are those of the data sheets without
sparsity, and prices per hour are assumptions that `--hour-usd` replaces."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Literal, TypeVar

from ragkit.errors import ConfigError

Generation = Literal["cpu", "ampere", "ada", "hopper", "blackwell"]
GIGA = 10**9
TERA = 10**12


@dataclass(frozen=True, slots=True)
class Gpu:
    """`bandwidth` in bytes a second; `half` and `eight` are dense operations a second in 16 and in 8 bits."""

    id: str
    generation: Generation
    memory: int
    bandwidth: int
    half: int
    eight: int
    hour_usd: Decimal

    @property
    def fp8(self) -> bool:
        """Whether FP8 is the format of choice: Hopper and newer."""
        return self.generation in ("hopper", "blackwell")


@dataclass(frozen=True, slots=True)
class LocalModel:
    """`active` parameters work on each token, fewer than all in a mixture of experts; `kept` stay in 16 bits.

    Embeddings and the output head are not quantized by the usual recipes, which matters for small models.
    """

    id: str
    parameters: int
    active: int
    kept: int
    layers: int
    kv_heads: int
    head_dim: int

    def kv_bytes(self, bytes_each: int = 2) -> int:
        """Bytes of keys and values per token of context."""
        return 2 * self.layers * self.kv_heads * self.head_dim * bytes_each


def _gpu(id_: str, generation: Generation, *sizes: float, usd: str) -> Gpu:
    memory, bandwidth, half, eight = sizes
    return Gpu(
        id_,
        generation,
        round(memory * GIGA),
        round(bandwidth * GIGA),
        round(half * TERA),
        round(eight * TERA),
        Decimal(usd),
    )


def _model(id_: str, parameters: float, kept: float, *shape: int, active: float | None = None) -> LocalModel:
    layers, kv_heads, head_dim = shape
    whole = round(parameters * GIGA)
    return LocalModel(
        id_, whole, whole if active is None else round(active * GIGA), round(kept * GIGA), layers, kv_heads, head_dim
    )


GPUS = {
    gpu.id: gpu
    for gpu in (
        _gpu("l4", "ada", 24, 300, 121, 242, usd="0.80"),
        _gpu("a10g", "ampere", 24, 600, 70, 140, usd="1.00"),
        _gpu("rtx-4090", "ada", 24, 1008, 165, 330, usd="0.50"),
        _gpu("a6000", "ampere", 48, 768, 155, 310, usd="0.80"),
        _gpu("l40s", "ada", 48, 864, 362, 733, usd="1.60"),
        _gpu("a100", "ampere", 80, 2039, 312, 624, usd="1.80"),
        _gpu("h100", "hopper", 80, 3350, 989, 1979, usd="2.90"),
        _gpu("h200", "hopper", 141, 4800, 989, 1979, usd="3.80"),
        _gpu("b200", "blackwell", 180, 8000, 2250, 4500, usd="5.50"),
        _gpu("cpu", "cpu", 64, 80, 1.5, 3, usd="0.40"),
    )
}
SIZES = {"24": "l4", "48": "l40s", "80": "h100", "141": "h200", "180": "b200"}
"""The GPU that is meant by its gigabytes alone."""

MODELS = {
    model.id: model
    for model in (
        _model("llama-3.1-8b", 8.03, 1.05, 32, 8, 128),
        _model("qwen3-8b", 8.19, 1.24, 36, 8, 128),
        _model("qwen3-14b", 14.77, 1.56, 40, 8, 128),
        _model("mistral-small-24b", 23.57, 1.34, 40, 8, 128),
        _model("qwen3-30b-a3b", 30.53, 0.62, 48, 4, 128, active=3.35),
        _model("qwen3-32b", 32.76, 1.56, 64, 8, 128),
        _model("llama-3.3-70b", 70.55, 2.10, 80, 8, 128),
    )
}
CLASSES = {
    "8b": "llama-3.1-8b",
    "14b": "qwen3-14b",
    "24b": "mistral-small-24b",
    "32b": "qwen3-32b",
    "70b": "llama-3.3-70b",
}
"""A usual model of each size."""


def find_gpu(name: str) -> Gpu:
    """By name or by gigabytes, as in `h100`, `80` or `80GB`."""
    wanted = name.lower().removesuffix("gb").strip()
    return _find(SIZES.get(wanted, wanted), GPUS, "GPU", (*GPUS, *SIZES))


def find_model(name: str) -> LocalModel:
    """By name or by size, as in `qwen3-32b` or `32B`; the maker's name before it does not matter."""
    wanted = name.lower().rpartition("/")[2].removesuffix("-instruct")
    return _find(CLASSES.get(wanted, wanted), MODELS, "model", (*MODELS, *CLASSES))


def parse_shape(name: str, shape: str) -> LocalModel:
    """A model by PARAMS:LAYERS:KV_HEADS:HEAD_DIM; a twentieth of it is taken to stay in 16 bits."""
    try:
        parameters, *numbers = shape.split(":")
        layers, kv_heads, head_dim = map(int, numbers)
        whole = round(float(parameters))
    except ValueError as error:
        raise ConfigError(
            f"'{shape}' is no shape: write PARAMS:LAYERS:KV_HEADS:HEAD_DIM, as in 12.2e9:40:8:128"
        ) from error
    if min(whole, layers, kv_heads, head_dim) < 1:
        raise ConfigError(f"'{shape}' is no shape: each of its numbers must be above zero")
    return LocalModel(name, whole, whole, whole // 20, layers, kv_heads, head_dim)


T = TypeVar("T", Gpu, LocalModel)


def _find(name: str, table: dict[str, T], kind: str, known: tuple[str, ...]) -> T:
    if name in table:
        return table[name]
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"
    advice = ", or give its --shape" if kind == "model" else ""
    raise ConfigError(f"no {kind} is called '{name}' here: {hint}{advice}")
