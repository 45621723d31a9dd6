from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ragkit.errors import ConfigError
from ragkit.nouns import DocumentRecord
from ragkit_ingest.facts import MOST_KEYS
from ragkit_ingest.load import load
from ragkit_ingest.plan import BASE, DIGEST, MTIME, SIZE, Manner, chunk_name, document_id, make_plan, revision_of


def tree(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"text of {name}")
    return root


def sources(*paths: Path | str, here: Path) -> list[str]:
    return [found.source for found in load(paths, here=here).files]


def test_names_start_at_the_working_directory_or_at_what_was_given(tmp_path: Path) -> None:
    tree(tmp_path, "kb/docs/b.md", "kb/docs/sub/a.md", "other/c.md")
    here = tmp_path / "kb"
    assert sources("docs", here=here) == sources(tmp_path / "kb/docs/", here=here) == ["docs/b.md", "docs/sub/a.md"]
    assert sources("./docs/../docs/b.md", here=here) == ["docs/b.md"]
    assert sources("../other", here=here) == ["other/c.md"]
    assert sources(tmp_path / "other/c.md", here=here) == ["c.md"]
    assert sources(".", here=here) == ["docs/b.md", "docs/sub/a.md"]


def test_each_file_is_found_once(tmp_path: Path) -> None:
    tree(tmp_path, "docs/a.md")
    assert sources("docs", "docs/a.md", "docs", here=tmp_path) == ["docs/a.md"]


def test_hidden_and_junk_is_passed_over_unless_it_is_named(tmp_path: Path) -> None:
    tree(tmp_path, ".git/config", "a.md", ".hidden.md", "node_modules/x.md", "logo.PNG", "app.min.js", "~$a.docx")
    loaded = load([tmp_path], here=tmp_path)
    assert [found.source for found in loaded.files] == ["a.md"]
    assert [Path(path).name for path in loaded.skipped] == ["app.min.js", "logo.PNG"]
    assert sources("logo.PNG", ".hidden.md", here=tmp_path) == [".hidden.md", "logo.PNG"]


def test_links_stay_inside_and_do_not_loop(tmp_path: Path) -> None:
    tree(tmp_path, "docs/a.md", "docs/.data/hidden.md", "outside/secret.md")
    (tmp_path / "docs/loop").symlink_to(tmp_path / "docs")
    (tmp_path / "docs/again.md").symlink_to("a.md")
    (tmp_path / "docs/out.md").symlink_to(tmp_path / "outside/secret.md")
    (tmp_path / "docs/folder").symlink_to(tmp_path / "outside")
    (tmp_path / "docs/shown.md").symlink_to(".data/hidden.md")
    (tmp_path / "docs/nowhere.md").symlink_to("missing.md")
    assert sources("docs", here=tmp_path) == ["docs/a.md", "docs/shown.md"]


def test_a_missing_path_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or folder: nope"):
        load(["nope"], here=tmp_path)
    with pytest.raises(ConfigError, match="nothing to ingest"):
        load([], here=tmp_path)


def test_a_name_that_is_no_text_is_reported(tmp_path: Path) -> None:
    tree(tmp_path, "a.md")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.md")).write_text("x")
    except OSError:
        pytest.skip("this file system has no such names")
    loaded = load([tmp_path], here=tmp_path)
    assert [found.source for found in loaded.files] == ["a.md"]
    assert "rename" in loaded.unreadable[0][1]


def record(root: Path, source: str, **metadata: str) -> DocumentRecord:
    status = (root / source).stat() if (root / source).exists() else None
    facts = {BASE: root.as_posix(), DIGEST: "d", SIZE: str(status.st_size) if status else "", MTIME: str(status.st_mtime_ns) if status else ""}  # fmt: skip  # noqa: E501
    identity = document_id("default", source)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return DocumentRecord(identity, "default", source, "", revision_of("d", "c"), 1, 1, 1, at, {**facts, **metadata})


def test_a_plan_compares_files_with_records(tmp_path: Path) -> None:
    tree(tmp_path, "docs/same.md", "docs/changed.md", "docs/new.md", "elsewhere/x.md")
    same, changed = record(tmp_path, "docs/same.md"), record(tmp_path, "docs/changed.md", size="1")
    gone, other = record(tmp_path, "docs/gone.md"), record(tmp_path, "elsewhere/gone.md")
    plan = make_plan(load(["docs"], here=tmp_path), [same, changed, gone, other], Manner("c"))
    assert [(task.source, task.record) for task in plan.tasks] == [("docs/changed.md", changed), ("docs/new.md", None)]
    assert (plan.unchanged, plan.vanished, plan.failures) == (1, (gone,), ())
    again = make_plan(load(["docs"], here=tmp_path), [same, changed, gone], Manner("c", revisit=True))
    assert [task.source for task in again.tasks] == ["docs/changed.md", "docs/new.md", "docs/same.md"]
    recut = make_plan(load(["docs"], here=tmp_path), [same], Manner("other"))
    assert "docs/same.md" in [task.source for task in recut.tasks]


def test_a_file_keeps_its_name_from_another_working_directory(tmp_path: Path) -> None:
    tree(tmp_path, "docs/a.md")
    known = record(tmp_path, "docs/a.md")
    plan = make_plan(load(["."], here=tmp_path / "docs"), [known], Manner("c"))
    assert (plan.tasks, plan.unchanged, plan.vanished) == ((), 1, ())


