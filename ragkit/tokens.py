"""Token counts without a tokenizer: that of Claude is not public, and loading the others costs too much here.

A text is described by how many bytes of each class it has and how many words begin in it. Two linear models over that
were fitted to real tokenizers by `bench/fit_tokens.py`: the typical count, and a bound that no text of the fit exceeds
in any of them, not even random letters, for no budget may be fooled by noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from operator import mul
from typing import Protocol

RARE = frozenset("jqxzkvw")
"""Letters that are seldom in words of any European language, and frequent in noise."""
CLASSES = b"rUdnpk123456789ABCD"
"""Byte classes that are counted: rare and capital letters, digits, line breaks, punctuation, controls, then lead bytes
of UTF-8 by script: Latin-1, extended Latin, Greek, Cyrillic, Hebrew, Arabic, Indic, other, symbols, Han and kana,
Hangul, full width, emoji and beyond."""
LEADS = (
    (0xC4, "1"), (0xCC, "2"), (0xD0, "3"), (0xD4, "4"), (0xD7, "5"), (0xE0, "6"), (0xE1, "7"), (0xE2, "8"),
    (0xE3, "9"), (0xEA, "A"), (0xEE, "B"), (0xF0, "C"), (0x100, "D"),
)  # fmt: skip


class TokenFactors(Protocol):
    """What `ragkit.models.ModelSpec` knows of a model's tokenizer."""

    @property
    def typical(self) -> Fraction: ...

    @property
    def bound(self) -> Fraction: ...


@dataclass(frozen=True, slots=True)
class Size:
    """A text before any model's factor: the fair estimate, and what no known tokenizer exceeds."""

    estimate: int = 0
    bound: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.estimate + other.estimate, self.bound + other.bound)


def _class_of(byte: int) -> str:
    character = chr(byte)
    if byte >= 0xC0:
        return next(name for above, name in LEADS if byte < above)
    if byte >= 0x80:
        return "c"
    if character in RARE:
        return "r"
    if character.isalpha():
        return "l" if character.islower() else "U"
    if character.isdigit():
        return "d"
    if character == " ":
        return "s"
    if character.isspace() and byte < 0x1C:
        return "n"
    return "k" if byte < 0x20 or byte == 0x7F else "p"


def _joint_of(byte: int) -> str:
    """`l` for what begins a word after a blank, a break or a sign; `c` for what continues one."""
    kind = _class_of(byte)
    if kind in "lr":
        return "l"
    return " " if kind in "snpk" else "c"


_CLASS_TABLE = bytes(ord(_class_of(byte)) for byte in range(256))
_JOINT_TABLE = bytes(ord(_joint_of(byte)) for byte in range(256))
_PLAIN = bytes(byte for byte in range(256) if _class_of(byte) in "lsc")
"""What is not counted one by one: common letters, blanks, continuation bytes."""
_ASCII_CLASSES = CLASSES[: CLASSES.index(b"1")]
_NO_LEADS = (0,) * (len(CLASSES) - len(_ASCII_CLASSES))

TYPICAL = (
    83, 554, 602, 771, 380, 322, 1014, 1519, 2015, 697, 114,
    228, 183, 229, 413, 345, 553, 613, 642, 2649, 519, 1063,
)  # fmt: skip
BOUND = (
    361, 1050, 363, 1050, 0, 982, 1050, 476, 1305, 1920, 412,
    1465, 1492, 2254, 2183, 1834, 1446, 1961, 2033, 2860, 247, 4080,
)  # fmt: skip
"""Thousandths of a token per feature, as `bench/fit_tokens.py` prints them."""


@lru_cache(maxsize=256)
def features(text: str) -> tuple[int, ...]:
    """Bytes, then bytes per class in the order of `CLASSES`, then words that begin with a small letter, then 1."""
    raw = text.encode("utf-8", "surrogatepass")
    marks = raw.translate(_CLASS_TABLE, _PLAIN)
    joints = raw.translate(_JOINT_TABLE)
    words = joints.count(b" l") + joints.startswith(b"l")
    # What is rendered is estimated, bounded, and booked.
    # Ingest estimates every chunk: what an ASCII text cannot hold is not looked for in it.
    kinds, rest = (_ASCII_CLASSES, _NO_LEADS) if text.isascii() else (CLASSES, ())
    return (len(raw), *map(marks.count, kinds), *rest, words, 1)


def estimate_tokens(text: str) -> int:
    """A fair estimate, in tokens of OpenAI's current tokenizer; a model's factor makes it that model's."""
    return _apply(TYPICAL, features(text)) if text else 0


@lru_cache(maxsize=256)
def measure(text: str) -> Size:
    """The size of a text; instructions and schema come again with every question."""
    values = features(text)
    linear = _apply(BOUND, values)
    # No tokenizer makes more than one token a byte, but some first rewrite characters beyond ASCII as longer ones.
    return Size(_apply(TYPICAL, values) if text else 0, min(linear, values[0]) if text.isascii() else linear)


def upper_bound_tokens(text: str, model: TokenFactors) -> int:
    """A count that the model's own tokenizer does not exceed."""
    return raised(measure(text).bound, model.bound)


def typical_tokens(text: str, model: TokenFactors) -> int:
    """The estimate in the model's own tokens."""
    return scaled(estimate_tokens(text), model.typical)


def scaled(count: int, factor: Fraction) -> int:
    """`round(count * factor)`, without the making of a fraction: several are asked for with every question."""
    whole, rest = divmod(2 * count * factor.numerator + factor.denominator, 2 * factor.denominator)
    return whole - (rest == 0 and whole % 2)


def raised(count: int, factor: Fraction) -> int:
    """`ceil(count * factor)`, likewise."""
    return -(-count * factor.numerator // factor.denominator)


def _apply(weights: tuple[int, ...], values: tuple[int, ...]) -> int:
    thousandths: int = sum(map(mul, weights, values))
    return -(-thousandths // 1000)
