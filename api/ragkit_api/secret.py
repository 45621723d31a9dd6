"""The secret that keys are hashed with: a setting, or a file that only its owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ragkit.errors import ConfigError
from ragkit.settings import Settings

FILE_NAME = "service.secret"
SHORTEST = 32


def read_secret(settings: Settings) -> bytes:
    """The secret; it is made on first use where the settings hold none."""
    if settings.api.secret is not None:
        given = settings.api.secret.get_secret_value().encode()
        if len(given) < SHORTEST:
            raise ConfigError(f"[api] secret is too short: use {SHORTEST} random characters or more")
        return given
    file = settings.store.path / FILE_NAME
    try:
        return _made(file)
    except OSError as error:
        raise ConfigError(f"cannot read or make {file}: {error.strerror}; set RAGKIT_API_SECRET instead") from error


def _made(file: Path) -> bytes:
    """Whoever comes second reads what the first has written whole."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48), encoding="ascii")
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_bytes()
