"""Making a model's words harmless to show: what could fetch, run or hide something stays only if the sources have it.

A model that obeys an instruction in a document may try to send secrets out in a link or an image, to lead the reader to
where the document's author wants him, or to hide text from him. Asking it not to is no defence; this is, because it
does not ask. Citations are not touched: they hold the source's own characters, and who shows them in a browser escapes
them like any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

Links = Literal["none", "quoted"]
"""Which links an answer shows: none, or those that stand in the words it quotes."""

LINK_REMOVED = "[link removed]"
LINK_IN_SOURCE = "[link: see the source]"
"""What is shown for a link that was made up, and for one that the quoted words have."""

URL = re.compile(
    r"""(?ix)
    \b(?:https?|ftps?|file|javascript|vbscript|data|blob|mailto|tel|wss?):[^\s<>"'`\]}|]+   # also without slashes
    | (?<![\w:/\\.])[/\\]{2}[^\s<>"'`\]}|/\\]+\.[^\s<>"'`\]}|]+                             # //host/path
    | (?<![\w@/.-])(?:[a-z0-9-]+\.)+[a-z]{2,24}[/?][^\s<>"'`\]}|]+                          # host.name/path
    | \bwww\.[^\s<>"'`\]}|]+
    """
)
INLINE_LINK = re.compile(r"(!?)\[([^\[\]\n]*)\]\(\s*([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s[^)\n]*)?\)")
LINK_DEFINITION = re.compile(r"(?m)^[ \t]{0,3}\[[^\]\n]+\]:[ \t]*\S+.*$")
RELATIVE = re.compile(r"/?[\w#.-][\w./#-]*")
"""A link to another place of the same documents."""
REFERENCE_IMAGE = re.compile(r"!(?=\[)")
TAG = re.compile(r"<(?:[a-zA-Z/!?][^<>]*>?)")
LOADING = re.compile(
    r"(?i)<\s*(?:img|image|picture|source|video|audio|iframe|frame|embed|object|script|link|style|svg)\b"
)
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?")
TRAILING = ".,;:!?)*_~"


class Sources:
    """What an answer may contain because its sources do: `quoted` are the words it cites, `texts` all around them."""

    def __init__(self, texts: Iterable[str] = (), quoted: Iterable[str] = (), links: Links = "none") -> None:
        self._texts = tuple(texts)
        self._urls = {url for text in quoted for url in _urls(text)}
        self._links = links

    def has_url(self, url: str) -> bool:
        """Whether it is the whole of a quoted URL: an address cut or prolonged can carry a message."""
        return url.rstrip(TRAILING) in self._urls

    def shows_url(self, url: str) -> bool:
        return self._links == "quoted" and self.has_url(url)

    def contain(self, piece: str) -> bool:
        return any(piece in text for text in self._texts)


def make_safe(text: str, sources: Sources) -> str:
    """The text without foreign links and HTML, without anything that loads by itself, without hidden characters."""
    text = HIDDEN.sub("", ESCAPE.sub("", text))
    text = _without_links(text, sources)
    text = LINK_DEFINITION.sub(lambda found: found[0] if _all_known(found[0], sources) else "", text)
    text = REFERENCE_IMAGE.sub("", text)
    text = TAG.sub(lambda found: _tag(found[0], sources), text)
    return URL.sub(lambda found: _url(found[0], sources), text).strip()


def make_data_safe(value: Any, sources: Sources) -> Any:
    """The same for every text in a JSON value."""
    if isinstance(value, str):
        return make_safe(value, sources)
    if isinstance(value, list):
        return [make_data_safe(item, sources) for item in value]
    if isinstance(value, dict):
        return {key: make_data_safe(item, sources) for key, item in value.items()}
    return value


def _urls(text: str) -> Iterable[str]:
    return (found[0].rstrip(TRAILING) for found in URL.finditer(text))


def _all_known(text: str, sources: Sources) -> bool:
    urls = tuple(_urls(text))
    return bool(urls) and all(sources.shows_url(url) for url in urls)


def _without_links(text: str, sources: Sources) -> str:
    """Links may hold images and images links, so what is left is looked at again until nothing changes."""
    while (plain := INLINE_LINK.sub(lambda found: _inline(found, sources), text)) != text:
        text = plain
    return text


def _inline(found: re.Match[str], sources: Sources) -> str:
    """A Markdown link to where an answer may link; images never, they load without being asked."""
    image, label, target = found.groups()
    within = RELATIVE.fullmatch(target) and not URL.search(target) and sources.contain(f"]({target})")
    if not image and (sources.shows_url(target) or within):
        return found[0]
    return label


def _tag(tag: str, sources: Sources) -> str:
    if LOADING.match(tag) and not re.fullmatch(r"<\w+\s*/?>", tag):
        return ""
    if sources.contain(tag) and not ("=" in tag or (URL.search(tag) and not sources.shows_url(tag[1:-1]))):
        return tag
    return "" if tag.endswith(">") or URL.search(tag) else tag.replace("<", "< ")


def _url(url: str, sources: Sources) -> str:
    ending = url[len(url.rstrip(TRAILING)) :]
    if sources.shows_url(url):
        return url
    return (LINK_IN_SOURCE if sources.has_url(url) else LINK_REMOVED) + ending
