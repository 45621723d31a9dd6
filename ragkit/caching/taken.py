"""The prefix of one question while it is answered: what the line learns of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ragkit.bill import is_simulated
from ragkit.caching.line import Line
from ragkit.caching.warming import Writer
from ragkit.calls.attempt import Attempt
from ragkit.nouns import Prefix, Usage
from ragkit.prices.pricing import Band


@dataclass(slots=True)
class Taken:
    """The prefix of one question, and the way to tell what became of it."""

    prefix: Prefix
    line: Line
    needless: int = 0
    band: Band | None = None
    begun: float = 0.0
    seconds: int = 0
    writer: Writer | None = None
    _over: bool = field(default=False)

    def began(self) -> None:
        """The answer begins: from now on what was written can be read."""
        if self._in_force and not self._over:
            self.line.warm_until = max(self.line.warm_until, self.begun + self.seconds)
            self.line.touched, self.line.ttl = self.begun, self.prefix.ttl
        if self.writer is not None:
            self.writer.began()

    @property
    def _in_force(self) -> bool:
        """Whether the line still has this prefix: what becomes of one that was replaced counts for nothing."""
        version = self.line.version
        return version is not None and version.digest == self.prefix.digest

    def hearing(self, said: Callable[[str], None] | None) -> Callable[[str], None] | None:
        """Who hears an answer while it is written, and that it has begun."""
        if said is None:
            return None

        def hear(piece: str) -> None:
            self.began()
            said(piece)

        return hear

    def record(self, attempt: Attempt) -> None:
        """An attempt is over; only those of the kind's own model teach anything."""
        usage = attempt.usage
        if attempt.model != self.line.kind.model.id or usage is None or not usage.prompt:
            return
        simulated = is_simulated(attempt.request_id)
        self.line.balance.add(usage, self.needless, self.band, self.begun, simulated=simulated)
        self._credit(usage)
        if self.prefix.marked and not usage.cache_read and not usage.cache_written:
            self.line.balance.missed(self.begun)
            self._over = True
            if self._in_force:
                self.line.warm_until = 0.0
        elif attempt.outcome == "ok":
            self.began()

    def _credit(self, usage: Usage) -> None:
        """What was read only because somebody has kept it warm counts as won by that."""
        if self.prefix.ttl and usage.cache_read and self.band is not None and 0 < self.line.lapses <= self.begun:
            saved = self.band.price(f"cache_write_{self.prefix.ttl}") - self.band.price("cache_read")
            self.line.balance.won_pico += usage.cache_read * saved
        self.line.lapses = 0.0
