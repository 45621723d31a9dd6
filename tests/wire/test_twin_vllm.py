"""The twin as a local vLLM server and as a gateway, asked by the OpenAI SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest

from ragkit.structured import AnswerDraft
from ragkit_eval.twin import Options, RunningTwin, running_twin

SENTENCE = "A read refreshes the entry for free and the lifetime starts anew. "
DOCUMENT = f'Documents:\n<doc-1c0ffee5 id="3" source="guide.md">\n{SENTENCE * 60}\n</doc-1c0ffee5>\n'
QUESTION = "Question: What refreshes the entry?"
SCHEMA = {"name": "answer", "schema": AnswerDraft.model_json_schema()}


@pytest.fixture(scope="module")
def running() -> Iterator[RunningTwin]:
    with running_twin() as running:
        yield running


@pytest.fixture(autouse=True)
def twin(running: RunningTwin) -> RunningTwin:
    running.reset()
    return running


@pytest.fixture(scope="module")
def client(running: RunningTwin) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="none", base_url=running.base_url("vllm"), max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, model: str = "twin-local", **changes: Any) -> Any:
    messages = [{"role": "system", "content": DOCUMENT}, {"role": "user", "content": QUESTION}]
    request = {"model": model, "messages": messages, "max_completion_tokens": 400, **changes}
    return client.chat.completions.create(**request)


def metric(twin: RunningTwin, name: str) -> float:
    lines = httpx2.get(f"{twin.url}/vllm/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name}_total")).rpartition(" ")[2])


def test_response_format_and_structured_outputs_are_enforced(client: openai.OpenAI) -> None:
    formats: tuple[dict[str, Any], ...] = (
        {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
        {"extra_body": {"structured_outputs": {"json": SCHEMA["schema"]}}},
    )
    for form in formats:
        AnswerDraft.model_validate_json(ask(client, **form).choices[0].message.content)
    chosen = ask(client, extra_body={"structured_outputs": {"choice": ["pump", "entry"]}})
    assert chosen.choices[0].message.content == '"entry"'


def test_the_old_guided_fields_are_ignored_with_status_200(client: openai.OpenAI) -> None:
    for old in ({"guided_json": SCHEMA["schema"]}, {"guided_choice": ["yes"]}, {"unheard_of": 1}):
        with pytest.raises(ValueError, match="Invalid JSON"):
            AnswerDraft.model_validate_json(ask(client, extra_body=old).choices[0].message.content)


def test_only_one_constraint(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="one kind"):
        ask(client, extra_body={"structured_outputs": {"json": {}, "regex": "a"}})


def test_equal_salts_share_the_prefix_cache_and_others_do_not(twin: RunningTwin, client: openai.OpenAI) -> None:
    reads = []
    for salt in ("tenant-a", "tenant-a", "tenant-b", None):
        usage = ask(client, extra_body={"cache_salt": salt} if salt else {}).usage
        reads.append(usage.prompt_tokens_details.cached_tokens)
    assert reads[0] == reads[2] == reads[3] == 0
    assert reads[1] % 16 == 0 and 0 < usage.prompt_tokens - reads[1] <= 16
    assert metric(twin, "vllm:prefix_cache_hits") == reads[1]
    assert metric(twin, "vllm:prefix_cache_queries") == 4 * usage.prompt_tokens


def test_cached_tokens_are_told_only_by_servers_started_to_tell_them() -> None:
    with (
        running_twin(options=Options(prompt_details=False)) as twin,
        openai.OpenAI(api_key="none", base_url=twin.base_url("vllm"), max_retries=0) as client,
    ):
        assert ask(client).usage.prompt_tokens_details is None


def test_speculation_can_be_read_from_the_metrics(twin: RunningTwin, client: openai.OpenAI) -> None:
    usage = ask(client).usage
    drafts = metric(twin, "vllm:spec_decode_num_drafts")
    accepted = metric(twin, "vllm:spec_decode_num_accepted_tokens")
    assert accepted / metric(twin, "vllm:spec_decode_num_draft_tokens") == 0.75
    assert drafts == -(-usage.completion_tokens // 4)
    assert metric(twin, "vllm:generation_tokens") == usage.completion_tokens


def test_continuous_usage_is_told_with_every_chunk(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True, "continuous_usage_stats": True}
    chunks = list(ask(client, stream=True, stream_options=options))
    told = [chunk.usage.completion_tokens for chunk in chunks]
    assert told == sorted(told) and told[0] == 0 and told[-1] > 0


def test_local_work_is_on_the_invoice_for_nothing(twin: RunningTwin, client: openai.OpenAI) -> None:
    ask(client)
    (line,) = twin.invoice.lines
    assert (line.lane, line.pico) == ("local", 0) and line.usage["output"] > 0


def test_health_models_and_errors(twin: RunningTwin, client: openai.OpenAI) -> None:
    assert httpx2.get(f"{twin.url}/vllm/health").status_code == 200
    assert httpx2.get(f"{twin.url}/vllm/version").json() == {"version": "0.33.0"}
    assert [model.id for model in client.models.list()] == ["twin-local"]
    with pytest.raises(openai.NotFoundError):
        ask(client, model="unheard-of")
    with pytest.raises(openai.BadRequestError, match="maximum context length"):
        ask(client, max_completion_tokens=40_000)


def test_a_gateway_tells_its_own_cost_beside_the_usage(twin: RunningTwin) -> None:
    with openai.OpenAI(api_key="key", base_url=twin.base_url("gateway"), max_retries=0) as gateway:
        messages: Any = [{"role": "user", "content": f"{DOCUMENT}\n\n{QUESTION}"}]
        raw = gateway.chat.completions.with_raw_response.create(
            model="openai/gpt-6-luna", messages=messages, extra_body={"usage": {"include": True}, "transforms": []}
        )
    answer = raw.parse()
    (line,) = twin.invoice.lines
    assert line.protocol == "gateway" and answer.model == "openai/gpt-6-luna"
    assert answer.usage is not None and answer.usage.to_dict()["cost"] == pytest.approx(float(line.usd or 0))
    assert raw.headers["x-litellm-response-cost"] == format(line.usd or 0, "f")
