"""The pages: plain HTML, one style sheet and small ES modules, served as they are and under a strict policy."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

HERE = Path(__file__).parent
PAGES = {"": "Ask", "costs": "Costs", "documents": "Documents", "cache": "Cache", "budgets": "Budgets"}
"""Names by path; the page at the root is kept in `ask.html`."""
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing is loaded from or sent to anywhere else, and no text can become markup or code, whatever a document says."""
HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Asset(NamedTuple):
    """What is sent, with what it is and a tag that changes with it."""

    body: bytes
    media_type: str
    tag: str


def routes() -> list[Route]:
    """The pages at their paths and what they load under `/assets`; none of it needs a key, none of it is data."""
    pages = [Route(f"/{name}", _page, methods=["GET"], include_in_schema=False) for name in PAGES]
    return [*pages, Route("/assets/{name}", _asset, methods=["GET"], include_in_schema=False)]


async def _page(request: Request) -> Response:
    return _sent(request, page(request.url.path.strip("/")))


async def _asset(request: Request) -> Response:
    found = asset(request.path_params["name"])
    if found is None:
        raise HTTPException(404)
    return _sent(request, found)


def _sent(request: Request, found: Asset) -> Response:
    headers = {**HEADERS, "etag": found.tag}
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers, media_type=found.media_type)


@lru_cache
def page(name: str) -> Asset:
    """A page within what all of them share."""
    own, layout = (_read(f"{it}.html") for it in (name or "ask", "layout"))
    links = "".join(_link(path, title, current=path == name) for path, title in PAGES.items())
    filled = Template(layout).substitute(title=PAGES[name], script=name or "ask", links=links, main=own)
    return _made(filled.encode(), "text/html")


def asset(name: str) -> Asset | None:
    """A file of the folder `static` by its bare name."""
    return _assets().get(name)


@lru_cache
def _assets() -> dict[str, Asset]:
    files = (file for file in (HERE / "static").iterdir() if file.suffix in TYPES)
    return {file.name: _made(file.read_bytes(), TYPES[file.suffix]) for file in files}


def _link(path: str, title: str, *, current: bool) -> str:
    mark = ' aria-current="page"' if current else ""
    return f'<li><a href="/{path}"{mark}>{title}</a></li>'


def _made(body: bytes, media_type: str) -> Asset:
    return Asset(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
