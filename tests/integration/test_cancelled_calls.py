"""A caller that leaves still pays what the invoice says: to the token where the call could be read to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest
import pytest_asyncio

from ragkit.calls.attempt import Attempt, Policy
from ragkit.calls.retry import Retrying
from ragkit.generate import Generation
from ragkit.nouns import Chunk, Model, Request, Route, Usage
from ragkit.prompt import render
from ragkit.provider import Provider
from ragkit.providers.registry import open_provider
from ragkit.settings import ProvidersSettings
from ragkit.structured import answer_schema
from ragkit_eval.twin import Fault, RunningTwin, start_twin

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS = {
    "anthropic": "claude-haiku-5-5",
    "openai": "gpt-6-luna",
    "openai-chat": "gpt-6-luna",
    "gemini": "gemini-3.8-flash",
    "vllm": "twin-local",
}
TEXT = "The warranty of the blue pump lasts seven years. It starts with the day of delivery."
CHUNK = Chunk("c1", "d1", "guide.md", TEXT, 0, len(TEXT), 0, 20)
SLOWLY = Fault("slow_tokens", seconds=0.005)


@pytest.fixture(scope="module")
def twin() -> Iterator[RunningTwin]:
    with start_twin() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def providers(twin: RunningTwin) -> AsyncIterator[dict[str, Provider]]:
    made = {}
    for name in MODELS:
        section = name.removesuffix("-chat")
        where = {"api_key": f"sk-{name}", "base_url": twin.base_url(section)}
        made[name] = open_provider(name, ProvidersSettings.model_validate({section: where}))
    yield made
    for provider in made.values():
        await provider.aclose()


def start(
    provider: Provider, name: str, policy: Policy, record: Callable[[Attempt], None], heard: list[str] | None
) -> asyncio.Task[object]:
    model = Model(MODELS[name], name, "small", effort="none")
    request = Request(render("How long is the warranty?", [CHUNK]), model, answer_schema().schema, 800)
    generation = Generation({name: provider}, Retrying(policy))
    on_text = None if heard is None else heard.append
    return asyncio.create_task(
        generation.run(request, Route(model, 0.1, "test"), validate=lambda c: c.text, record=record, on_text=on_text)
    )


async def leave(task: asyncio.Task[object], ready: Callable[[], bool]) -> None:
    """Cancel as soon as something has happened, and wait until the task has ended."""
    for _ in range(1000):
        if ready():
            break
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def billed(twin: RunningTwin) -> Usage:
    """The one line of the invoice, which comes when the twin notices that nobody reads."""
    for _ in range(200):
        if twin.invoice.lines:
            break
        await asyncio.sleep(0.01)
    (line,) = twin.invoice.lines
    assert set(line.usage) <= {"input", "output"}
    return Usage(**line.usage, reasoning=line.detail.get("thinking", 0))


@pytest.mark.parametrize("name", MODELS)
async def test_leaving_a_stream_costs_what_was_read_to_its_end(
    name: str, twin: RunningTwin, providers: dict[str, Provider]
) -> None:
    twin.reset()
    twin.faults.set([SLOWLY])
    attempts: list[Attempt] = []
    heard: list[str] = []
    await leave(start(providers[name], name, Policy(drain=20), attempts.append, heard), lambda: bool(heard))
    (attempt,) = attempts
    assert (attempt.outcome, attempt.estimated) == ("cancelled", False)
    assert attempt.usage == await billed(twin)


@pytest.mark.parametrize("name", MODELS)
async def test_leaving_a_call_costs_what_it_would_have_cost(
    name: str, twin: RunningTwin, providers: dict[str, Provider]
) -> None:
    twin.reset()
    twin.faults.set([replace(SLOWLY, seconds=0.002)])
    attempts: list[Attempt] = []
    await leave(start(providers[name], name, Policy(drain=20), attempts.append, None), lambda: bool(twin.requests))
    (attempt,) = attempts
    assert (attempt.outcome, attempt.estimated) == ("cancelled", False)
    assert attempt.usage == await billed(twin)


@pytest.mark.parametrize("name", MODELS)
async def test_leaving_without_waiting_is_estimated_from_what_was_reported_and_heard(
    name: str, twin: RunningTwin, providers: dict[str, Provider]
) -> None:
    twin.reset()
    twin.faults.set([SLOWLY])
    attempts: list[Attempt] = []
    heard: list[str] = []
    await leave(start(providers[name], name, Policy(drain=0), attempts.append, heard), lambda: len(heard) > 3)
    (attempt,) = attempts
    assert (attempt.outcome, attempt.estimated) == ("cancelled", True)
    assert attempt.usage is not None
    truth = await billed(twin)
    if name in ("anthropic", "gemini", "vllm"):
        assert attempt.usage.input == truth.input, "it was reported before the text"
    assert 0 < attempt.usage.output <= 2 * truth.output


async def test_leaving_before_anything_came_back_is_unknown_and_not_free(
    twin: RunningTwin, providers: dict[str, Provider]
) -> None:
    twin.reset()
    twin.faults.set([Fault("timeout", billed=True)])
    attempts: list[Attempt] = []
    task = start(providers["anthropic"], "anthropic", Policy(drain=0.05), attempts.append, [])
    await leave(task, lambda: bool(twin.requests))
    assert [(attempt.outcome, attempt.usage) for attempt in attempts] == [("cancelled", None)]
