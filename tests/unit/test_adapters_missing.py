"""An adapter without its framework says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.modules[{package!r}] = None  # what Python does for a package that cannot be imported
from ragkit.errors import MissingExtra
try:
    import {module}
except MissingExtra as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("ragkit.adapters.llama_index", "llama_index", "llama-index"),
        ("ragkit.adapters.langchain", "langchain_core", "langchain"),
    ],
)
def test_the_error_holds_the_install_line(module: str, package: str, extra: str) -> None:
    program = PROGRAM.format(module=module, package=package)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"pip install 'ragkit[{extra}]'" in ran.stdout
