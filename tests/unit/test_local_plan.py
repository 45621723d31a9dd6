"""Plans against computations by hand: memory, format, speed and break-even of 8B, 32B and 70B on 24 to 141 GB."""

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from ragkit.errors import ConfigError
from ragkit.local.breakeven import api_cost
from ragkit.local.formats import FORMATS, Work, choose, fit, format_named, weight_bytes
from ragkit.local.hardware import find_gpu, find_model, parse_shape
from ragkit.local.plan import LocalPlan, Wanted, make_plan, plan_text, plan_to_json
from ragkit.local.speed import NONE, Speculation, speed
from ragkit.models import Catalogue

AT = datetime(2026, 11, 24, tzinfo=UTC)
WORK = Work(prompt=3000, output=200, concurrent=16, cached=Fraction(1, 2))
NEAR = 0.10

# By hand, in GB: 8B has 8.03 billion weights of which 1.05 stay in 16 bits, and so on.
WEIGHTS = {
    ("8B", "bf16"): 16.1,
    ("8B", "fp8"): 6.98 * 1 + 1.05 * 2,
    ("8B", "int4"): 6.98 * 0.53125 + 1.05 * 2,
    ("32B", "fp8"): 31.2 + 1.56 * 2,
    ("32B", "int4"): 31.2 * 0.53125 + 1.56 * 2,
    ("70B", "fp8"): 68.45 + 2.1 * 2,
    ("70B", "int4"): 68.45 * 0.53125 + 2.1 * 2,
}
# Bytes of keys and values per token: 2 x layers x heads x 128 x 2 bytes.
KV = {"8B": 131_072, "32B": 262_144, "70B": 327_680}
# What is left of 92 % of the memory, less 2 GB and the weights, divided by the keys and values of 3,200 tokens.
CHOICES = {
    ("8B", "24"): ("int8", 1, 26),
    ("8B", "48"): ("int8", 1, 79),
    ("8B", "80"): ("fp8", 1, 298),
    ("8B", "141"): ("fp8", 1, 566),
    ("32B", "24"): ("int4", 2, 24),
    ("32B", "48"): ("int4", 1, 27),
    ("32B", "80"): ("fp8", 1, 89),
    ("32B", "141"): ("fp8", 1, 223),
    ("70B", "24"): ("int4", 4, 38),
    ("70B", "48"): ("int4", 2, 42),
    ("70B", "80"): ("int4", 1, 58),
    ("70B", "141"): ("fp8", 1, 105),
}


def planned(model: str, gpu: str, wanted: Wanted | None = None) -> LocalPlan:
    return make_plan(find_model(model), find_gpu(gpu), WORK, Speculation(), wanted or Wanted(), (Catalogue.load(), AT))


@pytest.mark.parametrize(("model", "name"), WEIGHTS)
def test_weights_take_what_they_take_by_hand(model: str, name: str) -> None:
    format_ = FORMATS[name]  # type: ignore[index]
    assert weight_bytes(find_model(model), format_) / 1e9 == pytest.approx(WEIGHTS[model, name], rel=NEAR / 5)


@pytest.mark.parametrize("model", KV)
def test_keys_and_values_take_what_they_take_by_hand(model: str) -> None:
    assert find_model(model).kv_bytes() == KV[model]


@pytest.mark.parametrize(("model", "gpu"), CHOICES)
def test_the_format_is_the_most_precise_that_leaves_room_to_work(model: str, gpu: str) -> None:
    name, gpus, concurrent = CHOICES[model, gpu]
    plan = planned(model, gpu)
    assert (plan.fit.format.name, plan.fit.gpus) == (name, gpus)
    assert plan.fit.concurrent == pytest.approx(concurrent, rel=NEAR)
    assert plan.reasons[-1].endswith("enough")
    assert all("enough" not in reason for reason in plan.reasons[:-1])


def test_8b_on_an_h100_by_hand() -> None:
    """FP8. Prompts: 1979e12 x 0.5 / (2 x 8.03e9) = 61,600 tokens/s. A step: 9.08 GB of weights and for 16 questions
    3,100 tokens of 65,536 bytes, 3.25 GB, at 3.35 TB/s x 0.7: 5.26 ms for 2.3056 tokens each: 7,016 tokens/s."""
    plan = planned("8B", "h100")
    assert plan.speed.prefill == pytest.approx(61_600, rel=NEAR)
    assert plan.speed.decode == pytest.approx(7_016, rel=NEAR)
    seconds = 1500 / 61_600 + 200 / 7_016
    assert plan.speed.seconds == pytest.approx(seconds, rel=NEAR)
    assert plan.costs.full_pico / 1e12 == pytest.approx(2.90 * seconds / 3600, rel=NEAR)


