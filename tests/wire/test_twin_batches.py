"""Batches of the three providers: half price, done later, partly failed, cancelled or expired."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from ragkit_eval.twin import Fault, Options, RunningTwin, running_twin

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
LONG = "Parts are stored in the dry hall and cleaned each week. " * 120
QUESTION = "Question: Where are parts stored?"
DAY = 24 * 3600


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(start=START, rate=0, options=Options(batch_seconds=600)) as running:
        yield running


@pytest.fixture
def claude(twin: RunningTwin) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="key", base_url=twin.base_url("anthropic"), max_retries=0) as client:
        yield client


@pytest.fixture
def gpt(twin: RunningTwin) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="key", base_url=twin.base_url("openai"), max_retries=0) as client:
        yield client


def item(number: int, **changes: Any) -> dict[str, Any]:
    params = {
        "model": "claude-haiku-5-5",
        "max_tokens": 400,
        "system": [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": f"{QUESTION} ({number})"}],
        **changes,
    }
    return {"custom_id": f"q{number}", "params": params}


def spoil(**places: int) -> list[Fault]:
    """Faults for the requests within a batch, by their place."""
    return [Fault(kind, path="batch_item", nth=(place,)) for kind, place in places.items()]


def submit(client: anthropic.Anthropic, *items: dict[str, Any]) -> str:
    requests: Any = items
    return client.messages.batches.create(requests=requests).id


class TestAnthropic:
    def test_counts_stay_zero_until_it_ends_and_results_come_in_another_order(
        self, twin: RunningTwin, claude: anthropic.Anthropic
    ) -> None:
        batch_id = submit(claude, *(item(number) for number in range(3)))
        twin.clock.advance(599)
        going = claude.messages.batches.retrieve(batch_id)
        assert (going.processing_status, going.results_url) == ("in_progress", None)
        assert (going.request_counts.processing, going.request_counts.succeeded) == (3, 0)
        assert twin.invoice.lines == ()
        twin.clock.advance(1)
        ended = claude.messages.batches.retrieve(batch_id)
        assert ended.processing_status == "ended" and ended.request_counts.succeeded == 3
        assert (ended.expires_at - ended.created_at).total_seconds() == DAY
        results = list(claude.messages.batches.results(batch_id))
        assert [result.custom_id for result in results] == ["q2", "q1", "q0"]

    def test_everything_is_half_price_cache_writes_and_reads_included(
        self, twin: RunningTwin, claude: anthropic.Anthropic
    ) -> None:
        submit(claude, item(0), item(1))
        twin.clock.advance(600)
        first, second = twin.invoice.lines
        assert first.lane == second.lane == "batch"
        pico = {"input": 50_000, "write_1h": 100_000, "read": 5_000, "output": 250_000}
        for line in (first, second):
            assert line.pico == sum(pico[kind] * amount for kind, amount in line.usage.items())
        assert first.usage["write_1h"] == second.usage["read"]

    def test_some_fail_and_are_free(self, twin: RunningTwin, claude: anthropic.Anthropic) -> None:
        twin.faults.set(spoil(server_error=2, expired=3))
        batch_id = submit(claude, item(0), item(1), item(2), item(3, temperature=1.0))
        twin.clock.advance(600)
        results = {result.custom_id: result.result for result in claude.messages.batches.results(batch_id)}
        kinds = {name: result.type for name, result in results.items()}
        assert kinds == {"q0": "succeeded", "q1": "errored", "q2": "expired", "q3": "errored"}
        refused = results["q3"]
        assert refused.type == "errored" and refused.error.error.type == "invalid_request_error"
        assert len(twin.invoice.lines) == 1
        answered = results["q0"]
        assert answered.type == "succeeded" and answered.message.usage.service_tier == "batch"

    def test_cancelling_keeps_what_was_worked_off(self, twin: RunningTwin, claude: anthropic.Anthropic) -> None:
        batch_id = submit(claude, *(item(number) for number in range(4)))
        twin.clock.advance(310)
        assert claude.messages.batches.cancel(batch_id).processing_status == "canceling"
        ended = claude.messages.batches.retrieve(batch_id)
        assert (ended.request_counts.succeeded, ended.request_counts.canceled) == (2, 2)
        assert len(twin.invoice.lines) == 2

    def test_after_a_day_the_rest_expires(self) -> None:
        with (
            running_twin(start=START, rate=0, options=Options(batch_seconds=2 * DAY)) as twin,
            anthropic.Anthropic(api_key="key", base_url=twin.base_url("anthropic")) as client,
        ):
            batch_id = submit(client, item(0), item(1))
            twin.clock.advance(DAY)
            counts = client.messages.batches.retrieve(batch_id).request_counts
            assert (counts.succeeded, counts.expired) == (1, 1)

    @pytest.mark.parametrize(
        ("items", "complaint"),
        [
            ([], "between 1 and"),
            ([item(1), item(1)], "unique"),
            ([{**item(1), "custom_id": "a b"}], "must match"),
        ],
    )
    def test_a_bad_list_is_refused_at_once(
        self, claude: anthropic.Anthropic, items: list[dict[str, Any]], complaint: str
    ) -> None:
        with pytest.raises(anthropic.BadRequestError, match=complaint):
            submit(claude, *items)

    def test_pre_warming_is_not_allowed_inside(self, twin: RunningTwin, claude: anthropic.Anthropic) -> None:
        batch_id = submit(claude, item(0, max_tokens=0))
        twin.clock.advance(600)
        assert claude.messages.batches.retrieve(batch_id).request_counts.errored == 1

    def test_another_key_does_not_see_it(self, twin: RunningTwin, claude: anthropic.Anthropic) -> None:
        batch_id = submit(claude, item(0))
        with anthropic.Anthropic(api_key="other", base_url=twin.base_url("anthropic"), max_retries=0) as other:
            assert list(other.messages.batches.list()) == []
            with pytest.raises(anthropic.NotFoundError):
                other.messages.batches.retrieve(batch_id)

    def test_it_is_priced_by_the_day_on_which_it_was_worked_off(
        self, twin: RunningTwin, claude: anthropic.Anthropic
    ) -> None:
        submit(claude, item(0))
        twin.clock.advance(3 * DAY)
        assert twin.invoice.lines[0].at == datetime(2026, 11, 24, 12, 10, tzinfo=UTC)


def lines(*numbers: int, model: str = "gpt-6-luna", url: str = "/v1/chat/completions") -> bytes:
    def body(number: int) -> dict[str, Any]:
        if url == "/v1/embeddings":
            return {"model": model, "input": [f"part {number}"]}
        if url == "/v1/responses":
            return {"model": model, "input": f"{LONG}\n\n{QUESTION} ({number})"}
        return {"model": model, "messages": [{"role": "user", "content": f"{LONG}\n\n{QUESTION} ({number})"}]}

    rows = [{"custom_id": f"q{number}", "method": "POST", "url": url, "body": body(number)} for number in numbers]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def send(client: openai.OpenAI, content: bytes, endpoint: Any = "/v1/chat/completions") -> str:
    uploaded = client.files.create(file=io.BytesIO(content), purpose="batch")
    return client.batches.create(input_file_id=uploaded.id, endpoint=endpoint, completion_window="24h").id


def read(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


class TestOpenAI:
    @pytest.mark.parametrize(
        ("endpoint", "model"),
        [
            ("/v1/chat/completions", "gpt-6-luna"),
            ("/v1/responses", "gpt-6-luna"),
            ("/v1/embeddings", "text-embedding-3-small"),
        ],
    )
    def test_a_file_in_and_a_file_out_at_half_price(
        self, twin: RunningTwin, gpt: openai.OpenAI, endpoint: str, model: str
    ) -> None:
        batch_id = send(gpt, lines(1, 2, model=model, url=endpoint), endpoint)
        assert gpt.batches.retrieve(batch_id).status == "in_progress"
        twin.clock.advance(600)
        done = gpt.batches.retrieve(batch_id)
        assert done.status == "completed" and done.request_counts is not None
        assert (done.request_counts.completed, done.error_file_id) == (2, None)
        rows = read(gpt, done.output_file_id)
        assert [row["custom_id"] for row in rows] == ["q2", "q1"]
        assert {line.lane for line in twin.invoice.lines} == {"batch"}
        assert done.usage is not None
        billed = sum(sum(line.usage.values()) for line in twin.invoice.lines)
        assert done.usage.input_tokens + done.usage.output_tokens == billed

    def test_failures_and_expiry_stand_in_the_error_file_and_are_free(
        self, twin: RunningTwin, gpt: openai.OpenAI
    ) -> None:
        twin.faults.set(spoil(server_error=1, expired=2))
        batch_id = send(gpt, lines(1, 2, 3))
        twin.clock.advance(600)
        done = gpt.batches.retrieve(batch_id)
        failed, expired = read(gpt, done.error_file_id)
        assert failed["response"]["status_code"] == 500
        assert expired["error"]["code"] == "batch_expired"
        assert len(read(gpt, done.output_file_id)) == len(twin.invoice.lines) == 1

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (b"{not json", "JSON"),
            (lines(1, 1), "unique"),
            (lines(1) + lines(2, model="gpt-6-sol"), "one model"),
            (lines(1, url="/v1/responses"), "url /v1/chat/completions"),
        ],
    )
    def test_a_bad_file_fails_the_batch(self, gpt: openai.OpenAI, content: bytes, complaint: str) -> None:
        batch = gpt.batches.retrieve(send(gpt, content))
        assert batch.status == "failed" and batch.errors is not None and batch.errors.data is not None
        assert complaint in str(batch.errors.data[0].message)

    def test_expired_batches_return_finished_work(self) -> None:
        with (
            running_twin(start=START, rate=0, options=Options(batch_seconds=2 * DAY)) as twin,
            openai.OpenAI(api_key="key", base_url=twin.base_url("openai")) as client,
        ):
            batch_id = send(client, lines(1, 2))
            twin.clock.advance(DAY)
            done = client.batches.retrieve(batch_id)
            assert done.status == "expired"
            assert len(read(client, done.output_file_id)) == len(read(client, done.error_file_id)) == 1

    def test_cancelling(self, twin: RunningTwin, gpt: openai.OpenAI) -> None:
        batch_id = send(gpt, lines(1, 2))
        twin.clock.advance(310)
        assert gpt.batches.cancel(batch_id).status == "cancelling"
        done = gpt.batches.retrieve(batch_id)
        assert done.status == "cancelled" and len(twin.invoice.lines) == 1


class TestGemini:
    def test_inline_requests_keep_their_order_and_metadata_at_half_price(self, twin: RunningTwin) -> None:
        client = genai.Client(api_key="key", http_options=types.HttpOptions(base_url=twin.base_url("gemini")))
        twin.faults.set([Fault("server_error", path="batch_item", nth=(2,))])
        source = [types.InlinedRequest(contents=f"{LONG}\n\n{QUESTION}", metadata={"id": name}) for name in "abc"]
        job = client.batches.create(model="gemini-3.8-flash", src=source)
        assert job.state == types.JobState.JOB_STATE_PENDING and job.name
        twin.clock.advance(600)
        done = client.batches.get(name=job.name)
        client.close()
        assert done.state == types.JobState.JOB_STATE_SUCCEEDED
        assert done.dest is not None and done.dest.inlined_responses is not None
        answers = done.dest.inlined_responses
        assert [answer.metadata for answer in answers] == [{"id": name} for name in "abc"]
        assert [answer.error is None for answer in answers] == [True, False, True]
        assert [line.lane for line in twin.invoice.lines] == ["batch", "batch"]
        line = twin.invoice.lines[0]
        assert line.pico == line.usage["input"] * 375_000 + line.usage["output"] * 1_875_000
