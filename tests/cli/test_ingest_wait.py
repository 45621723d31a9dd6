"""`ragkit ingest --wait` says so where there is nothing that it could wait for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.cli.ingest import ingest
from ragkit.errors import ConfigError


def test_waiting_without_collecting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give it together with --collect"):
        ingest([tmp_path], wait=1.0, store=tmp_path / "index")
    assert not (tmp_path / "index").exists()
