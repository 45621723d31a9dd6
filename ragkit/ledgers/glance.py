"""A look at the ledger on the caller's own thread: the way to another thread and back takes ten times as long.

Only for reads of a few rows that are in memory anyway, over a connection that waits for nobody: whatever cannot be read
at once is left to the reader beside the event loop, which also says what is wrong with the ledger.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from ragkit.errors import LedgerError
from ragkit.ledgers.books import Books, BudgetCache
from ragkit.ledgers.worker import Session

T = TypeVar("T")


class Glance:
    """One connection that is opened beforehand, used by one thread at a time, and dropped when a look fails."""

    def __init__(self, connect: Callable[[], Session], now: Callable[[], int]) -> None:
        self._connect = connect
        self._now = now
        self._cache = BudgetCache()
        self._session: Session | None = None
        self._turn = threading.Lock()
        self._closed = False

    def open(self) -> None:
        """Takes about a millisecond, so not on the event loop; nothing is said where it fails."""
        if self._session is not None or not self._turn.acquire(blocking=False):
            return
        try:
            if self._session is None and not self._closed:
                self._session = self._connect()
        except LedgerError:
            return
        finally:
            self._turn.release()

    def read(self, work: Callable[[Books], T]) -> T | None:
        """What `work` reads, None where it cannot be read at once."""
        if self._session is None or not self._turn.acquire(blocking=False):
            return None
        try:
            return self._read(self._session, work)
        except LedgerError:
            self._drop()
            return None
        except BaseException:
            self._drop()  # an open transaction would keep the ledger's log from being written back
            raise
        finally:
            self._turn.release()

    def close(self) -> None:
        with self._turn:
            self._closed = True
            self._drop()

    def _read(self, session: Session, work: Callable[[Books], T]) -> T:
        session.begin()
        found = work(Books(session, self._now(), self._cache))
        session.commit()
        return found

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(LedgerError):
                session.close()
