"""Command lines of servers for local models: vLLM, and TensorRT-LLM's and llama.cpp's OpenAI-compatible ones.

Written for vLLM 0.33. Its answers are checked by the same adapter whatever serves them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ragkit.errors import ConfigError
from ragkit.local.hardware import Gpu

Engine = Literal["vllm", "tensorrt-llm", "llama.cpp"]
Method = Literal["ngram", "suffix", "eagle3", "mtp", "draft_model", "none"]
METHODS: tuple[Method, ...] = ("ngram", "suffix", "eagle3", "mtp", "draft_model", "none")
NEED_DRAFT = ("eagle3", "draft_model")
QUANTIZATIONS = (
    "awq",
    "awq_marlin",
    "compressed-tensors",
    "fp8",
    "fp8_per_block",
    "fp8_per_channel",
    "fp8_per_tensor",
    "gptq",
    "gptq_marlin",
    "int8_per_channel_weight_only",
    "mxfp4",
    "mxfp8",
    "nvfp4_per_token",
    "torchao",
)
"""Values of `--quantization` that make sense here; a checkpoint that declares its method needs none."""
DECLARED = ("awq", "gptq", "int4", "w4a16", "int8", "w8a8", "fp8", "nvfp4", "mxfp4")
"""Parts of a checkpoint's name that tell that it is quantized already."""
INSTALL = {
    "vllm": "pip install vllm==0.33.0 on the machine with the GPU, or docker compose --profile gpu up vllm",
    "tensorrt-llm": "use NVIDIA's tensorrt-llm container",
    "llama.cpp": "install llama.cpp, which has llama-server",
}


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served and how. `quantization` of None leaves it to the checkpoint; `draft` is a draft model or head."""

    model: str
    engine: Engine = "vllm"
    name: str = ""
    quantization: str | None = None
    kv_cache: str = "auto"
    context: int = 16_384
    gpus: int = 1
    concurrent: int = 0
    method: str = "ngram"
    draft: str = ""
    drafted: int = 4
    host: str = "127.0.0.1"
    port: int = 8000


def command(serving: Serving) -> list[str]:
    """The command line; `ConfigError` for what the engine cannot do."""
    builders: dict[str, Callable[[Serving], list[str]]] = {
        "vllm": _vllm,
        "tensorrt-llm": _tensorrt,
        "llama.cpp": _llama,
    }
    if serving.engine not in builders:
        raise ConfigError(f"no engine is called '{serving.engine}': write one of {', '.join(builders)}")
    return builders[serving.engine](serving)


def check_installed(serving: Serving, program: str) -> None:
    """`ConfigError` that says what to install."""
    if shutil.which(program) is None:
        raise ConfigError(f"'{program}' is not installed here: {INSTALL[serving.engine]}; --dry-run prints the command")


def quantization_for(model: str, gpu: Gpu, wanted: str | None) -> str | None:
    """As asked for; else FP8 made while loading on GPUs that are built for it, and 8-bit weights on older ones.

    A checkpoint whose name tells that it is quantized keeps its own; INT4 always comes as such a checkpoint.
    """
    if wanted is not None:
        return None if wanted == "none" else wanted
    if gpu.generation == "cpu" or any(part in model.lower() for part in DECLARED):
        return None
    return "fp8" if gpu.fp8 else "int8_per_channel_weight_only"


def _vllm(serving: Serving) -> list[str]:
    quantization = serving.quantization
    if quantization is not None and quantization not in QUANTIZATIONS:
        raise ConfigError(f"vLLM has no quantization '{quantization}': write one of {', '.join(QUANTIZATIONS)}")
    line = ["vllm", "serve", serving.model, "--host", serving.host, "--port", str(serving.port)]
    line += ["--served-model-name", serving.name or serving.model]
    line += ["--max-model-len", str(serving.context)]
    line += ["--tensor-parallel-size", str(serving.gpus)] if serving.gpus > 1 else []
    line += ["--max-num-seqs", str(serving.concurrent)] if serving.concurrent else []
    line += ["--quantization", quantization] if quantization is not None else []
    line += ["--kv-cache-dtype", serving.kv_cache] if serving.kv_cache != "auto" else []
    line += ["--enable-prefix-caching", "--enable-prompt-tokens-details"]
    config = speculative_config(serving)
    return line + (["--speculative-config", json.dumps(config)] if config else [])


def speculative_config(serving: Serving) -> dict[str, str | int] | None:
    """vLLM's own words for how answers are drafted; n-grams need nothing, and RAG answers quote their context."""
    method = serving.method
    if method == "medusa":
        raise ConfigError("vLLM 0.33 has no Medusa any more (the last one that has is older): use eagle3, or ngram")
    if method not in METHODS:
        raise ConfigError(f"there is no speculation '{method}': write one of {', '.join(METHODS)}")
    if method in NEED_DRAFT and not serving.draft:
        raise ConfigError(f"speculation by {method} needs --draft: the model or head that drafts")
    if method == "none":
        return None
    config: dict[str, str | int] = {"method": method, "num_speculative_tokens": serving.drafted}
    if method == "ngram":
        config |= {"prompt_lookup_max": 4, "prompt_lookup_min": 2}
    if serving.draft:
        config["model"] = serving.draft
    return config


def _tensorrt(serving: Serving) -> list[str]:
    """Quantization is the checkpoint's, and speculation stands in a file of options that only its owner can write."""
    _no_speculation(serving, "TensorRT-LLM takes speculation from a file given by --config")
    line = ["trtllm-serve", serving.model, "--host", serving.host, "--port", str(serving.port), "--backend", "pytorch"]
    line += ["--tp_size", str(serving.gpus), "--max_seq_len", str(serving.context)]
    line += ["--max_batch_size", str(serving.concurrent)] if serving.concurrent else []
    return [*line, "--kv_cache_free_gpu_memory_fraction", "0.9"]


def _llama(serving: Serving) -> list[str]:
    """The context is divided among the slots, so it is asked for as often as there are slots."""
    if serving.method not in ("none", "ngram", "draft_model"):
        raise ConfigError(f"llama.cpp has no speculation by {serving.method}: use draft_model with --draft, or none")
    slots = serving.concurrent or 4
    line = ["llama-server", "--model", serving.model, "--host", serving.host, "--port", str(serving.port)]
    line += ["--alias", serving.name or serving.model, "--ctx-size", str(serving.context * slots)]
    line += ["--parallel", str(slots), "--n-gpu-layers", "999" if serving.gpus else "0", "--metrics", "--jinja"]
    return line + (["--model-draft", serving.draft] if serving.method == "draft_model" and serving.draft else [])


def _no_speculation(serving: Serving, why: str) -> None:
    if serving.method not in ("none", "ngram"):
        raise ConfigError(f"{why}: leave --speculation out")
