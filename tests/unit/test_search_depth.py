"""How many hits a search returns, and how many it looks at."""

from __future__ import annotations

from pathlib import Path

from ragkit import Ragkit, load_settings
from ragkit.nouns import Query

QUESTION = "How long is the warranty of the green pump?"


async def test_a_short_list_is_the_head_of_the_long_one(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for number in range(12):
        (files / f"{number}.md").write_text(
            f"# Part {number}\n\n" + "The green pump is long. The pump, green. " * number
        )
    (files / "answer.md").write_text(
        "# Terms\n\n" + "Bills are due in a month. " * 30 + "The pump has a warranty of years."
    )
    async with Ragkit.open(load_settings(environment={}, overrides={"store": {"path": tmp_path / "kb"}})) as rag:
        await rag.ingest(files)
        every = await rag.search(QUESTION)
        assert await rag.search(QUESTION, k=2) == every[:2]
        assert len(await rag.search(QUESTION, k=50)) == len(every)
        looked_at = await rag.search(Query(QUESTION, k=2))
    assert len(looked_at) == 2
    assert {hit.chunk.id for hit in looked_at} != {hit.chunk.id for hit in every[:2]}
