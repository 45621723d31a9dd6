"""A Messages request as a row of blocks in the order that the cache sees: tools, system, messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from ragkit_eval.twin.answer import Material, Passage, read_prompt
from ragkit_eval.twin.cache import Breakpoint, Prefixes, chain
from ragkit_eval.twin.tokens import count

TURN_TOKENS = 3
"""What a turn costs beside its text."""
FORMAT_TOKENS = 24
"""The hidden instructions that come with an enforced format, beside its schema."""
IMAGE_TOKENS = 1500
CHARACTERS_PER_FILE_TOKEN = 6
"""Base64 of a PDF, which the twin does not read."""

DOCUMENTS = ("document", "search_result")

Tier = Literal["tools", "system", "messages"]


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the prompt as the cache sees it; `ttl` is its marker's lifetime."""

    tier: Tier
    text: str
    tokens: int
    ttl: str | None = None
    markable: bool = True


def as_blocks(content: Any) -> list[dict[str, Any]]:
    """Content as a list of blocks: a string is short for one text block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content or () if isinstance(block, dict)]


def _ttl(block: Mapping[str, Any]) -> str | None:
    mark = block.get("cache_control")
    return None if mark is None else str(mark.get("ttl", "5m"))


def _plain(value: Mapping[str, Any]) -> str:
    """The bytes that count: everything but the marker, which may move without moving the prefix."""
    return json.dumps({key: part for key, part in value.items() if key != "cache_control"}, ensure_ascii=False)


def block_tokens(block: Mapping[str, Any], width: int) -> int:
    """Tokens of a content block of any type."""
    kind = block.get("type")
    if kind == "text":
        return count(str(block.get("text", "")), width)
    if kind == "image":
        return IMAGE_TOKENS
    if kind in DOCUMENTS:
        head = f"{block.get('title') or ''} {block.get('context') or ''} {block.get('source', '')!s}"[:200]
        return count(head, width) + sum(count(text, width) for text in document_texts(block)) + _file_tokens(block)
    return count(_plain(block), width)


def _file_tokens(block: Mapping[str, Any]) -> int:
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") == "base64":
        return len(source.get("data", "")) // CHARACTERS_PER_FILE_TOKEN
    return 0


def document_texts(block: Mapping[str, Any]) -> list[str]:
    """The citable units of a document or search result."""
    source = block.get("content") if block.get("type") == "search_result" else block.get("source", {})
    if isinstance(source, dict):
        source = source.get("data", "") if source.get("type") == "text" else source.get("content", "")
    if isinstance(source, str):
        return [source] if source else []
    return [str(part.get("text", "")) for part in source or () if isinstance(part, dict)]


def render(body: Mapping[str, Any], width: int) -> tuple[Block, ...]:
    """All blocks, with what invalidates a tier mixed into the first block behind it."""
    system_salt, message_salt = _salts(body)
    blocks = [Block("tools", _plain(tool), count(_plain(tool), width), _ttl(tool)) for tool in body.get("tools") or ()]
    if schema := format_schema(body):
        text = json.dumps(schema, ensure_ascii=False)
        blocks.append(Block("system", f"format {text}", FORMAT_TOKENS + count(text, width), markable=False))
    salt = system_salt
    for part in as_blocks(body.get("system")):
        blocks.append(Block("system", salt + _plain(part), block_tokens(part, width), _ttl(part)))
        salt = ""
    salt += message_salt
    for role, part, first in _message_parts(body):
        tokens = block_tokens(part, width) + TURN_TOKENS * first
        markable = part.get("type") not in ("thinking", "redacted_thinking")
        blocks.append(Block("messages", f"{salt}{role} {first} {_plain(part)}", tokens, _ttl(part), markable))
        salt = ""
    return _with_automatic(blocks, body.get("cache_control"))


def _message_parts(body: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    for message in body.get("messages") or ():
        for number, part in enumerate(as_blocks(message.get("content"))):
            yield str(message.get("role")), part, number == 0


def _salts(body: Mapping[str, Any]) -> tuple[str, str]:
    """What changes the system tier and what changes only the messages, as the vendor's invalidation table has it."""
    parts = [part for _, part, _ in _message_parts(body)]
    searches = any(str(tool.get("type", "")).startswith("web_search") for tool in body.get("tools") or ())
    cites = any((part.get("citations") or {}).get("enabled") for part in parts if part.get("type") != "text")
    images = any(part.get("type") == "image" for part in parts)
    config = body.get("output_config") or {}
    system = [body.get("speed") or "standard", searches, cites]
    messages = [body.get("tool_choice"), images, body.get("thinking"), config.get("effort")]
    return json.dumps(system), json.dumps(messages, sort_keys=True)


def _with_automatic(blocks: list[Block], control: Mapping[str, Any] | None) -> tuple[Block, ...]:
    """Top-level cache_control marks the last block that can carry a marker."""
    if control is not None:
        place = last_markable(blocks)
        if place is not None and blocks[place].ttl is None:
            old = blocks[place]
            blocks[place] = Block(old.tier, old.text, old.tokens, str(control.get("ttl", "5m")))
    return tuple(blocks)


def last_markable(blocks: list[Block] | tuple[Block, ...]) -> int | None:
    places = [place for place, block in enumerate(blocks) if block.markable]
    return places[-1] if places else None


def format_schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema that the answer must obey, or None."""
    form = (body.get("output_config") or {}).get("format")
    return form.get("schema") if isinstance(form, dict) else None


def prefixes(blocks: tuple[Block, ...], body: Mapping[str, Any], scope: str) -> Prefixes:
    """Digests for one model, one workspace and one response schema."""
    root = json.dumps([scope, body["model"], format_schema(body)])
    return Prefixes(chain(root, [block.text for block in blocks]), tuple(accumulate(block.tokens for block in blocks)))


def breakpoints(blocks: tuple[Block, ...]) -> tuple[Breakpoint, ...]:
    return tuple(Breakpoint(place, block.ttl) for place, block in enumerate(blocks) if block.ttl is not None)


def material(body: Mapping[str, Any]) -> Material:
    """The question and the sentences that answer it; the id of a document block is its place and the unit within."""
    texts = [str(part.get("text", "")) for part in as_blocks(body.get("system"))]
    texts += [str(part.get("text", "")) for _, part, _ in _message_parts(body) if part.get("type") not in DOCUMENTS]
    passages = [
        Passage(f"{place}.{unit}", str(part.get("title") or "document"), text)
        for place, part in enumerate(document_blocks(body))
        for unit, text in enumerate(document_texts(part))
    ]
    return read_prompt(texts, passages)


def document_blocks(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Documents and search results, in the order in which citations count them."""
    return [part for _, part, _ in _message_parts(body) if part.get("type") in DOCUMENTS]
