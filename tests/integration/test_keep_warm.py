"""Prefixes that are kept warm between questions: bytes on the wire, bills, budgets, and when it ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ragkit import Ragkit, load_settings
from ragkit.budget import Budget
from ragkit.caching.line import Line
from ragkit.cli import app
from ragkit.errors import StoreError
from ragkit.keeper import Keeper
from ragkit.money import format_usd
from ragkit.nouns import Account, Answer, Receipt
from ragkit.window import parse_window
from ragkit_api.service import open_service
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from ragkit_eval.twin.world import Seen

SONNET = "anthropic/claude-sonnet-5-5"
MODELS = [SONNET, "openai/gpt-6.1-terra", "openai-chat/gpt-6.1-terra"]
TOPICS = ("filter", "warranty", "noise", "bearing")
FILLER = "It is checked by a technician, noted in the log and signed by the shift leader of the day. " * 18
START = datetime(2026, 11, 24, tzinfo=UTC)
APART = 2 * 3600.0
PACES = {"anthropic": (APART,), "openai": (*[2400.0] * 6, 14 * 3600.0), "openai-chat": (*[2400.0] * 6, 14 * 3600.0)}
"""Seconds between questions at which keeping pays: OpenAI's 12 hours are cheaper unless there are longer nights."""


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(start=START, rate=0) as running:
        yield running


def manual(topic: str, number: int, whose: str = "pump") -> str:
    return f"# The {topic}\n\nThe {topic} of the {whose} lasts for {number} years. {FILLER}\n"


def overrides(folder: Path, twin: RunningTwin, model: str = SONNET, **cache: Any) -> dict[str, Any]:
    return {
        "store": {"path": folder / "kb"},
        "answer": {"model": model},
        "cache": {"answers": False, "keep_alive": True, **cache},
        "providers": {name: {"api_key": "test", "base_url": twin.base_url(name)} for name in ("anthropic", "openai")},
    }


@asynccontextmanager
async def opened(folder: Path, twin: RunningTwin, model: str = SONNET, **cache: Any) -> AsyncIterator[Ragkit]:
    """An index on the twin's clock."""
    write(folder / "docs")
    settings = load_settings(environment={}, overrides=overrides(folder, twin, model, **cache))
    async with Ragkit.open(settings, clock=twin.clock.now) as rag:
        await rag.ingest(folder / "docs")
        yield rag


def write(docs: Path, whose: str = "pump") -> None:
    docs.mkdir(exist_ok=True)
    for number, topic in enumerate(TOPICS, start=2):
        if not (docs / f"{topic}.md").exists():
            (docs / f"{topic}.md").write_text(manual(topic, number, whose), encoding="utf-8")


def keeper_of(rag: Ragkit) -> Keeper:
    """One whose turns are taken by the test, and not by a task."""
    rag.parts.caches.prefixes.kept_warm = True
    return Keeper(rag.parts, rag.store)


async def wait(keeper: Keeper, twin: RunningTwin, seconds: float) -> None:
    """Time goes by, and the keeper takes its turns."""
    while seconds > 0:
        left = await keeper.turn()
        step = seconds if left is None else min(seconds, max(1.0, left))
        twin.clock.advance(step)
        seconds -= step


async def ask(
    rag: Ragkit, keeper: Keeper, twin: RunningTwin, times: int, pace: Sequence[float] = (APART,)
) -> list[Answer]:
    """Questions about two topics, so far apart that an entry would not live from one to the next."""
    answers = []
    for number in range(times):
        await wait(keeper, twin, pace[number % len(pace)])
        text = f"How long does the {TOPICS[number % 2]} of the pump last, asked for the {number}th time?"
        answers.append(await rag.ask(text))
    return answers


def is_refresh(seen: Seen) -> bool:
    body = seen.body if isinstance(seen.body, dict) else {}
    prewarm = (body.get("prompt_cache_options") or {}).get("prewarm")
    return bool(prewarm) or body.get("max_tokens") == 1 or body.get("max_completion_tokens") == 16


def refreshes(twin: RunningTwin) -> list[Seen]:
    return [seen for seen in twin.requests if is_refresh(seen)]


def wrote(twin: RunningTwin) -> int:
    kinds = ("write_5m", "write_1h", "write_30m", "write_12h")
    return sum(any(line.usage.get(kind, 0) for kind in kinds) for line in twin.invoice.lines)


async def on_the_ledger(rag: Ragkit, tenant: str | None = None) -> list[Receipt]:
    return list(
        await rag.parts.ledger.receipts(datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC), tenant)
    )


