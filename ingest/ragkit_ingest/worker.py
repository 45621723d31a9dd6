"""A parser process: `python -P -m ragkit_ingest.worker` answers jobs on stdin with outcomes on stdout."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from pathlib import Path
from typing import BinaryIO

from ragkit.child import frame, read_frame, stdio
from ragkit_ingest.limits import Limits
from ragkit_ingest.wire import pack_outcome, unpack_job, unpack_recipe
from ragkit_ingest.work import work

PIPE_BYTES = 1 << 20
"""Some tenths of a second of a worker's answers; 64 KiB, the usual, would make it wait most of the time."""


def main() -> None:
    requests, answers = stdio()
    widen(answers)
    try:
        serve(requests, answers)
    except BrokenPipeError:
        os._exit(0)  # nobody is left to tell


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the requests end; the first one is the recipe."""
    recipe = unpack_recipe(read_frame(requests))
    # Texts are cut into many small tuples that hold no cycles: looking for some after every 700 of them is wasted time.
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    limit_memory(recipe.limits)
    answers.write(frame(b"ready"))
    answers.flush()
    while payload := read_frame(requests):
        if outcome := work(unpack_job(payload), recipe):
            answers.write(frame(pack_outcome(outcome)))
            answers.flush()


def widen(pipe: BinaryIO) -> None:
    """Have the system hold more of what the parent has not read yet: while it writes it does not read."""
    if sys.platform.startswith("linux"):
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def limit_memory(limits: Limits) -> None:
    """Bound the address space where the system can; what is mapped already does not count."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    mapped = int(pages) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + limits.memory, mapped + limits.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
