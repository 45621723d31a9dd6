"""API keys: random, shown once, kept as HMAC. Pure; `records` keeps them."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from ragkit.errors import ConfigError

Scope = Literal["query", "ingest", "admin", "metrics"]

SCOPES: tuple[Scope, ...] = get_args(Scope)
SHAPE = re.compile(r"rk_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
NOBODY = "0" * 64
"""Compared with where there is no such key, so that an unknown name takes as long as a wrong secret."""


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; `digest` is the HMAC of the whole of it, `rate` its requests a minute."""

    id: str
    tenant: str
    name: str
    scopes: tuple[Scope, ...]
    digest: str
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    rate: int | None = None

    def usable(self, now: datetime) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)


@dataclass(frozen=True, slots=True)
class Ring:
    """All keys, to find the one that a request shows."""

    keys: Mapping[str, Key] = field(default_factory=dict)

    def find(self, shown: str, secret: bytes, now: datetime) -> Key | None:
        """The key that was shown, if it may be used; as slow for a name that is unknown as for a wrong secret."""
        shape = SHAPE.fullmatch(shown)
        key = self.keys.get(shape[1]) if shape else None
        same = hmac.compare_digest(digest_of(shown, secret), key.digest if key else NOBODY)
        return key if key is not None and same and key.usable(now) else None


def mint() -> tuple[str, str]:
    """The id and the whole of a new key: 256 random bits."""
    id_ = "".join(secrets.choice(ALPHABET) for _ in range(12))
    return id_, f"rk_{id_}_{secrets.token_urlsafe(32)}"


def digest_of(key: str, secret: bytes) -> str:
    return hmac.new(secret, key.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def parse_scopes(text: str) -> tuple[Scope, ...]:
    """`query,ingest` as scopes, in their own order."""
    asked = {part.strip() for part in text.split(",") if part.strip()}
    if not asked or not asked <= set(SCOPES):
        raise ConfigError(f"'{text}' are no scopes: use {', '.join(SCOPES)}, separated by commas")
    return tuple(scope for scope in SCOPES if scope in asked)
