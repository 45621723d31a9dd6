"""What adapters of models on this machine share, whatever runs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ragkit.errors import RagkitError, Unavailable
from ragkit.nouns import Usage


def model_folder(model: str) -> Path | None:
    """The folder that a model's name stands for, None for the name of a model elsewhere."""
    folder = Path(model).expanduser()
    return folder if folder.is_dir() else None


def short_name(model: str) -> str:
    """A folder's own name, so that an index does not depend on where the model lies."""
    folder = model_folder(model)
    return folder.resolve().name if folder else model


@contextmanager
def unavailable(name: str, what: str) -> Iterator[None]:
    """Whatever a model's files, its download or its runtime raise becomes an error of ours; nothing is billed."""
    try:
        yield
    except RagkitError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise Unavailable(f"{name} {what}: {reason}", usage=Usage(), sent=False) from error


def unit(vector: Sequence[float]) -> tuple[float, ...]:
    """The vector at length 1."""
    length = sum(value * value for value in vector) ** 0.5 or 1.0
    return tuple(value / length for value in vector)
