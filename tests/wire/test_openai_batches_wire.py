"""What a file of answers may hold: characters that end a line elsewhere do not end one there."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from ragkit.batches.openai import OpenAIBatches
from ragkit.nouns import Usage

ODD = "a\u2028b\u0085c\x0bd"
ANSWER: dict[str, Any] = {
    "id": "resp_1",
    "status": "completed",
    "model": "gpt-6-luna",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": ODD}]}],
    "usage": {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10},
}
BATCH = {"id": "batch_1", "object": "batch", "status": "completed", "output_file_id": "file_1", "created_at": 1}


def respond(request: httpx2.Request) -> httpx2.Response:
    if request.url.path.endswith("/content"):
        rows = [{"custom_id": f"n{place}", "response": {"status_code": 200, "body": ANSWER}} for place in range(2)]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return httpx2.Response(200, content=text.encode(), headers={"content-type": "application/octet-stream"})
    return httpx2.Response(200, json=BATCH)


async def test_only_a_line_feed_ends_a_line() -> None:
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(respond))
    api = OpenAIBatches("key", http=http)
    found = [result async for result in api.results("batch_1")]
    await api.aclose()
    assert [result.name for result in found] == ["n0", "n1"]
    assert all(it.completion is not None and it.completion.text == ODD for it in found)
    assert all(it.completion is not None and it.completion.usage == Usage(input=9, output=1) for it in found)
