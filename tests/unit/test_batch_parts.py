"""The pure parts of the batch lane: files of questions, JSON and back, cutting into batches, prefixes that pay."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.batch import Limits, Line, Progressing, Result
from ragkit.batches.codec import asked_from_json, asked_to_json, prefix_from_json, prefix_to_json
from ragkit.batches.job import Asked, Item, Question
from ragkit.batches.plan import Candidate, parts_of
from ragkit.batches.questions import read_questions
from ragkit.batches.reading import completed, refused
from ragkit.batches.registry import BATCH_APIS, open_batch_api
from ragkit.batches.shared import Prices, needed_by, shared_prefix
from ragkit.errors import ConfigError
from ragkit.models import Catalogue
from ragkit.nouns import Chunk, Completion, Hit, Model, Prefix, Prompt, Request, Route, Turn, Usage
from ragkit.prompt import render
from ragkit.providers.wire import unbilled
from ragkit.savings import Counterfactual
from ragkit.settings import ProvidersSettings
from ragkit.structured import answer_schema

AT = datetime(2026, 11, 24, tzinfo=UTC)
HAIKU = Model("claude-haiku-5-5", "anthropic", "small", "claude-haiku-5-5", 400, "none")


def chunk(number: int, text: str = "The pump is serviced each year by the maker. ", times: int = 40) -> Chunk:
    body = text * times
    return Chunk(f"c{number}", f"d{number}", f"{number}.md", body, 0, len(body), 0, 10 * times, section=("A", "B"))


def asked(prompt: Prompt, **more: Any) -> Asked:
    request = Request(prompt, HAIKU, answer_schema().schema, 400, **more)
    compared = Counterfactual("claude-opus-5-5", output=300, k=40, fixed=10, retrieved=20, sent=5)
    return Asked(request, Route(HAIKU, 0.5, "cheap"), (Hit(chunk(1), 0.25, sparse_rank=1),), ("note",), compared)


class TestQuestions:
    def test_lines_of_json_and_of_text(self, tmp_path: Path) -> None:
        rows = tmp_path / "a.jsonl"
        rows.write_text('{"id": "x", "question": " Why? "}\n\n{"question": "How?"}\n', encoding="utf-8")
        assert read_questions(rows) == [Question("x", "Why?"), Question("3", "How?")]
        lines = tmp_path / "b.txt"
        lines.write_text("\ufeffWhy?\n\nHow?\n", encoding="utf-8")
        assert read_questions(lines) == [Question("1", "Why?"), Question("3", "How?")]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "no questions"),
            ("{", "line 1: not JSON"),
            ('{"q": 1}', 'line 1: write {"id"'),
            ('{"question": "a"}\n{"question": " "}', "line 2: the question is empty"),
            ("[1]", 'line 1: write {"id"'),
        ],
    )
    def test_mistakes_are_named_by_line(self, tmp_path: Path, text: str, words: str) -> None:
        file = tmp_path / "a.jsonl"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=words):
            read_questions(file)

    def test_a_missing_file_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            read_questions(tmp_path / "none.txt")


@given(st.text(min_size=1), st.text(), st.booleans())
def test_what_is_remembered_comes_back_as_it_was(question: str, text: str, with_prefix: bool) -> None:
    held = chunk(2)
    prefix = Prefix(held.text, (held,), ("d2",), "abc", 12, True, "1h", "pays") if with_prefix else Prefix()
    body = Chunk("c9", "d9", "s", text, 3, 3 + len(text), 0, 1, page=4)
    prompt = render(question, [held, body], prefix=prefix, history=[Turn("user", text)], note="n")
    before = asked(prompt, lane="batch", cache_key="key", repair=(Turn("assistant", "{}"),))
    assert asked_from_json(asked_to_json(before), prefix_from_json(prefix_to_json(prefix))) == before


class Boxes:
    """A batch API that takes little at once."""

    name = "boxes"

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def body(self, request: Request) -> Mapping[str, Any]:
        return {"question": request.prompt.question}

    async def submit(self, marker: str, model: str, lines: Sequence[Line]) -> str:
        return marker

    async def find(self, marker: str, size: int, since: datetime) -> tuple[str, ...]:
        return ()

    async def progress(self, batch_id: str) -> Progressing:
        return Progressing("running")

    async def results(self, batch_id: str) -> AsyncIterator[Result]:
        for _ in ():
            yield Result("")

    async def cancel(self, batch_id: str) -> None: ...

    async def aclose(self) -> None: ...


@pytest.mark.parametrize(("limits", "sizes"), [(Limits(3, 10**6), [3, 3, 1]), (Limits(100, 700), [2, 2, 2, 1])])
def test_parts_stay_within_the_limits_and_lose_nothing(limits: Limits, sizes: list[int]) -> None:
    group = [
        Candidate(Item("j", number, Question(str(number), "Why?")), asked(render("Why?", [chunk(1)])))
        for number in range(7)
    ]
    parts = list(parts_of(group, Boxes(limits)))
    assert [len(part) for part in parts] == sizes
    assert [candidate for part in parts for candidate in part] == group


class TestSharedPrefix:
    def test_the_share_that_pays_by_hand(self) -> None:
        """100 questions: 1 + 99/4 writes at $4 and 99 x 3/4 reads at $0.10, against 100 times $2 plain: 55.2 %."""
        share = needed_by(Prices(plain=2, read=Fraction(1, 10), write=4), 100)  # type: ignore[arg-type]
        assert float(share) == pytest.approx((25.75 * 4 + 74.25 * 0.1) / 200)

    def test_only_what_most_questions_need_is_shared(self) -> None:
        common = [render(f"Question {number}?", [chunk(1), chunk(100 + number)]) for number in range(30)]
        prefix = shared_prefix(common, HAIKU.price_id or "", Catalogue.load(), AT)
        assert [held.id for held in prefix.chunks] == ["c1"]
        assert prefix.marked and prefix.ttl == "1h"

    def test_it_depends_on_nothing_but_the_chunks(self) -> None:
        prompts = [render(f"Question {number}?", [chunk(2), chunk(1)]) for number in range(30)]
        one = shared_prefix(prompts, HAIKU.price_id or "", Catalogue.load(), AT)
        two = shared_prefix(list(reversed(prompts)), HAIKU.price_id or "", Catalogue.load(), AT)
        assert one == two

    @pytest.mark.parametrize(
        ("model", "times", "words"),
        [
            ("gpt-6-luna", 40, "no cache that lasts for an hour"),
            ("claude-haiku-4-5", 5, "caches from 4096"),
            ("claude-haiku-5-5", 9_000, "above 100,000 tokens"),
        ],
    )
    def test_why_there_is_none(self, model: str, times: int, words: str) -> None:
        prompts = [render(f"Question {number}?", [chunk(1, times=times)]) for number in range(40)]
        prefix = shared_prefix(prompts, model, Catalogue.load(), AT)
        assert not prefix.text and words in prefix.reason


class TestReading:
    def test_a_completion_is_at_batch_price_whatever_it_says(self) -> None:
        found = completed("a", lambda: Completion("{}", Usage(input=1), "end", "m"))
        assert found.completion is not None and found.completion.lane == "batch"

    def test_what_cannot_be_read_is_a_result_of_unknown_cost(self) -> None:
        def missing() -> Completion:
            raise KeyError("content")

        def free() -> Completion:
            raise unbilled("x", "without usage")

        assert completed("a", missing).unreadable
        assert completed("a", free).unreadable

    def test_a_failure_is_free_and_short(self) -> None:
        found = refused("a", "no  good\n" * 200, again=True)
        assert not found.unreadable and found.again and len(found.reason) < 300
        assert "no reason given" in refused("a", None, again=False).reason


def test_every_api_is_importable_and_others_are_refused() -> None:
    settings = ProvidersSettings.model_validate({name: {"api_key": "k"} for name in ("anthropic", "openai", "gemini")})
    assert [open_batch_api(name, settings).name for name in BATCH_APIS] == list(BATCH_APIS)
    with pytest.raises(ConfigError, match="'vllm' has no batch lane"):
        open_batch_api("vllm", settings)
    vertex = ProvidersSettings.model_validate({"gemini": {"vertex_project": "p"}})
    with pytest.raises(ConfigError, match="Cloud Storage"):
        open_batch_api("gemini", vertex)
