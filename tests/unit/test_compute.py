"""Work in a process beside: as if done at once, done again where its process was killed, gone with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from ragkit.compute import at_once, in_processes
from ragkit.errors import ConfigError, WorkerLost
from ragkit.nouns import Chunk, Hit
from ragkit.providers.sdk import import_sdk
from ragkit.reorder import reorder
from ragkit.rerank import Reranked
from ragkit.rerankers.embedded import EmbeddedReranker
from ragkit.window import parse_window

QUESTION = "How long is the warranty of the pump?"
HITS = [
    Hit(Chunk(str(place), f"d{place}", "guide.md", text, 0, len(text), place, 9), 1 / (1 + place), place)
    for place, text in enumerate(("The weather is fine.", "The pump has a warranty of five years.", "A pump is blue."))
]


def ends(pid: int, seconds: float = 60) -> bool:
    """Whether a process ends in time; one that nobody has asked for its code yet has ended, too."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


async def test_a_process_answers_and_fails_as_this_one_would() -> None:
    async with in_processes(1) as compute:
        ranked = await EmbeddedReranker(compute).rerank(QUESTION, HITS)
        assert ranked == await EmbeddedReranker(at_once).rerank(QUESTION, HITS)
        assert {id(hit.chunk) for hit in ranked.hits} == {id(hit.chunk) for hit in HITS}
        assert await compute(int, "ff", base=16) == 255
        with pytest.raises(ZeroDivisionError):
            await compute(divmod, 1, 0)
        with pytest.raises(ValueError, match="invalid literal"):
            await compute(int, "none")
        assert await compute(os.getpid) == await compute(os.getpid) != os.getpid()


async def test_answers_come_to_who_asked_for_them_also_where_others_have_left() -> None:
    async with in_processes(2) as compute:
        tasks = [asyncio.create_task(compute(pow, 2, number)) for number in range(40)]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        for number, value in enumerate(found):
            assert isinstance(value, asyncio.CancelledError) if number % 3 == 0 else value == 2**number


async def test_processes_share_the_work() -> None:
    async with in_processes(2) as compute:
        both = await asyncio.gather(*(compute(os.getpid) for _ in range(2)))
        assert len(set(both)) == 2


async def test_work_is_done_again_where_its_process_was_killed() -> None:
    async with in_processes(1) as compute:
        first = await compute(os.getpid)
        asleep = [asyncio.create_task(compute(time.sleep, 0.2)), asyncio.create_task(compute(os.getpid))]
        await asyncio.sleep(0)
        os.kill(first, signal.SIGKILL)
        assert (await asyncio.gather(*asleep))[1] != first
    assert ends(first)


async def test_work_that_ends_its_process_fails_alone() -> None:
    async with in_processes(1) as compute:
        work = [compute(os.getpid), compute(os._exit, 1), *(compute(pow, 2, number) for number in range(3))]
        first, deadly, *others = await asyncio.gather(*work, return_exceptions=True)
        assert isinstance(first, int)
        assert isinstance(deadly, WorkerLost)
        assert "killed twice" in str(deadly)
        assert others == [1, 2, 4]


async def test_a_question_is_answered_without_a_reranker_whose_process_dies() -> None:
    class Deadly(EmbeddedReranker):
        async def rerank(self, question: str, hits: Sequence[Hit]) -> Reranked:
            return Reranked(await compute(os._exit, 1))

    async with in_processes(1) as compute:
        found = await reorder(QUESTION, HITS, Deadly(compute))
        assert found.hits == tuple(HITS)
        assert "killed twice" in found.notes[0]


async def test_what_cannot_be_sent_back_is_told_in_words() -> None:
    async with in_processes(1) as compute:
        process = await compute(os.getpid)
        with pytest.raises(TypeError, match="cannot pickle"):
            await compute(open, os.devnull)
        with pytest.raises(RuntimeError, match=r"MissingExtra: .*pip install"):
            await compute(import_sdk, "no_such_package", "openai", "OpenAI")
        assert await compute(os.getpid) == process


async def test_a_process_that_is_at_work_for_nobody_is_not_taken_for_free() -> None:
    async with in_processes(2) as compute:
        processes = set(await asyncio.gather(*(compute(os.getpid) for _ in range(2))))
        left = asyncio.create_task(compute(time.sleep, 600))
        await asyncio.sleep(0)
        left.cancel()
        assert len({await compute(os.getpid) for _ in range(4)} & processes) == 1


async def test_nothing_is_begun_once_it_is_closed() -> None:
    async with in_processes(1) as compute:
        await compute(os.getpid)
        under_way = asyncio.create_task(compute(time.sleep, 600))
        await asyncio.sleep(0)
    for late in (under_way, compute(os.getpid)):
        with pytest.raises(WorkerLost, match="being closed"):
            await late


async def test_a_signal_that_stops_the_server_leaves_its_processes_to_it() -> None:
    async with in_processes(1) as compute:
        process = await compute(os.getpid)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(process, number)
        assert await compute(os.getpid) == process
    assert ends(process)


async def test_an_error_of_ours_comes_whole() -> None:
    async with in_processes(1) as compute:
        with pytest.raises(ConfigError, match="never"):
            await compute(parse_window, "never")


async def test_keys_of_providers_do_not_get_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    async with in_processes(1) as compute:
        assert await compute(os.getenv, "PATH") == os.environ["PATH"]
        assert await compute(os.getenv, "ANTHROPIC_API_KEY") is None


def test_no_process_outlives_a_killed_parent(tmp_path: Path) -> None:
    """Also where a script has no guard for being imported by its own children."""
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio, os, time\n"
        "from ragkit.compute import in_processes\n"
        "async def main():\n"
        "    async with in_processes(1) as compute:\n"
        "        print(await compute(os.getpid), flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        assert ends(child)