def test_70b_on_two_l40s_by_hand() -> None:
    """INT4 computes in 16 bits. Prompts: 2 x 0.85 x 362e12 x 0.5 / (2 x 70.55e9) = 2,181 tokens/s. A step alone:
    40.6 GB and 1.02 GB of one question at 864 GB/s x 0.7 x 1.7: 40.4 ms, so 57 tokens/s with 2.3056 a step."""
    plan = planned("70B", "l40s")
    assert plan.speed.prefill == pytest.approx(2_181, rel=NEAR)
    assert plan.speed.alone == pytest.approx(57, rel=NEAR)


def test_32b_against_sonnet_by_hand() -> None:
    """An H100 at $2.90 an hour is $2,117 a month. A question at Sonnet 5.5: 1,500 x $2 + 1,500 x $0.10 + 200 x $10
    per million = $0.00515. So from 411,068 questions, 1.315 billion tokens a month."""
    plan = planned("32B", "h100")
    assert plan.costs.month_pico == 2_117 * 10**12
    sonnet = next(it for it in plan.costs.against if it.model == "claude-sonnet-5-5")
    assert sonnet.api_pico == api_cost("claude-sonnet-5-5", WORK, Catalogue.load(), AT) == 5_150_000_000
    assert sonnet.questions == 411_068
    assert sonnet.tokens == pytest.approx(1.315e9, rel=0.01)


def test_the_rule_of_five_billion_tokens_is_computed() -> None:
    """$2,117 a month over 5 billion tokens is $0.4234 per million."""
    plan = planned("32B", "h100")
    assert plan_to_json(plan)["rule_usd_per_million"] == "0.423400"
    assert "above $0.423 per million" in plan_text(plan)


def test_what_no_load_makes_pay_is_said() -> None:
    plan = planned("70B", "24")
    haiku = plan_to_json(plan)["break_even"][0]
    assert not haiku["pays"] and haiku["load"] > 1
    assert "never: more than it can do" in plan_text(plan)


def test_speculation_multiplies_decoding_until_arithmetic_is_the_limit() -> None:
    """Four drafts of 60 %: 1 + 0.6 + 0.36 + 0.216 + 0.1296 = 2.3056 tokens a step."""
    assert float(Speculation().per_step) == pytest.approx(2.3056)
    assert NONE.per_step == 1
    model, gpu = find_model("8B"), find_gpu("l4")
    crowded = Work(prompt=50, output=50, concurrent=400)
    found, _ = choose(model, gpu, crowded)
    assert found is not None
    assert speed(model, gpu, found, crowded, Speculation()).gain < 1
    assert planned("8B", "h100").speed.gain > 2


def test_a_mixture_of_experts_reads_only_the_active_weights() -> None:
    dense, sparse = planned("32B", "h100"), planned("qwen3-30b-a3b", "h100")
    assert sparse.speed.alone > 4 * dense.speed.alone


def test_a_cpu_serves_gguf() -> None:
    plan = planned("8B", "cpu")
    assert plan.fit.format.name == "gguf-q8"


def test_an_asked_format_is_taken_and_what_does_not_fit_is_refused() -> None:
    assert planned("8B", "24", Wanted(format_named("int4"))).fit.format.name == "int4"
    with pytest.raises(ConfigError, match="does not fit"):
        planned("70B", "24", Wanted(format_named("bf16")))
    with pytest.raises(ConfigError, match="no format"):
        format_named("int3")


def test_a_model_of_ones_own_by_its_shape() -> None:
    model = parse_shape("mine", "12.2e9:40:8:128")
    assert (model.parameters, model.layers, model.kv_bytes()) == (12_200_000_000, 40, 163_840)
    assert fit(model, find_gpu("48"), FORMATS["int8"], WORK).concurrent > 16
    for wrong in ("12e9:40:8", "x:40:8:128", "12e9:0:8:128"):
        with pytest.raises(ConfigError, match="shape"):
            parse_shape("mine", wrong)


def test_names_are_forgiving_and_mistakes_are_answered() -> None:
    assert find_gpu("80GB") is find_gpu("h100")
    assert find_model("meta-llama/Llama-3.1-8B-Instruct") is find_model("8b")
    with pytest.raises(ConfigError, match="did you mean 'h100'"):
        find_gpu("h10")
    with pytest.raises(ConfigError, match="shape"):
        find_model("gpt-x")