async def warmed(rag: Ragkit, tenant: str | None = None) -> list[Receipt]:
    return [it for it in await on_the_ledger(rag, tenant) if any(event.kind == "warm" for event in it.events)]


async def nothing_is_held(rag: Ragkit) -> bool:
    found = await rag.parts.ledger.audit()
    return (found.held_pico, found.open_holds, found.differences) == (0, 0, ())


def line_of(rag: Ragkit, tenant: str = "default") -> Line:
    return next(line for line in rag.parts.caches.prefixes.lines.loaded() if line.kind.tenant == tenant)


@pytest.mark.parametrize("model", MODELS)
async def test_a_kept_prefix_is_seldom_written_and_everything_is_on_the_ledger(
    tmp_path: Path, twin: RunningTwin, model: str
) -> None:
    async with opened(tmp_path, twin, model) as rag:
        answers = await ask(rag, keeper_of(rag), twin, 40, PACES[model.partition("/")[0]])
        bills, warm = await on_the_ledger(rag), await warmed(rag)
        balance = line_of(rag).balance
    marked = sum(answer.prefix.marked for answer in answers)
    assert 0 < 2 * wrote(twin) < marked
    assert len(warm) == len(refreshes(twin)) == balance.refreshes > 5
    assert sum(it.cost_pico or 0 for it in bills) == twin.invoice.total_pico
    assert sum(it.cost_pico or 0 for it in warm) == balance.kept_pico < balance.won_pico
    assert balance.simulated == len(answers) + len(warm)
    assert balance.simulated_pico == balance.plain_pico - balance.paid_pico > 0
    for receipt in warm:
        (event,) = receipt.events
        assert event.usage.cache_read > 500
        assert event.usage.cache_written == 0
        assert event.usage.input < 30
        assert event.usage.output <= 16
        assert event.prefix
        assert (receipt.baseline_pico, receipt.saved_pico) == (0, -(receipt.cost_pico or 0))
        assert [saving.lever for saving in receipt.savings] == ["warm-up"]


def head_of(raw: bytes) -> tuple[bytes, ...]:
    """What stands before the mark and decides about the cache, cut out of the bytes as they came."""
    if b'"system":' in raw and b'"output_config":' in raw:
        return raw[raw.index(b'"system":') :], raw[raw.index(b'"output_config":') : raw.index(b'"service_tier":')]
    begin, end = raw.index(b'{"role":"system"'), raw.index(b'{"role":"user"')
    form = b'"text":{"format"' if b'"text":{"format"' in raw else b'"response_format":'
    key = raw.index(b'"prompt_cache_key":')
    schema = raw[raw.index(form) :]
    return raw[begin:end], schema[: schema.index(b'"strict":') + 30], raw[key : key + 54]


def test_reports_tell_what_refreshes_cost_and_saved(tmp_path: Path, twin: RunningTwin) -> None:
    async def warm() -> int:
        async with opened(tmp_path, twin) as rag:
            await ask(rag, keeper_of(rag), twin, 26)
            return sum(it.cost_pico or 0 for it in await warmed(rag))

    spent, store = asyncio.run(warm()), ["--store", str(tmp_path / "kb")]
    kept = {"RAGKIT_CACHE_KEEP_ALIVE": "true"}
    shown = CliRunner().invoke(app, ["cache", "report", *store], env=kept)
    (line,) = json.loads(CliRunner().invoke(app, ["cache", "report", "--json", *store], env=kept).stdout)["lines"]
    since = ["--since", "2020-01-01"]
    kinds = json.loads(CliRunner().invoke(app, ["cost", "report", "--by", "kind", "--json", *since, *store]).stdout)
    levers = json.loads(CliRunner().invoke(app, ["cost", "report", "--by", "lever", "--json", *since, *store]).stdout)
    assert line["refreshes"] == len(refreshes(twin)) > 0
    assert line["kept_usd"] == format_usd(spent)
    assert f"{line['refreshes']} refreshes cost $" in shown.output
    assert line["simulated_usd"] == line["saved_usd"]
    assert "came from simulated providers; nobody pays it" in shown.output
    assert line["keeping"] and line["keeping"] in shown.output
    (row,) = [it for it in kinds["lines"] if it["group"] == "warm"]
    assert (row["events"], row["cost_usd"]) == (line["refreshes"], format_usd(spent))
    (lever,) = [it for it in levers["lines"] if it["group"] == "warm-up"]
    assert lever["saved_usd"] == format_usd(-spent)


