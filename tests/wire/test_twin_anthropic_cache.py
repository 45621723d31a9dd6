"""Prompt caching of the Messages API on the wire: who reads what, when, and what makes a prefix another one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from ragkit_eval.twin import Fault, Options, RunningTwin, running_twin

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
LONG = "The handbook explains how parts are stored and cleaned. " * 70
EPHEMERAL = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
TOOL = {"name": "look_up", "description": LONG, "input_schema": {"type": "object", "properties": {}}}
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["a"], "properties": {"a": {"type": "string"}}}
HEADERS = {"authorization": "Bearer key", "anthropic-version": "2026-10-21"}


@dataclass(frozen=True, slots=True)
class Counts:
    """What one request read and wrote."""

    read: int
    five: int
    hour: int
    input: int

    @property
    def warm(self) -> bool:
        return self.read > 0


@pytest.fixture(scope="module")
def running() -> Iterator[RunningTwin]:
    with running_twin(start=START, rate=0) as running:
        yield running


@pytest.fixture
def twin(running: RunningTwin) -> RunningTwin:
    running.reset()
    running.clock.set(START)
    return running


@pytest.fixture(scope="module")
def http(running: RunningTwin) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=running.base_url("anthropic"), headers=HEADERS) as client:
        yield client


def marked(text: str = LONG, mark: dict[str, str] | None = None) -> dict[str, Any]:
    return {"type": "text", "text": text, "cache_control": mark or EPHEMERAL}


def body(**changes: Any) -> dict[str, Any]:
    return {
        "model": "claude-haiku-5-5",
        "max_tokens": 200,
        "system": [marked()],
        "messages": [{"role": "user", "content": "Question: How are parts stored?"}],
        **changes,
    }


def post(http: httpx2.Client, headers: dict[str, str] | None = None, **changes: Any) -> Counts:
    response = http.post("/v1/messages", json=body(**changes), headers=headers or {})
    assert response.status_code == 200, response.text
    return counts(response.json()["usage"])


def counts(usage: dict[str, Any]) -> Counts:
    split = usage["cache_creation"]
    five, hour = split["ephemeral_5m_input_tokens"], split["ephemeral_1h_input_tokens"]
    assert usage["cache_creation_input_tokens"] == five + hour
    return Counts(usage["cache_read_input_tokens"], five, hour, usage["input_tokens"])


@pytest.mark.usefixtures("twin")
class TestScope:
    """An entry belongs to a model and a workspace."""

    def test_another_model_does_not_read_it(self, http: httpx2.Client) -> None:
        assert not post(http).warm
        assert not post(http, model="claude-sonnet-5-5").warm
        assert post(http).warm

    def test_another_key_does_not_read_it(self, http: httpx2.Client) -> None:
        post(http)
        assert not post(http, headers={"authorization": "Bearer other"}).warm

    def test_another_workspace_does_not_read_it(self, http: httpx2.Client) -> None:
        post(http)
        assert not post(http, headers={"anthropic-workspace-id": "wrkspc_2"}).warm


@pytest.mark.parametrize(
    ("model", "minimum"),
    [
        ("claude-haiku-5-5", 512),
        ("claude-sonnet-5-5", 512),
        ("claude-opus-5-5", 512),
        ("claude-opus-5", 512),
        ("claude-sonnet-5", 1024),
        ("claude-opus-4-8", 1024),
        ("claude-opus-4-7", 2048),
        ("claude-haiku-4-5", 4096),
        ("claude-opus-4-6", 4096),
    ],
)
def test_minimum_cacheable_prefix_by_model(twin: RunningTwin, http: httpx2.Client, model: str, minimum: int) -> None:
    for tokens, written in ((minimum - 1, 0), (minimum, minimum)):
        count = post(http, model=model, system=[marked(" a" * tokens)])
        assert count.five == written


@pytest.mark.parametrize(
    ("name", "change", "tools", "system"),
    [
        ("tool list", {"tools": [{**TOOL, "description": LONG + "x", "cache_control": EPHEMERAL}]}, False, False),
        ("system text", {"system": [marked(LONG + "x")]}, True, False),
        ("speed", {"speed": "fast"}, True, False),
        ("tool_choice", {"tool_choice": {"type": "none"}}, True, True),
        ("effort", {"output_config": {"effort": "low"}}, True, True),
        ("thinking", {"thinking": {"type": "adaptive"}}, True, True),
        ("format", {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, False, False),
    ],
)
def test_what_survives_a_change(
    twin: RunningTwin, http: httpx2.Client, name: str, change: dict[str, Any], tools: bool, system: bool
) -> None:
    """The vendor's table: each change keeps the tiers before it, and always costs the messages."""
    base: dict[str, Any] = {
        "model": "claude-opus-5-5",
        "tools": [{**TOOL, "cache_control": EPHEMERAL}],
        "system": [marked()],
        "messages": [{"role": "user", "content": [marked(LONG + " Question: How?")]}],
    }
    cold, warm = post(http, **base), post(http, **base)
    assert (cold.read, warm.five) == (0, 0)
    tools_end = tier_end(http, base, "tools")
    system_end = tier_end(http, base, "system")
    expected = system_end if system else tools_end if tools else 0
    assert post(http, **{**base, **change}).read == expected < warm.read


