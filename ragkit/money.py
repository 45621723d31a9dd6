"""Money: whole pico-dollars in storage, `Decimal` dollars at the surface, floats nowhere.

Prices have fractions of a nano-dollar per token (2.5 for a cached read of gpt-5-nano in a batch), so the unit is
10^-12 dollar: every price per token, with every lane and region, is a whole number of it.
"""

from decimal import Decimal
from fractions import Fraction

PICO_PER_USD = 10**12
LARGEST_EXPONENT = 30
"""Amounts from 10^31 dollars on are refused, before anybody counts their digits."""


def to_usd(pico: int) -> Decimal:
    """Pico-dollars as exact dollars."""
    return Decimal(f"{pico}E-12")


def from_usd(usd: Decimal | str) -> int:
    """Dollars as pico-dollars; an amount finer than one pico-dollar is an error, never rounded."""
    try:
        amount = Decimal(usd)
        # Ratios are exact; arithmetic of Decimal would round beyond its context's precision.
        pico = Fraction(amount) * PICO_PER_USD if amount.adjusted() <= LARGEST_EXPONENT else None
    except (ArithmeticError, ValueError):
        pico = None
    if pico is None or pico.denominator != 1:
        raise ValueError(f"{usd} is not a whole number of pico-dollars")
    return pico.numerator


def format_usd(pico: int) -> str:
    """Dollars as a plain decimal string without exponent or trailing zeros: `0`, `0.000125`, `-1.5`."""
    text = format(to_usd(pico), "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
