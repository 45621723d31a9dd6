"""Reports as one HTML page each: of a run with every question, and of the ladder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ragkit.money import format_usd
from ragkit_eval import page
from ragkit_eval.draw import Bar, Point, ladder_bars, plot
from ragkit_eval.ladder import Ladder, Rung
from ragkit_eval.ladder_text import HEADS as RUNG_HEADS
from ragkit_eval.ladder_text import about_ladder, bound_rows, local_lines, published_rows, published_words, rung_rows
from ragkit_eval.reply import Row
from ragkit_eval.run import Finished
from ragkit_eval.scoring import QUALITY
from ragkit_eval.suite import Suite
from ragkit_eval.summary import HEADS, SHOWN, Line, summarize, text_lines

SHOWN_QUESTIONS = 400
"""Questions that open; those on which set-ups differ most come first."""
EXCERPT, EXCERPTS = 600, 6
SIMULATED = (
    "Simulated: the twin answered, so answers and latencies say nothing of real models. What was retrieved, what was"
    " sent and what that costs by the price table is real."
)


def write_run_report(suite: Suite, found: Finished, file: Path) -> None:
    """A run: its table, its plot, and every question with what each set-up saw, said and cost."""
    lines = summarize(found.rows, suite.reference)
    sections = [page.notice(SIMULATED)] if suite.mode == "twin" else []
    sections.append(
        page.section(
            "Set-ups",
            page.table(HEADS, text_lines(lines), words=2),
            page.paragraph(f"Coloured: certainly above or below “{suite.reference}” (95 %, paired bootstrap)."),
        )
    )
    for data in dict.fromkeys(line.data for line in lines):
        own = [line for line in lines if line.data == data]
        sections.append(page.section(f"{data}: cost and quality", plot(_points(own)), _scores(own)))
    sections.append(_questions(found.rows))
    about = [f"{len(found.rows)} answers; set-ups are compared with “{suite.reference}”; seeds {list(suite.seeds)}"]
    file.write_text(page.page(f"ragkit eval: {suite.name}", about, sections), encoding="utf-8")


def write_ladder_report(found: Ladder, file: Path) -> None:
    """The ladder: its waterfall, all its tables, and the bounds."""
    naive = found.naive
    groups = (
        ("One lever after the other", found.rungs),
        ("Other numbers of chunks", found.other_ways),
        ("Each lever alone", found.alone),
        ("Each lever left out", found.left_out),
    )
    sections = [page.notice(SIMULATED)]
    sections.append(page.section("What each lever leaves of the bill", ladder_bars(_bars(found.rungs, naive))))
    sections += [
        page.section(title, page.table(RUNG_HEADS, rung_rows(rungs, naive, chained=number == 0)))
        for number, (title, rungs) in enumerate(groups)
    ]
    points = [Point(rung.step.name, rung.per_million_usd, rung.in_context) for _, rungs in groups[:2] for rung in rungs]
    sections.append(page.section("Cost and answer in context", plot(points)))
    heads = ("bound", "USD per million", "everything pulled is above it by")
    local = "".join(map(page.paragraph, local_lines(found)))
    sections.append(page.section("Bounds", page.table(heads, bound_rows(found)), local))
    theirs = ("step", "published USD a month", "of naive", "ours USD a month", "of naive")
    words = "".join(map(page.paragraph, published_words(found)))
    sections.append(page.section("Beside the published table", page.table(theirs, published_rows(found)), words))
    file.write_text(page.page("ragkit eval ladder", about_ladder(found), sections), encoding="utf-8")


def _points(lines: Sequence[Line]) -> list[Point]:
    known = [(it, it.per_million_usd) for it in lines if QUALITY in it.scores]
    return [Point(it.setup, usd, it.scores[QUALITY]) for it, usd in known if usd is not None]


def _bars(rungs: Sequence[Rung], naive: Rung) -> list[Bar]:
    return [
        Bar(it.step.name, it.per_million_usd, f"${it.per_million_usd:,.0f} ({it.cost_pico / naive.cost_pico:.1%})")
        for it in rungs
    ]


def _scores(lines: Sequence[Line]) -> str:
    """All scores, one set-up a column."""
    names = [name for name in SHOWN if any(name in line.scores for line in lines)]
    rows = [[name, *(_score(line, name) for line in lines)] for name in names]
    rows.append(["failed", *(str(line.failed) for line in lines)])
    rows.append(["tiers", *(", ".join(f"{tier} {count}" for tier, count in line.tiers.items()) for line in lines)])
    return page.table(("score", *(line.setup for line in lines)), rows)


def _score(line: Line, name: str) -> str:
    value = line.scores.get(name)
    return "" if value is None else f"{value:,.0f}" if name == "context_tokens" else f"{value:.3f}"


def _questions(rows: Sequence[Row]) -> str:
    """Every question with all set-ups side by side."""
    groups: dict[tuple[str, int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.data, row.seed, row.case), []).append(row)
    ordered = sorted(groups.values(), key=_spread, reverse=True)[:SHOWN_QUESTIONS]
    left = len(groups) - len(ordered)
    note = f"Those on which set-ups differ most come first{f'; {left} more are in rows.jsonl' if left else ''}."
    box = '<p><input id="filter" placeholder="filter questions, answers and set-ups" aria-label="filter"></p>'
    return page.section("Questions", page.paragraph(note), box, *map(_question, ordered))


def _spread(rows: Sequence[Row]) -> tuple[float, int]:
    values = [row.scores.get(QUALITY, 0.0) for row in rows]
    costs = [row.cost_pico or 0 for row in rows]
    return max(values) - min(values), max(costs) - min(costs)


def _question(rows: Sequence[Row]) -> str:
    first = rows[0]
    heads = ("set-up", "model", "in context", "F1", "USD", "tokens in", "ms", "why")
    lines = [
        [
            row.setup,
            row.model,
            *(f"{row.scores[name]:.2f}" if name in row.scores else "" for name in (QUALITY, "f1")),
            "unknown" if row.cost_pico is None else format_usd(row.cost_pico),
            f"{sum(row.tokens.get(kind, 0) for kind in row.tokens if kind not in ('output', 'reasoning')):,}",
            f"{row.seconds * 1000:,.0f}",
            (row.error or row.reason)[:160],
        ]
        for row in rows
    ]
    answers = page.paragraph(f"Known answers: {'; '.join(first.answers)[:EXCERPT]}") if first.answers else ""
    said = "".join(_said(row) for row in rows)
    text = " ".join((first.data, first.question, *(row.text for row in rows), *(row.setup for row in rows)))
    return page.fold(f"{first.data}: {first.question}", text, page.table(heads, lines, words=2), answers, said)


def _said(row: Row) -> str:
    context = "".join(page.quote(text[:EXCERPT]) for text in row.contexts[:EXCERPTS])
    return page.fold(f"{row.setup} saw {len(row.contexts)} chunks and said", row.setup, page.quote(row.text), context)
