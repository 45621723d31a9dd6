"""Work in a fork that dies in the middle of it, while the process that has imported everything lives on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def environment() -> dict[str, str]:
    """For a script that is started by a test and uses this module."""
    paths = (str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def begin(work: Callable[[], object]) -> int:
    """The id of the fork, which ends with its work: nothing that it inherited is cleaned up there."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def end(pid: int) -> int:
    """How a fork ended: its exit code, less than zero where a signal killed it."""
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
