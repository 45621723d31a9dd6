"""What is known of a document beside its text, by which a search can be narrowed: `team` is `hr`.

It stands at the top of the file, or was given with the run that read it. What was given wins and stays with the
document until it is given anew, so that a nightly run need not repeat it, and no text can say otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ragkit.errors import ConfigError
from ragkit.nouns import DocumentRecord

WRITTEN, GIVEN = "meta.", "given."
"""Before the keys of a record's metadata."""
SOURCE = "source"
RESERVED = frozenset((SOURCE, "title", "tenant"))
MOST_KEYS, MOST_VALUES, LONGEST_VALUE = 16, 16, 100
_KEY = re.compile(r"[^\W\d][\w.-]{0,39}")
_LINE = re.compile(
    r"^(?P<key>[^\W\d][\w.-]{0,39})[^\S\n]*[:=][^\S\n]*(?P<value>[^\n]*)(?P<items>(?:\n[^\S\n]*-[^\S\n][^\n]*)*)", re.M
)
_ITEM = re.compile(r"[^,\[\]]+")


def check_given(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Metadata that somebody gives; an empty value takes a key back. `ConfigError` for what cannot be kept."""
    given = dict(pairs)
    for key, value in given.items():
        if not _KEY.fullmatch(key) or key in RESERVED:
            names = ", ".join(sorted(RESERVED))
            raise ConfigError(f"'{key}' cannot be a key of metadata: use a word of at most 40 letters, not {names}")
        if len(value) > LONGEST_VALUE or "\n" in value:
            raise ConfigError(f"the value of '{key}' is too long: {LONGEST_VALUE} characters on one line are allowed")
    if reason := too_many(given):
        raise ConfigError(reason)
    return given


def too_many(given: Mapping[str, str]) -> str:
    """Why that much metadata cannot be kept, empty where it can."""
    return f"{len(given)} keys of metadata are too many: {MOST_KEYS} are allowed" if len(given) > MOST_KEYS else ""


def written(front_matter: str) -> dict[str, str]:
    """The plain values and lists of words at the top of a file; the rest of it is nothing to search by.

    Several values of a key are the lines of one.
    """
    found: dict[str, str] = {}
    for match in _LINE.finditer(front_matter):
        values = list(filter(None, map(_plain, _values(match["value"], match["items"]))))
        fits = values and len(values) <= MOST_VALUES and all(len(value) <= LONGEST_VALUE for value in values)
        if fits and match["key"] not in RESERVED and len(found) < MOST_KEYS:
            found[WRITTEN + match["key"]] = "\n".join(dict.fromkeys(values))
    return found


def given_of(record: DocumentRecord | None) -> dict[str, str]:
    """What was given with the runs that read a document so far."""
    metadata = record.metadata if record else {}
    return {key.removeprefix(GIVEN): value for key, value in metadata.items() if key.startswith(GIVEN)}


def merged(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in sorted({**old, **new}.items()) if value}


def facts_of(record: DocumentRecord) -> tuple[tuple[str, str], ...]:
    """The equalities by which a document's chunks are found."""
    own = {key.removeprefix(WRITTEN): text for key, text in record.metadata.items() if key.startswith(WRITTEN)}
    known = {**own, **given_of(record)}
    return ((SOURCE, record.source), *((key, value) for key, text in known.items() for value in text.split("\n")))


def _values(value: str, items: str) -> list[str]:
    if items and not value:
        return [line.strip()[1:] for line in items.strip("\n").split("\n")]
    return _ITEM.findall(value) if value.startswith("[") else [value]


def _plain(value: str) -> str:
    """A scalar without its quotes and the comment behind it; nothing for what is more than that."""
    value = value.strip()
    if value[:1] in ("'", '"'):
        return value[1:].partition(value[0])[0].strip()
    return "" if value[:1] in ("{", "|", ">", "&", "*", "!", "#") else value.partition(" #")[0].strip()
