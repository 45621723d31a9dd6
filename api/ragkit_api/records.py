"""What the service keeps: keys, who did what with them, and what people thought of answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from ragkit.errors import ConfigError
from ragkit.ledgers.worker import Row, Session, Worker
from ragkit.settings import Settings
from ragkit.window import from_micros, micros
from ragkit_api.keys import Key, Ring, digest_of, mint, parse_scopes
from ragkit_api.tables import connect

T = TypeVar("T")
KEY = "id, tenant, name, scopes, digest, created, expires, revoked, rate"
FIND_KEY = f"SELECT {KEY} FROM api_key"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Deed:
    """A line of the audit log; `actor` is the id of a key, or where there is none who else it was."""

    actor: str
    tenant: str
    action: str
    subject: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Feedback:
    tenant: str
    key: str | None
    receipt: str
    rating: int
    comment: str


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key is made with; `rate` is in requests a minute."""

    tenant: str
    name: str = ""
    scopes: str = "query"
    lifetime: timedelta | None = None
    rate: int | None = None


class _Work:
    """A transaction without anything kept back."""

    retry = False

    def __init__(self, session: Session) -> None:
        self.session = session

    def flush(self) -> None: ...


class Records:
    """Open with `open_records`; `clock` tells the time of what is written."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._worker = Worker(lambda: connect(settings), _Work)

    async def ring(self) -> Ring:
        rows = await self._run(lambda session: session.execute(FIND_KEY))
        return Ring({row[0]: _key(row) for row in rows})

    async def keys(self, tenant: str | None = None) -> tuple[Key, ...]:
        """Keys by age, of one tenant or of all."""
        found = (await self.ring()).keys.values()
        mine = (key for key in found if tenant in (None, key.tenant))
        return tuple(sorted(mine, key=lambda key: (key.created, key.id)))

    async def create_key(self, new: NewKey, secret: bytes, actor: str) -> tuple[Key, str]:
        """The key and the whole of it, which nobody can see again."""
        id_, whole = mint()
        now, scopes = self._clock(), parse_scopes(new.scopes)
        expires = None if new.lifetime is None else now + new.lifetime
        key = Key(id_, new.tenant, new.name, scopes, digest_of(whole, secret), now, expires, rate=new.rate)
        deed = Deed(actor, key.tenant, "key.create", key.id, ",".join(key.scopes))
        await self._run(lambda session: self._write(session, _insert(key), deed))
        return key, whole

    async def rotate_key(self, key_id: str, secret: bytes, actor: str, overlap: timedelta) -> tuple[Key, str]:
        """A new key like an old one, which can be used until the overlap is over."""
        now = self._clock()
        old = await self._usable(key_id, now)
        id_, whole = mint()
        key = replace(old, id=id_, digest=digest_of(whole, secret), created=now)
        ends = micros(min(old.expires or now + overlap, now + overlap))
        end = ("UPDATE api_key SET expires = ? WHERE id = ?", (ends, key_id))
        deed = Deed(actor, key.tenant, "key.rotate", key_id, f"replaced by {id_}")
        await self._run(lambda session: self._write(session, _insert(key), end, deed))
        return key, whole

    async def revoke_key(self, key_id: str, actor: str) -> Key:
        now = self._clock()
        key = replace(await self._usable(key_id, now), revoked=now)
        end = ("UPDATE api_key SET revoked = ? WHERE id = ?", (micros(now), key_id))
        await self._run(lambda session: self._write(session, end, Deed(actor, key.tenant, "key.revoke", key_id)))
        return key

    async def note(self, deed: Deed) -> None:
        await self._run(lambda session: self._write(session, deed))

    async def deeds(self, tenant: str | None, limit: int = 100) -> tuple[tuple[datetime, Deed], ...]:
        """The latest lines of the audit log, newest first."""
        where, values = ("", ()) if tenant is None else ("WHERE tenant = ?", (tenant,))
        sql = f"SELECT at, actor, tenant, action, subject, detail FROM audit {where} ORDER BY at DESC LIMIT ?"  # noqa: S608
        rows = await self._run(lambda session: session.execute(sql, (*values, limit)))
        return tuple((from_micros(at), Deed(*rest)) for at, *rest in rows)

    async def add_feedback(self, it: Feedback) -> None:
        row = (micros(self._clock()), it.tenant, it.key, it.receipt, it.rating, it.comment)
        sql = "INSERT INTO feedback (at, tenant, access_key, receipt, rating, comment) VALUES (?, ?, ?, ?, ?, ?)"
        await self._run(lambda session: session.execute(sql, row))

    async def feedback(self, tenant: str, limit: int = 100) -> tuple[tuple[datetime, Feedback], ...]:
        """The latest, newest first."""
        sql = """SELECT at, tenant, access_key, receipt, rating, comment FROM feedback WHERE tenant = ?
            ORDER BY at DESC LIMIT ?"""
        rows = await self._run(lambda session: session.execute(sql, (tenant, limit)))
        return tuple((from_micros(at), Feedback(*rest)) for at, *rest in rows)

    async def aclose(self) -> None:
        await self._worker.aclose()

    async def _usable(self, key_id: str, now: datetime) -> Key:
        key = (await self.ring()).keys.get(key_id)
        if key is None:
            raise ConfigError(f"there is no key '{key_id}': `ragkit key list` shows their ids")
        if not key.usable(now):
            raise ConfigError(f"the key '{key_id}' is revoked or has expired: create a new one")
        return key

    async def _run(self, work: Callable[[Session], T]) -> T:
        return await self._worker.run(lambda it: work(it.session))

    def _write(self, session: Session, *steps: tuple[str, Sequence[Any]] | Deed) -> None:
        for step in steps:
            session.execute(*(step if isinstance(step, tuple) else _audit(step, self._clock())))


def _insert(key: Key) -> tuple[str, Sequence[Any]]:
    times = [None if at is None else micros(at) for at in (key.created, key.expires, key.revoked)]
    row = (key.id, key.tenant, key.name, ",".join(key.scopes), key.digest, *times, key.rate)
    return f"INSERT INTO api_key ({KEY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row  # noqa: S608


def _audit(deed: Deed, at: datetime) -> tuple[str, Sequence[Any]]:
    row = (micros(at), deed.actor, deed.tenant, deed.action, deed.subject, deed.detail)
    return "INSERT INTO audit (at, actor, tenant, action, subject, detail) VALUES (?, ?, ?, ?, ?, ?)", row


def _key(row: Row) -> Key:
    id_, tenant, name, scopes, digest, *times, rate = row
    created, expires, revoked = (None if at is None else from_micros(at) for at in times)
    assert created is not None  # noqa: S101  the column is never null
    return Key(id_, tenant, name, parse_scopes(scopes), digest, created, expires, revoked, rate)
