"""Cuts a text into chunks: spans that together hold every visible character, cut where a reader would.

Boundaries in order of preference: headings, blocks (paragraphs, lists, tables, code), sentences or rows, words. A
heading, or a line that announces what follows, stays with what follows.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from ragkit.tokens import estimate_tokens
from ragkit_ingest.document import Block, Kind, Parsed

SECTION_SHARE = 0.6
"""A chunk this full, as a share of the target, ends where the next heading begins."""
TAIL_SHARE = 0.125
"""A last chunk smaller than this share joins the one before it."""
_SENTENCE = re.compile(
    "(?<![.!?\u2026])[.!?\u2026]++[\"'\u201d\u2019\u00bb)\\]]*+\\s+|[\u3002\uff01\uff1f\uff61]+[\u201d\u300d\u300f]*\\s*|\\n\\s*\\n"
)
"""Western and East Asian ends of sentences, with the quotation marks that close after them."""
_LINE = re.compile(r"\n")
_ITEM = re.compile(r"\n(?=[^\S\n]*(?:[-*+•]|\d{1,9}[.)])[^\S\n])")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
_BOUNDARIES: dict[Kind, tuple[re.Pattern[str], ...]] = {
    "text": (_SENTENCE, _LINE),
    "heading": (_SENTENCE, _LINE),
    "list": (_ITEM, _SENTENCE, _LINE),
    "table": (_LINE,),
    "code": (_PARAGRAPH, _LINE),
}
MOST_CARRIED = 8
"""Blocks that move on to what they announce: a heading under a heading under a heading, no more."""
SAMPLE = 1_024
"""Characters from which a text's tokens per byte are estimated."""

Measure = Callable[[int, int], int]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large chunks become, in estimated tokens."""

    target: int = 320
    maximum: int = 512


class Span(NamedTuple):
    """A chunk before it has a name."""

    start: int
    end: int
    tokens: int
    section: tuple[str, ...]
    page: int | None


class _Unit(NamedTuple):
    """What is never cut: a block, or a piece of one that is too long."""

    start: int
    end: int
    tokens: int
    section: tuple[str, ...]
    page: int | None
    heading: bool
    glued: bool


def chunk(parsed: Parsed, sizes: Sizes) -> tuple[Span, ...]:
    """The chunks of a text, in order; a pure function of its arguments."""
    text = parsed.text
    units = list(_units(text, parsed.blocks, _measure(text), sizes))
    return tuple(span for group in _pack(units, sizes) for span in _spans(text, group, sizes))


def _measure(text: str) -> Measure:
    """Tokens between two places, at this text's average per byte: counting each piece exactly would take longer."""
    sample = text[:SAMPLE]
    per_byte = estimate_tokens(sample) / max(1, len(sample.encode()))
    if text.isascii():
        return lambda start, end: int((end - start) * per_byte) + 1
    return lambda start, end: int(len(text[start:end].encode()) * per_byte) + 1


def chunk_at(parsed: Parsed, cuts: Sequence[int], sizes: Sizes) -> tuple[Span, ...]:
    """Chunks that begin where somebody else decided; what is larger than allowed is cut further."""
    text, blocks = parsed.text, list(_sections(parsed.blocks))
    starts = sorted({0, *(cut for cut in cuts if 0 < cut < len(text))})
    spans: list[Span] = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        # A heading that a chunk begins with, after blank lines, is the one that it stands under.
        place = start + len(text[start:end]) - len(text[start:end].lstrip())
        block, section = blocks[max(0, bisect_right(blocks, place, key=lambda each: each[0].start) - 1)]
        spans += _spans(text, [_Unit(start, end, 0, section, block.page, False, False)], sizes)
    return tuple(spans)


def _sections(blocks: Sequence[Block]) -> Iterator[tuple[Block, tuple[str, ...]]]:
    """Each block with the headings that it stands under; a text that begins with none gets a block of its own."""
    path: list[tuple[int, str]] = []
    section: tuple[str, ...] = ()
    if not blocks or blocks[0].start > 0:
        yield Block(0), section
    for block in blocks:
        if block.kind == "heading":
            path = [(level, title) for level, title in path if level < block.level] + [(block.level, block.title)]
            section = tuple(title for _, title in path)
        yield block, section


def _units(text: str, blocks: Sequence[Block], measure: Measure, sizes: Sizes) -> Iterator[_Unit]:
    placed = list(_sections(blocks))
    ends = [block.start for block, _ in placed[1:]] + [len(text)]
    for ((start, kind, _, _, page), section), end in zip(placed, ends, strict=True):
        heading = kind == "heading"
        tokens = measure(start, end)
        if tokens <= sizes.maximum:
            yield _Unit(start, end, tokens, section, page, heading, heading or _announces(text, start, end))
            continue
        for piece in _split(text, start, end, _BOUNDARIES[kind], measure, sizes):
            yield _Unit(*piece, measure(*piece), section, page, heading and piece[0] == start, False)