def tier_end(http: httpx2.Client, base: dict[str, Any], tier: str) -> int:
    """Tokens up to the end of a tier, by counting the request without what follows."""
    kept = {"model": base["model"], "tools": base["tools"], "messages": [{"role": "user", "content": "x"}]}
    if tier == "system":
        kept["system"] = base["system"]
    counted = http.post("/v1/messages/count_tokens", json=kept).json()["input_tokens"]
    alone = http.post("/v1/messages/count_tokens", json={"model": base["model"], "messages": kept["messages"]}).json()
    return int(counted - alone["input_tokens"])


def test_citations_on_or_off_keep_the_tools_only(twin: RunningTwin, http: httpx2.Client) -> None:
    def ask(enabled: bool) -> Counts:
        source = {"type": "text", "media_type": "text/plain", "data": LONG}
        document = {"type": "document", "source": source, "citations": {"enabled": enabled}}
        parts = [document, {"type": "text", "text": "Question: How are parts stored?"}]
        tools = [{**TOOL, "cache_control": EPHEMERAL}]
        return post(http, tools=tools, tool_choice={"type": "none"}, messages=[{"role": "user", "content": parts}])

    ask(True)
    whole, other = ask(True), ask(False)
    assert 0 < other.read < whole.read


def test_content_that_changes_keeps_the_prefix_up_to_the_change(twin: RunningTwin, http: httpx2.Client) -> None:
    first = post(http, messages=[{"role": "user", "content": "Question: one?"}])
    second = post(http, messages=[{"role": "user", "content": "Question: two, and longer?"}])
    assert second.read == first.five
    assert second.input > first.input


def test_mixed_lifetimes_are_billed_apart(twin: RunningTwin, http: httpx2.Client) -> None:
    both = [marked(mark=HOUR), marked(LONG + "more")]
    first = post(http, system=both)
    assert first.hour > 0 and first.five > 0
    twin.clock.advance(6 * 60)
    later = post(http, system=both)
    assert (later.read, later.five, later.hour) == (first.hour, first.five, 0)
    usages = [line.usage for line in twin.invoice.lines]
    assert usages[0]["write_1h"] == first.hour and usages[0]["write_5m"] == first.five


def test_automatic_caching_marks_the_last_block_and_so_never_reads_where_the_question_is_last(
    twin: RunningTwin, http: httpx2.Client
) -> None:
    def ask(question: str) -> Counts:
        return post(http, system=LONG, cache_control=EPHEMERAL, messages=[{"role": "user", "content": question}])

    one, other, again = ask("Question: one?"), ask("Question: two?"), ask("Question: two?")
    assert one.five > 0 and other.five > 0 and not other.warm
    assert again.warm and again.input == 0


def test_lookback_of_twenty_blocks(twin: RunningTwin, http: httpx2.Client) -> None:
    post(http)
    for turns, warm in ((19, True), (20, False)):
        parts = [{"type": "text", "text": f"note {number}"} for number in range(turns - 1)]
        messages = [{"role": "user", "content": [*parts, marked(f"Question {turns}?")]}]
        assert post(http, system=[{"type": "text", "text": LONG}], messages=messages).warm is warm


