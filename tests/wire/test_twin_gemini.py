"""The twin as Gemini, asked by the real SDK: answers, streams, implicit and explicit caches, prices by date."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from ragkit.structured import AnswerDraft
from ragkit_eval.twin import Fault, RunningTwin, running_twin

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
SENTENCE = "A read refreshes the entry for free and the lifetime starts anew. "
DOCUMENT = f'Documents:\n<doc-1c0ffee5 id="3" source="guide.md">\n{SENTENCE * 400}\n</doc-1c0ffee5>\n'
QUESTION = "Question: What refreshes the entry?"
MODEL = "gemini-3.8-flash"


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
def client(running: RunningTwin) -> Iterator[genai.Client]:
    made = genai.Client(api_key="key", http_options=types.HttpOptions(base_url=running.base_url("gemini")))
    yield made
    made.close()


def ask(client: genai.Client, question: str = QUESTION, model: str = MODEL, **config: Any) -> Any:
    settings = types.GenerateContentConfig(**{"system_instruction": DOCUMENT, **config})
    return client.models.generate_content(model=model, contents=question, config=settings)


def refusal(client: genai.Client, **changes: Any) -> str:
    with pytest.raises(errors.ClientError) as caught:
        ask(client, **changes)
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    return str(caught.value.message)


def test_a_json_schema_is_obeyed_and_the_quote_is_verbatim(client: genai.Client) -> None:
    answer = ask(client, response_mime_type="application/json", response_json_schema=AnswerDraft.model_json_schema())
    draft = AnswerDraft.model_validate_json(answer.text)
    assert draft.statements[0].quotes[0].quote in DOCUMENT


def test_an_openapi_schema_is_filled_too(client: genai.Client) -> None:
    schema = types.Schema(
        type=types.Type.OBJECT, properties={"n": types.Schema(type=types.Type.INTEGER)}, required=["n"]
    )
    answer = ask(client, response_mime_type="application/json", response_schema=schema)
    assert isinstance(answer.parsed["n"], int)


def test_the_prompt_count_includes_what_was_cached_and_thoughts_are_billed_as_output(
    twin: RunningTwin, client: genai.Client
) -> None:
    for warm in (False, True):
        usage = ask(client).usage_metadata
        cached = usage.cached_content_token_count or 0
        output = usage.candidates_token_count + usage.thoughts_token_count
        assert (cached > 0) is warm
        assert usage.total_token_count == usage.prompt_token_count + output
        line = twin.invoice.lines[-1]
        assert line.pico == (usage.prompt_token_count - cached) * 750_000 + cached * 75_000 + output * 3_750_000


def test_a_stream_adds_up_to_the_whole_answer(client: genai.Client) -> None:
    whole = ask(client)
    settings = types.GenerateContentConfig(system_instruction=DOCUMENT)
    chunks = list(client.models.generate_content_stream(model=MODEL, contents=QUESTION, config=settings))
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    last = chunks[-1].usage_metadata
    assert last is not None and last.candidates_token_count == whole.usage_metadata.candidates_token_count
    assert [chunk.candidates[0].finish_reason is not None for chunk in chunks if chunk.candidates][-1]


@pytest.mark.parametrize(("model", "minimum"), [("gemini-2.5-flash", 2048), ("gemini-3.8-flash", 4096)])
def test_implicit_caching_begins_at_the_models_minimum(client: genai.Client, model: str, minimum: int) -> None:
    for tokens, warm in ((minimum - 12, False), (minimum + 256, True)):
        for _ in range(2):
            answer = ask(client, model=model, system_instruction=f"{tokens}" + " a" * tokens)
        assert bool(answer.usage_metadata.cached_content_token_count) is warm


@pytest.mark.parametrize(
    ("thinking", "tokens"),
    [({}, 128), ({"thinking_level": "LOW"}, 48), ({"thinking_budget": 0}, 0), ({"thinking_budget": 100}, 100)],
)
def test_thinking_follows_level_or_budget(client: genai.Client, thinking: dict[str, Any], tokens: int) -> None:
    usage = ask(client, thinking_config=types.ThinkingConfig(**thinking)).usage_metadata
    assert (usage.thoughts_token_count or 0) == tokens


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model": "gemini-4-argon", "thinking_config": types.ThinkingConfig(thinking_budget=5)}, "thinking_budget"),
        ({"response_json_schema": {"type": "object"}}, "response_mime_type"),
        ({"max_output_tokens": 70_000}, "max_output_tokens"),
        (
            {"response_mime_type": "application/json", "response_json_schema": {"type": "string", "pattern": "a"}},
            "unknown key 'pattern'",
        ),
        (
            {
                "response_mime_type": "application/json",
                "response_json_schema": {
                    "$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]}},
                    "$ref": "#/$defs/n",
                },
            },
            "recursion",
        ),
    ],
)
def test_refused(twin: RunningTwin, client: genai.Client, changes: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(client, **changes)
    assert twin.invoice.lines == ()


def test_one_schema_only(running: RunningTwin) -> None:
    config = {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}, "responseJsonSchema": {}}
    body = {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": config}
    url = running.base_url("gemini") + f"/v1beta/models/{MODEL}:generateContent"
    answer = httpx2.post(url, json=body, headers={"x-goog-api-key": "key"})
    assert answer.status_code == 400 and "only one of" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("tier", "lane"), [("flex", "flex"), ("priority", "priority"), ("standard", "standard")])
def test_tiers(twin: RunningTwin, client: genai.Client, tier: str, lane: str) -> None:
    ask(client, service_tier=tier)
    assert twin.invoice.lines[0].lane == lane


def test_vertex_paths_tell_the_traffic_type(running: RunningTwin) -> None:
    path = f"/v1/projects/p/locations/global/publishers/google/models/{MODEL}:generateContent"
    body = {"contents": [{"role": "user", "parts": [{"text": QUESTION}]}], "serviceTier": "flex"}
    answer = httpx2.post(running.base_url("gemini") + path, json=body, headers={"authorization": "Bearer t"}).json()
    assert answer["usageMetadata"]["trafficType"] == "ON_DEMAND_FLEX"


def test_argon_doubles_on_the_first_of_december(twin: RunningTwin, client: genai.Client) -> None:
    for moment in (datetime(2026, 11, 30, 23, tzinfo=UTC), datetime(2026, 12, 1, 1, tzinfo=UTC)):
        twin.clock.set(moment)
        ask(client, model="gemini-4-argon", system_instruction="x")
    before, after = twin.invoice.lines
    assert before.pico and after.pico == 2 * before.pico


def test_a_safety_stop_is_billed(twin: RunningTwin, client: genai.Client) -> None:
    twin.faults.set([Fault("refusal")])
    answer = ask(client)
    assert answer.candidates[0].finish_reason == types.FinishReason.SAFETY and not answer.text
    assert twin.invoice.lines[0].usage["output"] > 0


def test_a_wrong_key_is_a_400_with_its_reason(twin: RunningTwin, client: genai.Client) -> None:
    twin.faults.set([Fault("auth")])
    with pytest.raises(errors.ClientError) as caught:
        ask(client)
    assert caught.value.code == 400 and "API_KEY_INVALID" in str(caught.value.details)


def test_how_long_to_wait_stands_in_the_body_too(twin: RunningTwin, client: genai.Client) -> None:
    twin.faults.set([Fault("rate_limit", retry_after="9")])
    with pytest.raises(errors.ClientError) as caught:
        ask(client)
    assert caught.value.status == "RESOURCE_EXHAUSTED" and "9s" in str(caught.value.details)


def test_a_retired_model_is_not_found(twin: RunningTwin, client: genai.Client) -> None:
    assert ask(client, model="gemini-3.1-flash-lite", system_instruction="x").text
    twin.clock.set(datetime(2027, 5, 7, tzinfo=UTC))
    with pytest.raises(errors.ClientError) as caught:
        ask(client, model="gemini-3.1-flash-lite", system_instruction="x")
    assert caught.value.code == 404


class TestExplicitCaches:
    def create(self, client: genai.Client, ttl: str | None = "3600s", model: str = MODEL) -> types.CachedContent:
        config = types.CreateCachedContentConfig(system_instruction=DOCUMENT, ttl=ttl)
        return client.caches.create(model=model, config=config)

    def test_it_is_read_at_the_cached_rate_and_rented_by_the_hour(
        self, twin: RunningTwin, client: genai.Client
    ) -> None:
        cache = self.create(client)
        tokens = cache.usage_metadata.total_token_count if cache.usage_metadata else 0
        usage = ask(client, system_instruction=None, cached_content=cache.name).usage_metadata
        assert tokens and usage.cached_content_token_count == tokens
        twin.clock.advance(1800)
        storage = twin.invoice.lines[-1]
        assert storage.status == "storage" and storage.pico == tokens * 500_000
        twin.clock.advance(7200)
        assert twin.invoice.lines[-1].pico == tokens * 1_000_000

    def test_deleting_it_ends_the_rent(self, twin: RunningTwin, client: genai.Client) -> None:
        cache = self.create(client)
        twin.clock.advance(360)
        client.caches.delete(name=str(cache.name))
        twin.clock.advance(3600)
        tokens = cache.usage_metadata.total_token_count if cache.usage_metadata else None
        assert tokens and twin.invoice.lines[-1].pico == tokens * 100_000

    def test_a_longer_lifetime_keeps_it(self, twin: RunningTwin, client: genai.Client) -> None:
        cache = self.create(client, ttl=None)
        client.caches.update(name=str(cache.name), config=types.UpdateCachedContentConfig(ttl="7200s"))
        twin.clock.advance(7000)
        assert [each.name for each in client.caches.list()] == [cache.name]
        twin.clock.advance(300)
        with pytest.raises(errors.ClientError):
            client.caches.get(name=str(cache.name))

    def test_its_rules(self, twin: RunningTwin, client: genai.Client) -> None:
        cache = self.create(client)
        assert "same" in refusal(client, model="gemini-2.5-pro", system_instruction=None, cached_content=cache.name)
        assert "system_instruction" in refusal(client, cached_content=cache.name)
        with pytest.raises(errors.ClientError, match="too small"):
            client.caches.create(model=MODEL, config=types.CreateCachedContentConfig(system_instruction="short"))
        with pytest.raises(errors.ClientError, match="implicit caching only"):
            self.create(client, model="gemini-4-argon")


def test_embeddings(twin: RunningTwin, client: genai.Client) -> None:
    config = types.EmbedContentConfig(output_dimensionality=128)
    texts: Any = ["a pump", "a filter"]
    made = client.models.embed_content(model="gemini-embedding-001", contents=texts, config=config)
    assert made.embeddings is not None
    for each in made.embeddings:
        assert each.values is not None and len(each.values) == 128
        assert sum(value * value for value in each.values) == pytest.approx(1)
    assert twin.invoice.lines[0].pico == twin.invoice.lines[0].usage["input"] * 150_000
