"""JSON: as it is written; where that is one endless line, indented so that it can be cut between its parts."""

from __future__ import annotations

import json

from ragkit_ingest.document import Block, Parsed
from ragkit_ingest.limits import Limits
from ragkit_ingest.parse.plain import hidden_metadata
from ragkit_ingest.text import clean, decode

LONG_LINE = 400
"""Characters of an average line from which on a file is indented anew."""


def parse(data: bytes, limits: Limits) -> Parsed:
    text, hidden = clean(decode(data))
    if len(text) > LONG_LINE * (text.count("\n") + 1):
        text = _indented(text)
    return Parsed(text, (Block(0, "code"),), metadata=hidden_metadata(hidden))


def _indented(text: str) -> str:
    """What is not valid JSON stays as it is: it is text all the same."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=1)
    except (ValueError, RecursionError):
        return text
