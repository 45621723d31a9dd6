"""OpenAI files: what batches read and write."""

from __future__ import annotations

import email
import email.policy
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.exchange import Call

MOST_BYTES = 200 * 1024 * 1024


def store_file(call: Call, name: str, purpose: str, content: bytes) -> dict[str, Any]:
    """Keep a file and return its object."""
    described: dict[str, Any] = {
        "id": call.world.new_id("file"),
        "object": "file",
        "bytes": len(content),
        "created_at": int(call.world.clock.now().timestamp()),
        "filename": name,
        "purpose": purpose,
        "status": "processed",
    }
    call.world.shelf("openai_files")[described["id"]] = {"object": described, "content": content, "key": call.key}
    return described


async def upload(call: Call) -> Response:
    """POST /v1/files, as multipart form data."""
    head = f"Content-Type: {call.request.headers.get('content-type', '')}\r\n\r\n".encode()
    form = email.message_from_bytes(head + call.seen.raw, policy=email.policy.HTTP)
    values: dict[str, tuple[str, bytes]] = {}
    for part in form.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        values[name] = (part.get_filename() or "", part.get_payload(decode=True) or b"")  # type: ignore[assignment]
    if "file" not in values or "purpose" not in values:
        raise call.reject("file and purpose are required")
    name, content = values["file"]
    if len(content) > MOST_BYTES:
        raise call.reject("file: at most 200 MB are allowed", "too_large")
    return await call.answer(store_file(call, name, values["purpose"][1].decode(), content))


def find_file(call: Call, file_id: str) -> dict[str, Any]:
    """A file of this account, with its content."""
    kept = call.world.shelf("openai_files").get(file_id)
    if kept is None or kept["key"] != call.key:
        raise call.reject(f"No such File object: {file_id}", "not_found")
    return kept  # type: ignore[no-any-return]


async def content(call: Call) -> Response:
    """GET /v1/files/{file}/content"""
    kept = find_file(call, call.request.path_params["file"])
    call.seen.status = 200
    return Response(kept["content"], 200, call.headers, "application/octet-stream")


ROUTES = (
    ("POST", "/v1/files", upload),
    ("GET", "/v1/files/{file}/content", content),
)
