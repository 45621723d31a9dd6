"""Command lines of local servers, checked against the recorded flags of vLLM 0.33.0."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ragkit.errors import ConfigError
from ragkit.local.hardware import GPUS, find_gpu
from ragkit.local.serve import (
    METHODS,
    NEED_DRAFT,
    QUANTIZATIONS,
    Serving,
    check_installed,
    command,
    quantization_for,
    speculative_config,
)

FLAGS = set(Path(__file__).with_name("recorded").joinpath("vllm-0.33.0-flags.txt").read_text().split())
"""Every option that the parser of `vllm serve` has, read from its source."""
VLLM_QUANTIZATIONS = {
    *("awq", "auto_awq", "fp8", "modelopt", "modelopt_fp4", "modelopt_mxfp8", "modelopt_mixed", "auto_gptq", "gptq"),
    *("gptq_marlin", "awq_marlin", "humming", "compressed-tensors", "experts_int8", "quark", "moe_wna16", "torchao"),
    *("inc", "mxfp4", "gpt_oss_mxfp4", "online", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel"),
    *("int8_per_channel_weight_only", "nvfp4_per_token", "mxfp8"),
}
SPECULATION_FIELDS = {"method", "model", "num_speculative_tokens", "prompt_lookup_max", "prompt_lookup_min"}
SWITCHES = {"--enable-prefix-caching", "--enable-prompt-tokens-details"}
BASE = Serving("meta-llama/Llama-3.1-8B-Instruct")


def parse(line: list[str]) -> dict[str, str]:
    """The options of a vLLM command line; each must be known and have a value, unless it is a switch."""
    assert line[:2] == ["vllm", "serve"] and not line[2].startswith("-")
    options: dict[str, str] = {}
    rest = iter(line[3:])
    for flag in rest:
        assert flag in FLAGS, flag
        options[flag] = "" if flag in SWITCHES else next(rest)
        assert not options[flag].startswith("--")
    return options


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("method", METHODS)
def test_every_command_parses_with_the_recorded_flags(gpu: str, method: str) -> None:
    machine = find_gpu(gpu)
    serving = replace(
        BASE,
        quantization=quantization_for(BASE.model, machine, None),
        kv_cache="fp8" if machine.fp8 else "auto",
        gpus=2,
        concurrent=32,
        method=method,
        draft="head" if method in NEED_DRAFT else "",
    )
    options = parse(command(serving))
    assert not SWITCHES - set(options)
    if method != "none":
        config = json.loads(options["--speculative-config"])
        assert set(config) <= SPECULATION_FIELDS
        assert config["method"] == method and config["num_speculative_tokens"] == 4


def test_quantizations_on_offer_are_vllms_own() -> None:
    assert set(QUANTIZATIONS) <= VLLM_QUANTIZATIONS
    with pytest.raises(ConfigError, match="no quantization 'int3'"):
        command(replace(BASE, quantization="int3"))


@pytest.mark.parametrize(
    ("model", "gpu", "wanted", "found"),
    [
        ("org/model", "h100", None, "fp8"),
        ("org/model", "l40s", None, "int8_per_channel_weight_only"),
        ("org/model-AWQ", "l4", None, None),
        ("org/model-w8a8", "h100", None, None),
        ("org/model", "cpu", None, None),
        ("org/model", "h100", "none", None),
        ("org/model-AWQ", "l4", "awq_marlin", "awq_marlin"),
    ],
)
def test_quantization_follows_the_gpu_unless_the_checkpoint_declares_one(
    model: str, gpu: str, wanted: str | None, found: str | None
) -> None:
    assert quantization_for(model, find_gpu(gpu), wanted) == found


def test_ngrams_are_the_default() -> None:
    config = json.loads(parse(command(BASE))["--speculative-config"])
    expected = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4, "prompt_lookup_min": 2}
    assert config == expected


def test_what_an_engine_cannot_do_is_said() -> None:
    for serving, words in (
        (replace(BASE, method="medusa"), "no Medusa any more"),
        (replace(BASE, method="tea-leaves"), "no speculation 'tea-leaves'"),
        (replace(BASE, method="eagle3"), "needs --draft"),
        (replace(BASE, engine="tensorrt-llm", method="eagle3"), "from a file"),
        (replace(BASE, engine="llama.cpp", method="suffix"), "llama.cpp has no speculation by suffix"),
        (replace(BASE, engine="ollama"), "no engine is called 'ollama'"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigError, match=words):
            command(serving)
    with pytest.raises(ConfigError, match="not installed here"):
        check_installed(BASE, "no-such-program-anywhere")


def test_the_other_engines() -> None:
    assert command(replace(BASE, engine="tensorrt-llm", gpus=2))[:2] == ["trtllm-serve", BASE.model]
    line = command(replace(BASE, engine="llama.cpp", model="model.gguf", concurrent=8, context=4096, gpus=0))
    assert line[line.index("--ctx-size") + 1] == str(8 * 4096)
    assert line[line.index("--n-gpu-layers") + 1] == "0"
    drafted = command(replace(BASE, engine="llama.cpp", method="draft_model", draft="small.gguf"))
    assert drafted[-2:] == ["--model-draft", "small.gguf"]


def test_the_compose_profile_speaks_the_same_flags() -> None:
    compose = (Path(__file__).parents[2] / "docker-compose.yml").read_text(encoding="utf-8")
    block = compose[compose.index("command:") : compose.index("HF_TOKEN")]
    flags = re.findall(r"^ +- (--[a-z-]+)$", block, re.MULTILINE)
    assert "--speculative-config" in flags and set(flags) <= FLAGS
    (config,) = re.findall(r"- '(\{.*\})'", block)
    assert json.loads(config) == speculative_config(BASE)
