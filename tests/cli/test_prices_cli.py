import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ragkit.cli.prices import app
from ragkit.errors import ConfigError, RagkitError, UnpricedModel

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> str:
    result = RUNNER.invoke(app, list(arguments))
    if isinstance(result.exception, RagkitError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_list_shows_bands_and_the_version() -> None:
    lines = run("--provider", "anthropic", "--tier", "small", "--at", "2026-11-24").splitlines()
    assert lines[0].split() == ["model", "prompt", "in", "out", "read", "write", "5m", "write", "1h"]
    assert lines[1].split() == ["claude-haiku-5-5", "0.1", "0.5", "0.01", "0.125", "0.2"]
    assert lines[2].split() == [">", "100,000", "0.5", "2.5", "0.05", "0.625", "1"]
    assert lines[-1].startswith("dollars per million tokens, lane standard, 2026-11-24; prices 2026-")


def test_prices_of_another_day() -> None:
    days = ("2026-10-06", "2026-10-07")
    shown = [json.loads(run("--model", "claude-sonnet-5-5", "--at", day, "--json")) for day in days]
    assert [only["models"][0]["prices"][0]["cache_read"] for only in shown] == ["0.2", "0.1"]


def test_a_price_that_is_not_from_the_provider_s_list_says_so() -> None:
    assert run("--model", "gemini-4-argon", "--at", "2026-12-01").splitlines()[1].endswith("second-hand")
    assert "second-hand" not in run("--model", "gemini-4-argon", "--at", "2026-11-30")


def test_json_tells_what_a_model_can_do() -> None:
    (model,) = json.loads(run("--model", "claude-opus-5-5", "--lane", "batch", "--json"))["models"]
    assert model["prices"] == [
        {
            "above": 0,
            "row": "claude-opus-5-5@start/batch",
            "confidence": "listed",
            "input": "2",
            "cache_read": "0.1",
            "cache_write_5m": "2.5",
            "cache_write_1h": "4",
            "output": "10",
        }
    ]
    assert (model["forced_tools"], model["lowest_thinking"], model["cache_minimum"]) == (False, "always", 512)


def test_a_comparison_is_sorted_by_cost() -> None:
    shown = json.loads(run("--compare", "20000:400:18000", "--tier", "small", "--at", "2026-11-24", "--json"))
    costs = [float(model["cost_usd"]) for model in shown["models"]]
    assert costs == sorted(costs)
    assert "claude-haiku-5-5" in run("--compare", "20000:400:18000", "--same-tokens")


def test_age_and_retirement_are_warned_of_on_stderr() -> None:
    result = RUNNER.invoke(app, ["--model", "gpt-5", "--at", "2027-03-01"])
    assert "warning: prices were last checked 98 days ago" in result.stderr
    assert "warning: gpt-5 was retired on 2026-12-11: move to gpt-6.1-terra" in result.stderr
    assert "warning" not in result.stdout


def test_the_user_s_own_prices_are_used(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('checked = 2026-11-20\n[[model]]\nid = "gpt-6-luna"\nprice = [{ input = 0.08, output = 0.4 }]\n')
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[prices]\nfile = "{own}"\n', encoding="utf-8")
    shown = json.loads(run("--model", "gpt-6-luna", "--config", str(settings), "--json"))
    assert shown["models"][0]["prices"] == [
        {"above": 0, "row": "gpt-6-luna@start", "confidence": "listed", "input": "0.08", "output": "0.4"},
    ]


def test_wrong_words_are_one_sentence() -> None:
    with pytest.raises(UnpricedModel, match="did you mean 'claude-haiku-5-5'"):
        run("--model", "claude-haiku-55")
    with pytest.raises(ConfigError, match="there is no lane 'fast': write one of standard, batch"):
        run("--lane", "fast")
    with pytest.raises(ConfigError, match="no price table known here"):
        run("check", "--source", "guess")
