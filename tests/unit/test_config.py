from pathlib import Path

import pytest

from ragkit.config import load_settings
from ragkit.errors import ConfigError


def settings_file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "ragkit.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults_need_no_file_and_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(environment={})
    assert (settings.tenant, settings.store.kind, settings.retrieval.k) == ("default", "edge", 40)


def test_the_environment_wins_over_the_file_and_the_caller_over_both(tmp_path: Path) -> None:
    file = settings_file(tmp_path, 'tenant = "file"\n[retrieval]\nk = 10\n[select]\nmaximum = 4\n')
    environment = {"RAGKIT_RETRIEVAL_K": "20", "RAGKIT_TENANT": "environment"}
    settings = load_settings(file, environment=environment, overrides={"tenant": "caller"})
    assert (settings.tenant, settings.retrieval.k, settings.select.maximum) == ("caller", 20, 4)


def test_nested_tables_have_variables_too() -> None:
    environment = {"RAGKIT_PROVIDERS_OPENAI_BASE_URL": "http://127.0.0.1:1"}
    assert load_settings(environment=environment).providers.openai.base_url == "http://127.0.0.1:1"


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "RAGKIT_PROVIDERS_ANTHROPIC_API_KEY"])
def test_keys_are_found_under_their_usual_names_and_never_shown(name: str) -> None:
    settings = load_settings(environment={name: "sk-canary"})
    key = settings.providers.anthropic.api_key
    assert key is not None
    assert key.get_secret_value() == "sk-canary"
    assert "sk-canary" not in repr(settings)


def test_our_own_variable_wins_over_the_usual_name() -> None:
    settings = load_settings(environment={"OPENAI_API_KEY": "usual", "RAGKIT_PROVIDERS_OPENAI_API_KEY": "ours"})
    key = settings.providers.openai.api_key
    assert key is not None
    assert key.get_secret_value() == "ours"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tennant = 'x'", "unknown key 'tennant': did you mean 'tenant'?"),
        ("[store]\npth = 'x'", "unknown key 'pth' in [store]: did you mean 'path'?"),
        ("[providers.antropic]\n", "unknown key 'antropic' in [providers]: did you mean 'anthropic'?"),
        ("store = 'x'", "'store' is a table: write [store] above its keys"),
        ("[retrieval]\nk = 0", "setting retrieval.k: input should be greater than or equal to 1"),
        ("tenant = ' a'", "setting tenant: use printable characters without blanks at the ends"),
        ("[store\n", "is not valid TOML"),
    ],
)
def test_a_wrong_file_says_where_and_what_to_write(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_settings(settings_file(tmp_path, text), environment={})
    assert sentence in str(error.value)


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown variable RAGKIT_STORE_PTH: did you mean 'RAGKIT_STORE_PATH'"):
        load_settings(environment={"RAGKIT_STORE_PTH": "x"})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="create it or leave the option out"):
        load_settings(tmp_path / "none.toml", environment={})


def test_bytes_that_are_no_text_are_a_sentence_too(tmp_path: Path) -> None:
    file = tmp_path / "ragkit.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read"):
        load_settings(file, environment={})
