"""Traffic held against the rules of prompt caches: where a prefix broke, and how often it would have been read.

Requests come from a file, one JSON object a line with `at`, `model` and `body` as it went out (or `text`), or from the
ledger, which knows a prefix by its digest alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ragkit.caching.policy import SECONDS
from ragkit.errors import ConfigError
from ragkit.nouns import Receipt

EXCERPT = 60
"""Bytes shown from where two prompts part."""
PARTS = ("tools", "system", "systemInstruction", "instructions", "input", "messages", "contents")
"""The parts of a request's body in the order in which providers render them."""
MARKS = ("cache_control", "prompt_cache_breakpoint")


@dataclass(frozen=True, slots=True)
class Seen:
    """A request: `head` is what must stay the same, `read` what the provider says that it has read, None if unknown.

    `line` names the requests that can share a cache. Where nothing is marked, `marked` is False and all is head.
    """

    at: float
    line: str
    head: bytes
    marked: bool = True
    read: int | None = None


@dataclass(frozen=True, slots=True)
class Break:
    """A head that differs from the one before: from which byte on, and what stood there and stands there now."""

    request: int
    line: str
    byte: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """How many requests would have found their head in a cache of a lifetime, of those that had one."""

    ttl: str
    hits: int
    share: float


@dataclass(frozen=True, slots=True)
class Check:
    """`read` are the requests that did read, None where the traffic does not tell."""

    requests: int
    heads: int
    breaks: tuple[Break, ...]
    predictions: tuple[Prediction, ...]
    read: int | None


def check(traffic: Iterable[Seen]) -> Check:
    """Replay requests in the order of their time."""
    seen = sorted(traffic, key=lambda it: it.at)
    last: dict[str, Seen] = {}
    breaks = []
    for number, request in enumerate(seen, start=1):
        before = last.get(request.line)
        if request.head and before is not None and _broken(before, request):
            breaks.append(_break(number, before, request))
        if request.head:
            last[request.line] = request
    predictions = tuple(_predict(seen, ttl, seconds) for ttl, seconds in SECONDS.items())
    reads = [it.read for it in seen if it.read is not None]
    read = sum(tokens > 0 for tokens in reads) if reads else None
    return Check(len(seen), len({it.head for it in seen if it.head}), tuple(breaks), predictions, read)


def read_traffic(path: Path) -> list[Seen]:
    """Raises `ConfigError` with the number of a line that cannot be read."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(_from_json(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ConfigError(f"{path}, line {number}: not a request with at, model and body ({error})") from error
    return found


def from_receipts(receipts: Iterable[Receipt]) -> list[Seen]:
    """Each answer by a model, with the digest of its prefix in the place of its bytes."""
    return [
        Seen(
            receipt.at.timestamp(),
            f"{receipt.account.tenant} {event.model}",
            event.prefix.encode() if event.prefix else b"",
            read=event.usage.cache_read,
        )
        for receipt in receipts
        for event in receipt.events
        if event.kind == "generate"
    ]


def check_to_json(found: Check) -> dict[str, Any]:
    return asdict(found)


def check_to_text(found: Check) -> str:
    lines = [f"{found.requests:,} requests with {found.heads:,} different prefixes"]
    lines += [_break_text(it) for it in found.breaks[:20]]
    if len(found.breaks) > 20:
        lines.append(f"  and {len(found.breaks) - 20:,} more")
    told = "" if found.read is None else f"; {found.read:,} did read"
    shares = ", ".join(f"{it.ttl} {it.share:.0%}" for it in found.predictions)
    return "\n".join([*lines, f"would be read within: {shares}{told}"])


def _break_text(it: Break) -> str:
    return (
        f"  request {it.request} breaks the prefix at byte {it.byte:,}: {it.before!r} became {it.after!r} ({it.line})"
    )


def _from_json(told: Mapping[str, Any]) -> Seen:
    body = told.get("body") or {}
    model = str(told.get("model") or body.get("model") or "")
    at = told["at"]
    moment = datetime.fromisoformat(at).timestamp() if isinstance(at, str) else float(at)
    key = str(body.get("prompt_cache_key") or body.get("cache_salt") or "")
    if "text" in told:
        return Seen(moment, model, str(told["text"]).encode())
    if not body:
        raise ValueError("it has neither body nor text")
    rendered, marked = _head(body)
    return Seen(moment, f"{model} {key}".strip(), rendered, marked)


def _head(body: Mapping[str, Any]) -> tuple[bytes, bool]:
    """The body up to its last mark, the mark itself left out; all of it where there is none."""
    pieces: list[tuple[str, bool]] = []
    for name in PARTS:
        pieces += _pieces(body.get(name))
    last = max((place for place, (_, marked) in enumerate(pieces) if marked), default=None)
    kept = pieces if last is None else pieces[: last + 1]
    return "".join(text for text, _ in kept).encode("utf-8", "surrogatepass"), last is not None


def _pieces(value: object) -> list[tuple[str, bool]]:
    """Texts in their order, and whether a mark stands behind each."""
    if isinstance(value, str):
        return [(value, False)]
    if isinstance(value, Sequence):
        return [piece for item in value for piece in _pieces(item)]
    if not isinstance(value, Mapping):
        return [] if value is None else [(json.dumps(value), False)]
    marked = any(value.get(mark) for mark in MARKS)
    found = [piece for name, item in value.items() if name not in (*MARKS, "type") for piece in _pieces(item)]
    return [*found[:-1], (found[-1][0], True)] if marked and found else found


def _broken(before: Seen, after: Seen) -> bool:
    """Marked heads must be equal. Without marks a prompt ends as it likes, but should begin like the one before."""
    if before.marked and after.marked:
        return before.head != after.head
    return _common(before.head, after.head) < min(len(before.head), len(after.head)) // 4


def _break(number: int, before: Seen, after: Seen) -> Break:
    byte = _common(before.head, after.head)
    old, new = (head[byte : byte + EXCERPT].decode("utf-8", "replace") for head in (before.head, after.head))
    return Break(number, after.line, byte, old, new)


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two texts share from their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _predict(seen: Sequence[Seen], ttl: str, seconds: int) -> Prediction:
    """Every read refreshes an entry. Unmarked prompts count as read where a quarter of them is shared with the last."""
    alive: dict[tuple[str, bytes], float] = {}
    last: dict[str, Seen] = {}
    hits = asked = 0
    for request in seen:
        if not request.head:
            continue
        asked += 1
        if request.marked:
            touched = alive.get((request.line, request.head))
            alive[request.line, request.head] = request.at
        else:
            before = last.get(request.line)
            touched = before.at if before is not None and not _broken(before, request) else None
            last[request.line] = request
        hits += touched is not None and request.at - touched < seconds
    return Prediction(ttl, hits, hits / asked if asked else 0.0)
