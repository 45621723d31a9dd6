"""A suite: data sets, set-ups to compare on them, and how to run them; read from one TOML file.

    name = "chunks"
    mode = "twin"

    [[data]]
    path = "cases.jsonl"
    documents = ["docs"]

    [setup.five]

    [setup.three.select]
    maximum = 3

A set-up is an overlay of the settings, in the shape of `ragkit.toml`. `system` in a set-up names another framework.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ragkit.errors import ConfigError
from ragkit_eval.loaders import Format, Source, guess_format, known_source

Mode = Literal["twin", "live", "batch"]
System = Literal["ragkit", "llama-index", "haystack"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataTable(_Table):
    """A `[[data]]` table; `set` is one of a folder of BEIR sets, `path` anything else."""

    name: str = ""
    path: Path | None = None
    set: str = ""
    format: Format | None = None
    documents: tuple[Path, ...] = ()
    lang: str | None = None
    sample: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _named(self) -> DataTable:
        if (self.path is None) == (not self.set):
            raise ValueError("name either `path` or, with --data, `set`")
        return self


class Setup(_Table):
    """What is compared: settings laid over the usual ones, or another framework on the same documents and models."""

    name: str
    overlay: Mapping[str, Any] = Field(default_factory=dict)
    system: System = "ragkit"


class Suite(_Table):
    """Everything a run needs; set-ups are compared with the `baseline`, without one with the first."""

    name: str = "suite"
    mode: Mode = "twin"
    seeds: tuple[int, ...] = (0,)
    parallel: int = Field(default=4, ge=1, le=64)
    baseline: str = ""
    data: tuple[DataTable, ...] = Field(min_length=1)
    setups: tuple[Setup, ...] = Field(min_length=1)
    judge: str = ""
    """A model, `PROVIDER/MODEL`, that grades answers; empty for none."""

    @model_validator(mode="after")
    def _known_baseline(self) -> Suite:
        if self.baseline and self.baseline not in {setup.name for setup in self.setups}:
            raise ValueError(f"baseline '{self.baseline}' is no set-up")
        return self

    @property
    def reference(self) -> str:
        return self.baseline or self.setups[0].name

    def sources(self, here: Path, data: Path | None) -> tuple[Source, ...]:
        """Where the data is; paths are relative to the suite's own folder."""
        return tuple(_source(table, here, data) for table in self.data)


def read_suite(file: Path) -> Suite:
    """Raises `ConfigError` with the place and the reason."""
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
        told["setups"] = [_setup(name, dict(table)) for name, table in told.pop("setup", {}).items()]
        return Suite.model_validate(told)
    except OSError as error:
        raise ConfigError(f"cannot read the suite {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise ConfigError(f"the suite {file} is not valid: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the suite"
        raise ConfigError(f"{file}: {place}: {first['msg'].removeprefix('Value error, ')}") from error


def _setup(name: str, table: dict[str, Any]) -> dict[str, Any]:
    system = table.pop("system", "ragkit")
    return {"name": name, "system": system, "overlay": table}


def _source(table: DataTable, here: Path, data: Path | None) -> Source:
    if table.path is None:
        if data is None:
            raise ConfigError(f"the set '{table.set}' lies in a folder of sets: name it with --data DIR")
        known = known_source(data, table.set)
        return Source(
            table.name or table.set, "beir", known.path, known.documents, table.lang or known.lang, table.sample
        )
    path = here / table.path
    documents = tuple(here / document for document in table.documents)
    name = table.name or path.stem
    return Source(name, table.format or guess_format(path), path, documents, table.lang, table.sample)
