"""How long a question takes on 100,000 chunks, from its text to an answer whose receipt is on disk; no model's time.

`python bench/question.py [--data DIR] [--chunks N]`
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from pathlib import Path

from corpus import documents, questions, sentences
from figures import Figure, keep

from ragkit import Ragkit, load_settings
from ragkit_ingest.chunk import Sizes, chunk
from ragkit_ingest.limits import Limits
from ragkit_ingest.parse.markdown import parse

CHARACTERS_PER_DOCUMENT, SAMPLE = 40_000, 200
ASKED = 400
BAR_P50, BAR_P99 = 15.0, 50.0


async def measure(data: Path | None, chunks: int, folder: Path) -> None:
    pool = sentences(data)
    files = folder / "files"
    files.mkdir()
    count = round(chunks / _chunks_per_document(pool))
    for number, text in enumerate(documents(pool, count=count, characters=CHARACTERS_PER_DOCUMENT)):
        (files / f"{number:06}.md").write_text(text, encoding="utf-8")
    settings = load_settings(environment={}, overrides={"store": {"path": folder / "kb"}})
    async with Ragkit.open(settings) as rag:
        report = await rag.ingest(files)
        print(f"{report.chunks_added:,} chunks of {count:,} documents searchable in {report.seconds_searchable:.1f} s")
        asked = questions(pool, ASKED + 20)
        for question in asked[:20]:
            await rag.ask(question)
        times: list[float] = []
        stages: dict[str, list[float]] = {}
        for question in asked[20:]:
            began = time.perf_counter()
            answer = await rag.ask(question)
            times.append(1000 * (time.perf_counter() - began))
            for stage, seconds in answer.seconds.items():
                stages.setdefault(stage, []).append(1000 * seconds)
    _print(times, stages, report.chunks_added)


def _chunks_per_document(pool: list[str]) -> float:
    texts = documents(pool, count=SAMPLE, characters=CHARACTERS_PER_DOCUMENT)
    return sum(len(chunk(parse(text.encode(), Limits()), Sizes())) for text in texts) / SAMPLE


def _print(times: list[float], stages: dict[str, list[float]], chunks: int) -> None:
    p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    print(f"question p50 {p50:.1f} ms (bar {BAR_P50:.0f}), p99 {p99:.1f} ms (bar {BAR_P99:.0f})")
    print("  of it p50: " + ", ".join(f"{stage} {statistics.median(each):.2f}" for stage, each in stages.items()))
    keep(
        Figure(f"question on {chunks:,} chunks, p50", "ms", p50, "less", bar=BAR_P50),
        Figure(f"question on {chunks:,} chunks, p99", "ms", p99, "less", bar=BAR_P99),
    )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="real documents to compose from")
    parser.add_argument("--chunks", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(arguments.data, arguments.chunks, Path(folder)))


if __name__ == "__main__":
    main()
