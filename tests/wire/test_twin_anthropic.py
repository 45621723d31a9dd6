"""The twin as Anthropic, asked by the real SDK: answers, streams, citations, tools, counting, models."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import anthropic
import pytest

from ragkit.structured import AnswerDraft
from ragkit_eval.twin import Fault, Options, RunningTwin, running_twin

SENTENCE = "A read refreshes the entry for free and the lifetime starts anew. "
DOCUMENT = f'Documents:\n<doc-1c0ffee5 id="3" source="guide.md">\n{SENTENCE * 60}\n</doc-1c0ffee5>\n'
QUESTION = "Question: What refreshes the entry?"
FORMAT = {"format": {"type": "json_schema", "schema": anthropic.transform_schema(AnswerDraft)}}
TOOL = {"name": "answer", "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}}}
START = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def running() -> Iterator[RunningTwin]:
    with running_twin(start=START, rate=0) as running:
        yield running


@pytest.fixture
def twin(running: RunningTwin) -> RunningTwin:
    running.reset()
    running.faults.set(())
    running.clock.set(START)
    return running


@pytest.fixture(scope="module")
def client(running: RunningTwin) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="key-a", base_url=running.base_url("anthropic"), max_retries=0) as made:
        yield made


@pytest.fixture(autouse=True)
def _fresh(twin: RunningTwin) -> None:
    """Every test begins with nothing cached and nothing billed."""


def request(**changes: Any) -> dict[str, Any]:
    return {
        "model": "claude-haiku-5-5",
        "max_tokens": 900,
        "system": [{"type": "text", "text": DOCUMENT, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": QUESTION}],
        **changes,
    }


def ask(client: anthropic.Anthropic, **changes: Any) -> anthropic.types.Message:
    message: anthropic.types.Message = client.messages.create(**request(**changes))
    return message


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_an_answer_obeys_the_schema_and_quotes_the_document(client: anthropic.Anthropic) -> None:
    draft = AnswerDraft.model_validate_json(text_of(ask(client, output_config=FORMAT)))
    assert draft.statements[0].quotes[0].chunk_id == "3"
    assert draft.statements[0].quotes[0].quote in DOCUMENT


def test_parse_helper_of_the_sdk_works_and_an_enforced_format_costs_hidden_tokens(client: anthropic.Anthropic) -> None:
    parsed = client.messages.parse(**request(), output_format=AnswerDraft)
    assert isinstance(parsed.parsed_output, AnswerDraft)
    plain = ask(client, model="claude-sonnet-5-5")
    enforced = ask(client, model="claude-sonnet-5-5", output_config=FORMAT)
    assert total(enforced) > total(plain)


def total(message: anthropic.types.Message) -> int:
    usage = message.usage
    return usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)


def test_count_tokens_is_free_and_agrees_with_the_bill(twin: RunningTwin, client: anthropic.Anthropic) -> None:
    body = request(output_config=FORMAT)
    counted = client.messages.count_tokens(**{name: body[name] for name in body if name != "max_tokens"})
    assert twin.invoice.lines == ()
    assert counted.input_tokens == total(ask(client, output_config=FORMAT))


@pytest.mark.parametrize(
    ("effort", "tokens"), [("low", 48), ("medium", 128), ("high", 320), ("xhigh", 640), (None, 128)]
)
def test_thinking_is_on_by_default_and_billed_as_output(
    twin: RunningTwin, client: anthropic.Anthropic, effort: str | None, tokens: int
) -> None:
    message = ask(client, output_config={"effort": effort} if effort else {})
    details = message.usage.output_tokens_details
    assert details is not None and details.thinking_tokens == tokens
    assert message.content[0].type == "thinking" and message.content[0].thinking == ""
    assert twin.invoice.lines[0].usage["output"] == message.usage.output_tokens > tokens


def test_thinking_shares_the_limit_with_the_text(client: anthropic.Anthropic) -> None:
    message = ask(client, max_tokens=100)
    assert (message.stop_reason, message.usage.output_tokens, text_of(message)) == ("max_tokens", 100, "")


def test_a_summary_of_thinking_is_shown_on_request(client: anthropic.Anthropic) -> None:
    block = ask(client, thinking={"type": "adaptive", "display": "summarized"}).content[0]
    assert block.type == "thinking" and block.thinking


def test_disabled_and_between_tools_cost_no_thinking(client: anthropic.Anthropic) -> None:
    for model, kind in (("claude-haiku-5-5", "disabled"), ("claude-sonnet-5-5", "between_tools")):
        message = ask(client, model=model, thinking={"type": kind})
        assert [block.type for block in message.content] == ["text"]


def test_a_stream_has_the_documented_events_and_the_usage_of_the_whole_answer(client: anthropic.Anthropic) -> None:
    whole = ask(client)
    with client.messages.stream(**request()) as stream:
        kinds = [event.type for event in stream if event.type.startswith(("message", "content_block"))]
        message = stream.get_final_message()
    order = dict.fromkeys(kinds)
    assert list(order) == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert message.usage.output_tokens == whole.usage.output_tokens
    assert message.usage.cache_read_input_tokens == whole.usage.cache_creation_input_tokens
    assert text_of(message) == text_of(whole)


def test_the_ttl_split_and_the_tier_are_told_at_the_start_of_a_stream_only(client: anthropic.Anthropic) -> None:
    events = list(client.messages.create(**request(), stream=True))
    start, delta = events[0], next(event for event in events if event.type == "message_delta")
    assert start.type == "message_start" and start.message.usage.cache_creation is not None
    assert start.message.usage.service_tier == "standard"
    assert not hasattr(delta.usage, "cache_creation")
    assert delta.usage.output_tokens > start.message.usage.output_tokens


def test_forced_tools_answer_with_the_tool_on_haiku(client: anthropic.Anthropic) -> None:
    forced = {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "answer"}}
    message = ask(client, **forced)
    assert message.stop_reason == "tool_use"
    (block,) = message.content
    assert block.type == "tool_use" and isinstance(block.input["text"], str)
    with client.messages.stream(**request(**forced)) as stream:
        assert stream.get_final_message().content[0].to_dict()["input"] == block.input


def test_a_strict_tool_is_chosen_without_being_forced_on_sonnet(client: anthropic.Anthropic) -> None:
    strict = {**TOOL, "strict": True, "input_schema": {**TOOL["input_schema"], "additionalProperties": False}}  # type: ignore[dict-item]
    message = ask(client, model="claude-sonnet-5-5", tools=[strict], tool_choice={"type": "auto"})
    assert message.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ({"type": "text", "media_type": "text/plain", "data": SENTENCE}, "char_location"),
        ({"type": "content", "content": [{"type": "text", "text": SENTENCE}]}, "content_block_location"),
    ],
)
def test_citations_of_documents_point_at_the_cited_text(
    client: anthropic.Anthropic, source: dict[str, Any], kind: str
) -> None:
    document = {"type": "document", "source": source, "title": "guide.md", "citations": {"enabled": True}}
    content = [document, {"type": "text", "text": QUESTION}]
    message = ask(client, system="Answer.", messages=[{"role": "user", "content": content}])
    (cited,) = [block for block in message.content if block.type == "text" and block.citations]
    assert cited.type == "text" and cited.citations
    (citation,) = cited.citations
    assert citation.type == kind
    assert citation.cited_text == cited.text == SENTENCE.strip()
    if citation.type == "char_location":
        assert SENTENCE[citation.start_char_index : citation.end_char_index] == citation.cited_text
    if citation.type == "content_block_location":
        assert (citation.start_block_index, citation.end_block_index) == (0, 1)


def test_citations_of_search_results_and_their_stream(client: anthropic.Anthropic) -> None:
    result = {
        "type": "search_result",
        "source": "guide.md",
        "title": "Guide",
        "content": [{"type": "text", "text": SENTENCE}],
        "citations": {"enabled": True},
    }
    content = [result, {"type": "text", "text": QUESTION}]
    with client.messages.stream(**request(system="", messages=[{"role": "user", "content": content}])) as stream:
        block = stream.get_final_message().content[-1]
    assert block.type == "text" and block.citations
    assert block.citations[0].type == "search_result_location"


def test_a_refusal_is_an_answer_with_status_200_and_is_billed(twin: RunningTwin, client: anthropic.Anthropic) -> None:
    twin.faults.set([Fault("refusal")])
    message = ask(client)
    assert message.stop_reason == "refusal"
    assert message.stop_details is not None and message.stop_details.type == "refusal"
    assert twin.invoice.lines[0].usage["output"] == message.usage.output_tokens > 0


def test_the_context_window_ends_an_answer_before_max_tokens_does(client: anthropic.Anthropic) -> None:
    limit = client.models.retrieve("claude-haiku-4-5").max_input_tokens
    assert limit == 200_000
    filler = "word " * (limit - 16)
    message = ask(
        client, model="claude-haiku-4-5", system="", messages=[{"role": "user", "content": filler + QUESTION}]
    )
    assert message.stop_reason == "model_context_window_exceeded"
    assert total(message) + message.usage.output_tokens == limit


def test_models_tell_limits_and_life_cycle_but_no_prices(twin: RunningTwin, client: anthropic.Anthropic) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert listed["claude-sonnet-4-5"].lifecycle == "deprecated"
    assert listed["claude-haiku-5-5"].max_tokens == 128_000
    twin.clock.set(datetime(2026, 11, 30, tzinfo=UTC))
    assert client.models.retrieve("claude-sonnet-4-5").lifecycle == "retired"


@pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-5' is deprecated:DeprecationWarning")
def test_a_retired_model_is_not_found(twin: RunningTwin, client: anthropic.Anthropic) -> None:
    """Versions of the SDK differ in which models they warn of."""
    assert ask(client, model="claude-sonnet-4-5").stop_reason == "end_turn"
    twin.clock.set(datetime(2026, 11, 30, tzinfo=UTC))
    with pytest.raises(anthropic.NotFoundError):
        ask(client, model="claude-sonnet-4-5")


def test_an_unknown_model_is_not_found_and_costs_nothing(twin: RunningTwin, client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        ask(client, model="claude-unheard-of")
    assert twin.invoice.lines == ()


@pytest.mark.parametrize(
    ("changes", "lane"),
    [
        ({"inference_geo": "us"}, "us"),
        ({"model": "claude-opus-5-5", "speed": "fast"}, "fast"),
        ({"model": "claude-opus-5-5", "speed": "fast", "inference_geo": "us"}, "us+fast"),
    ],
)
def test_region_and_speed_have_their_own_lane(
    twin: RunningTwin, client: anthropic.Anthropic, changes: dict[str, Any], lane: str
) -> None:
    usage = ask(client, **changes).usage
    assert twin.invoice.lines[0].lane == lane
    assert usage.inference_geo == changes.get("inference_geo", "global")
    assert usage.speed == changes.get("speed", "standard")


def test_rate_limits_are_told_and_enforced_and_cached_reads_do_not_count() -> None:
    options = Options(requests_per_minute=3, input_tokens_per_minute=2_000)
    with (
        running_twin(options=options, start=START, rate=0) as twin,
        anthropic.Anthropic(api_key="k", base_url=twin.base_url("anthropic"), max_retries=0) as client,
    ):
        first = client.messages.with_raw_response.create(**request())
        spent = total(first.parse())
        assert first.headers["anthropic-ratelimit-requests-remaining"] == "2"
        assert first.headers["anthropic-ratelimit-input-tokens-remaining"] == str(2_000 - spent)
        assert first.headers["anthropic-ratelimit-requests-reset"] == "2026-11-24T12:01:00Z"
        again = client.messages.with_raw_response.create(**request())
        assert int(again.headers["anthropic-ratelimit-input-tokens-remaining"]) > 2_000 - spent - 50
        ask(client)
        twin.clock.advance(20)
        with pytest.raises(anthropic.RateLimitError) as caught:
            ask(client)
        assert caught.value.response.headers["retry-after"] == "40"
        twin.clock.advance(40)
        ask(client)
        assert len(twin.invoice.lines) == 4