@pytest.mark.parametrize("model", MODELS)
async def test_what_stands_before_the_mark_is_the_same_to_the_byte(
    tmp_path: Path, twin: RunningTwin, model: str
) -> None:
    async with opened(tmp_path, twin, model) as rag:
        await ask(rag, keeper_of(rag), twin, 40, PACES[model.partition("/")[0]])
    marked = [
        seen for seen in twin.requests if b'"cache_control"' in seen.raw or b'"prompt_cache_breakpoint"' in seen.raw
    ]
    heads = {head_of(seen.raw) for seen in marked}
    assert len(heads) == 1
    assert {is_refresh(seen) for seen in marked} == {True, False}
    assert all(len(seen.raw) < len(head_of(seen.raw)[0]) + 3000 for seen in refreshes(twin))
    assert not any(b"How long" in seen.raw for seen in refreshes(twin))


async def test_it_ends_by_itself_when_nobody_asks_any_more(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        keeper = keeper_of(rag)
        await ask(rag, keeper, twin, 26)
        before = len(refreshes(twin))
        await wait(keeper, twin, 3 * 86_400)
        assert await keeper.turn() is None
        assert before < len(refreshes(twin)) <= before + 12
        assert "no question is known" in line_of(rag).keeping or "not enough" in line_of(rag).keeping
        bills = await on_the_ledger(rag)
    assert sum(it.cost_pico or 0 for it in bills) == twin.invoice.total_pico


async def test_two_turns_at_once_refresh_an_entry_once(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        keeper = keeper_of(rag)
        await ask(rag, keeper, twin, 26)
        left = await keeper.turn()
        before = len(refreshes(twin))
        twin.clock.advance((left or 0) + 1)
        await asyncio.gather(*(keeper.turn() for _ in range(5)))
    assert len(refreshes(twin)) == before + 1


async def test_every_tenant_pays_for_its_own_bytes_and_no_others(tmp_path: Path, twin: RunningTwin) -> None:
    guest = Account("guest")
    write(tmp_path / "guest", "mixer")
    async with opened(tmp_path, twin) as rag:
        await rag.ingest(tmp_path / "guest", account=guest)
        keeper = keeper_of(rag)
        for number in range(26):
            await ask(rag, keeper, twin, 1, (APART / 2,))
            answer = await rag.ask(
                f"How long does the {TOPICS[number % 2]} of the mixer last, asked again?", account=guest
            )
        await wait(keeper, twin, APART)
        ours, theirs = await warmed(rag, "default"), await warmed(rag, "guest")
        bills = await on_the_ledger(rag)
        digests = {tenant: line_of(rag, tenant).version for tenant in ("default", "guest")}
    assert answer.prefix.text.count("of the mixer") > 1
    assert "of the pump" not in answer.prefix.text
    for tenant, found in (("default", ours), ("guest", theirs)):
        assert found
        assert {event.prefix for it in found for event in it.events} == {getattr(digests[tenant], "digest", None)}
    texts = [seen.raw for seen in refreshes(twin)]
    assert not any(b"of the pump" in raw and b"of the mixer" in raw for raw in texts)
    assert sum(b"of the mixer" in raw for raw in texts) == len(theirs)
    assert sum(it.cost_pico or 0 for it in bills) == twin.invoice.total_pico


async def due(rag: Ragkit, twin: RunningTwin) -> tuple[Keeper, int]:
    """A prefix that is to be refreshed now, and the refreshes so far."""
    keeper = keeper_of(rag)
    await ask(rag, keeper, twin, 26)
    left = await keeper.turn()
    assert left is not None
    twin.clock.advance(left + 1)
    return keeper, len(refreshes(twin))


def hot_topic(rag: Ragkit) -> str:
    version = line_of(rag).version
    assert version is not None
    return Path(version.chunks[0].source).stem


@pytest.mark.parametrize("on_exceed", ["refuse", "degrade"])
async def test_a_budget_that_is_nearly_used_up_buys_no_refresh(
    tmp_path: Path, twin: RunningTwin, on_exceed: Any
) -> None:
    async with opened(tmp_path, twin) as rag:
        keeper, before = await due(rag, twin)
        spent = sum(it.cost_pico or 0 for it in await on_the_ledger(rag))
        limit = spent * 100 // 92 if on_exceed == "degrade" else spent + 1000
        await rag.parts.ledger.set_budget(Budget("tenant", "default", parse_window("month"), limit, on_exceed))
        assert await keeper.turn() is None
        assert "budget" in line_of(rag).keeping
        assert await nothing_is_held(rag)
        assert len(await on_the_ledger(rag)) == len(twin.invoice.lines)
    assert len(refreshes(twin)) == before


async def test_a_changed_document_ends_it_at_once(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        keeper, before = await due(rag, twin)
        hot = hot_topic(rag)
        (tmp_path / "docs" / f"{hot}.md").write_text(manual(hot, 77), encoding="utf-8")
        await rag.ingest(tmp_path / "docs")
        assert await keeper.turn() is None
    assert len(refreshes(twin)) == before


async def test_a_document_that_another_process_has_deleted_is_noticed_before_it_is_sent_again(
    tmp_path: Path, twin: RunningTwin
) -> None:
    async with opened(tmp_path, twin) as rag:
        keeper, before = await due(rag, twin)
        store, corpus = await rag.store(), rag.parts.caches.corpus
        gone = [it.id for it in await store.records("default") if Path(it.source).stem == hot_topic(rag)]
        with corpus.changing("default"):
            assert await store.remove("default", gone)
        assert await keeper.turn() is None
        assert line_of(rag).version is None
    assert len(refreshes(twin)) == before


async def test_a_question_in_the_meantime_makes_a_refresh_needless(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        keeper, before = await due(rag, twin)
        await rag.ask("How long does the filter of the pump last, asked once more?")
        left = await keeper.turn()
    assert len(refreshes(twin)) == before
    assert left == pytest.approx(3600 - 60, abs=1)


async def test_a_provider_that_forgets_what_is_read_is_given_up(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        keeper, before = await due(rag, twin)
        twin.reset()
        assert await keeper.turn() is None
        assert "had forgotten" in line_of(rag).keeping
        (written,) = [it for it in await warmed(rag) if it.events[0].usage.cache_written]
        assert written.cost_pico == twin.invoice.total_pico
        await rag.ask("How long does the filter of the pump last, asked once more?")
        await wait(keeper, twin, 3 * APART)
    assert before > 0
    assert len(refreshes(twin)) == 1


async def test_a_refresh_that_fails_is_not_tried_until_somebody_asks(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        keeper, before = await due(rag, twin)
        twin.faults.add(Fault("auth", times=1))
        assert await keeper.turn() is None
        assert "not refreshed" in line_of(rag).keeping
        assert await nothing_is_held(rag)
        await wait(keeper, twin, 2 * APART)
        assert len(refreshes(twin)) == before + 1
        bills = await on_the_ledger(rag)
    assert sum(it.cost_pico or 0 for it in bills) == twin.invoice.total_pico


@pytest.mark.parametrize("times", [1, 2])
async def test_a_refresh_of_unknown_cost_counts_as_what_was_held_for_it(
    tmp_path: Path, twin: RunningTwin, times: int
) -> None:
    """Answered at the second attempt, or not at all."""
    async with opened(tmp_path, twin) as rag:
        keeper, before = await due(rag, twin)
        balance = replace(line_of(rag).balance)
        twin.faults.add(Fault("reset", times=times))
        await keeper.turn()
        (unknown,) = [it for it in await warmed(rag) if it.cost_pico is None]
        cells = await rag.parts.ledger.cells(datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC), None)
        after = line_of(rag).balance
        assert await nothing_is_held(rag)
    assert len(refreshes(twin)) == before + 2
    assert len(unknown.events) == 2
    posted = sum(cell.posted_pico for cell in cells if cell.kind == "warm")
    assert after.kept_pico == posted > balance.kept_pico
    assert after.paid_pico - balance.paid_pico == after.kept_pico - balance.kept_pico
    assert (after.refreshes, after.unread) == (balance.refreshes + 1, balance.unread)


async def test_a_refresh_that_was_refused_cost_nothing(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        keeper, _ = await due(rag, twin)
        before = replace(line_of(rag).balance)
        twin.faults.add(Fault("auth", times=1))
        await keeper.turn()
        assert line_of(rag).balance == before


async def test_an_entry_that_a_question_renews_outlives_the_refresh_that_fails(
    tmp_path: Path, twin: RunningTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, twin) as rag:
        keeper, before = await due(rag, twin)
        corpus = rag.parts.caches.corpus
        version, looked = corpus.version, asyncio.Event()

        async def fails(store: Any, tenant: str) -> str | None:
            if looked.is_set():
                return await version(store, tenant)
            looked.set()
            await rag.ask("How long does the filter of the pump last, asked once more?")
            raise StoreError("the index is away")

        monkeypatch.setattr(corpus, "version", fails)
        left = await keeper.turn()
        assert len(refreshes(twin)) == before
        assert left == pytest.approx(3600 - 60, abs=1)
        twin.clock.advance(3600 - 59)
        await keeper.turn()
    assert len(refreshes(twin)) == before + 1


@pytest.mark.parametrize("alone", [True, False])
async def test_what_nobody_expected_ends_one_refresh_and_no_other(
    tmp_path: Path, twin: RunningTwin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, alone: bool
) -> None:
    """Of two tenants' entries that are due at once, the documents of one cannot be looked at."""
    guest, broken = Account("guest"), "default"
    write(tmp_path / "guest", "mixer")
    async with opened(tmp_path, twin) as rag:
        await rag.ingest(tmp_path / "guest", account=guest)
        keeper, corpus = keeper_of(rag), rag.parts.caches.corpus
        for number in range(26):
            await ask(rag, keeper, twin, 1)
            if not alone:
                await rag.ask(f"How long does the {TOPICS[number % 2]} of the mixer last, again?", account=guest)
        twin.clock.advance((await keeper.turn() or 0) + 5)
        before, version = len(refreshes(twin)), corpus.version

        async def breaks(store: Any, tenant: str) -> str | None:
            if tenant == broken:
                raise OSError("/etc/a-secret")
            return await version(store, tenant)

        monkeypatch.setattr(corpus, "version", breaks)
        async with keeper.running():
            await until(lambda: line_of(rag).keeping == "not refreshed: OSError")
            await until(lambda: len(refreshes(twin)) == before + (not alone))
            assert rag.parts.caches.prefixes.kept_warm
        assert await nothing_is_held(rag)
        bills = await on_the_ledger(rag)
    (logged,) = [it for it in caplog.records if it.name == "ragkit.keeper"]
    assert logged.getMessage() == "a prefix was not refreshed: OSError"
    assert sum(it.cost_pico or 0 for it in bills) == twin.invoice.total_pico


async def test_a_failure_of_the_task_itself_is_logged_and_ends_the_hope_of_refreshes(
    tmp_path: Path, twin: RunningTwin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, twin) as rag:
        keeper, prefixes = Keeper(rag.parts, rag.store), rag.parts.caches.prefixes
        monkeypatch.setattr(rag.parts.caches.keeping, "due", lambda: 1 // 0)
        async with keeper.running():
            await until(lambda: not prefixes.kept_warm)
    (logged,) = [it for it in caplog.records if it.name == "ragkit.keeper"]
    assert logged.getMessage() == "prefixes are not kept warm any more: ZeroDivisionError"


async def until(ready: Any) -> None:
    async with asyncio.timeout(20):
        while not ready():  # noqa: ASYNC110  the twin is another thread
            await asyncio.sleep(0.01)


async def test_the_task_refreshes_by_itself_and_ends_with_its_block(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        keeper, before = await due(rag, twin)
        tasks = asyncio.all_tasks()
        async with keeper.running():
            await until(lambda: len(refreshes(twin)) > before and twin.requests[-1].status == 200)
        assert not rag.parts.caches.prefixes.kept_warm
        assert asyncio.all_tasks() == tasks
        assert await nothing_is_held(rag)
        twin.clock.advance(3600 - 60)
        assert await keeper.turn() is None
        bills = await on_the_ledger(rag)
    assert len(refreshes(twin)) == before + 1
    assert sum(it.cost_pico or 0 for it in bills) == twin.invoice.total_pico


async def test_a_refresh_on_its_way_is_settled_when_the_process_stops(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        keeper, before = await due(rag, twin)
        twin.faults.add(Fault("slow_first_token", seconds=0.3))
        async with keeper.running():
            await until(lambda: len(refreshes(twin)) > before)
        assert await nothing_is_held(rag)
        bills = await on_the_ledger(rag)
    assert len(refreshes(twin)) == before + 1
    assert sum(it.cost_pico or 0 for it in bills) == twin.invoice.total_pico


async def test_nothing_is_kept_unless_that_is_asked_for(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, keep_alive=False) as rag:
        keeper = Keeper(rag.parts, rag.store)
        async with keeper.running():
            await ask(rag, keeper, twin, 26)
        assert not rag.parts.caches.prefixes.kept_warm
        assert line_of(rag).keeping == ""
    assert refreshes(twin) == []
    assert wrote(twin) == 0


async def test_a_service_keeps_prefixes_warm_until_it_is_told_to_stop(tmp_path: Path, twin: RunningTwin) -> None:
    settings = load_settings(environment={}, overrides=overrides(tmp_path, twin))
    async with open_service(settings) as service:
        prefixes = service.rag.parts.caches.prefixes
        assert prefixes.kept_warm
        service.drain()
        assert not prefixes.kept_warm
        assert await service.keeper.turn() is None
