"""A twin that the tests of a file share, as new for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ragkit_eval.twin import RunningTwin, start_twin


@pytest.fixture(scope="module")
def running() -> Iterator[RunningTwin]:
    with start_twin() as twin:
        yield twin


@pytest.fixture
def twin(running: RunningTwin) -> RunningTwin:
    running.reset()
    running.faults.set([])
    return running
