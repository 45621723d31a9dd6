"""A written answer as a Message and as the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ragkit_eval.twin.answer import Found
from ragkit_eval.twin.anthropic_prompt import document_blocks, material
from ragkit_eval.twin.obedience import TOOL
from ragkit_eval.twin.replies import Frame, event
from ragkit_eval.twin.writing import Written

SIGNATURE = "c2ltdWxhdGVk"
SUMMARY = "Looking for the sentences that answer the question."
STOPS = {"end": "end_turn", "length": "max_tokens", "refusal": "refusal", "stop_sequence": "stop_sequence"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the shapes need; `ran_out` says that the context window, not max_tokens, ended the answer."""

    id: str
    body: Mapping[str, Any]
    written: Written
    usage: dict[str, Any]
    tool: str | None = None
    ran_out: bool = False


def stop_reason(reply: Reply) -> str:
    if reply.ran_out:
        return "model_context_window_exceeded"
    if reply.tool and reply.written.stop == "end":
        return "tool_use"
    return STOPS[reply.written.stop]


def _ending(reply: Reply) -> dict[str, Any]:
    refused = reply.written.stop == "refusal"
    details = {"type": "refusal", "category": None, "explanation": "simulated refusal"} if refused else None
    return {
        "stop_reason": stop_reason(reply),
        "stop_sequence": reply.written.stop_sequence,
        "stop_details": details,
        "container": None,
    }


def message(reply: Reply) -> dict[str, Any]:
    """The Message object."""
    return {
        "id": reply.id,
        "type": "message",
        "role": "assistant",
        "model": reply.body["model"],
        "content": [*_thinking(reply), *_content(reply)],
        **_ending(reply),
        "usage": reply.usage,
    }


def _thinking(reply: Reply) -> list[dict[str, Any]]:
    """Present whenever there was thinking, and empty unless a summary was asked for."""
    if not reply.written.thinking:
        return []
    shown = (reply.body.get("thinking") or {}).get("display") == "summarized"
    return [{"type": "thinking", "thinking": SUMMARY if shown else "", "signature": SIGNATURE}]


def _content(reply: Reply) -> list[dict[str, Any]]:
    text = reply.written.text
    if reply.tool and reply.written.stop != "refusal":
        return [{"type": "tool_use", "id": f"toolu_{reply.id}", "name": reply.tool, "input": _tool_input(text)}]
    call = {"type": "tool_use", "id": f"toolu_{reply.id}", "name": TOOL, "input": reply.written.call}
    return [
        *(
            {"type": "text", "text": part, "citations": [citation] if citation else None}
            for part, citation in _cited_parts(reply)
        ),
        *([call] if reply.written.call else []),
    ]


def _tool_input(text: str) -> Any:
    """A tool's input is an object also when the limit cut it short."""
    try:
        return json.loads(text)
    except ValueError:
        return {}


def _cited_parts(reply: Reply) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """The text in parts, each sentence from a citable document with its citation."""
    rest = reply.written.text
    documents = document_blocks(reply.body)
    if any((part.get("citations") or {}).get("enabled") for part in documents):
        for found in material(reply.body).found:
            if rest.startswith(found.quote) and "." in found.passage.id:
                yield found.quote, _citation(documents, found)
                rest = rest.removeprefix(found.quote).removeprefix(" ")
    if rest:
        yield rest, None


def _citation(documents: list[dict[str, Any]], found: Found) -> dict[str, Any]:
    place, unit = (int(part) for part in found.passage.id.split("."))
    document = documents[place]
    blocks = {"start_block_index": unit, "end_block_index": unit + 1}
    if document["type"] == "search_result":
        results = [part for part in documents if part["type"] == "search_result"]
        where = {"type": "search_result_location", "search_result_index": results.index(document), **blocks}
        return {**where, "cited_text": found.quote, "source": document["source"], "title": document.get("title")}
    cited = {"cited_text": found.quote, "document_index": place, "document_title": document.get("title")}
    if document["source"].get("type") == "content":
        return {"type": "content_block_location", **cited, **blocks, "file_id": None}
    end = found.start + len(found.quote)
    span = {"start_char_index": found.start, "end_char_index": end}
    return {"type": "char_location", **cited, **span, "file_id": None}


def frames(reply: Reply, size: int) -> tuple[Frame, ...]:
    """The events in the documented order; usage in `message_delta` is cumulative, the TTL split only at the start."""
    start = {**message(reply), "content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    start["usage"] = {**reply.usage, "output_tokens": min(1, reply.written.output), "output_tokens_details": None}
    events = [_frame({"type": "message_start", "message": start}), _frame({"type": "ping"})]
    for index, block in enumerate(_thinking(reply)):
        events += _thinking_frames(index, block, reply.written.thinking)
    first = len(_thinking(reply))
    for index, block in enumerate(_content(reply), start=first):
        events += _block_frames(index, block, reply, size)
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    usage = {name: reply.usage[name] for name in (*names, "output_tokens_details")}
    events.append(_frame({"type": "message_delta", "delta": _ending(reply), "usage": usage}))
    events.append(Frame(event({"type": "message_stop"}, name="message_stop"), final=True))
    return tuple(events)


def _frame(payload: dict[str, Any], output: int = 0) -> Frame:
    return Frame(event(payload, name=payload["type"]), output)


def _delta(index: int, kind: str, field: str, value: Any, output: int = 0) -> Frame:
    return _frame({"type": "content_block_delta", "index": index, "delta": {"type": kind, field: value}}, output)


def _thinking_frames(index: int, block: dict[str, Any], tokens: int) -> list[Frame]:
    """The tokens of thinking count when its signature arrives, whether or not a text came before."""
    empty = {**block, "thinking": "", "signature": ""}
    events = [_frame({"type": "content_block_start", "index": index, "content_block": empty})]
    if block["thinking"]:
        events.append(_delta(index, "thinking_delta", "thinking", block["thinking"]))
    events.append(_delta(index, "signature_delta", "signature", SIGNATURE, tokens))
    return [*events, _frame({"type": "content_block_stop", "index": index})]


def _block_frames(index: int, block: dict[str, Any], reply: Reply, size: int) -> list[Frame]:
    """A text block's pieces are those that were billed; a cited part carries its share of them."""
    if block["type"] == "tool_use":
        empty, kind, field = {**block, "input": {}}, "input_json_delta", "partial_json"
        pieces = reply.written.pieces
    else:
        empty, kind, field = {**block, "text": "", "citations": None}, "text_delta", "text"
        pieces = _pieces_of(block["text"], reply)
    events = [_frame({"type": "content_block_start", "index": index, "content_block": empty})]
    for start in range(0, len(pieces), size):
        part = pieces[start : start + size]
        events.append(_delta(index, kind, field, "".join(part), len(part)))
    events += [_delta(index, "citations_delta", "citation", each) for each in block.get("citations") or ()]
    return [*events, _frame({"type": "content_block_stop", "index": index})]


def _pieces_of(text: str, reply: Reply) -> tuple[str, ...]:
    """The tokens that make up a part of the text, in order, so that all parts together hold every token once."""
    start = reply.written.text.index(text)
    taken, offset = [], 0
    for piece in reply.written.pieces:
        if start <= offset < start + len(text):
            taken.append(piece[: start + len(text) - offset])
        elif offset < start < offset + len(piece):
            taken.append(piece[start - offset :])
        offset += len(piece)
    return tuple(taken)
