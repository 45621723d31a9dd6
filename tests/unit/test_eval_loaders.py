"""Data sets in three formats, and suites that name them."""

import gzip
import json
from pathlib import Path

import pytest

from ragkit.errors import ConfigError
from ragkit_eval.cases import SourceDocument, write_documents
from ragkit_eval.loaders import Source, guess_format, load
from ragkit_eval.suite import read_suite


def beir(folder: Path, *, packed: bool = False, split: bool = False) -> Path:
    folder.mkdir(parents=True)
    corpus = [{"_id": "d1", "title": "Pump", "text": "The pump lasts."}, {"_id": "d2", "title": "", "text": "Noise."}]
    queries = [
        {"_id": "q1", "text": "How long?", "answers": ["long"], "answerability": "ANSWERABLE"},
        {"_id": "q2", "text": "Why?", "answerability": "UNANSWERABLE"},
        {"_id": "q3", "text": "Nobody knows whether"},
    ]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        file = folder / f"{name}.jsonl{'.gz' if packed else ''}"
        file.write_bytes(gzip.compress(text) if packed else text)
    qrels = folder / "qrels" / "test.tsv" if split else folder / "qrels.tsv"
    qrels.parent.mkdir(exist_ok=True)
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("split", [False, True])
def test_a_beir_folder_is_read(tmp_path: Path, packed: bool, split: bool) -> None:
    found = load(Source("set", "beir", beir(tmp_path / "set", packed=packed, split=split)))
    assert [case.id for case in found.cases] == ["q1", "q2"]
    first, second = found.cases
    assert (first.relevant, first.answers, first.answerable) == (("d1",), ("long",), True)
    assert (second.relevant, second.answerable) == ((), False)
    assert found.documents[0] == SourceDocument("d1", "Pump", "The pump lasts.")


def test_distractors_are_added_and_a_sample_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    more = beir(tmp_path / "more")
    source = Source("set", "beir", beir(tmp_path / "set"), (more,), sample=1)
    assert len(load(source).documents) == 4
    assert load(source, 5).cases == load(source, 5).cases
    assert len({load(source, seed).cases for seed in range(8)}) == 2


def test_a_squad_file_is_read(tmp_path: Path) -> None:
    told = {
        "data": [
            {
                "title": "Pump",
                "paragraphs": [
                    {
                        "context": "It lasts five years.",
                        "qas": [
                            {"id": "1", "question": "How long?", "answers": [{"text": "five years"}] * 2},
                            {"id": "2", "question": "Why?", "answers": [], "is_impossible": True},
                        ],
                    }
                ],
            }
        ]
    }
    file = tmp_path / "squad.json"
    file.write_text(json.dumps(told), encoding="utf-8")
    found = load(Source("squad", guess_format(file), file))
    assert [(case.answers, case.answerable) for case in found.cases] == [(("five years",), True), ((), False)]
    assert found.cases[0].relevant == (found.documents[0].id,)


def test_lines_of_json_ask_about_files_of_the_users_own(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text('{"id": "1", "question": "How long?", "relevant": ["manual.md"]}\n', encoding="utf-8")
    found = load(Source("own", guess_format(file), file, (tmp_path / "docs",)))
    assert (found.folder, found.cases[0].question) == (tmp_path / "docs", "How long?")
    with pytest.raises(ConfigError, match="need `documents`"):
        load(Source("own", "jsonl", file))


def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data set 'none' at .*none: no qrels"):
        load(Source("none", "beir", tmp_path / "none"))
    (tmp_path / "bad.jsonl").write_text('{"question": "?"}', encoding="utf-8")
    with pytest.raises(ConfigError, match="the field 'id' is missing"):
        load(Source("bad", "jsonl", tmp_path / "bad.jsonl", (tmp_path,)))


def test_documents_become_files_whose_names_cannot_collide_or_climb(tmp_path: Path) -> None:
    documents = (SourceDocument("a", "../../x/y", "one"), SourceDocument("b", "../../x/y", "two"))
    homes = write_documents(documents, tmp_path / "docs")
    assert sorted(homes.values()) == ["a", "b"]
    assert all((tmp_path / "docs" / name).resolve().is_relative_to(tmp_path / "docs") for name in homes)
    assert {(tmp_path / "docs" / name).read_text("utf-8") for name in homes} == {"one", "two"}


def test_a_suite_names_data_and_set_ups(tmp_path: Path) -> None:
    file = tmp_path / "suite.toml"
    file.write_text(
        'baseline = "few"\n[[data]]\npath = "set"\n[[data]]\nset = "xquad"\nsample = 3\n'
        '[setup.few.select]\nmaximum = 3\n[setup.other]\nsystem = "haystack"\n',
        encoding="utf-8",
    )
    suite = read_suite(file)
    assert suite.reference == "few"
    assert suite.setups[0].overlay == {"select": {"maximum": 3}}
    assert suite.setups[1].system == "haystack"
    own, known = suite.sources(tmp_path, tmp_path / "sets")
    assert own.path == tmp_path / "set"
    assert (known.path, known.lang, known.sample) == (tmp_path / "sets" / "xquad", "en", 3)
    with pytest.raises(ConfigError, match="--data DIR"):
        suite.sources(tmp_path, None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[setup.a]\n", "data: Field required"),
        ('[[data]]\npath = "a"\n', "setups"),
        ("[[data]]\n[setup.a]\n", "either `path`"),
        ('mode = "dream"\n[[data]]\npath = "a"\n[setup.a]\n', "mode"),
        ('baseline = "b"\n[[data]]\npath = "a"\n[setup.a]\n', "baseline 'b' is no set-up"),
        ("= 3", "not valid"),
    ],
)
def test_a_wrong_suite_is_refused_with_the_place(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "suite.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=complaint):
        read_suite(file)
