"""Questions with the chunks that the default line would select for them, and what is known about their answers.

Every set gives answerable questions, and unanswerable ones made by taking the answer away: the whole article (easy, the
subject is gone) or only the passage that answers (hard, the subject is still there).
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ragkit.nouns import Chunk, Hit
from ragkit.rerankers.embedded import EmbeddedReranker
from ragkit.select import select
from ragkit.words.bm25 import encode_document, encode_query

TARGET = 1280
"""Characters per chunk, about 320 tokens."""

RETRIEVED = 40
LANGUAGES = ("de", "es", "ru")

Removed = Literal["nothing", "passage", "subject"]


@dataclass(frozen=True, slots=True)
class Case:
    """A question, its selected hits, and the truth: whether they hold the answer, and how the answer reads."""

    group: str
    question: str
    hits: tuple[Hit, ...]
    answerable: bool
    answers: tuple[str, ...]
    removed: Removed
    split: str
    """Cases with the same value never stand on both sides of a fold."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question before retrieval; `gold` tells a chunk that holds the answer."""

    text: str
    answers: tuple[str, ...]
    gold: Callable[[Chunk], bool]
    subject: str
    answerable: bool = True


class Index:
    """BM25 over chunks as the store scores them, small enough to score everything at once."""

    def __init__(self, chunks: list[Chunk]) -> None:
        self.chunks = chunks
        postings: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for place, chunk in enumerate(chunks):
            vector = encode_document(chunk.text)
            for term, value in zip(vector.indices, vector.values, strict=True):
                postings[term].append((place, value))
        self._postings = {
            term: (np.array([place for place, _ in found]), np.array([value for _, value in found]))
            for term, found in postings.items()
        }

    def search(self, question: str, without: Callable[[Chunk], bool]) -> list[Hit]:
        scores = np.zeros(len(self.chunks))
        for term in encode_query(question).indices:
            if term in self._postings:
                places, values = self._postings[term]
                idf = np.log(1 + (len(self.chunks) - len(places) + 0.5) / (len(places) + 0.5))
                scores[places] += idf * values
        order = [int(place) for place in np.argsort(-scores, kind="stable")[: 4 * RETRIEVED] if scores[place] > 0]
        kept = [place for place in order if not without(self.chunks[place])][:RETRIEVED]
        best = scores[kept[0]] if kept else 1.0
        return [
            Hit(self.chunks[place], float(scores[place] / best), rank, None, float(scores[place]))
            for rank, place in enumerate(kept, start=1)
        ]


def load_cases(data: Path) -> Iterator[Case]:
    """All cases of all sets found in the folder."""
    yield from _xquad(data, "en", everything=True)
    for language in LANGUAGES:
        yield from _xquad(data, language, everything=False)
    yield from _covid(data)
    yield from _qrels_set(data, "api_docs_qa", "queries.jsonl")
    yield from _qrels_set(data, "mtrag_un", "queries.jsonl.gz")


def rows(file: Path) -> list[dict[str, Any]]:
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def cut(row: dict[str, Any]) -> Iterator[Chunk]:
    """Paragraphs packed to the target size; a paragraph longer than twice that is cut at a line or blank."""
    text, start = row["text"], 0
    borders = [found.end() for found in re.finditer(r"\n\s*\n|(?<=[.!?])\s", text)] + [len(text)]
    title = row["title"] if not row["title"].startswith("article ") else ""
    for number, border in enumerate(borders):
        last = number + 1 == len(borders)
        if last or borders[number + 1] - start > TARGET:
            inner = text[start:border]
            if inner.strip():
                name = f"{row['id']}#{start}"
                yield Chunk(name, row["id"], row["id"], inner, start, border, 0, len(inner) // 4, title=title)
            start = border


def _cases(
    group: str, index: Index, asked: Iterable[Asked], same_subject: Callable[[Chunk, str], bool]
) -> Iterator[Case]:
    for question in asked:
        removals: list[tuple[Removed, Callable[[Chunk], bool]]] = [("nothing", lambda chunk: False)]
        if question.answerable:
            removals += [
                ("passage", question.gold),
                ("subject", lambda chunk, subject=question.subject: same_subject(chunk, subject)),  # type: ignore[misc]
            ]
        for removed, without in removals:
            hits = _select(question.text, index.search(question.text, without))
            answerable = question.answerable and any(question.gold(hit.chunk) for hit in hits)
            yield Case(group, question.text, hits, answerable, question.answers, removed, f"{group}:{question.subject}")


def _select(question: str, hits: list[Hit]) -> tuple[Hit, ...]:
    return select(asyncio.run(EmbeddedReranker().rerank(question, hits)).hits)


def _xquad(data: Path, language: str, *, everything: bool) -> Iterator[Case]:
    corpus = [row for row in rows(data / "xquad/corpus.jsonl.gz") if row["metadata"]["lang"] == language]
    noise = rows(data / "wiki_distractors/corpus.jsonl.gz") if language == "en" else []
    index = Index([chunk for row in (*corpus, *noise) for chunk in cut(row)])
    gold = _qrels(data / "xquad/qrels.tsv")
    article = {row["id"]: str(row["metadata"]["article"]) for row in corpus}
    asked = [
        Asked(row["text"], tuple(row["answers"]), _holds(gold[row["id"]], row["answers"]), str(row["article"]))
        for row in rows(data / "xquad/queries.jsonl.gz")
        if row["lang"] == language and (everything or int(row["base_id"][-2:], 16) % 4 == 0)
    ]
    group = "xquad" if language == "en" else f"xquad_{language}"
    yield from _cases(group, index, asked, lambda chunk, subject: article.get(chunk.document_id) == subject)


def _covid(data: Path) -> Iterator[Case]:
    index = Index([chunk for row in rows(data / "covid_qa/corpus.jsonl.gz") for chunk in cut(row)])
    gold = _qrels(data / "covid_qa/qrels.tsv")
    asked = []
    for row in rows(data / "covid_qa/queries.jsonl"):
        document = next(iter(gold[row["id"]]))
        middle = row["answer_start"][0] + len(row["answers"][0]) // 2
        holds = lambda chunk, d=document, m=middle: chunk.document_id == d and chunk.start <= m < chunk.end  # noqa: E731
        asked.append(Asked(row["text"], tuple(row["answers"]), holds, document))
    yield from _cases("covid_qa", index, asked, lambda chunk, subject: chunk.document_id == subject)


def _qrels_set(data: Path, group: str, queries: str) -> Iterator[Case]:
    index = Index([chunk for row in rows(data / group / "corpus.jsonl.gz") for chunk in cut(row)])
    gold = _qrels(data / group / "qrels.tsv")
    asked = []
    for row in rows(data / group / queries):
        label = row.get("answerability", "ANSWERABLE")
        if label in ("ANSWERABLE", "UNANSWERABLE"):
            right = gold[row["id"]]
            holds = lambda chunk, right=right: chunk.document_id in right  # noqa: E731
            subject = row.get("conversation_id", row["id"])
            asked.append(Asked(row["text"], tuple(row["answers"]), holds, subject, label == "ANSWERABLE"))
    removing_all_gold = (case for case in _cases(group, index, asked, lambda chunk, subject: False))
    yield from (case for case in removing_all_gold if case.removed != "subject")


def _qrels(file: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for line in file.read_text(encoding="utf-8").splitlines()[1:]:
        query, document, _ = line.split("\t")
        found[query].add(document)
    return found


def _holds(documents: set[str], answers: list[str]) -> Callable[[Chunk], bool]:
    return lambda chunk: chunk.document_id in documents and any(answer in chunk.text for answer in answers)
