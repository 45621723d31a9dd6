"""One suite over every provider: the real SDK over loopback against the twin, and the generator that costs nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from google.oauth2.credentials import Credentials

from ragkit.errors import AuthFailed, BadRequest, ConfigError, ProviderError
from ragkit.nouns import Chunk, Completion, Model, Prefix, Prompt, Request, Turn, Usage
from ragkit.prompt import render, render_prefix
from ragkit.provider import Provider, Started
from ragkit.providers.gemini import Gemini, Vertex, to_wire
from ragkit.providers.registry import open_provider
from ragkit.settings import ProvidersSettings
from ragkit.structured import answer_schema
from ragkit_eval.twin import Fault, RunningTwin, start_twin

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "sk-contract-key"
TWIN = {"openai-chat": "openai"}
MODELS = {
    "anthropic": "claude-sonnet-5-5",
    "openai": "gpt-6-luna",
    "openai-chat": "gpt-6-luna",
    "gateway": "gpt-6-luna",
    "gemini": "gemini-3.8-flash",
    "vllm": "twin-local",
    "extractive": "extractive",
}
SERVED = tuple(name for name in MODELS if name != "extractive")
PAID = tuple(name for name in SERVED if name != "vllm")
Texts = Callable[[Any], list[str]]


def chunk(number: int, text: str) -> Chunk:
    return Chunk(f"c{number}", f"d{number}", f"guide-{number}.md", text, 0, len(text), 0, len(text) // 4)


COLD = chunk(1, "The warranty of the blue pump lasts seven years. It starts with the day of delivery.")
HOT = tuple(
    chunk(number, f"Section {number} of the handbook explains how part {number} is cleaned and stored. " * 30)
    for number in range(10, 22)
)
PREFIX = Prefix(
    render_prefix(HOT), HOT, tuple(c.document_id for c in HOT), "digest", 6000, marked=True, ttl="5m", reason="pays"
)


PLAIN = Request(render("Why?", [COLD]), Model("gpt-6-luna", "openai", "small"), answer_schema().schema, 800)


@dataclass(frozen=True, slots=True)
class Bench:
    """A provider, the twin behind it, and requests for it."""

    name: str
    provider: Provider
    twin: RunningTwin

    def ask(self, question: str = "How long is the warranty of the blue pump?", **changes: Any) -> Request:
        prompt: Prompt = render(question, [COLD], prefix=changes.pop("prefix", None))
        model = Model(MODELS[self.name], self.name, "small", price_id=MODELS[self.name])
        request = Request(prompt, model, answer_schema().schema, 800, timeout=10, cache_key="tenant-1")
        return replace(request, **changes)

    def break_with(self, kind: str, **settings: Any) -> None:
        self.twin.faults.set([Fault(kind, **settings)])

    def billed(self) -> Usage:
        """The invoice's own sum, in our classes."""
        total = Usage()
        for line in self.twin.invoice.lines:
            total += Usage(
                input=line.usage.get("input", 0),
                cache_read=line.usage.get("read", 0),
                cache_write_5m=line.usage.get("write_5m", 0),
                cache_write_30m=line.usage.get("write_30m", 0),
                cache_write_1h=line.usage.get("write_1h", 0),
                cache_write_12h=line.usage.get("write_12h", 0),
                output=line.usage.get("output", 0),
                reasoning=line.detail.get("thinking", 0),
            )
        return total


@pytest.fixture(scope="module")
def twin() -> Iterator[RunningTwin]:
    with start_twin() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def providers(twin: RunningTwin) -> AsyncIterator[dict[str, Provider]]:
    """Made once: making an SDK's client takes its time."""
    made = {name: open_provider(name, settings(name, twin)) for name in MODELS}
    yield made
    for provider in made.values():
        await provider.aclose()


@pytest.fixture
def bench(request: pytest.FixtureRequest, twin: RunningTwin, providers: dict[str, Provider]) -> Bench:
    twin.reset()
    twin.faults.set([])
    return Bench(request.param, providers[request.param], twin)


def settings(name: str, twin: RunningTwin) -> ProvidersSettings:
    if name == "extractive":
        return ProvidersSettings()
    protocol = TWIN.get(name, name)
    where = {"api_key": KEY, "base_url": twin.base_url(protocol)}
    return ProvidersSettings.model_validate({protocol: where})


