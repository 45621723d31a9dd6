"""HTML: what a reader of the page would read, without scripts, navigation and markup."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ragkit_ingest.build import TextBuilder
from ragkit_ingest.document import Parsed, Unreadable
from ragkit_ingest.limits import Limits
from ragkit_ingest.text import decode

NEVER_READ = ("script", "style", "template", "noscript", "svg", "iframe", "object", "canvas", "select", "button")
HIDDEN = (
    *("[hidden]", "[style*='display:none']", "[style*='display: none']", "[style*='visibility:hidden']"),
    *(".visually-hidden", ".element-invisible", ".sr-only", ".screen-reader-text"),
)
AROUND = (
    *("nav", "footer", "aside", "form", "[role=navigation]", "[role=search]", "[role=contentinfo]"),
    *("[role=banner]", "[aria-hidden=true]"),
)
"""Parts of a page that are not its content, unless little else is left."""
CONTENT_SHARE = 0.25
BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html", "legend", "main", "nav", "p",
    "section", "summary", "tbody", "td", "tfoot", "th", "thead", "tr", "li",
))  # fmt: skip
_CHARSET = re.compile(rb"<meta[^>]{1,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"\s*<\?xml[^>]{1,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})", re.IGNORECASE)


def parse(data: bytes, limits: Limits) -> Parsed:
    declared = _CHARSET.search(data[:4096]) or _XML_ENCODING.match(data[:1024])
    # The web's own rule for a page that declares nothing and is not UTF-8 is Windows-1252.
    markup = decode(data, declared[1].decode("ascii") if declared else "cp1252")
    return from_markup(markup, limits)


def from_markup(markup: str, limits: Limits) -> Parsed:
    tree = LexborHTMLParser(markup.replace("\x00", ""))
    head = tree.css_first("title")
    title = head.text() if head else ""
    _drop(tree, (*NEVER_READ, *HIDDEN))
    body = tree.body or tree.root
    if body is None:
        raise Unreadable("holds no text")
    everything = len(body.text())
    around = body.clone()
    _drop(tree, AROUND)
    if len(body.text()) < CONTENT_SHARE * everything:
        body = around
    reader = _Reader(limits)
    reader.read(body)
    reader.flush()
    return reader.builder.build(title)


def _drop(tree: LexborHTMLParser, selectors: tuple[str, ...]) -> None:
    for node in tree.css(", ".join(selectors)):
        if node.parent is not None:
            node.remove()


class _Reader:
    """Turns nodes into blocks; `_line` collects what runs on within one."""

    def __init__(self, limits: Limits) -> None:
        self.builder = TextBuilder(limits)
        self._line: list[str] = []
        self._depth = 0
        self._deepest = limits.depth

    def read(self, parent: LexborNode) -> None:
        self._depth += 1
        if self._depth > self._deepest:
            self._line.append(_inline(parent))
        else:
            for node in _children(parent):
                self._node(node)
        self._depth -= 1

    def flush(self) -> None:
        lines = "".join(self._line).split("\n")
        self._line.clear()
        self.builder.add("\n".join(" ".join(line.split()) for line in lines).strip("\n"))

    def _node(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag == "-text":
            self._line.append((node.text_content or "").replace("\n", " "))
        elif tag == "br":
            self._line.append("\n")
        elif len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
            self.flush()
            self.builder.heading(_inline(node), int(tag[1]))
        elif tag == "pre":
            self.flush()
            self.builder.add(node.text(), "code")
        elif tag in ("ul", "ol") and not _complex(node):
            self.flush()
            self.builder.add("\n".join(_items(node, 0)), "list")
        elif tag == "table" and not _complex(node):
            self.flush()
            self.builder.add("\n".join(_rows(node)), "table")
        elif tag in BLOCKS or tag in ("ul", "ol", "table"):
            self.flush()
            self.read(node)
            self.flush()
        elif not tag.startswith("-"):
            self.read(node)


def _children(node: LexborNode) -> Iterator[LexborNode]:
    child = node.child
    while child is not None:
        yield child
        child = child.next


def _inline(node: LexborNode) -> str:
    """All text below a node on one line; where a block begins or ends, words do not run together."""
    parts: list[str] = []
    for each in node.traverse(include_text=True):
        if each.tag == "-text":
            parts.append(each.text_content or "")
        elif each.tag in BLOCKS or each.tag == "br":
            parts.append(" ")
    return " ".join("".join(parts).split())


def _complex(node: LexborNode) -> bool:
    """A list or table that holds more than lines of text is laid out by it, and read like a page."""
    if node.css_first("pre, h1, h2, h3, h4, h5, h6") is not None:
        return True
    return node.tag == "table" and (len(node.css("table")) > 1 or len(node.css("tr")) <= 1)


def _items(node: LexborNode, indent: int) -> Iterator[str]:
    numbered = node.tag == "ol"
    items = [child for child in _children(node) if child.tag == "li"]
    for number, item in enumerate(items, start=1):
        nested = [child for child in item.css("ul, ol") if _owner(child) == item.mem_id]
        inner = [line for child in nested for line in (_items(child, indent + 2) if indent < 40 else [_inline(child)])]
        for child in nested:
            child.remove()
        if text := _inline(item):
            yield f"{' ' * indent}{f'{number}.' if numbered else '-'} {text}"
        yield from inner


def _owner(node: LexborNode) -> int:
    """The list item that a nested list stands in."""
    parent = node.parent
    while parent is not None and parent.tag != "li":
        parent = parent.parent
    return parent.mem_id if parent is not None else 0


def _rows(node: LexborNode) -> Iterator[str]:
    for row in node.css("tr"):
        cells = [_inline(cell) for cell in _children(row) if cell.tag in ("td", "th")]
        if any(cells):
            yield " | ".join(cells)
