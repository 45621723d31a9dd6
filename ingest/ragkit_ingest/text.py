"""Bytes to text: the right encoding, one kind of newline, and nothing in it that a reader cannot see."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from ragkit_ingest.document import Unreadable

BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Longer marks before their own beginnings."""
LEGACY = (
    *("cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r"),
    *("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"),
)
"""What detection chooses from; exotic code pages would only add ways to be wrong."""
DETECTION_SAMPLE = 64 * 1024
CONTROL_SHARE = 0.005
"""More control characters than this share of a text mean that it is none."""

_NEWLINES = re.compile(r"\r\n?|[\u0085\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_UTF8_AS_LATIN = re.compile(
    "(?=.{1,3}?[\x80-\x9f])(?:[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})"
)
_LATIN_CONTROLS = re.compile("[\x80-\x9f]")
"""Controls that no text means: somebody took UTF-8 or Windows-1252 for Latin-1 and saved what came of it."""
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\U000e0000-\U000e0fff"
)
_HIDDEN = re.compile(
    f"[{_INVISIBLE}]"
    r"|(?<![^\x00-\x7f])[\u200c\u200d]|(?<=[\u200c\u200d])[\u200c\u200d]|(?<=[\ufe00-\ufe0f])[\ufe00-\ufe0f]"
)
"""Zero-width, bidirectional and tag characters: they can carry instructions that no reviewer sees. A joiner after
a letter of a script that needs it, and one variation selector per character, are text and stay."""
_SUSPECT = re.compile(
    f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff\u200c\u200d\ufe00-\ufe0f{_INVISIBLE}]"
)
_PLAIN = b"\t\n" + bytes(range(0x20, 0x7F))
"""One fast look at what is not plain ASCII spares most texts the slow ones."""
_DATA_URI = re.compile(r"(data:[\w/+.;=-]{0,80};base64,)[A-Za-z0-9+/=%\s]{64,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_=\s-]+")


class Clean(NamedTuple):
    """A text and how many hidden characters were taken out of it."""

    text: str
    hidden: int


def decode(data: bytes, declared: str | None = None) -> str:
    """Text by byte order mark, UTF-8, declaration, then detection; never with replacement characters.

    Valid UTF-8 beats a declaration: text in another encoding is hardly ever valid UTF-8 by accident.
    """
    for mark, encoding in BOMS:
        if data.startswith(mark):
            return _decode(data[len(mark) :], encoding, strict=False)
    if encoding_16 := _utf16_without_mark(data):
        return _decode(data, encoding_16, strict=True)
    if b"\x00" in data:
        raise Unreadable("is binary data, not text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        # A file cut off within its last character is UTF-8 all the same, if there was a whole one before.
        if error.reason == "unexpected end of data" and not data[: error.start].isascii():
            return data[: error.start].decode("utf-8")
    return _decode(data, _known(declared) or _detect(data), strict=False)


def clean(text: str) -> Clean:
    """One kind of newline, no control or hidden characters, no embedded files; refuses what is not text at all."""
    cleaned = visible(text)
    if cleaned.text is not text and (lost := len(_CONTROLS.findall(text))) > 8 and lost > CONTROL_SHARE * len(text):
        raise Unreadable("is binary data, not text")
    text = cleaned.text
    if ";base64," in text:
        text = _DATA_URI.sub(r"\1", text)
    if len(text) >= 40 and _is_base64(text):
        raise Unreadable("is base64 data, not text: decode it first")
    return Clean(text, cleaned.hidden)


def visible(text: str) -> Clean:
    """A text without what nobody can see: one kind of newline, no control and no hidden characters."""
    rest = text.encode("utf-8", "surrogatepass").translate(None, _PLAIN)
    if not _SUSPECT.search(rest.decode("utf-8", "surrogatepass")):
        return Clean(text, 0)
    text = _UTF8_AS_LATIN.sub(_read_again, text)
    text = _LATIN_CONTROLS.sub(_as_windows, _NEWLINES.sub("\n", text))
    return Clean(*_HIDDEN.subn("", _CONTROLS.sub("", text)))


def _read_again(match: re.Match[str]) -> str:
    try:
        return match[0].encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return match[0]


def _as_windows(match: re.Match[str]) -> str:
    """The sign that Windows has in the place of a control, as browsers show it; nothing where it has none."""
    return match[0].encode("latin-1").decode("cp1252", "ignore")


def _decode(data: bytes, encoding: str, *, strict: bool) -> str:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        if strict or encoding == "cp1252":
            raise Unreadable(f"is neither valid UTF-8 nor valid {encoding}") from error
        if encoding.startswith("utf"):
            raise Unreadable(f"is marked as {encoding} but is not valid: save it again") from error
        return _decode(data, "cp1252", strict=True)


def _utf16_without_mark(data: bytes) -> str | None:
    """Every other byte of western UTF-16 is zero."""
    sample = data[:4096]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = max(1, len(sample) // 2)
    if len(data) % 2 or len(data) < 4:
        return None
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 * half and odd < 0.05 * half else None


def _known(declared: str | None) -> str | None:
    """A declared encoding in Python's name; what the web calls Latin-1 is Windows-1252."""
    if not declared:
        return None
    try:
        name = codecs.lookup(declared.strip()).name
    except LookupError:
        return None
    if name in ("iso8859-1", "ascii"):
        return "cp1252"
    return None if name.startswith(("utf-16", "utf-32", "utf-8")) else name


def _detect(data: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(data[:DETECTION_SAMPLE], cp_isolation=list(LEGACY), preemptive_behaviour=False).best()
    return best.encoding if best is not None else "cp1252"


def _is_base64(text: str) -> bool:
    """Only characters of base64, in words longer than any language has, with digits and capitals inside them."""
    sample = text[:4096].strip()
    return (
        _BASE64.fullmatch(sample) is not None
        and len(sample.split()) <= 1 + len(sample) // 40
        and re.search(r"[0-9]", sample) is not None
        and re.search(r"[a-z][A-Z]", sample) is not None
    )
