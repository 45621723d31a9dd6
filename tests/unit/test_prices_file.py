from datetime import UTC, datetime
from pathlib import Path

import pytest

from ragkit.errors import ConfigError, UnpricedModel
from ragkit.models import Catalogue
from ragkit.money import from_usd
from ragkit.nouns import Usage

NOVEMBER, JANUARY = datetime(2026, 11, 24, tzinfo=UTC), datetime(2027, 1, 15, tzinfo=UTC)
MILLION = Usage(input=1_000_000)


def layer(tmp_path: Path, text: str, name: str = "own.toml") -> Path:
    file = tmp_path / name
    file.write_text("checked = 2026-11-20\n" + text, encoding="utf-8")
    return file


def one_model(price: str, more: str = "") -> str:
    return f'[[model]]\nid = "mine"\nprovider = "openai"\n{more}\nprice = [{price}]\n'


def test_an_override_wins_from_its_day_on(tmp_path: Path) -> None:
    file = layer(tmp_path, '[[model]]\nid = "gpt-6-sol"\nprice = [{ from = 2027-01-01, input = 1.6, output = 8 }]')
    catalogue = Catalogue.load(file)
    assert catalogue.cost(MILLION, "gpt-6-sol", at=NOVEMBER).pico == from_usd("4")  # above 272,000
    assert catalogue.cost(MILLION, "gpt-6-sol", at=JANUARY).pico == from_usd("1.6")


def test_an_override_outlives_a_later_change_of_the_packaged_price(tmp_path: Path) -> None:
    file = layer(tmp_path, '[[model]]\nid = "gemini-4-argon"\nprice = [{ input = 1.5, output = 9, cache_read = 0.1 }]')
    catalogue = Catalogue.load(file)
    for at in (NOVEMBER, JANUARY):
        assert catalogue.cost(MILLION, "gemini-4-argon", at=at).pico == from_usd("1.5")


def test_an_override_keeps_what_it_does_not_name(tmp_path: Path) -> None:
    file = layer(tmp_path, '[[model]]\nid = "claude-opus-5-5"\nprice = [{ input = 3, output = 15 }]')
    catalogue = Catalogue.load(file)
    spec = catalogue.model("claude-opus-5-5")
    assert (spec.context, spec.tier, spec.lanes, spec.regions) == (
        1_000_000,
        "large",
        ("standard", "batch", "priority"),
        ("us",),
    )
    assert catalogue.cost(MILLION, "claude-opus-5-5", at=NOVEMBER, lane="batch", region="us").pico == from_usd("1.65")


def test_a_class_left_out_of_an_override_has_no_price(tmp_path: Path) -> None:
    file = layer(tmp_path, '[[model]]\nid = "claude-opus-5-5"\nprice = [{ input = 3, output = 15 }]')
    with pytest.raises(UnpricedModel, match="no price for 'cache_read'"):
        Catalogue.load(file).cost(Usage(cache_read=1), "claude-opus-5-5", at=NOVEMBER)


def test_later_layers_win_over_earlier_ones(tmp_path: Path) -> None:
    files = [layer(tmp_path, one_model(f"{{ input = {price} }}"), f"{price}.toml") for price in (1, 2)]
    assert Catalogue.load(*files).cost(MILLION, "mine", at=NOVEMBER).pico == from_usd("2")


def test_a_free_model_says_so_with_explicit_zeros(tmp_path: Path) -> None:
    catalogue = Catalogue.load(layer(tmp_path, one_model("{ input = 0, output = 0 }")))
    cost = catalogue.cost(Usage(input=1_000, output=1_000), "mine", at=NOVEMBER)
    assert (cost.pico, cost.row_id) == (0, "mine@start")
    with pytest.raises(UnpricedModel):
        catalogue.cost(Usage(cache_read=1), "mine", at=NOVEMBER)


def test_a_model_has_no_price_before_its_first_row(tmp_path: Path) -> None:
    catalogue = Catalogue.load(layer(tmp_path, one_model("{ from = 2027-01-01, input = 1 }")))
    with pytest.raises(UnpricedModel, match="no price for mine on 2026-11-24"):
        catalogue.cost(MILLION, "mine", at=NOVEMBER)


def test_a_row_may_have_its_own_lanes_and_regions(tmp_path: Path) -> None:
    rows = '{ input = 1 }, { from = 2027-01-01, input = 1, lanes = { flex = 0.4 }, regions = { eu = "6/5" } }'
    catalogue = Catalogue.load(layer(tmp_path, one_model(rows, "lanes = { flex = 0.5 }\nregions = { eu = 1.1 }")))
    assert catalogue.cost(MILLION, "mine", at=NOVEMBER, lane="flex", region="eu").pico == from_usd("0.55")
    assert catalogue.cost(MILLION, "mine", at=JANUARY, lane="flex", region="eu").pico == from_usd("0.48")