def test_a_moved_folder_keeps_its_documents(tmp_path: Path) -> None:
    tree(tmp_path, "new/docs/a.md")
    stayed = record(tmp_path / "new", "docs/a.md")
    moved = replace(stayed, metadata={**stayed.metadata, BASE: "/old/place"})
    gone = replace(moved, id="2", source="docs/gone.md")
    plan = make_plan(load(["docs"], here=tmp_path / "new"), [moved, gone], Manner("c"))
    assert [(task.source, task.record, task.base) for task in plan.tasks] == [
        ("docs/a.md", moved, (tmp_path / "new").as_posix())
    ]
    assert plan.vanished == (gone,)


def test_a_folder_that_only_has_the_name_of_one_that_is_gone_deletes_nothing(tmp_path: Path) -> None:
    """Another file at the same place in it is not the one that moved."""
    tree(tmp_path, "new/docs/a.md")
    there = replace(record(tmp_path, "docs/a.md", size="1", mtime_ns="1"), metadata={BASE: "/old", DIGEST: "d"})
    gone = replace(there, id="2", source="docs/gone.md")
    plan = make_plan(load(["."], here=tmp_path / "new"), [there, gone], Manner("c"))
    assert ([task.source for task in plan.tasks], plan.vanished) == (["docs/a.md"], ())


def test_a_part_of_a_folder_says_nothing_about_the_rest(tmp_path: Path) -> None:
    tree(tmp_path, "docs/a.md")
    known, gone = record(tmp_path, "docs/a.md"), record(tmp_path, "other/gone.md")
    plan = make_plan(load(["."], here=tmp_path / "docs"), [known, gone], Manner("c"))
    assert (plan.tasks, plan.unchanged, plan.vanished) == ((), 1, ())


def test_what_lay_elsewhere_or_was_uploaded_has_not_vanished(tmp_path: Path) -> None:
    tree(tmp_path, "here/a.md", "here/manual.md")
    elsewhere = replace(record(tmp_path, "b.md"), metadata={BASE: "/not/mounted", DIGEST: "d", SIZE: "1", MTIME: "1"})
    uploaded = replace(record(tmp_path, "manual.md"), metadata={DIGEST: "d"})
    alone = replace(record(tmp_path, "report.pdf"), metadata={DIGEST: "d"})
    loaded = load(["."], here=tmp_path / "here")
    plan = make_plan(loaded, [elsewhere, uploaded, alone], Manner("c", revisit=True))
    assert ([task.source for task in plan.tasks], plan.vanished) == (["a.md"], ())
    assert [failure.reason for failure in plan.failures] == [
        "has the same name as a document that was uploaded: rename one of them"
    ]


@pytest.mark.parametrize("folder", ["docs/closed", "docs"])
def test_what_lies_in_a_folder_that_cannot_be_listed_has_not_vanished(tmp_path: Path, folder: str) -> None:
    """Seen from any working directory: what cannot be listed does not exist either, as far as the system tells."""
    tree(tmp_path, "docs/a.md")
    behind, gone = record(tmp_path, f"{folder}/gone.md"), record(tmp_path, "docs/other/gone.md")
    for loaded in (load(["docs"], here=tmp_path), load(["."], here=tmp_path / "docs")):
        closed = replace(loaded, unlisted=((tmp_path / folder).as_posix(),))
        plan = make_plan(closed, [behind, gone], Manner("c"))
        assert plan.vanished == (() if folder == "docs" else (gone,))


def test_metadata_given_bit_by_bit_has_a_limit_too(tmp_path: Path) -> None:
    tree(tmp_path, "a.md")
    known = record(tmp_path, "a.md", **{f"given.key{number}": "x" for number in range(MOST_KEYS)})
    plan = make_plan(load(["."], here=tmp_path), [known], Manner("c", given={"more": "x"}))
    assert ([failure.source for failure in plan.failures], plan.tasks, plan.vanished) == (["a.md"], (), ())
    assert plan.unchanged == 0


def test_an_upload_replaces_uploads_and_no_files(tmp_path: Path) -> None:
    tree(tmp_path, "up/a.md", "up/manual.md", "here/a.md")
    file, uploaded = record(tmp_path / "here", "a.md"), replace(record(tmp_path, "manual.md"), metadata={DIGEST: "d"})
    gone = record(tmp_path / "up", "gone.md")
    loaded = load(["."], here=tmp_path / "up")
    plan = make_plan(loaded, [file, uploaded, gone], Manner("c", uploaded=True))
    assert [(task.source, task.record) for task in plan.tasks] == [("manual.md", uploaded)]
    assert [failure.reason for failure in plan.failures] == [
        "has the same name as a file that was ingested from a folder: give it another one"
    ]
    assert plan.vanished == ()
    away = replace(file, metadata={**file.metadata, BASE: "/on/another/machine"})
    assert make_plan(loaded, [away], Manner("c", uploaded=True)).failures == plan.failures


def test_two_files_of_one_name_are_not_taken_for_one(tmp_path: Path) -> None:
    tree(tmp_path, "one/docs/a.md", "two/docs/a.md")
    known = record(tmp_path / "one", "docs/a.md")
    here = tree(tmp_path, "here/x.md") / "here"
    plan = make_plan(load(["../two/docs"], here=here), [known], Manner("c"))
    assert "same name" in plan.failures[0].reason
    assert (plan.tasks, plan.vanished) == ((), ())
    both = make_plan(load(["../one/docs", "../two/docs"], here=here), [], Manner("c"))
    assert (len(both.tasks), len(both.failures)) == (1, 1)


def test_names_are_pure_functions_of_their_parts() -> None:
    assert chunk_name("t", "d", "r", 1) == chunk_name("t", "d", "r", 1)
    names = {
        chunk_name(*parts) for parts in (("t", "d", "r", 1), ("t", "d", "r", 2), ("td", "", "r", 1), ("t", "dr", "", 1))
    }
    assert len(names) == 4
    assert document_id("a", "bc") != document_id("ab", "c")
