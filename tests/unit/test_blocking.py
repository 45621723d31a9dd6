"""A `Ragkit` reached from other threads and loops."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from ragkit import Ragkit, load_settings
from ragkit.adapters.blocking import Link, open_blocking
from ragkit.errors import ConfigError, NoIndex, RagkitError
from ragkit.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(environment={}, overrides={"store": {"path": tmp_path / "kb"}})


async def thread_of(rag: Ragkit) -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


def test_work_is_done_in_the_loop_of_its_own(settings: Settings) -> None:
    with open_blocking(settings) as link:
        assert link.wait(thread_of).startswith("ragkit")
        assert Link.to(link) is link


def test_errors_come_through(settings: Settings) -> None:
    with open_blocking(settings) as link, pytest.raises(NoIndex):
        link.wait(lambda rag: rag.search("anything"))


def test_what_cannot_be_opened_raises_at_once(settings: Settings) -> None:
    broken = settings.model_copy(update={"reranker": settings.reranker.model_copy(update={"name": "bm25"})})
    with pytest.raises(ConfigError, match="bm25"), open_blocking(broken):
        pass


def test_an_error_of_the_block_closes_the_index(settings: Settings) -> None:
    with pytest.raises(ZeroDivisionError), open_blocking(settings) as link:
        raise ZeroDivisionError
    with pytest.raises(ConfigError, match="closed"):
        link.wait(thread_of)


async def test_another_loop_can_await_it(settings: Settings) -> None:
    with open_blocking(settings) as link:
        assert (await link.run(thread_of)).startswith("ragkit")


async def test_who_is_cancelled_cancels_the_work(settings: Settings) -> None:
    ended = threading.Event()

    async def slow(rag: Ragkit) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    with open_blocking(settings) as link:
        task = asyncio.create_task(link.run(slow))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, 5)


async def test_in_its_own_loop_it_is_awaited_directly(settings: Settings) -> None:
    async with Ragkit.open(settings) as rag:
        link = Link.to(rag)
        assert await link.run(thread_of) == threading.current_thread().name
        with pytest.raises(RagkitError, match="await the asynchronous method"):
            link.wait(thread_of)


async def test_a_thread_can_wait_for_it(settings: Settings) -> None:
    async with Ragkit.open(settings) as rag:
        link = Link.to(rag)
        assert await asyncio.to_thread(link.wait, thread_of) == threading.current_thread().name


def test_without_a_loop_one_is_told_how_to_open_it(settings: Settings) -> None:
    async def opened() -> Ragkit:
        async with Ragkit.open(settings) as rag:
            return rag

    rag = asyncio.run(opened())
    with pytest.raises(ConfigError, match="open_blocking"):
        Link.to(rag)
