"""The hot prefix over real SDKs: what goes over the wire, and what the twin's invoice says about it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ragkit import Ragkit, load_settings
from ragkit.nouns import Account, Answer
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from ragkit_eval.twin.world import Options

KEYED = ("anthropic", "openai", "gemini")
SONNET = "anthropic/claude-sonnet-5-5"
TOPICS = ("filter", "warranty", "noise", "bearing", "gasket", "voltage", "housing", "impeller")
FILLER = "It is checked by a technician, noted in the log and signed by the shift leader of the day. " * 18


def manual(topic: str, number: int) -> str:
    return (
        f"# The {topic}\n\nThe {topic} of the pump lasts for {number} years. {FILLER}\n\n"
        f"A spare {topic} costs {number * 11} euros.\n"
    )


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(options=Options(latency=0.005)) as running:
        yield running


@asynccontextmanager
async def opened(tmp_path: Path, twin: RunningTwin, model: str = SONNET, **cache: Any) -> AsyncIterator[Ragkit]:
    docs = tmp_path / "docs"
    docs.mkdir(exist_ok=True)
    for number, topic in enumerate(TOPICS, start=2):
        if not (docs / f"{topic}.md").exists():
            (docs / f"{topic}.md").write_text(manual(topic, number), encoding="utf-8")
    overrides: dict[str, Any] = {
        "store": {"path": tmp_path / "kb"},
        "answer": {"model": model},
        "cache": {"answers": False, **cache},
        "providers": {name: {"api_key": "test", "base_url": twin.base_url(name)} for name in KEYED},
    }
    async with Ragkit.open(load_settings(environment={}, overrides=overrides)) as rag:
        await rag.ingest(docs)
        yield rag


def question(topic: str, number: int = 0) -> str:
    return f"How long does the {topic} of the pump last, asked for the {number}th time?"


async def heat(rag: Ragkit, times: int = 24, account: Account | None = None) -> list[Answer]:
    """Ask about two topics so often that their documents become hot."""
    return [await rag.ask(question(TOPICS[i % 2], i), account=account) for i in range(times)]


def written(twin: RunningTwin) -> list[int]:
    kinds = ("write_5m", "write_1h", "write_30m", "write_12h")
    return [sum(line.usage.get(kind, 0) for kind in kinds) for line in twin.invoice.lines]


def reads(twin: RunningTwin) -> list[int]:
    return [line.usage.get("read", 0) for line in twin.invoice.lines]


@pytest.mark.parametrize("model", [SONNET, "openai/gpt-6.1-terra", "openai-chat/gpt-6.1-terra"])
async def test_hot_documents_are_written_once_and_read_from_then_on(
    tmp_path: Path, twin: RunningTwin, model: str
) -> None:
    async with opened(tmp_path, twin, model) as rag:
        answers = await heat(rag, 30)
    marked = [answer for answer in answers if answer.prefix.marked]
    assert sum(tokens > 0 for tokens in written(twin)) == 1
    assert sum(tokens > 0 for tokens in reads(twin)) == len(marked) - 1 > 5
    assert len({answer.prefix.digest for answer in marked}) == 1
    assert sum(answer.receipt.cost_pico or 0 for answer in answers) == twin.invoice.total_pico
    assert all(answer.citations for answer in answers)


@pytest.mark.parametrize("model", [SONNET, "openai/gpt-6.1-terra"])
async def test_fifty_questions_at_once_on_a_cold_prefix_write_it_once(
    tmp_path: Path, twin: RunningTwin, model: str
) -> None:
    async with opened(tmp_path, twin, model) as rag:
        await heat(rag)
        twin.reset()
        twin.clock.advance(7200)
        line = rag.parts.caches.prefixes.lines.loaded()[0]
        line.warm_until = 0.0
        answers = await asyncio.gather(*(rag.ask(question(TOPICS[i % 2], i)) for i in range(50)))
    assert sum(tokens > 0 for tokens in written(twin)) == 1
    assert sum(tokens > 0 for tokens in reads(twin)) == sum(answer.prefix.marked for answer in answers) - 1
    assert sum(answer.receipt.cost_pico or 0 for answer in answers) == twin.invoice.total_pico
    assert all(answer.prefix.reason for answer in answers)


async def test_who_waits_too_long_goes_out_without_a_mark(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, wait=0.0) as rag:
        await heat(rag)
        twin.reset()
        rag.parts.caches.prefixes.lines.loaded()[0].warm_until = 0.0
        answers = await asyncio.gather(*(rag.ask(question(TOPICS[i % 2], i)) for i in range(8)))
    assert sum(answer.prefix.marked for answer in answers) == 1
    assert sum("waiting" in answer.prefix.reason for answer in answers) == 7


async def test_a_failed_writer_leaves_the_right_to_write_to_others(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        await heat(rag)
        rag.parts.caches.prefixes.lines.loaded()[0].warm_until = 0.0
        twin.reset()
        twin.faults.add(Fault("refusal", times=1))
        results = await asyncio.gather(*(rag.ask(question(TOPICS[i % 2], i)) for i in range(6)), return_exceptions=True)
        assert sum(isinstance(result, Exception) for result in results) == 1
        later = await rag.ask(question(TOPICS[0], 99))
    assert later.prefix.marked


async def test_a_changed_hot_document_retires_the_prefix_at_once(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        before = (await heat(rag, 26))[-1]
        assert before.prefix.marked
        (tmp_path / "docs" / "filter.md").write_text(manual("filter", 77), encoding="utf-8")
        await rag.ingest(tmp_path / "docs")
        after = await rag.ask(question("filter", 99))
    assert not after.prefix.text
    assert "77 years" in after.text
    assert b"lasts for 2 years" not in (tmp_path / "kb" / "cache.db").read_bytes()


async def test_another_changed_document_leaves_the_bytes_as_they_are(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        before = (await heat(rag, 26))[-1]
        hot = {Path(chunk.source).stem for chunk in before.prefix.chunks}
        cold = next(topic for topic in TOPICS if topic not in hot)
        (tmp_path / "docs" / f"{cold}.md").write_text(manual(cold, 77), encoding="utf-8")
        await rag.ingest(tmp_path / "docs")
        after = await rag.ask(question("filter", 99))
    assert after.prefix.digest == before.prefix.digest
    assert after.prefix.marked


async def test_the_next_process_goes_on_with_the_same_bytes(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        before = (await heat(rag, 26))[-1]
    raw = twin.requests[-1].body["system"][:2]
    async with opened(tmp_path, twin) as rag:
        after = await rag.ask(question("warranty", 99))
    assert after.prefix.digest == before.prefix.digest
    assert twin.requests[-1].body["system"][:2] == raw
    assert reads(twin)[-1] > 0


async def test_a_tenant_neither_steers_nor_shares_the_prefix_of_another(tmp_path: Path, twin: RunningTwin) -> None:
    guest = Account("guest")
    async with opened(tmp_path, twin) as rag:
        await heat(rag, 26)
        await rag.ingest(tmp_path / "docs", account=guest)
        first = await rag.ask(question("filter", 1), account=guest)
        assert not first.prefix.text
        answers = await heat(rag, 26, guest)
    assert answers[-1].prefix.marked
    assert reads(twin).count(0) >= 1


async def test_consecutive_questions_differ_only_behind_the_mark(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        await heat(rag, 30)
    raws = [seen.raw for seen in twin.requests if b"cache_control" in seen.raw]
    assert len(raws) > 5
    heads = {raw[raw.index(b'"system":') :] for raw in raws}
    assert len(heads) == 1
    assert len({raw[raw.index(b'"output_config":') : raw.index(b'"service_tier":')] for raw in raws}) == 1
    assert len(set(raws)) == len(raws)


async def test_it_can_be_switched_off(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, prefix=False) as rag:
        answers = await heat(rag, 26)
    assert not any(answer.prefix.text for answer in answers)
    assert "switched off" in answers[-1].prefix.reason
    assert sum(written(twin)) == 0


async def test_a_prefix_that_is_never_read_is_given_up(tmp_path: Path, twin: RunningTwin) -> None:
    """A proxy that changes the prompt before the mark makes every question write and none read."""
    async with opened(tmp_path, twin) as rag:
        await heat(rag, 21)
        answers = []
        for i in range(20):
            twin.reset()
            answers.append(await rag.ask(question(TOPICS[i % 2], i)))
            if i < 8:
                rag.parts.caches.prefixes.lines.loaded()[0].warm_until = 0.0
    refused = [answer.prefix.reason for answer in answers if not answer.prefix.marked]
    assert any("never read" in reason or "cost more" in reason for reason in refused)
