"""Fault scripts: which request goes wrong, and how. Deterministic, also where a probability decides.

A script is a list of faults as TOML (`[[fault]]`), JSON or values; the first one that applies to a request is used.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

REJECTIONS: dict[str, int] = {
    "bad_request": 400,
    "context_too_long": 400,
    "auth": 401,
    "billing": 402,
    "permission": 403,
    "not_found": 404,
    "timeout_error": 408,
    "conflict": 409,
    "too_large": 413,
    "rate_limit": 429,
    "spend_limit": 429,
    "server_error": 500,
    "bad_gateway": 502,
    "unavailable": 503,
    "gateway_timeout": 504,
    "overloaded": 529,
}
"""Answered with an error before anything is generated: free."""
BROKEN = ("timeout", "reset", "html_error", "heartbeat")
"""Never answered, cut before the first byte, answered by some proxy's page, or kept alive with comments only: free."""
SPOILED = (
    "slow_first_token",
    "slow_tokens",
    "cut_stream",
    "stream_error",
    "no_terminal",
    "split_bytes",
    "malformed_json",
    "wrong_content_type",
    "missing_usage",
    "schema_break",
    "invented_quote",
    "obey",
    "refusal",
    "empty",
    "length",
)
"""Generated, hence billed, and then slow, cut, garbled or useless."""
KINDS = (*REJECTIONS, *BROKEN, *SPOILED, "expired")
"""`expired` is for requests within a batch."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail, for the requests that it matches.

    `nth` counts, from 1, the requests that match protocol, model and path; `every` takes each n-th of them. `times`
    ends it. `after` is in events of a stream, `after_bytes` in bytes. `seconds` is real time. `billed` makes a
    `timeout` cost what it would have cost.
    """

    kind: str
    protocol: str | None = None
    model: str | None = None
    path: str | None = None
    nth: tuple[int, ...] = ()
    every: int | None = None
    times: int | None = None
    probability: float = 1.0
    seconds: float = 0.0
    retry_after: str | None = None
    status: int | None = None
    code: str | None = None
    after: int | None = None
    after_bytes: int | None = None
    billed: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault '{self.kind}': valid are {', '.join(sorted(KINDS))}")

    def concerns(self, protocol: str, model: str, path: str) -> bool:
        return (
            self.protocol in (None, protocol)
            and (self.model is None or self.model == model)
            and (self.path is None or path.endswith(self.path))
        )


def read_fault(values: Mapping[str, Any]) -> Fault:
    """A fault from a table; an unknown key is an error, `nth` may be one number, `retry_after` a number or text."""
    names = {field.name for field in fields(Fault)}
    if unknown := sorted(set(values) - names):
        raise ValueError(f"unknown key '{unknown[0]}' in a fault: valid are {', '.join(sorted(names))}")
    settings = dict(values)
    nth = settings.get("nth", ())
    settings["nth"] = (nth,) if isinstance(nth, int) else tuple(nth)
    if settings.get("retry_after") is not None:
        settings["retry_after"] = str(settings["retry_after"])
    return Fault(**settings)


def read_script(file: Path) -> tuple[Fault, ...]:
    """The faults of a `.toml` or `.json` file."""
    text = file.read_text(encoding="utf-8")
    values = tomllib.loads(text).get("fault", []) if file.suffix == ".toml" else json.loads(text)
    return tuple(read_fault(value) for value in values)


class Faults:
    """The script in force. `seed` decides, with the number of the request, where a probability applies."""

    def __init__(self, script: Iterable[Fault] = (), *, seed: int = 0) -> None:
        self.seed = seed
        self.set(script)

    @property
    def script(self) -> tuple[Fault, ...]:
        return self._script

    def set(self, script: Iterable[Fault], *, seed: int | None = None) -> None:
        """Replace the script and start to count anew."""
        self._script = tuple(script)
        self.seed = self.seed if seed is None else seed
        self._seen = [0] * len(self._script)
        self._used = [0] * len(self._script)

    def add(self, *faults: Fault) -> None:
        """More faults behind those in force; counts go on."""
        self._script += faults
        self._seen += [0] * len(faults)
        self._used += [0] * len(faults)

    def next(self, protocol: str, model: str, path: str) -> Fault | None:
        """The fault for this request; every fault that concerns it counts it, also when another one is used."""
        chosen = None
        for place, fault in enumerate(self._script):
            if not fault.concerns(protocol, model, path):
                continue
            self._seen[place] += 1
            if chosen is None and self._applies(place, fault):
                self._used[place] += 1
                chosen = fault
        return chosen

    def _applies(self, place: int, fault: Fault) -> bool:
        number = self._seen[place]
        if fault.times is not None and self._used[place] >= fault.times:
            return False
        if fault.nth and number not in fault.nth:
            return False
        if fault.every is not None and number % fault.every:
            return False
        return _chance(self.seed, place, number) < fault.probability


def _chance(seed: int, place: int, number: int) -> float:
    digest = hashlib.blake2b(f"{seed}/{place}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def describe(script: Sequence[Fault]) -> list[dict[str, Any]]:
    """The script as JSON values, without what is at its default."""
    plain = Fault("timeout")
    names = [field.name for field in fields(Fault)]
    return [
        {name: getattr(fault, name) for name in names if name == "kind" or getattr(fault, name) != getattr(plain, name)}
        for fault in script
    ]
