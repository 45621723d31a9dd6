"""How fast files become searchable, beside the pipelines of LlamaIndex and Haystack on the same files.

`python bench/ingest.py [--data DIR] [--megabytes N]`. With data the files are real documentation, repeated under new
names; without, they are composed from our own pages. Each contender runs in a process of its own, one after the other.
The others are given the cheaper task: LlamaIndex reads, splits and remembers what it has seen, and indexes nothing;
Haystack reads, splits and counts words in memory. ragkit's files are searchable and on disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from figures import Figure, keep, table

BAR_SPEED, BAR_RATIO, BAR_UNCHANGED = 8.0, 5.0, 0.5
SUFFIXES = (".md", ".qmd", ".rst", ".txt")
MEGABYTES = 30
CHUNK_TOKENS, CHUNK_WORDS = 320, 220
"""About the same size for all of them."""
_WORD = re.compile(r"\b(?:the|and|for|with)\b")
Spent = dict[str, float]
"""Seconds on the clock, seconds of all processors, chunks, and MiB of memory at the most."""


def main(data: Path | None = None, megabytes: int = MEGABYTES) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files, size = compose(data, folder / "files", megabytes * 10**6)
        print(f"{files:,} files, {size / 1e6:.1f} MB of text", flush=True)
        spent = {who: _child(who, folder) for who, (package, _) in CONTENDERS.items() if find_spec(package)}
    found = _figures(spent, files, size / 1e6)
    print(", ".join(f"{who}: {each['chunks']:,.0f} chunks" for who, each in spent.items()))
    print(table(found))
    keep(*found)


def _figures(spent: dict[str, Spent], files: int, megabytes: float) -> list[Figure]:
    ours, peers = spent["ragkit"], {who: each for who, each in spent.items() if who != "ragkit"}
    speeds = {who: megabytes / each["seconds"] for who, each in peers.items()}
    processor = {who: each["processor"] / megabytes for who, each in peers.items()}
    memory = {who: each["memory"] for who, each in peers.items()}
    again = 1000 * ours["unchanged"] / files
    return [
        Figure("ingest, text to searchable", "MB/s", megabytes / ours["seconds"], "more", speeds, BAR_SPEED, BAR_RATIO),
        Figure("ingest, processor time", "s per MB", ours["processor"] / megabytes, "less", processor),
        Figure("ingest again, nothing changed", "s per 1,000 files", again, "less", bar=BAR_UNCHANGED),
        Figure("ingest, peak memory", "MiB", ours["memory"], "less", memory),
    ]


def compose(data: Path | None, target: Path, size: int) -> tuple[int, int]:
    """Real pages again and again, each copy with a word of its own, so that no two files are the same."""
    source = Path(__file__).parent.parent / "docs" if data is None else data / "docs_tree"
    pages = [(file, file.read_text(encoding="utf-8")) for file in sorted(source.rglob("*")) if file.suffix in SUFFIXES]
    files = written = 0
    while written < size:
        for file, text in pages:
            place = target / f"copy{files // len(pages):04}" / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            text = _WORD.sub(lambda match: f"{match[0]} w{files}", text, count=3)  # noqa: B023  used at once
            written += place.write_bytes(text.encode())
            files += 1
    return files, written


def _child(contender: str, folder: Path) -> Spent:
    command = [sys.executable, __file__, "--contender", contender, "--folder", str(folder)]
    quiet = os.environ | {"HAYSTACK_TELEMETRY_ENABLED": "False", "ANONYMIZED_TELEMETRY": "False"}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=quiet)
    found: Spent = json.loads(done.stdout.splitlines()[-1])
    return found


def _ragkit(folder: Path) -> Spent:
    return asyncio.run(_ingest(folder))


async def _ingest(folder: Path) -> Spent:
    from ragkit.settings import IngestSettings
    from ragkit.store import IndexSchema
    from ragkit.stores.edge import open_edge
    from ragkit_ingest.pipeline import Destination, chunking_name, ingest

    settings = IngestSettings()
    store = await open_edge(folder / "kb", IndexSchema(chunking_name(settings)), create=True)
    try:
        began = _processor_seconds()
        first = await ingest([folder / "files"], Destination(store), settings=settings)
        spent, memory = _processor_seconds() - began, _memory()
        again = await ingest([folder / "files"], Destination(store), settings=settings)
    finally:
        await store.aclose()
    if first.failures or again.added or again.updated:
        raise SystemExit(f"not a clean run: {first.failures[:3]}, {again.added} added again")
    clock = {"seconds": first.seconds_searchable, "unchanged": again.seconds}
    return clock | {"processor": spent, "chunks": first.chunks_added, "memory": memory}


def _processor_seconds() -> float:
    """Of this process and of its workers that have ended: what a loaded machine disturbs less than the clock."""
    import resource

    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + workers.ru_utime + workers.ru_stime


def _memory() -> float:
    """MiB of this process and its workers at the most: the largest of those that ended, as often as there are some.

    Nobody adds up what they hold at one moment. A child counts what its parent held when it was started, so that this
    is asked before a second run starts some.
    """
    import resource

    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (os.cpu_count() or 1)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + workers) / 1024


def _llama_index(folder: Path) -> Spent:
    from llama_index.core import SimpleDirectoryReader
    from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.core.storage.docstore import SimpleDocumentStore

    splitter = SentenceSplitter(chunk_size=CHUNK_TOKENS, chunk_overlap=0)
    seen = DocstoreStrategy.DUPLICATES_ONLY
    pipeline = IngestionPipeline(transformations=[splitter], docstore=SimpleDocumentStore(), docstore_strategy=seen)

    def work() -> int:
        documents = SimpleDirectoryReader(str(folder / "files"), recursive=True, filename_as_id=True).load_data()
        return len(pipeline.run(documents=documents))

    return _timed(work)


def _haystack(folder: Path) -> Spent:
    from haystack import Pipeline
    from haystack.components.converters import TextFileToDocument
    from haystack.components.preprocessors import DocumentSplitter
    from haystack.components.writers import DocumentWriter
    from haystack.document_stores.in_memory import InMemoryDocumentStore
    from haystack.document_stores.types import DuplicatePolicy

    pipeline = Pipeline()
    pipeline.add_component("read", TextFileToDocument(store_full_path=True))
    pipeline.add_component("split", DocumentSplitter(split_by="word", split_length=CHUNK_WORDS))
    pipeline.add_component("write", DocumentWriter(InMemoryDocumentStore(), policy=DuplicatePolicy.OVERWRITE))
    pipeline.connect("read", "split")
    pipeline.connect("split", "write")

    def work() -> int:
        files = [str(file) for file in (folder / "files").rglob("*") if file.is_file()]
        return int(pipeline.run({"read": {"sources": files}})["write"]["documents_written"])

    return _timed(work)


def _timed(work: Callable[[], int]) -> Spent:
    began, spent = time.perf_counter(), _processor_seconds()
    chunks = work()
    seconds, processor = time.perf_counter() - began, _processor_seconds() - spent
    return {"seconds": seconds, "processor": processor, "chunks": chunks, "memory": _memory()}


CONTENDERS: dict[str, tuple[str, Callable[[Path], Spent]]] = {
    "ragkit": ("ragkit", _ragkit),
    "LlamaIndex": ("llama_index", _llama_index),
    "Haystack": ("haystack", _haystack),
}
"""Who runs, if this package is there."""


def _contend(contender: str, folder: Path) -> None:
    print(json.dumps(CONTENDERS[contender][1](folder)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder that holds docs_tree")
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        _contend(arguments.contender, arguments.folder)
    else:
        main(arguments.data, arguments.megabytes)
