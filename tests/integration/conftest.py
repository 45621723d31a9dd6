"""What tests of the whole line share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ragkit_eval.twin.fixture import RunningTwin, running_twin


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    """A new twin by the clock on the wall; whoever needs one with faults or a clock of its own has a fixture for it."""
    with running_twin() as running:
        yield running
