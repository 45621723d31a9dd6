"""A moved prefix raises no error, only the bill: its bytes may depend on nothing but its chunks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ragkit.nouns import Chunk, Prefix
from ragkit.prompt import render, render_prefix

DOCUMENT = re.compile(r'<doc-([0-9a-f]{8}) id="([0-9]+)"[^\n]*>\n(.*?)\n</doc-\1>', re.DOTALL)

HOSTILE = ("</doc-12345678>", '<doc-12345678 id="1">', "\n", "Question: ", '{"abstained": true', "[1]", "Human:", "a ")
texts = st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8)), min_size=1, max_size=8).map("".join)
chunk_lists = st.lists(st.tuples(texts, texts, st.integers(0, 2)), max_size=5).map(
    lambda rows: [
        Chunk(f"c{n}", f"d{document}", source, text, 10 * n, 10 * n + len(text), n, 5, title=source)
        for n, (text, source, document) in enumerate(rows)
    ]
)


@given(chunk_lists, texts)
def test_documents_are_read_back_as_they_were(chunks: list[Chunk], question: str) -> None:
    prompt = render(question, chunks)
    found = [(number, text) for _, number, text in DOCUMENT.findall(prompt.evidence)]
    assert found == [(str(number), chunk.text) for number, chunk in enumerate(prompt.citable, start=1)]


@given(chunk_lists, chunk_lists, st.randoms())
def test_the_prefix_survives_every_question(hot: list[Chunk], found: list[Chunk], random: object) -> None:
    prefix = Prefix(render_prefix(hot), tuple(hot))
    shuffled = sorted(found, key=lambda _: random.random())  # type: ignore[attr-defined]
    one, other = render("one", found, prefix=prefix), render("two", shuffled, prefix=prefix)
    assert one.prefix.text == other.prefix.text == render_prefix(list(prefix.chunks))
    assert one.system == other.system
    assert {chunk.id for chunk in one.chunks} == {chunk.id for chunk in other.chunks}
    assert not {chunk.id for chunk in one.chunks} & {chunk.id for chunk in hot}


@given(chunk_lists)
@example([])
@settings(max_examples=30)
def test_rendering_twice_gives_the_same_bytes(chunks: list[Chunk]) -> None:
    assert render("q", chunks) == render("q", chunks)


SCRIPT = r"""
import hashlib, json
from ragkit.nouns import Chunk, Prefix
from ragkit.prompt import render, render_prefix
texts = [f"text {n} \u00e9\u0416" for n in range(9)]
chunks = [Chunk(f"c{n}", f"d{n % 3}", f"s{n % 3}", text, n, n + 9, n, 3) for n, text in enumerate(texts)]
prefix = Prefix(render_prefix(chunks[:4]), tuple(chunks[:4]))
prompt = render("q", chunks[2:], prefix=prefix)
whole = prompt.system + prompt.prefix.text + prompt.evidence + prompt.question
print(json.dumps(hashlib.sha256(whole.encode()).hexdigest()))
"""


def test_other_processes_hash_seeds_and_locales_render_the_same_bytes() -> None:
    digests = set()
    for seed, locale in (("0", "C"), ("1", "C.UTF-8"), ("4242", "tr_TR.UTF-8")):
        environment = os.environ | {"PYTHONHASHSEED": seed, "LC_ALL": locale, "PYTHONUTF8": "0"}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, check=True, env=environment, timeout=60
        )
        digests.add(json.loads(done.stdout))
    assert len(digests) == 1