def every(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bench", names, indirect=True)


async def streamed(provider: Provider, request: Request) -> tuple[str, Completion]:
    """The text that was streamed, and the completion at the end."""
    pieces = [piece async for piece in provider.stream(request)]
    last = pieces[-1]
    assert isinstance(last, Completion)
    return "".join(piece for piece in pieces if isinstance(piece, str)), last


def without_ids(completion: Completion) -> Completion:
    return replace(completion, request_id=None)


@every(*MODELS)
async def test_an_answer_obeys_its_schema_and_quotes_the_prompt(bench: Bench) -> None:
    completion = await bench.provider.complete(bench.ask())
    draft = answer_schema().parse(completion.text).draft
    assert not draft.abstained
    assert all(quote.quote in COLD.text for statement in draft.statements for quote in statement.quotes)
    assert completion.stop == "end"


@every(*MODELS)
async def test_a_stream_ends_in_the_same_completion(bench: Bench) -> None:
    whole = await bench.provider.complete(bench.ask())
    bench.twin.reset()
    text, last = await streamed(bench.provider, bench.ask())
    assert text == whole.text
    assert without_ids(last) == without_ids(whole)


@every(*SERVED)
async def test_a_stream_says_first_what_it_is_called_on_the_invoice(bench: Bench) -> None:
    first, *_, last = [piece async for piece in bench.provider.stream(bench.ask())]
    assert isinstance(first, Started)
    assert isinstance(last, Completion)
    assert first.request_id == last.request_id
    if bench.name in PAID:
        assert first.request_id in {line.id for line in bench.twin.invoice.lines}


@every(*SERVED)
async def test_usage_is_what_the_invoice_says(bench: Bench) -> None:
    first = await bench.provider.complete(bench.ask(prefix=PREFIX))
    _, second = await streamed(bench.provider, bench.ask("How are parts stored?", prefix=PREFIX))
    assert first.usage.output > 0
    if bench.name in PAID:
        assert first.usage + second.usage == bench.billed()


@every("extractive")
async def test_copying_costs_nothing(bench: Bench) -> None:
    completion = await bench.provider.complete(bench.ask())
    assert completion.usage == Usage()


@every(*SERVED)
async def test_the_second_question_reads_what_the_first_has_written(bench: Bench) -> None:
    first = await bench.provider.complete(bench.ask(prefix=PREFIX))
    second = await bench.provider.complete(bench.ask("How are parts stored?", prefix=PREFIX))
    assert first.usage.cache_read == 0
    assert second.usage.cache_read >= 1024
    assert second.usage.cache_written == 0
    if first.usage.cache_written:
        assert second.usage.cache_read == first.usage.cache_written


@every("anthropic", "openai", "openai-chat")
async def test_an_unmarked_prefix_is_not_written(bench: Bench) -> None:
    unmarked = replace(PREFIX, marked=False, ttl=None)
    for _ in range(2):
        completion = await bench.provider.complete(bench.ask(prefix=unmarked))
        assert (completion.usage.cache_read, completion.usage.cache_written) == (0, 0)


@every("anthropic", "openai")
async def test_a_longer_lifetime_is_billed_as_one(bench: Bench) -> None:
    long = replace(PREFIX, ttl="12h")
    usage = (await bench.provider.complete(bench.ask(prefix=long))).usage
    written = {"anthropic": usage.cache_write_1h, "openai": usage.cache_write_12h}
    assert written[bench.name] == usage.cache_written > 1024


@every(*SERVED)
async def test_the_prefix_comes_first_and_its_bytes_never_move(bench: Bench) -> None:
    questions = ["How long is the warranty?", "Who cleans the parts, and when?"]
    for question in questions:
        await bench.provider.complete(bench.ask(question, prefix=PREFIX))
    raws = [seen.raw.decode() for seen in bench.twin.requests[-2:]]
    bodies = [texts_of(seen.body) for seen in bench.twin.requests[-2:]]
    for texts in bodies:
        head = "\n\n".join(texts)
        assert head.startswith(bench.ask(prefix=PREFIX).prompt.system)
        assert head.index(PREFIX.text) < head.index(COLD.text) < head.rindex("Question: ")
    assert bodies[0][:-1] == bodies[1][:-1], "requests differ after the evidence only"
    encoded = escaped(PREFIX.text)
    assert all(raw.count(encoded) == 1 for raw in raws)


def escaped(text: str) -> str:
    """As it stands within a JSON string; SDKs differ in what they escape, not in ASCII."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def texts_of(body: dict[str, Any]) -> list[str]:
    """All texts of a prompt in the order in which the provider reads them, the question last."""
    heads = [body.get("system"), body.get("systemInstruction")]
    turns = body.get("messages") or body.get("input") or body.get("contents") or []
    return [text for part in (*heads, *turns) for text in _texts(part)]


def _texts(part: Any) -> list[str]:
    if isinstance(part, str):
        return [part]
    if isinstance(part, list):
        return [text for item in part for text in _texts(item)]
    if isinstance(part, dict):
        return _texts(part.get("content") or part.get("parts") or part.get("text"))
    return []


@every(*SERVED)
async def test_the_schema_is_enforced_natively_and_no_tool_is_forced(bench: Bench) -> None:
    await bench.provider.complete(bench.ask())
    body = bench.twin.last
    shapes = [
        (body.get("output_config") or {}).get("format", {}).get("schema"),
        (body.get("response_format") or {}).get("json_schema", {}).get("schema"),
        (body.get("text") or {}).get("format", {}).get("schema"),
        (body.get("generationConfig") or {}).get("responseJsonSchema"),
    ]
    assert [shape for shape in shapes if shape] == [answer_schema().schema.json_schema]
    assert not {"tools", "tool_choice", "toolConfig", "temperature", "guided_json"} & set(body)


@every(*SERVED)
@pytest.mark.parametrize(("fault", "stop"), [("length", "length"), ("refusal", "refusal")])
async def test_stops_are_told_and_billed_alike_in_both_ways(bench: Bench, fault: str, stop: str) -> None:
    bench.break_with(fault)
    whole = await bench.provider.complete(bench.ask())
    bench.twin.reset()
    _, last = await streamed(bench.provider, bench.ask())
    assert whole.stop == last.stop == stop
    assert without_ids(whole) == without_ids(last)
    if bench.name in PAID:
        assert last.usage == bench.billed()


@every(*SERVED)
async def test_a_repair_turn_keeps_everything_before_it(bench: Bench) -> None:
    first = bench.ask(prefix=PREFIX)
    await bench.provider.complete(first)
    complaint = Turn("user", "That answer is not valid.")
    await bench.provider.complete(replace(first, repair=(Turn("assistant", "{}"), complaint)))
    before, after = (texts_of(seen.body) for seen in bench.twin.requests[-2:])
    assert after == [*before, "{}", complaint.text]


@every(*SERVED)
async def test_an_unknown_model_is_refused_in_words_that_help(bench: Bench) -> None:
    request = bench.ask()
    request = replace(request, model=replace(request.model, id="no-such-model"))
    with pytest.raises(BadRequest, match=r"has no model 'no-such-model', perhaps it is retired: .* `ragkit prices`"):
        await bench.provider.complete(request)


@every(*PAID)
async def test_a_wrong_key_is_refused_without_showing_it(bench: Bench) -> None:
    bench.break_with("auth")
    with pytest.raises(AuthFailed, match="does not accept the key") as caught:
        await bench.provider.complete(bench.ask())
    assert KEY not in str(caught.value)
    assert caught.value.usage == Usage()
    assert bench.billed() == Usage()


@every(*SERVED)
@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "max"])
async def test_every_effort_is_one_that_the_model_takes(bench: Bench, effort: Any) -> None:
    request = bench.ask(max_output=4000)
    completion = await bench.provider.complete(replace(request, model=replace(request.model, effort=effort)))
    assert completion.stop == "end"


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("anthropic", "claude-haiku-4-5"),
        ("anthropic", "claude-haiku-5-5"),
        ("anthropic", "claude-opus-5-5"),
        ("anthropic", "claude-fable-5-1"),
        ("openai", "gpt-5.4-mini"),
        ("openai", "gpt-5.5"),
        ("openai", "gpt-5.6-sol"),
        ("openai", "gpt-6.1-sol"),
        ("openai-chat", "gpt-5-mini"),
        ("openai-chat", "gpt-5.6-luna"),
        ("gemini", "gemini-2.5-pro"),
        ("gemini", "gemini-2.5-flash-lite"),
        ("gemini", "gemini-4-argon"),
    ],
)
async def test_models_get_what_they_take(
    name: str, model: str, twin: RunningTwin, providers: dict[str, Provider]
) -> None:
    twin.reset()
    twin.faults.set([])
    bench, total = Bench(name, providers[name], twin), Usage()
    for effort in (None, "none", "high"):
        request = bench.ask(prefix=PREFIX, max_output=4000)
        request = replace(request, model=Model(model, name, "small", effort=effort))
        total += (await bench.provider.complete(request)).usage
    assert total == bench.billed()


@every(*PAID)
@pytest.mark.parametrize("lane", ["standard", "flex", "priority"])
async def test_the_lane_is_the_one_that_was_served(bench: Bench, lane: Any) -> None:
    completion = await bench.provider.complete(bench.ask(lane=lane))
    (line,) = bench.twin.invoice.lines
    served = {"fast": "priority"}.get(line.lane, line.lane)
    assert completion.lane == served


@every(*SERVED)
async def test_errors_are_the_same_in_both_ways(bench: Bench) -> None:
    for kind in ("bad_request", "rate_limit", "spend_limit", "overloaded", "html_error", "reset"):
        bench.break_with(kind)
        with pytest.raises(ProviderError) as whole:
            await bench.provider.complete(bench.ask())
        with pytest.raises(ProviderError) as stream:
            await streamed(bench.provider, bench.ask())
        assert type(whole.value) is type(stream.value)
        assert whole.value.usage == stream.value.usage


async def test_a_gateway_s_own_cost_stands_beside_the_bill(twin: RunningTwin, providers: dict[str, Provider]) -> None:
    twin.reset()
    twin.faults.set([])
    bench = Bench("gateway", providers["gateway"], twin)
    whole = await bench.provider.complete(bench.ask())
    _, last = await streamed(bench.provider, bench.ask())
    assert [whole.reported_pico, last.reported_pico] == [line.pico for line in twin.invoice.lines]


@pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-5' is deprecated:DeprecationWarning")
async def test_a_retired_model_is_refused_in_words_that_help(twin: RunningTwin, providers: dict[str, Provider]) -> None:
    twin.reset()
    twin.faults.set([])
    bench = Bench("anthropic", providers["anthropic"], twin)
    request = replace(bench.ask(), model=Model("claude-sonnet-4-5", "anthropic", "small"))
    twin.clock.set(datetime(2026, 12, 1, tzinfo=UTC))
    with pytest.raises(BadRequest, match="perhaps it is retired: choose one from"):
        await bench.provider.complete(request)
    twin.clock.set(datetime(2026, 11, 24, tzinfo=UTC))


async def test_gemini_takes_the_head_from_an_explicit_cache(twin: RunningTwin) -> None:
    twin.reset()
    twin.faults.set([])
    where = twin.base_url("gemini")
    plain = Bench("gemini", Gemini(KEY, base_url=where), twin)
    request = plain.ask(prefix=PREFIX)
    head = to_wire(request)["config"]["system_instruction"]
    async with httpx2.AsyncClient(headers={"x-goog-api-key": KEY}) as http:
        body = {"model": f"models/{request.model.id}", "systemInstruction": head, "ttl": "300s"}
        made = await http.post(f"{where}/v1beta/cachedContents", json=body)
    name = made.raise_for_status().json()["name"]
    cached = Gemini(KEY, base_url=where, cached_content=lambda request: name)
    completion = await cached.complete(request)
    assert completion.usage.cache_read > 4096
    assert twin.last["cachedContent"] == name
    assert "systemInstruction" not in twin.last
    await plain.provider.aclose()
    await cached.aclose()


async def test_vertex_answers_and_bills_as_gemini_does(twin: RunningTwin, providers: dict[str, Provider]) -> None:
    twin.reset()
    twin.faults.set([])
    credentials = Credentials(token="token-1")  # type: ignore[no-untyped-call]
    vertex = Gemini(base_url=twin.base_url("gemini"), vertex=Vertex("project-1", "global", credentials))
    bench = Bench("gemini", vertex, twin)
    completion = await vertex.complete(bench.ask(lane="flex"))
    assert "/projects/project-1/locations/global/" in twin.requests[-1].path
    assert (completion.usage, completion.lane) == (bench.billed(), "flex")
    assert without_ids((await streamed(vertex, bench.ask(lane="flex")))[1]) == without_ids(completion)
    await vertex.aclose()


async def test_a_region_is_asked_for_and_billed(twin: RunningTwin) -> None:
    twin.reset()
    twin.faults.set([])
    own = settings("anthropic", twin).anthropic.model_copy(update={"region": "us"})
    provider = open_provider("anthropic", ProvidersSettings(anthropic=own))
    bench = Bench("anthropic", provider, twin)
    await provider.complete(bench.ask())
    assert twin.last["inference_geo"] == "us"
    assert [line.lane for line in twin.invoice.lines] == ["us"]
    await provider.aclose()


@pytest.mark.parametrize("name", ["openai", "openai-chat"])
@pytest.mark.parametrize(("region", "host"), [(None, "api.openai.com"), ("eu", "eu.api.openai.com")])
async def test_openai_has_an_address_per_region(name: str, region: str | None, host: str) -> None:
    hosts: list[str] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        hosts.append(request.url.host)
        return httpx2.Response(401, json={})

    where = ProvidersSettings.model_validate({"openai": {"api_key": KEY, "region": region}})
    provider = open_provider(name, where, httpx2.AsyncClient(transport=httpx2.MockTransport(respond)))
    with pytest.raises(AuthFailed):
        await provider.complete(PLAIN)
    assert hosts == [host]
    await provider.aclose()


@pytest.mark.parametrize("name", ["openai", "openai-chat"])
async def test_a_region_that_openai_does_not_have_is_refused(name: str) -> None:
    where = ProvidersSettings.model_validate({"openai": {"api_key": KEY, "region": "moon"}})
    with pytest.raises(ConfigError, match="region is 'moon': OpenAI has ae, au, eu, global, in, jp, us"):
        open_provider(name, where)
