"""Reads data sets: folders in the format of BEIR, files in that of SQuAD, and lines of JSON.

A BEIR folder holds `corpus.jsonl`, `queries.jsonl` and `qrels.tsv` (or `qrels/*.tsv`), plain or with `.gz`. Beside the
usual fields a query may have `answers`, `answerable` or `answerability`, `history`, `lang` and `type`.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ragkit.errors import ConfigError
from ragkit.nouns import Turn
from ragkit_eval.cases import Case, Dataset, SourceDocument

Format = Literal["beir", "squad", "jsonl"]


@dataclass(frozen=True, slots=True)
class Source:
    """A data set and how to read it: `path` is a BEIR folder, a SQuAD file or a file of cases.

    `documents` are further corpora (distractors), or for lines of JSON the files that are asked about. `lang` keeps one
    language of a set in several.
    """

    name: str
    format: Format
    path: Path
    documents: tuple[Path, ...] = ()
    lang: str | None = None
    sample: int | None = None


def load(source: Source, seed: int = 0) -> Dataset:
    """The data set; raises `ConfigError` for what is not there or cannot be read."""
    readers = {"beir": _beir, "squad": _squad, "jsonl": _jsonl}
    try:
        found = readers[source.format](source)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"data set '{source.name}' at {source.path}: {_reason(error)}") from error
    if not found.cases:
        raise ConfigError(f"data set '{source.name}' at {source.path} has no question with a known answer")
    return found.sample(source.sample, seed)


def guess_format(path: Path) -> Format:
    """A folder is BEIR's, a `.json` file SQuAD's, everything else lines of JSON."""
    if path.is_dir():
        return "beir"
    return "squad" if path.suffix == ".json" else "jsonl"


def _beir(source: Source) -> Dataset:
    relevant: dict[str, list[str]] = {}
    for question, document in _qrels(source.path):
        relevant.setdefault(question, []).append(document)
    rows = [row for row in _lines(source.path / "queries") if source.lang in (None, row.get("lang"))]
    cases = (_case(row, tuple(relevant.get(_id(row), ()))) for row in rows)
    wanted = tuple(case for case in cases if case.relevant or case.answerable is False)
    documents = [_document(row) for row in _lines(source.path / "corpus") if _speaks(row, source.lang)]
    for more in source.documents:
        documents += [_document(row) for row in _lines(more / "corpus")]
    return Dataset(source.name, wanted, tuple(documents))


def _squad(source: Source) -> Dataset:
    """Each paragraph is a document; version 2 says which questions are impossible."""
    documents, cases = [], []
    for article in json.loads(_text(source.path))["data"]:
        for number, paragraph in enumerate(article["paragraphs"]):
            name = f"{article.get('title', '')}#{number}"
            documents.append(SourceDocument(name, article.get("title", ""), paragraph["context"]))
            for question in paragraph["qas"]:
                answers = tuple(dict.fromkeys(answer["text"] for answer in question["answers"]))
                possible = not question.get("is_impossible", False)
                relevant = (name,) if possible else ()
                cases.append(Case(question["id"], question["question"], relevant, answers, possible))
    return Dataset(source.name, tuple(cases), tuple(documents))


def _jsonl(source: Source) -> Dataset:
    """Cases about files of the user's own: `relevant` are sources as the index names them."""
    if len(source.documents) != 1:
        raise ValueError("lines of JSON need `documents`: the folder that the questions are about")
    rows = list(_lines(source.path))
    cases = tuple(_case(row, tuple(row.get("relevant", ()))) for row in rows)
    return Dataset(source.name, cases, folder=source.documents[0])


def _case(row: Mapping[str, Any], relevant: tuple[str, ...]) -> Case:
    told = [(turn["role"], turn["text"]) for turn in row.get("history") or ()]
    turns = tuple(Turn("user" if role == "user" else "assistant", text) for role, text in told)
    return Case(
        id=_id(row),
        question=str(row.get("text") or row["question"]),
        relevant=relevant,
        answers=tuple(row.get("answers") or ()),
        answerable=_answerable(row, relevant),
        history=turns,
        group=str(row.get("type") or ""),
    )


def _answerable(row: Mapping[str, Any], relevant: tuple[str, ...]) -> bool | None:
    """What is said, else whether something relevant is known; what is only partly answerable stays undecided."""
    said = row.get("answerable", row.get("answerability"))
    if isinstance(said, bool):
        return said
    if isinstance(said, str):
        return {"ANSWERABLE": True, "UNANSWERABLE": False}.get(said)
    return True if relevant else None


def _document(row: Mapping[str, Any]) -> SourceDocument:
    return SourceDocument(_id(row), str(row.get("title") or ""), str(row["text"]))


def _speaks(row: Mapping[str, Any], lang: str | None) -> bool:
    """Documents in several languages say theirs in the metadata, or before their id."""
    if lang is None:
        return True
    told = (row.get("metadata") or {}).get("lang") or row.get("lang") or _id(row).partition("-")[0]
    return bool(told == lang)


def _id(row: Mapping[str, Any]) -> str:
    return str(row["_id"] if "_id" in row else row["id"])


def _qrels(folder: Path) -> Iterator[tuple[str, str]]:
    files = [folder / "qrels.tsv"] if (folder / "qrels.tsv").exists() else sorted((folder / "qrels").glob("*.tsv"))
    if not files:
        raise FileNotFoundError(f"no qrels.tsv in {folder}")
    for file in files:
        for question, document, score in list(csv.reader(_text(file).splitlines(), delimiter="\t"))[1:]:
            if int(score) > 0:
                yield question, document


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    """Rows of `path`, which may lack its endings."""
    names = (path, path.with_name(f"{path.name}.jsonl"), path.with_name(f"{path.name}.jsonl.gz"))
    file = next((name for name in names if name.is_file()), None)
    if file is None:
        raise FileNotFoundError(f"no {path.name}.jsonl in {path.parent}")
    for line in _text(file).splitlines():
        if line.strip():
            yield json.loads(line)


def _text(file: Path) -> str:
    raw = file.read_bytes()
    return (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode("utf-8")


def _reason(error: Exception) -> str:
    return f"the field {error} is missing" if isinstance(error, KeyError) else str(error)


KNOWN_SETS: Mapping[str, Mapping[str, Any]] = {
    "api_docs_qa": {},
    "covid_qa": {},
    "mtrag_un": {},
    "musique100": {},
    "xquad": {"lang": "en", "distractors": ("wiki_distractors",)},
}
"""Sets that are read in a certain way wherever they lie: xquad in English, hidden among other paragraphs."""


def known_source(data: Path, name: str) -> Source:
    """One of the known sets, or any other BEIR folder below `data`."""
    how = KNOWN_SETS.get(name, {})
    distractors = tuple(data / other for other in how.get("distractors", ()) if (data / other).is_dir())
    return replace(Source(name, "beir", data / name), lang=how.get("lang"), documents=distractors)
