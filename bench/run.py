"""Every benchmark of speed, one after the other, each in a process of its own: `make bench`.

`python bench/run.py [--data DIR] [--json] [NAME...]`. Quote ratios and medians: absolute times depend on the machine,
and on what else runs on it. With `--json` what each one says goes to stderr, and the figures to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import figures

HERE = Path(__file__).parent
BENCHES = {
    "ingest": ("how fast files become searchable, beside LlamaIndex and Haystack", True),
    "question": ("how long a question takes on 100,000 chunks", True),
    "price": ("what pricing a call takes, beside LiteLLM", False),
    "ledger": ("how fast money is held", False),
    "costpath": ("what a question pays for knowing its cost", False),
}
"""Script, what it measures, and whether it takes `--data`."""
PACKAGES = ("ragkit", "qdrant-edge-py", "llama-index-core", "haystack-ai", "litellm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(BENCHES)}; without, all")
    parser.add_argument("--data", type=Path, help="real documents to measure on")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    machine = describe()
    out = sys.stderr if arguments.json else sys.stdout
    print(", ".join(f"{name} {value}".strip() for name, value in machine.items()), file=out, flush=True)
    found = measure(arguments.names or list(BENCHES), arguments.data, quiet=arguments.json)
    if arguments.json:
        print(json.dumps({"machine": machine, "figures": [figures.to_json(each) for each in found]}, indent=2))
    else:
        print(f"\n{figures.table(found)}")


def measure(names: list[str], data: Path | None, *, quiet: bool) -> list[figures.Figure]:
    """Run the benchmarks; their own words appear as they come."""
    out = sys.stderr if quiet else sys.stdout
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "figures.jsonl"
        for name in names:
            what, takes_data = BENCHES[name]
            print(f"\n== {name}: {what}", file=out, flush=True)
            command = [
                sys.executable,
                str(HERE / f"{name}.py"),
                *(["--data", str(data)] if data and takes_data else []),
            ]
            subprocess.run(command, check=True, stdout=out, env=os.environ | {figures.KEPT_IN: str(kept)})
        return figures.read(kept)


def describe() -> dict[str, str]:
    """The machine, and what was measured on it."""
    about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "cores": str(os.cpu_count()), "processor": _processor()}
    if hasattr(os, "getloadavg"):
        about["load before"] = f"{os.getloadavg()[0]:.1f}"
    return about | {"Python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


if __name__ == "__main__":
    main()
