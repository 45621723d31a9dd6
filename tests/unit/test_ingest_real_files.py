# ruff: noqa: RUF001  these are the files' own words
"""Real files of other projects, from the folder that RAGKIT_TEST_DATA names: each ends as its text or with a reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ragkit_ingest.work import Job, Outcome, Recipe, work

DATA = Path(os.environ.get("RAGKIT_TEST_DATA", ""))
pytestmark = pytest.mark.skipif("RAGKIT_TEST_DATA" not in os.environ, reason="RAGKIT_TEST_DATA names no folder")

REASONS = {
    "empty.eml": "empty",
    "empty.txt": "empty",
    "empty.xlsx": "empty",
    "fake-email-attachment.msg": "before 2007",
    "fake-power-point.ppt": "before 2007",
    "hebrew-text-base64-iso88598i.txt": "base64",
    "ocr_test.pdf": "OCR",
    "ocr_test_rotated_90.pdf": "OCR",
    "simple.doc": "before 2007",
    "tests-example.xls": "before 2007",
}
TEXTS = {
    "20071231X02009.pdf": (
        "Airplane Rating(s): Single-engine Land",
        "Examination of the airplane by salvage personnel",
    ),
    "DA-1p.pdf": ("We arrived in the dead of night.",),
    "NARA2022.pdf": ("cultivate public participation, and strengthen our nation’s democracy",),
    "Strict.docx": ("Some text",),
    "UDHR_first_article_all.txt": (
        "人人生而自由",
        "Todos los seres humanos nacen libres",
        "Все люди рождаются свободными",
    ),
    "asciidoc_02.asciidoc": ("== Section 1: Testing nestedlists",),
    "bookmark_sample.pdf": ("1. Interpretation\n\nThis clause",),
    "copy-protected.pdf": ("several practical difficulties for taking advantages of recent advances",),
    "csv-inconsistent-header.csv": ("1,2,3\na,b,c,d",),
    "docx-tables.docx": ("Header Col 1 | Header Col 2", "a | >b< | c"),
    "docx_comments.docx": ("Another comment by a different reviewer.",),
    "embedded-cmap-cidfont.pdf": ("uses an embedded CMap",),
    "equations.docx": ("∑_(0)^(2) x", "(dy)/(dx)"),
    "example-with-scripts.html": ("Belarusian forces remain unlikely to attack Ukraine",),
    "factbook-utf-16.xml": ("name: Canada\ncapital: Ottawa",),
    "fake-email-malformed-encoding.eml": ("Roses are red",),
    "fake-html-cp1252.html": ("Das war köstlich!", "L'été était très chaud", "15,50 €"),
    "fake-html-with-base64-image.html": ("Test page",),
    "fake-power-point-malformed.pptx": ("Test Slide",),
    "fake-text-utf-16-le.txt": ("I love fuzzy blankets",),
    "group-shapes-nested.pptx": ("A\n\nI\n\nJ\n\nB",),
    "invisible_text_layer.pdf": ("Visible heading line",),
    "mime-different-plain-html.eml": ("This is the text/plain part.",),
    "multi-column-2p.pdf": (
        "using dense representations alone, where embeddings are learned from a small number of questions",
    ),
    "odf_presentation_01.odp": ("Test Table Slide",),
    "signed-doc.p7s": ("This is a test",),
    "skipped_1page.pdf": ("자동적인 격리까지 제공하는 방향으로 진화",),
    "stanley-cups-utf-16.csv": ("Maple Leafs,TOR,13",),
    "textbox.docx": ("A report must be submitted within 24 hours",),
    "winter-sports.epub": ("Photographer: Mrs. Aubrey Le Blond",),
}
NOISE = {
    "example-with-scripts.html": ("function(", "Skip to main", "{"),
    "fake-html-with-base64-image.html": ("base64", "/9j/"),
    "invisible_text_layer.pdf": ("Invisible",),
    "multi-column-2p.pdf": ("\ufffe", "exam-ine"),
    "skipped_1page.pdf": ("\ue357",),
    "signed-doc.p7s": ("SIGNATURE", "Content-Type"),
    "textbox.docx": ("Yes\n\nYes\n\nYes\n\nYes",),
}


def read(file: Path) -> Outcome:
    outcome = work(Job(str(file)), Recipe())
    assert outcome is not None
    return outcome


def test_each_messy_file_ends_as_text_or_with_a_reason() -> None:
    for file in sorted((DATA / "messy").iterdir()):
        outcome = read(file)
        expected = REASONS.get(file.name, "")
        assert bool(outcome.reason) == bool(expected), (file.name, outcome.reason)
        assert expected in outcome.reason, file.name
        assert "could not be parsed" not in outcome.reason, "a reason in words, not an exception"
        assert "\ufffd" not in outcome.text, file.name
        for part in TEXTS.get(file.name, ()):
            assert part in outcome.text, (file.name, part)
        for part in NOISE.get(file.name, ()):
            assert part not in outcome.text, (file.name, part)


def test_every_page_of_the_documentation_trees_is_read() -> None:
    for file in sorted(each for each in (DATA / "docs_tree").rglob("*") if each.is_file()):
        outcome = read(file)
        assert (outcome.reason, bool(outcome.spans)) == ("", True), file
        assert outcome.text == file.read_text(encoding="utf-8"), f"{file}: offsets must be those of the file"
