"""Gemini's explicit caches: rented by the token and hour, from creation until they expire or are deleted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.exchange import Call
from ragkit_eval.twin.gemini import find_model, texts_of
from ragkit_eval.twin.invoice import Line, storage_price
from ragkit_eval.twin.tokens import WIDE, count
from ragkit_eval.twin.world import Bill, World

USUAL_LIFETIME = timedelta(hours=1)


def _lifetime(call: Call, body: Mapping[str, Any], now: datetime) -> datetime:
    if "expireTime" in body:
        return datetime.fromisoformat(str(body["expireTime"]).replace("Z", "+00:00"))
    if "ttl" in body:
        try:
            return now + timedelta(seconds=float(str(body["ttl"]).removesuffix("s")))
        except ValueError as error:
            raise call.reject("ttl: must be a number of seconds such as 3600s") from error
    return now + USUAL_LIFETIME


async def create(call: Call) -> Response:
    """POST /{version}/cachedContents: its tokens are billed as input once, then as storage."""
    body, now = call.body, call.world.clock.now()
    model = find_model(call, str(body.get("model", "")))
    if not model.explicit:
        raise call.reject(f"{model.id} supports implicit caching only")
    texts = [*texts_of(body.get("systemInstruction")), *texts_of(body.get("contents") or [])]
    tokens = sum(count(text, WIDE) for text in texts)
    minimum = call.world.options.minimums.get(model.id, model.minimum)
    if tokens < minimum:
        raise call.reject(f"Cached content is too small. total_token_count={tokens}, min_total_token_count={minimum}")
    name = call.world.new_id("cache")
    cache = {
        "name": name,
        "model": model.id,
        "key": call.key,
        "texts": texts,
        "tokens": tokens,
        "created": now,
        "updated": now,
        "expires": _lifetime(call, body, now),
        "display": body.get("displayName"),
    }
    call.world.shelf("gemini_caches")[name] = cache
    call.world.invoice.accruing.append(lambda: storage_lines(call.world, cache))
    bill = Bill("gemini", model.id, {"input": tokens}, "standard", call.seen.request_id, detail={"cache": name})
    return await call.answer(_describe(cache), bill)


def storage_lines(world: World, cache: Mapping[str, Any]) -> tuple[Line, ...]:
    """What a cache has cost by now; no line before its first second."""
    end = min(world.clock.now(), cache["expires"], cache.get("deleted", cache["expires"]))
    seconds = max(0.0, (end - cache["created"]).total_seconds())
    if not seconds:
        return ()
    pico = storage_price(cache["model"], cache["tokens"], seconds)
    detail = {"token_seconds": cache["tokens"] * seconds}
    return (Line(f"{cache['name']}/storage", end, "gemini", cache["model"], "storage", {}, pico, "storage", detail),)


def _describe(cache: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": f"cachedContents/{cache['name']}",
        "model": f"models/{cache['model']}",
        "displayName": cache["display"],
        "createTime": cache["created"].isoformat(),
        "updateTime": cache["updated"].isoformat(),
        "expireTime": cache["expires"].isoformat(),
        "usageMetadata": {"totalTokenCount": cache["tokens"]},
    }


def _find(call: Call) -> dict[str, Any]:
    cache: dict[str, Any] | None = call.world.shelf("gemini_caches").get(call.request.path_params["cache"])
    if cache is None or cache["key"] != call.key or cache["expires"] <= call.world.clock.now() or "deleted" in cache:
        raise call.reject("CachedContent not found (or permission denied)", "permission")
    return cache


async def get(call: Call) -> Response:
    """GET /{version}/cachedContents/{cache}"""
    return await call.answer(_describe(_find(call)))


async def list_caches(call: Call) -> Response:
    """GET /{version}/cachedContents"""
    now = call.world.clock.now()
    kept = [cache for cache in call.world.shelf("gemini_caches").values() if cache["key"] == call.key]
    live = [_describe(cache) for cache in kept if cache["expires"] > now and "deleted" not in cache]
    return await call.answer({"cachedContents": live})


async def update(call: Call) -> Response:
    """PATCH /{version}/cachedContents/{cache}: only the lifetime can change."""
    cache, now = _find(call), call.world.clock.now()
    cache["expires"], cache["updated"] = _lifetime(call, call.body, now), now
    return await call.answer(_describe(cache))


async def delete(call: Call) -> Response:
    """DELETE /{version}/cachedContents/{cache}: ends the rent."""
    cache = _find(call)
    cache["deleted"] = call.world.clock.now()
    return await call.answer({})


ROUTES = (
    ("POST", "/{version}/cachedContents", create),
    ("GET", "/{version}/cachedContents", list_caches),
    ("GET", "/{version}/cachedContents/{cache}", get),
    ("PATCH", "/{version}/cachedContents/{cache}", update),
    ("DELETE", "/{version}/cachedContents/{cache}", delete),
)
