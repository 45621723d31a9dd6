"""Cloud Storage: objects in buckets, put, listed and read by the JSON API. What it keeps is free here."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ragkit_eval.twin.exchange import Call, Protocol, Rejection
from ragkit_eval.twin.world import World

PAGE = 2
"""Objects on a page of a list: few, so that whoever forgets the next page is found out."""
SCHEME = "gs://"


def error_body(rejection: Rejection, request_id: str) -> dict[str, Any]:
    reasons = [{"domain": "global", "reason": rejection.kind, "message": rejection.message}]
    return {"error": {"code": rejection.status, "message": rejection.message, "errors": reasons}}


PROTOCOL = Protocol("storage", error_body)


def put(world: World, uri: str, content: bytes) -> None:
    """Keep an object under its `gs://` name."""
    world.shelf("objects")[uri] = content


def read(world: World, uri: str) -> bytes | None:
    content: bytes | None = world.shelf("objects").get(uri)
    return content


def names(world: World, prefix: str) -> list[str]:
    return sorted(uri for uri in world.shelf("objects") if uri.startswith(prefix))


async def upload(call: Call) -> Response:
    """POST /upload/storage/v1/b/{bucket}/o?uploadType=media&name=..."""
    query, bucket = call.request.query_params, call.request.path_params["bucket"]
    if query.get("uploadType") != "media" or not query.get("name"):
        raise call.reject("the twin takes uploads of the type media, with a name")
    put(call.world, f"{SCHEME}{bucket}/{query['name']}", call.seen.raw)
    return await call.answer(_resource(bucket, query["name"], len(call.seen.raw)))


async def list_objects(call: Call) -> Response:
    """GET /storage/v1/b/{bucket}/o?prefix=...: in order, page by page."""
    query, bucket = call.request.query_params, call.request.path_params["bucket"]
    found = names(call.world, f"{SCHEME}{bucket}/{query.get('prefix', '')}")
    start = int(query.get("pageToken") or 0)
    head = len(f"{SCHEME}{bucket}/")
    items = [_resource(bucket, uri[head:], len(read(call.world, uri) or b"")) for uri in found[start : start + PAGE]]
    more = {"nextPageToken": str(start + PAGE)} if start + PAGE < len(found) else {}
    return await call.answer({"kind": "storage#objects", "items": items, **more})


async def download(call: Call) -> Response:
    """GET /storage/v1/b/{bucket}/o/{object}?alt=media"""
    params = call.request.path_params
    content = read(call.world, f"{SCHEME}{params['bucket']}/{params['object']}")
    if content is None:
        raise call.reject(f"No such object: {params['bucket']}/{params['object']}", "not_found")
    if call.fault_kind == "malformed_json":
        content = content[: len(content) // 2]
    call.seen.status = 200
    return Response(content, 200, call.headers, "application/octet-stream")


def _resource(bucket: str, name: str, size: int) -> dict[str, str]:
    return {
        "kind": "storage#object",
        "id": f"{bucket}/{quote(name)}",
        "name": name,
        "bucket": bucket,
        "size": str(size),
    }


async def token(request: Request) -> Response:
    """POST /oauth2/token: an access token for whoever asks, so that Google's own credentials can be used."""
    return JSONResponse({"access_token": "twin-token", "expires_in": 3600, "token_type": "Bearer"})


ROUTES = (
    ("POST", "/upload/storage/v1/b/{bucket}/o", upload),
    ("GET", "/storage/v1/b/{bucket}/o", list_objects),
    ("GET", "/storage/v1/b/{bucket}/o/{object:path}", download),
)