def test_pre_warming_answers_nothing_and_bills_the_write_only(twin: RunningTwin, http: httpx2.Client) -> None:
    answer = http.post("/v1/messages", json=body(max_tokens=0)).json()
    assert (answer["content"], answer["stop_reason"]) == ([], "max_tokens")
    (line,) = twin.invoice.lines
    assert set(line.usage) == {"write_5m"}
    assert post(http).read == line.usage["write_5m"]


def test_thinking_blocks_carry_no_marker(twin: RunningTwin, http: httpx2.Client) -> None:
    thought = {"type": "thinking", "thinking": "", "signature": "x", "cache_control": EPHEMERAL}
    turns = [
        {"role": "user", "content": "Question: one?"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "One."}]},
        {"role": "user", "content": "Question: two?"},
    ]
    answer = http.post("/v1/messages", json=body(messages=turns))
    assert answer.status_code == 400 and "thinking blocks" in answer.json()["error"]["message"]


async def test_parallel_first_requests_all_pay_the_write() -> None:
    with running_twin(options=Options(latency=0.1)) as twin:
        async with httpx2.AsyncClient(base_url=twin.base_url("anthropic"), headers=HEADERS) as http:
            answers = await asyncio.gather(*(http.post("/v1/messages", json=body()) for _ in range(4)))
            burst = [counts(answer.json()["usage"]) for answer in answers]
            after = counts((await http.post("/v1/messages", json=body())).json()["usage"])
    assert [count.read for count in burst] == [0] * 4
    assert len({count.five for count in burst}) == 1 and burst[0].five > 0
    assert after.warm


async def test_the_entry_is_readable_once_the_first_answer_streams() -> None:
    script = [Fault("slow_tokens", seconds=0.02, nth=(1,))]
    with running_twin(faults=script, options=Options(tokens_per_event=1)) as twin:
        async with httpx2.AsyncClient(base_url=twin.base_url("anthropic"), headers=HEADERS) as http:
            thinking = {"thinking": {"type": "disabled"}}
            async with http.stream("POST", "/v1/messages", json=body(stream=True, **thinking)) as slow:
                lines = slow.aiter_lines()
                await anext(lines)
                during = counts((await http.post("/v1/messages", json=body(**thinking))).json()["usage"])
                rest = [line async for line in lines]
            assert during.warm
            assert any("message_stop" in line for line in rest)


def test_diagnostics_name_what_changed(twin: RunningTwin, http: httpx2.Client) -> None:
    def ask(previous: str | None, **changes: Any) -> dict[str, Any]:
        asked = body(diagnostics={"previous_message_id": previous}, **changes)
        return dict(http.post("/v1/messages", json=asked).json())

    first = ask(None)
    assert first["diagnostics"] == {"cache_miss_reason": None}
    assert ask(first["id"])["diagnostics"]["cache_miss_reason"] is None
    for changes, kind in (
        ({"model": "claude-sonnet-5-5"}, "model_changed"),
        ({"tools": [TOOL]}, "tools_changed"),
        ({"system": [marked(LONG + "!")]}, "system_changed"),
    ):
        reason = ask(first["id"], **changes)["diagnostics"]["cache_miss_reason"]
        assert reason["type"] == kind and reason["cache_missed_input_tokens"] > 0
    assert ask("msg_unknown")["diagnostics"]["cache_miss_reason"]["type"] == "previous_message_not_found"


def test_haiku_moves_to_the_higher_band_when_reads_take_the_prompt_over_100k(
    twin: RunningTwin, http: httpx2.Client
) -> None:
    head = [marked(" a" * 100_000)]
    post(http, system=head, max_tokens=1)
    post(http, system=head, max_tokens=1)
    line = twin.invoice.lines[-1]
    assert line.usage["read"] == 100_000
    expected = line.usage["read"] * 50_000 + line.usage["input"] * 500_000 + 1 * 2_500_000
    assert line.pico == expected
