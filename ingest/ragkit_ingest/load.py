"""Finds the files to ingest and gives each a name that stays the same from run to run."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ragkit.errors import ConfigError
from ragkit_ingest.sniff import NOISE

JUNK_FOLDERS = frozenset(("__pycache__", "node_modules", "site-packages", "venv", "CVS", "__MACOSX"))


@dataclass(frozen=True, slots=True)
class Found:
    """A file; `base` joined with `source` is its path. `source` is relative, with forward slashes on every system."""

    base: str
    source: str
    size: int
    mtime_ns: int

    @property
    def path(self) -> str:
        return f"{self.base}/{self.source}"


@dataclass(frozen=True, slots=True)
class Root:
    """A folder or file that was named: what lies in it and is not found any more has vanished."""

    base: str
    source: str

    @property
    def path(self) -> str:
        return f"{self.base}/{self.source}" if self.source else self.base

    def holds(self, path: str) -> bool:
        return is_within(path, self.path)

    def covers(self, source: str) -> bool:
        """Whether a document of this name came from here."""
        return not self.source or source == self.source or source.startswith(f"{self.source}/")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything found, sorted by source.

    `skipped` are files that nobody expects to be read, like images; `unreadable` are sources with the reason, and
    `unlisted` the paths behind them: nobody knows what lies there.
    """

    roots: tuple[Root, ...]
    files: tuple[Found, ...]
    skipped: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    unlisted: tuple[str, ...]


def is_within(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def check_paths(paths: Sequence[str | Path], *, here: Path | None = None) -> tuple[Root, ...]:
    """Where names begin under each path; one that does not exist is a `ConfigError`."""
    if not paths:
        raise ConfigError("nothing to ingest: name a file or a folder")
    here = (here or Path.cwd()).resolve()
    return tuple(_root(Path(path), here) for path in paths)


def load(paths: Sequence[str | Path], *, here: Path | None = None) -> Loaded:
    """Find the files under `paths`, each once; a path that does not exist is a `ConfigError`."""
    roots = check_paths(paths, here=here)
    files: dict[str, Found] = {}
    skipped: set[str] = set()
    unreadable: dict[str, str] = {}
    unlisted: set[str] = set()
    for root in roots:
        walk = _Walk(root.path)
        for path, status in walk.files():
            if path != root.path and _is_noise(path):
                skipped.add(path)
            else:
                files.setdefault(path, Found(root.base, _source(root, path), status.st_size, status.st_mtime_ns))
        unreadable.update((_source(root, path) or root.path, reason) for path, reason in walk.unreadable)
        unlisted.update(path for path, _ in walk.unreadable)
    by_source = sorted(files.values(), key=lambda found: found.source)
    left_out = tuple(sorted(skipped - files.keys()))
    return Loaded(roots, tuple(by_source), left_out, tuple(sorted(unreadable.items())), tuple(sorted(unlisted)))


def _root(path: Path, here: Path) -> Root:
    """Under the working directory names start there; elsewhere they start with the name of what was given."""
    full = Path(os.path.abspath(here / path))  # noqa: PTH100  keeps the name of a link that was given
    if not full.exists():
        raise ConfigError(f"no such file or folder: {path}")
    base = here if full.is_relative_to(here) else full.parent
    source = full.relative_to(base).as_posix()
    return Root(base.as_posix().rstrip("/"), "" if source == "." else source)


def _source(root: Root, path: str) -> str:
    return path[len(root.base) + 1 :]


class _Walk:
    """The files below a path, in order, without hidden ones.

    Links are followed last, and only when they stay inside the root and lead to something not found yet: a folder may
    not pull in what lies outside it, and a loop is a folder seen before.
    """

    def __init__(self, root: str) -> None:
        self.unreadable: list[tuple[str, str]] = []
        self._root = root
        self._seen: set[tuple[int, int]] = set()
        self._links: list[str] = []

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        status = Path(self._root).stat()
        if not stat.S_ISDIR(status.st_mode):
            yield self._root, status
            return
        yield from self._folder(self._root, status)
        inside = os.path.realpath(self._root) + os.sep
        for link in self._links:  # grows while links lead to folders with links
            if os.path.realpath(link).startswith(inside):
                yield from self._link(link)

    def _link(self, link: str) -> Iterator[tuple[str, os.stat_result]]:
        try:
            status = Path(link).stat()
        except OSError:
            return  # leads nowhere
        if stat.S_ISDIR(status.st_mode):
            yield from self._folder(link, status)
        elif stat.S_ISREG(status.st_mode) and self._first(status):
            yield link, status

    def _folder(self, folder: str, status: os.stat_result) -> Iterator[tuple[str, os.stat_result]]:
        pending = [folder] if self._first(status) else []
        while pending:
            folders = []
            for entry in self._entries(pending.pop()):
                if entry.is_symlink():
                    self._links.append(_slashed(entry.path))
                elif entry.is_dir():
                    if entry.name not in JUNK_FOLDERS and self._first(entry.stat()):
                        folders.append(_slashed(entry.path))
                elif entry.is_file() and self._first(status := entry.stat()):
                    yield _slashed(entry.path), status
            pending.extend(reversed(folders))

    def _first(self, status: os.stat_result) -> bool:
        """Whether a file or folder is met for the first time, under whatever name."""
        identity = (status.st_dev, status.st_ino)
        first = identity not in self._seen or not status.st_ino
        self._seen.add(identity)
        return first

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                visible = [entry for entry in entries if not entry.name.startswith((".", "~$"))]
        except OSError as error:
            self.unreadable.append((folder, f"cannot be listed: {error.strerror}"))
            return []
        return sorted((entry for entry in visible if self._nameable(entry)), key=lambda entry: entry.name)

    def _nameable(self, entry: os.DirEntry[str]) -> bool:
        """A name that is no text can be neither shown nor stored."""
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            shown = entry.path.encode("utf-8", "backslashreplace").decode()
            self.unreadable.append((shown, "has a name that is not valid UTF-8: rename it"))
            return False
        return True


def _slashed(path: str) -> str:
    return path if os.sep == "/" else PurePath(path).as_posix()


def _is_noise(path: str) -> bool:
    path = path.lower()
    return path.endswith(".min.js") or os.path.splitext(path)[1] in NOISE  # noqa: PTH122  for thousands of paths
