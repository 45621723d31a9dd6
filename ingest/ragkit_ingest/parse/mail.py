"""Mail: who wrote to whom about what, and what was written; attachments are named, not read."""

from __future__ import annotations

from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

from ragkit_ingest.build import TextBuilder
from ragkit_ingest.document import Parsed, Unreadable
from ragkit_ingest.limits import Limits
from ragkit_ingest.parse.html import from_markup
from ragkit_ingest.parse.plain import paragraphs
from ragkit_ingest.text import clean, decode

HEADERS = ("Subject", "From", "To", "Cc", "Date")


def parse(data: bytes, limits: Limits) -> Parsed:
    message = BytesParser(EmailMessage, policy=policy.default).parsebytes(data)
    body = _body(message, limits)
    headers = [f"{name}: {value}" for name in HEADERS if (value := _header(message, name))]
    if not headers and (body is None or not body.text):
        raise Unreadable("holds no mail: it has neither headers nor a text")
    builder = TextBuilder(limits)
    builder.add("\n".join(headers), "list")
    if body is not None:
        builder.include(body)
    attached = [name for part in message.walk() if (name := part.get_filename())]
    builder.add("\n".join(f"Attachment: {name}" for name in attached), "list")
    return builder.build(_header(message, "Subject"))


def _header(message: EmailMessage, name: str) -> str:
    """A header that cannot be decoded is left out: the rest of the mail is still worth reading."""
    try:
        return " ".join(str(message.get(name, "")).split())
    except Exception:  # the parser of addresses raises whatever a broken header makes it stumble over
        return ""


def _body(message: EmailMessage, limits: Limits) -> Parsed | None:
    """The plain text, or the HTML where there is none or it is empty."""
    parts = [part for part in message.walk() if not part.is_multipart() and part.get_filename() is None]
    for wanted in ("text/plain", "text/html"):
        for part in parts:
            if part.get_content_type() == wanted:
                payload = part.get_payload(decode=True)
                content = decode(payload, part.get_content_charset()) if isinstance(payload, bytes) else ""
                if content.strip():
                    return _plain(content) if wanted == "text/plain" else from_markup(content, limits)
    return None


def _plain(content: str) -> Parsed:
    text, _ = clean(content)
    return Parsed(text, paragraphs(text, 0, len(text)))
