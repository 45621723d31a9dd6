"""Which format a file is in: what its first bytes say, then its name."""

from __future__ import annotations

import os
import re

from ragkit_ingest.document import Unreadable

BY_SUFFIX = {
    ".md": "markdown", ".markdown": "markdown", ".mdx": "markdown", ".qmd": "markdown", ".rmd": "markdown",
    ".rst": "restructured", ".adoc": "asciidoc", ".asciidoc": "asciidoc",
    ".htm": "html", ".html": "html", ".xhtml": "html", ".xml": "xml",
    ".csv": "table", ".tsv": "table", ".json": "json", ".jsonl": "lines", ".ndjson": "lines", ".log": "lines",
    ".ipynb": "notebook", ".eml": "mail", ".p7s": "mail", ".mht": "mail",
    ".pdf": "pdf", ".docx": "docx", ".docm": "docx", ".pptx": "pptx", ".pptm": "pptx", ".xlsx": "xlsx", ".xlsm": "xlsx",
    ".epub": "epub", ".odt": "odf", ".odp": "odf", ".ods": "odf", ".rtf": "rtf",
}  # fmt: skip
"""Any other name is plain text, if its bytes are."""

NOISE = frozenset((
    ".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ico", ".icns", ".svg", ".avif", ".heic",
    ".psd", ".mp3", ".mp4", ".m4a", ".wav", ".ogg", ".flac", ".avi", ".mov", ".mkv", ".webm", ".woff", ".woff2",
    ".ttf", ".otf", ".eot", ".css", ".scss", ".less", ".map", ".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z",
    ".rar", ".tar", ".whl", ".jar", ".class", ".pyc", ".pyo", ".so", ".dll", ".dylib", ".a", ".o", ".lib", ".exe",
    ".bin", ".wasm", ".iso", ".dmg", ".pack", ".idx", ".db", ".sqlite", ".sqlite3", ".parquet", ".arrow", ".npy",
    ".npz", ".pkl", ".pt", ".onnx", ".safetensors", ".lock",
))  # fmt: skip
"""Files of a folder that nobody expects to be read; named one by one they are tried all the same."""

LEGACY_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAIL = re.compile(rb"(?:[A-Za-z][A-Za-z0-9-]{0,40}:[^\n]{0,998}\n(?:[ \t][^\n]{0,998}\n){0,40}){2,200}?\r?\n")
_MAIL_HEADER = re.compile(rb"^(?:MIME-Version|Received|Message-ID|Return-Path):", re.IGNORECASE | re.MULTILINE)
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)?<(?:!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL
)
_NAMED = {
    LEGACY_OFFICE: "is in the binary format of Office before 2007 or Outlook: save it as DOCX, XLSX, PPTX or EML",
    b"\x89PNG": "is an image", b"\xff\xd8\xff": "is an image", b"GIF8": "is an image", b"II*\x00": "is an image",
    b"\x1f\x8b": "is an archive: unpack it first", b"7z\xbc\xaf": "is an archive: unpack it first",
    b"Rar!": "is an archive: unpack it first", b"\x28\xb5\x2f\xfd": "is an archive: unpack it first",
    b"\x7fELF": "is a program", b"MZ\x90\x00": "is a program", b"SQLite format 3\x00": "is a database",
}  # fmt: skip
_MAGIC = tuple(_NAMED)
_ZIPPED = ((b"word/", "docx"), (b"ppt/", "pptx"), (b"xl/", "xlsx"))
_MIMETYPES = ((b"application/epub+zip", "epub"), (b"application/vnd.oasis.opendocument", "odf"))


def sniff(name: str, data: bytes) -> str:
    """The name of the parser for a file; `Unreadable` with the reason where there is none."""
    if data.startswith(_MAGIC):
        raise Unreadable(next(reason for magic, reason in _NAMED.items() if data.startswith(magic)))
    named = BY_SUFFIX.get(os.path.splitext(name)[1].lower(), "text")  # noqa: PTH122  for thousands of files
    if b"%PDF-" in data[:1024]:
        return "pdf"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zipped(named, data)
    if data.startswith(b"{\\rtf"):
        return "rtf"
    if named in ("pdf", "docx", "pptx", "xlsx", "epub", "odf", "rtf"):
        raise Unreadable(f"is named like {_article(named)} file but holds something else")
    if named == "text" and _HTML.match(data[:4096]):
        return "html"
    if named == "text" and _MAIL_HEADER.search(data[:4096]) and _MAIL.match(data[:65536]):
        return "mail"
    return named


def _zipped(named: str, data: bytes) -> str:
    """What a ZIP file holds is written in the names of its entries, the last of which stand at its end."""
    for mimetype, kind in _MIMETYPES:
        if mimetype in data[:256]:
            return kind
    names = data[:4096] + data[-65536:]
    for prefix, kind in _ZIPPED:
        if prefix in names:
            return kind
    if named in ("epub", "odf"):
        return named
    raise Unreadable("is an archive: unpack it first")


def _article(named: str) -> str:
    names = {"odf": "an OpenDocument", "epub": "an EPUB", "xlsx": "an XLSX", "rtf": "an RTF"}
    return names.get(named, f"a {named.upper()}")
