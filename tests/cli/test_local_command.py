"""`ragkit local` as a user types it."""

import json
import shlex

import pytest
from typer.testing import CliRunner, Result

from ragkit.cli import app
from ragkit.errors import ConfigError
from ragkit_eval.twin.fixture import running_twin


def ragkit(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["local", *arguments])


def test_a_plan_in_words_and_as_json() -> None:
    done = ragkit("plan", "--model", "32B", "--gpu", "80")
    assert done.exit_code == 0
    assert "qwen3-32b on 1 x h100: FP8 weights and activations" in done.stdout
    assert "5 billion tokens a month pay against any API above $0.423" in done.stdout
    found = json.loads(ragkit("plan", "-m", "32B", "-g", "80", "--json").stdout)
    assert found["format"] == "fp8" and found["estimated"]
    assert {it["model"] for it in found["break_even"]} >= {"claude-haiku-5-5", "claude-opus-5-5"}


def test_what_is_known_better_is_taken() -> None:
    cheap = json.loads(ragkit("plan", "-m", "8B", "-g", "24", "--hour-usd", "0.40", "--json").stdout)
    dear = json.loads(ragkit("plan", "-m", "8B", "-g", "24", "--hour-usd", "0.80", "--json").stdout)
    assert (cheap["month_usd"], dear["month_usd"]) == ("292", "584")
    own = json.loads(ragkit("plan", "-m", "mine", "--shape", "12.2e9:40:8:128", "-g", "48", "--json").stdout)
    assert own["model"] == "mine"
    slow = json.loads(ragkit("plan", "-m", "8B", "-g", "24", "--acceptance", "0", "--json").stdout)
    assert slow["speculation"]["gain"] <= 1
    forced = json.loads(ragkit("plan", "-m", "8B", "-g", "48", "--format", "bf16", "--gpus", "2", "--json").stdout)
    assert (forced["format"], forced["gpus"]) == ("bf16", 2)


def test_a_command_line_is_printed_and_nothing_started() -> None:
    line = shlex.split(ragkit("serve", "org/model", "--gpu", "h100", "--dry-run").stdout)
    assert line[:3] == ["vllm", "serve", "org/model"]
    assert line[line.index("--quantization") + 1] == "fp8"
    assert json.loads(line[line.index("--speculative-config") + 1])["method"] == "ngram"
    llama = shlex.split(ragkit("serve", "m.gguf", "--gpu", "cpu", "--engine", "llama.cpp", "--dry-run").stdout)
    assert llama[0] == "llama-server" and llama[llama.index("--n-gpu-layers") + 1] == "0"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serve", "m", "--speculation", "medusa", "--dry-run"), "no Medusa"),
        (("serve", "m", "--engine", "ollama", "--dry-run"), "no engine"),
        (("plan", "--gpu", "abacus"), "no GPU"),
        (("plan", "--format", "int3"), "no format"),
    ],
)
def test_mistakes_are_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    done = ragkit(*arguments)
    assert isinstance(done.exception, ConfigError)
    assert words in str(done.exception)


def test_status_of_a_server() -> None:
    with running_twin() as twin:
        url = twin.base_url("vllm")
        assert "0 running, 0 waiting" in ragkit("status", "--url", url).stdout
        found = json.loads(ragkit("status", "--url", url, "--over", "0.05", "--json").stdout)
    assert found["answers"] == 0 and found["answer_usd"] is None