def test_a_fresh_layer_does_not_hide_an_old_one(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("checked = 2027-03-01\n", encoding="utf-8")
    (stale,) = Catalogue.load(file).warnings(datetime(2027, 3, 1, tzinfo=UTC))
    assert "last checked 98 days ago, on 2026-11-23" in stale


def test_the_version_names_the_very_prices(tmp_path: Path) -> None:
    packaged = Catalogue.load()
    own = [Catalogue.load(layer(tmp_path, one_model(f"{{ input = {price} }}"), f"{price}.toml")) for price in (1, 2)]
    assert len({packaged.version, own[0].version, own[1].version}) == 3
    assert Catalogue.load().version == Catalogue.of(None).version == packaged.version
    assert Catalogue.of(tmp_path / "1.toml").version == own[0].version
    assert packaged.version.startswith("2026-")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[model", "not valid TOML"),
        ("modle = 1", "the file: unknown key 'modle': did you mean 'model'?"),
        ("[[model]]\nprovider = 'x'", "every [[model]] needs an id"),
        ("[[model]]\nid = 'a'\nprise = []", "model 'a': unknown key 'prise': did you mean 'price'"),
        ("[[model]]\nid = 'a'\ncontext = '1M'", "model 'a': 'context' must be a whole number"),
        ("[[model]]\nid = 'a'\nforced_tools = 1", "'forced_tools' must be true or false"),
        ("[[model]]\nid = 'a'\n[[model]]\nid = 'a'", "model 'a' is there twice"),
        (one_model("{ inptu = 1 }"), "price from the beginning: unknown key 'inptu': did you mean 'input'?"),
        (one_model("{ input = -1 }"), "'input' is negative"),
        (one_model("{ input = nan }"), "'input' is a number of dollars"),
        (one_model("{ input = inf }"), "'input' is a number of dollars"),
        (one_model("{ input = '1' }"), "'input' is a number of dollars"),
        (one_model("{ input = true }"), "'input' is a number of dollars"),
        (one_model("{ input = 0.000002 }"), "'input' is 0.000002: write dollars per million tokens"),
        (one_model("{ input = 2000000 }"), "write dollars per million tokens"),
        (one_model("{ input = 1, from = '2027' }"), "'from' is a day, e.g. 2026-12-01"),
        (one_model("{ input = 1, from = 2027-01-01T00:00:00Z }"), "'from' is a day"),
        (one_model("{ input = 1, above = -1 }"), "'above' is a number of prompt tokens"),
        (one_model("{ input = 1 }, { input = 2 }"), "two rows have the same 'from' and 'above'"),
        (one_model("{ input = 1, above = 5 }"), "a row with 'above' needs one without it from the same day"),
        (one_model("{ input = 1, confidence = 'sure' }"), "'confidence' is one of listed, second-hand"),
        (one_model("{ input = 1 }", "lanes = { turbo = 1 }"), "lane is one of batch, flex, priority"),
        (one_model("{ input = 1 }", "lanes = { batch = 0 }"), "a factor is a number above 0 and at most 10"),
        (one_model("{ input = 1 }", "lanes = { batch = '1/0' }"), "a factor is a number above 0"),
        (one_model("{ input = 1 }", "lanes = { batch = { al = 1 } }"), "unknown key 'al': did you mean 'all'?"),
        (one_model("{ input = 1 }", "regions = { eu = 'x' }"), "a factor is a number above 0"),
        ("[tokenizer.x]\ntypical = 2\nbound = 1", "tokenizer 'x': 'bound' is below 'typical'"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused_with_the_place(tmp_path: Path, text: str, sentence: str) -> None:
    file = layer(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        Catalogue.load(file)
    assert sentence in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_file_without_its_day_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="write the day of the last check at the top"):
        Catalogue.load(file)


def test_a_missing_or_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the prices in"):
        Catalogue.load(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read the prices in"):
        Catalogue.load(tmp_path / "binary.toml")


def test_a_factor_finer_than_money_is_refused_when_it_is_used(tmp_path: Path) -> None:
    catalogue = Catalogue.load(layer(tmp_path, one_model("{ input = 1 }", "lanes = { batch = '1/3' }")))
    with pytest.raises(ConfigError, match="'input' in lane batch is not a whole number of pico-dollars"):
        catalogue.cost(MILLION, "mine", at=NOVEMBER, lane="batch")


def test_a_model_without_a_tokenizer_gets_the_cautious_one(tmp_path: Path) -> None:
    catalogue = Catalogue.load(layer(tmp_path, one_model("{ input = 1 }")))
    assert catalogue.model("mine").bound == catalogue.model("rerank-3").bound


def test_an_unknown_tokenizer_is_refused(tmp_path: Path) -> None:
    catalogue = Catalogue.load(layer(tmp_path, one_model("{ input = 1 }", 'tokenizer = "none"')))
    with pytest.raises(ConfigError, match="model 'mine': there is no tokenizer 'none'"):
        catalogue.model("mine")
