"""An OpenAI-compatible gateway in front of many providers, which tells its own idea of the cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.exchange import Call, Protocol
from ragkit_eval.twin.invoice import price
from ragkit_eval.twin.openai import FIELDS, chat_completion, chat_frames, chat_head, chat_usage, error_body, read_chat
from ragkit_eval.twin.openai_prompt import bill_of, commit, compose, make_plan
from ragkit_eval.twin.world import Bill

PROTOCOL = Protocol("gateway", error_body)


async def chat(call: Call) -> Response:
    """POST /v1/chat/completions for models named `provider/model`; only OpenAI's are behind this gateway."""
    body: dict[str, Any] = {name: value for name, value in call.body.items() if name in FIELDS}
    named = str(body.get("model", ""))
    body["model"] = named.removeprefix("openai/")
    plan = make_plan(call, read_chat(call, body))
    written = compose(call, plan.inquiry)
    usage = chat_usage(plan, written)

    def bill(output: int) -> Bill:
        made = bill_of(call, plan, written, output)
        return Bill("gateway", made.model, made.usage, made.lane, made.id, detail=made.detail)

    whole = bill(written.output)
    cost = price(whole.model, whole.lane, whole.usage, call.world.clock.now()) or 0
    if (call.body.get("usage") or {}).get("include"):
        usage["cost"] = float(Decimal(cost).scaleb(-12))
    call.headers["x-litellm-response-cost"] = format(Decimal(cost).scaleb(-12), "f")
    head = {**chat_head(call, plan), "model": named, "provider": "openai"}
    await call.wait_for_first_token()
    commit(call, plan)
    if body.get("stream"):
        wanted = (body.get("stream_options") or {}).get("include_usage")
        return call.stream(chat_frames(head, written, usage if wanted else None, 4), bill)
    return await call.answer(chat_completion(head, written, usage), whole, tokens=written.output)


ROUTES = (("POST", "/v1/chat/completions", chat),)
