"""`ragkit ingest --wait` tells each round that brought something, and says so where there is nothing to wait for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ragkit.cli.ingest import ingest
from ragkit.errors import ConfigError
from ragkit.rag import Ragkit
from ragkit.vectors.report import Followed
from ragkit_ingest.report import IngestReport


def test_waiting_without_collecting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give it together with --collect"):
        ingest([tmp_path], wait=1.0, store=tmp_path / "index")
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("as_json", [False, True])
def test_each_round_that_brought_something_is_told(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rounds = iter([(2, 5), (0, 5), (4, 1), (1, 0)])

    class Rounds:
        async def ingest(self, *_: object, **__: object) -> IngestReport:
            given, waiting = next(rounds)
            return IngestReport(vectors=Followed((), given, waiting))

    @asynccontextmanager
    async def opened(*_: Any) -> AsyncIterator[Rounds]:
        yield Rounds()

    monkeypatch.setattr(Ragkit, "open", opened)
    ingest(collect=True, wait=0.0, as_json=as_json, store=tmp_path / "index")
    said = capsys.readouterr().out
    told = [f"vectors: {given} chunks got one" in said for given in (2, 4, 1)]
    assert next(rounds, None) is None
    assert told == [not as_json] * 3
    assert said.count("vectors:") == (0 if as_json else 3)
