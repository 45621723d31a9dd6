"""A service account of Google Cloud whose tokens come from a server of the tests' own."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

if TYPE_CHECKING:
    import pytest

VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
FILE = "account.json"


def write_account(folder: Path, token_url: str) -> None:
    """The account's file, where `use_account` lets Google's library look for it."""
    account = {
        "type": "service_account",
        "client_email": "tests@p1.iam.gserviceaccount.com",
        "private_key": _key(),
        "token_uri": token_url,
    }
    (folder / FILE).write_text(json.dumps(account), encoding="utf-8")


def use_account(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(folder / FILE))


@cache
def _key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
