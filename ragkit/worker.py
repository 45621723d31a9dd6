"""A process that computes for a server: `python -P -m ragkit.worker` does the work that comes on stdin, and answers.

What comes is pickled by `ragkit.compute`, its parent, and by nobody else.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal

from ragkit.child import frame, read_frame, stdio

YIELDING = 10
"""How far its priority is below the server's, which answers sooner so where both want the same core."""
RARELY = 100_000
"""Texts are cut into many small tuples that hold no cycles: looking for some after every 700 of them is wasted time."""


def main() -> None:
    # When to stop is for the server to say, which gets the same signal and still has questions to answer.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(YIELDING)
    gc.set_threshold(RARELY, 20, 20)
    requests, answers = stdio()
    try:
        while payload := read_frame(requests):
            answers.write(frame(_run(payload)))
            answers.flush()
    except BrokenPipeError:
        os._exit(0)  # nobody is left to tell


def _run(payload: bytes) -> bytes:
    """Whether it went well, and the outcome or the error; one that cannot be sent is told in words."""
    try:
        outcome = True, pickle.loads(payload)()  # noqa: S301 - from the process that started this one
        return pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        return _told(error)


def _told(error: Exception) -> bytes:
    try:
        told = pickle.dumps((False, error), pickle.HIGHEST_PROTOCOL)
        pickle.loads(told)  # noqa: S301 - an error may be one that can be sent and not be read
    except Exception:
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")), pickle.HIGHEST_PROTOCOL)
    return told


if __name__ == "__main__":
    main()
