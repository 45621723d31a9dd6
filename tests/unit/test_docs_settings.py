"""The page on settings names every setting with its default."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ragkit.config import load_settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def block() -> str:
    found = re.search(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


def leaves(section: BaseModel, within: str = "") -> Iterator[tuple[str, Any]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{within}{name}.")
        else:
            yield within + name, value


def named() -> set[str]:
    """Every setting that the page names, also in a comment."""
    table, found = "", set()
    for line in block().splitlines():
        if header := re.match(r"\[([a-z.]+)\]", line):
            table = f"{header[1]}."
        elif key := re.match(r"(?:# )?([a-z_]+)\b", line):
            found.add(table + key[1])
    return found


def test_the_page_names_every_setting_and_no_other() -> None:
    assert named() == {name for name, _ in leaves(load_settings(environment={}))}


def test_the_values_on_the_page_are_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "ragkit.toml"
    file.write_text(block(), encoding="utf-8")
    assert tomllib.loads(block())
    assert load_settings(file, environment={}) == load_settings(environment={})
