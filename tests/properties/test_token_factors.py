"""Counts that are scaled without making fractions are what fractions give."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from hypothesis import example, given
from hypothesis import strategies as st

from ragkit.tokens import raised, scaled

COUNTS = st.integers(0, 10**9)
FACTORS = st.fractions(Fraction(1, 100), 100)


@given(COUNTS, FACTORS)
@example(1, Fraction(1, 2))
@example(3, Fraction(1, 2))
def test_as_fractions_have_it(count: int, factor: Fraction) -> None:
    assert scaled(count, factor) == round(count * factor)
    assert raised(count, factor) == ceil(count * factor)
