"""What is written is run, and the shape of the project is kept: layers, light imports, file sizes, wheel, docs."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ragkit

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "ragkit": ROOT / "ragkit",
    "ragkit_ingest": ROOT / "ingest" / "ragkit_ingest",
    "ragkit_api": ROOT / "api" / "ragkit_api",
    "ragkit_eval": ROOT / "eval" / "ragkit_eval",
}
HEAVY = ("torch", "llama_index", "qdrant_client", "openai", "anthropic", "google.genai", "numpy", "fastapi", "pydantic")
STAGES = ("retrieve", "reorder", "select", "evidence", "route", "prompt", "generate", "citation")
EDGES = ("cli", "rag", "index", "parts", "checkout")
LONGEST_FILE = 350


def modules(package: str) -> list[Path]:
    return sorted(PACKAGES[package].rglob("*.py"))


def imports(file: Path) -> set[str]:
    """Modules that a file imports, those for types only and those within functions included."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return found | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_another_stage(stage: str) -> None:
    others = {f"ragkit.{other}" for other in (*STAGES, *EDGES) if other != stage}
    assert not imports(PACKAGES["ragkit"] / f"{stage}.py") & others


def test_only_edges_import_the_centre() -> None:
    allowed = {"cli", "rag.py", "once.py", "__init__.py", "__main__.py", "adapters"}
    for file in modules("ragkit"):
        if file.relative_to(PACKAGES["ragkit"]).parts[0] not in allowed:
            assert "ragkit.rag" not in imports(file), file
            assert not any(name.startswith("ragkit.cli") for name in imports(file)), file


def test_the_library_imports_no_other_package_of_ours_but_at_its_edges() -> None:
    for file in modules("ragkit"):
        ours = {name.partition(".")[0] for name in imports(file)} & {"ragkit_api", "ragkit_eval", "ragkit_ingest"}
        if file.relative_to(PACKAGES["ragkit"]).parts[0] not in {"cli", "rag.py", "index.py"}:
            assert not ours, file


def test_ingest_and_library_do_not_know_the_service_or_the_eval() -> None:
    for file in modules("ragkit_ingest"):
        assert not {name.partition(".")[0] for name in imports(file)} & {"ragkit_api", "ragkit_eval"}, file


@pytest.mark.parametrize("statement", ["import ragkit", "import ragkit.cli"])
def test_importing_loads_nothing_heavy(statement: str) -> None:
    loaded = loaded_by(statement)
    assert not {name for name in HEAVY if name in loaded}


@pytest.mark.parametrize("module", ["ragkit.rag", "ragkit_ingest.pipeline"])
def test_the_way_of_a_question_loads_no_optional_package(module: str) -> None:
    assert not {name for name in HEAVY if name != "pydantic"} & loaded_by(f"import {module}")


@pytest.mark.parametrize("package", PACKAGES)
def test_files_stay_small(package: str) -> None:
    for file in modules(package):
        lines = len(file.read_text(encoding="utf-8").splitlines())
        assert lines <= LONGEST_FILE, f"{file.relative_to(ROOT)} has {lines} lines: split it"


def test_every_public_name_is_importable_and_sorted() -> None:
    assert list(ragkit.__all__) == sorted(ragkit.__all__)
    for name in ragkit.__all__:
        assert getattr(ragkit, name) is not None


def test_the_version_is_told_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == ragkit.__version__


def test_the_wheel_holds_the_four_packages_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert [Path(package).name for package in packages] == list(PACKAGES)


def test_the_readme_names_commands_that_the_makefile_has() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in readme
        assert f"\n{target}:" in makefile
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_test_switches_are_no_settings() -> None:
    """Switches of the suite must not reach the settings of the commands that it runs."""
    assert not [name for name in os.environ if name.startswith("RAGKIT_") and not name.startswith("RAGKIT_TEST_")]
