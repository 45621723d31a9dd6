"""The twin as OpenAI, asked by the real SDK: Chat Completions, Responses, caches, tiers, embeddings, decisions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import openai
import pytest

from ragkit.structured import AnswerDraft
from ragkit_eval.twin import Fault, RunningTwin, running_twin

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
SENTENCE = "A read refreshes the entry for free and the lifetime starts anew. "
DOCUMENT = f'Documents:\n<doc-1c0ffee5 id="3" source="guide.md">\n{SENTENCE * 120}\n</doc-1c0ffee5>\n'
QUESTION = "Question: What refreshes the entry?"
LIMITS = ["none", "empty", "many", "long", "sum"]
EXPLICIT = {"mode": "explicit"}
STRICT = {"type": "object", "additionalProperties": False, "required": ["a"], "properties": {"a": {"type": "string"}}}


@pytest.fixture(scope="module")
def running() -> Iterator[RunningTwin]:
    with running_twin(start=START, rate=0) as running:
        yield running


@pytest.fixture(autouse=True)
def twin(running: RunningTwin) -> RunningTwin:
    running.reset()
    running.faults.set(())
    running.clock.set(START)
    return running


@pytest.fixture(scope="module")
def client(running: RunningTwin) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="key", base_url=running.base_url("openai"), max_retries=0) as made:
        yield made


def document(ttl: str | None = None, mark: bool = False) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "text", "text": DOCUMENT}
    if mark:
        part["prompt_cache_breakpoint"] = {"mode": "explicit", **({"ttl": ttl} if ttl else {})}
    return part


def ask(client: openai.OpenAI, question: str = QUESTION, part: dict[str, Any] | None = None, **changes: Any) -> Any:
    parts = [part or document(), {"type": "text", "text": question}]
    request = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": parts}], **changes}
    return client.chat.completions.create(**request)


def respond(client: openai.OpenAI, part: dict[str, Any] | None = None, **changes: Any) -> Any:
    parts = [{**(part or document()), "type": "input_text"}, {"type": "input_text", "text": QUESTION}]
    request = {"model": "gpt-6.1-sol", "input": [{"role": "user", "content": parts}], **changes}
    return client.responses.create(**request)


def cached(answer: Any) -> tuple[int, Any]:
    details = answer.usage.prompt_tokens_details
    return details.cached_tokens, details.cache_write_tokens


class TestChat:
    def test_a_strict_schema_is_obeyed_and_the_quote_is_verbatim(self, client: openai.OpenAI) -> None:
        messages: Any = [{"role": "user", "content": f"{DOCUMENT}\n\n{QUESTION}"}]
        answer = client.chat.completions.parse(model="gpt-6-luna", messages=messages, response_format=AnswerDraft)
        draft = answer.choices[0].message.parsed
        assert draft is not None and draft.statements[0].quotes[0].quote in DOCUMENT

    def test_cached_and_written_tokens_are_part_of_the_prompt_count(
        self, twin: RunningTwin, client: openai.OpenAI
    ) -> None:
        for _ in range(2):
            answer = ask(client, part=document(mark=True), prompt_cache_options=EXPLICIT)
            line, (read, written) = twin.invoice.lines[-1], cached(answer)
            plain = answer.usage.prompt_tokens - read - (written or 0)
            assert line.usage["input"] == plain
            assert (
                line.pico == plain * 100_000 + read * 10_000 + (written or 0) * 125_000 + line.usage["output"] * 500_000
            )
        assert line.usage["output"] == answer.usage.completion_tokens
        assert answer.usage.completion_tokens_details.reasoning_tokens == 128

    def test_a_stream_tells_its_usage_last_and_only_when_asked(self, client: openai.OpenAI) -> None:
        whole = ask(client)
        chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
        assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
        assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == whole.choices[0].message.content
        assert all(chunk.usage is None for chunk in ask(client, stream=True))

    def test_a_stream_is_billed_also_when_its_usage_was_not_asked_for(
        self, twin: RunningTwin, client: openai.OpenAI
    ) -> None:
        list(ask(client, stream=True))
        assert twin.invoice.lines[0].usage["output"] > 128

    def test_a_refusal_has_a_field_of_its_own_and_is_billed(self, twin: RunningTwin, client: openai.OpenAI) -> None:
        twin.faults.set([Fault("refusal")])
        message = ask(client).choices[0].message
        assert message.content is None and message.refusal
        streamed = list(ask(client, stream=True))
        assert "".join(chunk.choices[0].delta.refusal or "" for chunk in streamed if chunk.choices) == message.refusal
        assert len(twin.invoice.lines) == 2

    def test_the_limit_ends_reasoning_and_text_together(self, client: openai.OpenAI) -> None:
        answer = ask(client, max_completion_tokens=130)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 130

    @pytest.mark.parametrize(
        ("tier", "served", "lane"),
        [
            ("flex", "flex", "flex"),
            ("fast", "priority", "priority"),
            ("priority", "priority", "priority"),
            ("auto", "default", "standard"),
        ],
    )
    def test_tiers_are_told_in_the_answer_and_priced(
        self, twin: RunningTwin, client: openai.OpenAI, tier: str, served: str, lane: str
    ) -> None:
        assert ask(client, service_tier=tier).service_tier == served
        assert twin.invoice.lines[0].lane == lane

    def test_regional_endpoints_cost_a_tenth_more(self, twin: RunningTwin) -> None:
        with openai.OpenAI(api_key="key", base_url=twin.base_url("openai-eu"), max_retries=0) as european:
            ask(european, reasoning_effort="none")
        line = twin.invoice.lines[0]
        assert line.lane == "standard+regional"
        assert (
            line.pico
            == line.usage["write_30m"] * 137_500 + line.usage["input"] * 110_000 + line.usage["output"] * 550_000
        )


class TestCachingAtBreakpoints:
    """From GPT-5.6 on."""

    def test_explicit_marks_are_exact_and_survive_another_question(self, client: openai.OpenAI) -> None:
        options: dict[str, Any] = {"part": document(mark=True), "prompt_cache_options": EXPLICIT}
        first, second = (cached(ask(client, f"Question: number {number}?", **options)) for number in (1, 2))
        assert first[0] == 0 and second == (first[1], 0)
        assert first[1] % 128 != 0

    def test_explicit_mode_without_marks_does_not_cache(self, client: openai.OpenAI) -> None:
        for _ in range(2):
            assert cached(ask(client, prompt_cache_options=EXPLICIT)) == (0, 0)

    def test_implicit_mode_writes_the_whole_prompt_each_time_the_question_changes(self, client: openai.OpenAI) -> None:
        one, two, again = (ask(client, f"Question: {number}?") for number in (1, 2, 2))
        for answer in (one, two):
            read, written = cached(answer)
            assert read == 0 and written == answer.usage.prompt_tokens - 3
        assert cached(again)[1] == 0

    def test_implicit_mode_writes_one_automatic_and_three_explicit_breakpoints(
        self, twin: RunningTwin, client: openai.OpenAI
    ) -> None:
        mark = {"prompt_cache_breakpoint": EXPLICIT}
        parts = [{"type": "text", "text": f"{number} {SENTENCE * 100}", **mark} for number in range(5)]
        messages = [{"role": "user", "content": [*parts, {"type": "text", "text": QUESTION}]}]
        request: dict[str, Any] = {"model": "gpt-6-luna", "messages": messages}
        client.chat.completions.create(**request)
        fewer = {**request, "messages": [{"role": "user", "content": [*parts[:2], {"type": "text", "text": "x"}]}]}
        assert cached(client.chat.completions.create(**fewer))[0] == 0
        more = {**request, "messages": [{"role": "user", "content": [*parts[:3], {"type": "text", "text": "x"}]}]}
        assert cached(client.chat.completions.create(**more))[0] > 0

    def test_below_1024_tokens_nothing_is_cached(self, client: openai.OpenAI) -> None:
        short = {"type": "text", "text": SENTENCE * 20, "prompt_cache_breakpoint": EXPLICIT}
        for _ in range(2):
            assert cached(ask(client, part=short, prompt_cache_options=EXPLICIT)) == (0, 0)

    def test_a_prompt_cache_key_separates(self, client: openai.OpenAI) -> None:
        options: dict[str, Any] = {"part": document(mark=True), "prompt_cache_options": EXPLICIT}
        ask(client, prompt_cache_key="a", **options)
        assert cached(ask(client, prompt_cache_key="b", **options))[0] == 0
        assert cached(ask(client, prompt_cache_key="a", **options))[0] > 0

    def test_thirty_minutes_and_twelve_hours(self, twin: RunningTwin, client: openai.OpenAI) -> None:
        for ttl, minutes in (("30m", 30), ("12h", 720)):
            part = document(ttl, mark=True)
            request: dict[str, Any] = {"part": part, "prompt_cache_options": EXPLICIT, "prompt_cache_key": ttl}
            ask(client, **request)
            assert f"write_{ttl}" in twin.invoice.lines[-1].usage
            twin.clock.advance(minutes * 60 - 1)
            assert cached(ask(client, **request))[0] > 0
            twin.clock.advance(minutes * 60)
            assert cached(ask(client, **request))[0] == 0

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"prompt_cache_options": {"ttl": "12h"}}, "30m only"),
            ({"prompt_cache_options": EXPLICIT, "prompt_cache_retention": "24h"}, "cannot both be sent"),
            ({"prompt_cache_retention": "in_memory"}, "24h"),
            ({"model": "gpt-5.5", "prompt_cache_retention": "in_memory"}, "24h"),
            ({"model": "gpt-5.4", "prompt_cache_options": EXPLICIT}, "not supported on gpt-5.4"),
        ],
    )
    def test_refused(self, client: openai.OpenAI, changes: dict[str, Any], complaint: str) -> None:
        with pytest.raises(openai.BadRequestError, match=complaint):
            ask(client, **changes)


class TestAutomaticCaching:
    """Up to GPT-5.5."""

    def test_reads_come_in_steps_of_128_from_1024_on_and_writes_are_free(
        self, twin: RunningTwin, client: openai.OpenAI
    ) -> None:
        first = ask(client, model="gpt-5.4")
        second = ask(client, "Question: Another one?", model="gpt-5.4")
        assert cached(first) == (0, None)
        read, written = cached(second)
        assert read >= 1024 and read % 128 == 0 and written is None
        assert set(twin.invoice.lines[0].usage) == {"input", "output"}

    def test_short_prompts_are_never_cached(self, client: openai.OpenAI) -> None:
        for _ in range(2):
            assert cached(ask(client, part={"type": "text", "text": SENTENCE * 20}, model="gpt-5.4")) == (0, None)

    def test_retention_of_24h_keeps_it_a_day(self, twin: RunningTwin, client: openai.OpenAI) -> None:
        for retention, warm in ((None, False), ("24h", True)):
            changes: dict[str, Any] = {"prompt_cache_retention": retention} if retention else {}
            ask(client, model="gpt-5.4", prompt_cache_key=str(retention), **changes)
            twin.clock.advance(3600)
            answer = ask(client, model="gpt-5.4", prompt_cache_key=str(retention), **changes)
            assert (cached(answer)[0] > 0) is warm


class TestResponses:
    def test_writes_are_split_by_lifetime_here(self, twin: RunningTwin, client: openai.OpenAI) -> None:
        for ttl in ("30m", "12h"):
            answer = respond(client, document(ttl, mark=True), prompt_cache_options=EXPLICIT, prompt_cache_key=ttl)
            split = answer.usage.input_tokens_details.cache_write_tokens_details
            amounts = {"30m": split.ttl_30m_tokens, "12h": split.ttl_12h_tokens}
            assert amounts[ttl] > 0 and sum(amounts.values()) == amounts[ttl]
            assert twin.invoice.lines[-1].usage[f"write_{ttl}"] == amounts[ttl]

    def test_a_request_may_ask_for_twelve_hours(self, twin: RunningTwin, client: openai.OpenAI) -> None:
        respond(client, document(mark=True), prompt_cache_options={"mode": "explicit", "ttl": "12h"})
        assert "write_12h" in twin.invoice.lines[0].usage

    def test_pre_warming_fills_the_cache_without_output(self, twin: RunningTwin, client: openai.OpenAI) -> None:
        mark = document(mark=True)
        warmed = respond(client, mark, prompt_cache_options={"mode": "explicit", "prewarm": True})
        assert warmed.usage.output_tokens == 0
        assert respond(client, mark, prompt_cache_options=EXPLICIT).usage.input_tokens_details.cached_tokens > 0

    def test_parse_and_stream_agree(self, client: openai.OpenAI) -> None:
        given: Any = f"{DOCUMENT}\n\n{QUESTION}"
        parsed = client.responses.parse(model="gpt-6-luna", input=given, text_format=AnswerDraft)
        with client.responses.stream(model="gpt-6-luna", input=given, text_format=AnswerDraft) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_response()
        assert parsed.output_parsed is not None and parsed.output_parsed == final.output_parsed
        assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
        assert final.usage is not None and parsed.usage is not None
        assert final.usage.output_tokens == parsed.usage.output_tokens

    def test_an_answer_cut_by_the_limit_is_incomplete(self, client: openai.OpenAI) -> None:
        answer = respond(client, max_output_tokens=131)
        assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")

    def test_a_refusal_is_a_part_of_its_own(self, twin: RunningTwin, client: openai.OpenAI) -> None:
        twin.faults.set([Fault("refusal")])
        assert respond(client).output[-1].content[0].type == "refusal"


def form(schema: dict[str, Any], name: str = "answer") -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        inner = {"type": "object", "additionalProperties": False, "required": ["a"], "properties": {"a": inner}}
    return inner


def with_property(**schema: Any) -> dict[str, Any]:
    return {**STRICT, "properties": {"a": schema}}


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "array", "items": {"type": "string"}}, "object at its root"),
        ({**STRICT, "anyOf": [STRICT]}, "object at its root"),
        ({**STRICT, "additionalProperties": True}, "additionalProperties"),
        ({**STRICT, "required": []}, "missing 'a'"),
        (with_property(allOf=[{"type": "string"}]), "'allOf'"),
        (with_property(**{"not": {"type": "string"}}), "'not'"),
        (nested(11), "10 levels"),
        (with_property(enum=[str(number) for number in range(1001)]), "1000 enum values"),
        (with_property(enum=["x" * 61 + str(number) for number in range(251)]), "15000 characters"),
    ],
)
def test_strict_mode_refuses_what_it_cannot_enforce(
    twin: RunningTwin, client: openai.OpenAI, schema: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=complaint):
        ask(client, response_format=form(schema))
    assert twin.invoice.lines == ()


def test_strict_mode_takes_recursion_limits_and_patterns(client: openai.OpenAI) -> None:
    node = {**STRICT, "properties": {"a": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}
    assert ask(client, response_format=form({"$defs": {"node": node}, **node})).choices
    assert ask(client, response_format=form(with_property(type="string", minLength=2, pattern="a"))).choices


def test_a_schema_name_is_short_and_plain(client: openai.OpenAI) -> None:
    for name in ("two words", "x" * 65):
        with pytest.raises(openai.BadRequestError, match="schema name"):
            ask(client, response_format=form(STRICT, name))


def test_retired_and_unknown_models_are_not_found(twin: RunningTwin, client: openai.OpenAI) -> None:
    assert ask(client, model="gpt-5-mini").model == "gpt-5-mini"
    twin.clock.set(datetime(2026, 12, 11, tzinfo=UTC))
    for model in ("gpt-5-mini", "gpt-unheard-of"):
        with pytest.raises(openai.NotFoundError) as caught:
            ask(client, model=model)
        assert caught.value.code == "model_not_found"


def test_unknown_arguments_and_too_long_prompts_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="guided_json"):
        ask(client, extra_body={"guided_json": {}})
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "a " * 300_000, model="gpt-5.4-nano")
    assert caught.value.code == "context_length_exceeded"


def test_spend_limits_are_told_by_their_code(twin: RunningTwin, client: openai.OpenAI) -> None:
    twin.faults.set([Fault("spend_limit")])
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client)
    assert caught.value.code == "insufficient_quota"


class TestEmbeddings:
    def test_vectors_have_the_asked_size_and_unit_length(self, twin: RunningTwin, client: openai.OpenAI) -> None:
        made = client.embeddings.create(model="text-embedding-3-small", input=["a pump", "a filter"], dimensions=256)
        assert [len(each.embedding) for each in made.data] == [256, 256]
        assert sum(value * value for value in made.data[0].embedding) == pytest.approx(1, rel=1e-6)
        (line,) = twin.invoice.lines
        assert line.usage == {"input": made.usage.prompt_tokens} and line.pico == 20_000 * made.usage.prompt_tokens

    @pytest.mark.parametrize(
        "given",
        [[], [""], ["x"] * 2049, "word " * 8192, ["word " * 8000] * 38],
        ids=["none", "empty", "many", "long", "sum"],
    )
    def test_limits(self, client: openai.OpenAI, given: Any) -> None:
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(model="text-embedding-3-small", input=given)


def test_decisions_cost_their_input_only(twin: RunningTwin, client: openai.OpenAI) -> None:
    questions: Any = [
        {"type": "predicate", "instructions": "Is it about a refund?", "name": "refund"},
        {"type": "choice", "instructions": "topic", "choices": [{"value": "order"}, {"value": "weather"}]},
        {"type": "score", "instructions": "urgency", "levels": [{"label": "low"}, {"label": "high"}]},
    ]
    decided = client.decisions.create(model="gpt-6-luna", input="refund my order", questions=questions)
    assert [answer.type for answer in decided.answers] == ["predicate", "choice", "score"]
    choice = decided.answers[1]
    assert choice.type == "choice" and choice.choice == "order"
    (line,) = twin.invoice.lines
    assert line.usage == {"input": decided.usage.input_tokens}
    with pytest.raises(openai.BadRequestError, match="400"):
        client.decisions.create(model="gpt-6-luna", input="x", questions=questions[:1] * 401)
