"""Citations: every quote is looked up in the document it names, and only what occurs there becomes a citation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ragkit.nouns import Chunk, Citation
from ragkit.quote import find_quote
from ragkit.safe import Links, Sources, make_data_safe, make_safe
from ragkit.structured import Parsed, Quote, Statement

Unsupported = Literal["drop", "mark"]

MARK = "(no source)"
LONGEST_REASON = 300
FAKE_MARK = re.compile(r"[ \t]?\[[0-9, ]+\]")


@dataclass(frozen=True, slots=True)
class Dropped:
    """A statement, or one quote of it, that did not pass, and why."""

    statement: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verified:
    """An answer of which every citation is real; `reason` says why it abstained."""

    text: str
    citations: tuple[Citation, ...]
    dropped: tuple[Dropped, ...] = ()
    data: Mapping[str, Any] | None = None
    abstained: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What becomes of a statement none of whose quotes is real, and which links are shown."""

    unsupported: Unsupported = "drop"
    links: Links = "none"


def verify(parsed: Parsed, citable: Sequence[Chunk], rules: Rules = Rules()) -> Verified:
    """The part of an answer that its sources bear out; `citable` is `Prompt.citable` of the same request.

    If nothing remains, the answer abstains.
    """
    draft = parsed.draft
    if draft.abstained or not draft.statements:
        reason = make_safe(draft.reason, Sources())[:LONGEST_REASON]
        return Verified("", (), abstained=True, reason=reason or "the documents do not contain the answer")
    verifier = Verifier(citable, rules)
    parts = [part for statement in draft.statements if (part := verifier.enter(statement))]
    if not verifier.citations:
        reason = "no statement of the answer could be found in the documents"
        return Verified("", (), dropped=tuple(verifier.dropped), abstained=True, reason=reason)
    data = make_data_safe(parsed.data, verifier.sources()) if parsed.data is not None else None
    separator = "\n" if any("\n" in part for part in parts) else " "
    return Verified(separator.join(parts), tuple(verifier.citations), tuple(verifier.dropped), data)


class Verifier:
    """Collects statements and the citations that they earn, each citation once; also while an answer is streamed."""

    def __init__(self, citable: Sequence[Chunk], rules: Rules = Rules()) -> None:
        self._rules = rules
        self._chunks = {str(number): chunk for number, chunk in enumerate(citable, start=1)}
        self._cited: dict[str, Chunk] = {}
        self.citations: list[Citation] = []
        self.dropped: list[Dropped] = []

    def sources(self) -> Sources:
        texts = [chunk.text for chunk in self._cited.values()]
        return Sources(texts, [citation.quote for citation in self.citations], self._rules.links)

    def enter(self, statement: Statement) -> str:
        """The statement as it is shown, with the numbers of its citations; empty if it is dropped."""
        found = [citation for quote in statement.quotes for citation in self._cite(quote, statement.text)]
        if not found and (self._rules.unsupported == "drop" or not self._chunks):
            self.dropped.append(Dropped(statement.text, "none of its quotes is in the documents"))
            return ""
        texts = [self._cited[citation.chunk_id].text for citation in found]
        sources = Sources(texts, [citation.quote for citation in found], self._rules.links)
        text = make_safe(_without_fake_marks(statement.text, texts), sources)
        numbers = dict.fromkeys(self._number(citation) for citation in found) if text else ()
        return " ".join((text, *(f"[{number}]" for number in numbers))) if found else f"{text} {MARK}"

    def _cite(self, quote: Quote, statement: str) -> list[Citation]:
        digits = re.findall(r"[0-9]+", quote.chunk_id)
        chunk = self._chunks.get(digits[0].lstrip("0")) if len(digits) == 1 else None
        if chunk is None:
            self.dropped.append(
                Dropped(statement, f"it cites a document that it was not shown: {quote.chunk_id[:40]!r}")
            )
            return []
        spans = find_quote(quote.quote, chunk.text)
        if not spans:
            self.dropped.append(Dropped(statement, f"its quote is not in {chunk.source}"))
        self._cited |= {chunk.id: chunk} if spans else {}
        return [_citation(chunk, start, end) for start, end in spans]

    def _number(self, citation: Citation) -> int:
        if citation not in self.citations:
            self.citations.append(citation)
        return self.citations.index(citation) + 1


def _citation(chunk: Chunk, start: int, end: int) -> Citation:
    return Citation(
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        source=chunk.source,
        section=chunk.section,
        page=chunk.page,
        quote=chunk.text[start:end],
        start=chunk.start + start,
        end=chunk.start + end,
    )


def _without_fake_marks(text: str, sources: Sequence[str]) -> str:
    """A model's own [1] would pass for one of our citation numbers, unless its sources say it like that."""
    return FAKE_MARK.sub(lambda found: found[0] if any(found[0] in source for source in sources) else "", text)
