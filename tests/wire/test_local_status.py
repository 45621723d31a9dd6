"""`ragkit local status` against the twin's vLLM: speculation, prefix hits and what an answer costs."""

import openai
import pytest

from ragkit.errors import ConfigError
from ragkit.local.metrics import parse, read, status, status_text, status_to_json
from ragkit.money import PICO_PER_USD
from ragkit_eval.twin.fixture import running_twin
from ragkit_eval.twin.world import Options

HOUR = 3 * PICO_PER_USD
LONG = "The dry hall stores all parts that were cleaned this week. " * 60


async def test_metrics_of_a_running_server() -> None:
    with running_twin(options=Options(accepted=3)) as twin:
        url = twin.base_url("vllm")
        before = await read(url)
        with openai.OpenAI(api_key="none", base_url=url, max_retries=0) as client:
            for number in range(4):
                messages = [{"role": "user", "content": f"{LONG}\n\nQuestion: Where are parts stored? ({number})"}]
                client.chat.completions.create(model="twin-local", messages=messages)  # type: ignore[arg-type]
        now = await read(url)
    found = status(now, before=before, seconds=10.0, hour_pico=HOUR)
    assert found.acceptance is not None and found.acceptance == pytest.approx(0.75)
    assert found.per_step == 4
    assert found.prefix_hits is not None and 0.6 < found.prefix_hits < 0.8
    assert (found.answers, found.waiting, found.running) == (4, 0, 0)
    assert found.answer_pico == HOUR * 10 // 3600 // 4 or found.answer_pico == round(HOUR * 10 / 3600 / 4)
    assert status_to_json(found)["acceptance"] == 0.75
    assert "75.0% accepted, 4.00 tokens a step" in status_text(found)


def test_nothing_measured_is_unknown_and_not_zero() -> None:
    found = status({}, hour_pico=HOUR)
    assert found.acceptance is None and found.prefix_hits is None and found.answer_pico is None
    assert "unknown accepted" in status_text(found)


def test_what_goes_wrong_is_noted() -> None:
    samples = parse(
        """# HELP nonsense
vllm:spec_decode_num_drafts_total{model_name="m"} 100
vllm:spec_decode_num_draft_tokens_total{model_name="m"} 400
vllm:spec_decode_num_accepted_tokens_total{model_name="m",engine="0"} 20
vllm:spec_decode_num_accepted_tokens_total{model_name="m",engine="1"} 20
vllm:prefix_cache_queries_total{model_name="m"} 1e+04
vllm:prefix_cache_hits_total{model_name="m"} 0
vllm:num_requests_waiting{model_name="m"} 3
vllm:kv_cache_usage_perc{model_name="m"} NaN
"""
    )
    notes = status(samples).notes
    assert len(notes) == 3
    assert status(samples).acceptance == pytest.approx(0.1)
    assert status(samples).kv_usage is None


async def test_no_server_is_said() -> None:
    with pytest.raises(ConfigError, match="no metrics at"):
        await read("http://127.0.0.1:9")