def _announces(text: str, start: int, end: int) -> bool:
    near = max(start, end - 8)
    return text.find(":", near, end) >= 0 and text[near:end].rstrip().endswith(":")


def _split(
    text: str, start: int, end: int, boundaries: Sequence[re.Pattern[str]], measure: Measure, sizes: Sizes
) -> Iterator[tuple[int, int]]:
    """Pieces of at most `sizes.maximum` tokens, cut at the first kind of boundary that makes them small enough."""
    if not boundaries:
        yield from _halves(text, start, end, lambda start, end: measure(start, end) <= sizes.target)
        return
    cuts = [match.end() for match in boundaries[0].finditer(text, start, end)]
    for begin, stop in zip([start, *cuts], [*cuts, end], strict=True):
        if measure(begin, stop) <= sizes.maximum:
            yield begin, stop
        else:
            yield from _split(text, begin, stop, boundaries[1:], measure, sizes)


def _halves(text: str, start: int, end: int, fits: Callable[[int, int], bool]) -> Iterator[tuple[int, int]]:
    """Halves, and halves of those, until they fit; cut at a blank where there is one near the middle."""
    if end - start < 2 or fits(start, end):
        yield start, end
        return
    middle, near = (start + end) // 2, (end - start) // 8
    blank = max(text.rfind(" ", middle - near, middle + near), text.rfind("\n", middle - near, middle + near))
    cut = middle if blank <= start else blank + 1
    yield from _halves(text, start, cut, fits)
    yield from _halves(text, cut, end, fits)


def _pack(units: Sequence[_Unit], sizes: Sizes) -> list[list[_Unit]]:
    groups: list[list[_Unit]] = []
    group: list[_Unit] = []
    total = 0
    for unit in units:
        # Full is what would miss the target by more with this unit than without it.
        full = 2 * total + unit.tokens > 2 * sizes.target or total + unit.tokens > sizes.maximum
        if group and (full or (unit.heading and total >= sizes.target * SECTION_SHARE)):
            carried = _carried(group, sizes.maximum - unit.tokens)
            if len(carried) < len(group):
                groups.append(group[: len(group) - len(carried)])
                group, total = carried, sum(each.tokens for each in carried)
            elif total + unit.tokens > sizes.maximum:
                groups.append(group)
                group, total = [], 0
        group.append(unit)
        total += unit.tokens
    return _join_tail([*groups, group] if group else groups, sizes)


def _carried(group: list[_Unit], room: int) -> list[_Unit]:
    """The end of a group that announces what follows and still fits beside it."""
    first = len(group)
    while first > max(0, len(group) - MOST_CARRIED) and group[first - 1].glued and group[first - 1].tokens <= room:
        first -= 1
        room -= group[first].tokens
    return group[first:]


def _join_tail(groups: list[list[_Unit]], sizes: Sizes) -> list[list[_Unit]]:
    if len(groups) > 1:
        tail = sum(unit.tokens for unit in groups[-1])
        if tail < sizes.target * TAIL_SHARE and tail + sum(unit.tokens for unit in groups[-2]) <= sizes.maximum:
            return [*groups[:-2], groups[-2] + groups[-1]]
    return groups


def _spans(text: str, group: Sequence[_Unit], sizes: Sizes) -> Iterator[Span]:
    """A group as a chunk; where its text is denser than the average promised, as several."""
    span = _span(text, group)
    if span is None:
        return
    if span.tokens <= sizes.maximum:
        yield span
    elif len(group) > 1:
        yield from _spans(text, group[: len(group) // 2], sizes)
        yield from _spans(text, group[len(group) // 2 :], sizes)
    else:
        fits = lambda start, end: estimate_tokens(text[start:end]) <= sizes.maximum  # noqa: E731
        for start, end in _halves(text, span.start, span.end, fits):
            if piece := _span(text, [group[0]._replace(start=start, end=end)]):
                yield piece


def _span(text: str, group: Sequence[_Unit]) -> Span | None:
    """Blank lines around a chunk belong to nobody; the indentation of its first line stays."""
    start, end = group[0].start, group[-1].end
    piece = text[start:end].rstrip()
    if not piece:
        return None
    first = len(piece) - len(piece.lstrip())
    first = piece.rfind("\n", 0, first) + 1
    section = _shared_section(group)
    return Span(start + first, start + len(piece), estimate_tokens(piece[first:]), section, group[0].page)


def _shared_section(group: Sequence[_Unit]) -> tuple[str, ...]:
    """The heading path that holds for all of a chunk; what stands above the first heading is taken along."""
    sections = [unit.section for unit in group if unit.section]
    shared = sections[0] if sections else ()
    if sections.count(shared) == len(sections):
        return shared
    for section in sections:
        if section is not shared and section != shared:
            pairs = takewhile(lambda pair: pair[0] == pair[1], zip(shared, section, strict=False))
            shared = tuple(title for title, _ in pairs)
    return shared
