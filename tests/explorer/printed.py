"""Numbers as a page prints them."""

from __future__ import annotations


def read(text: str) -> tuple[float, float]:
    """A printed number, and half a unit of its last digit."""
    plain = text.replace("−", "-")
    mantissa, _, exponent = plain.partition("e")
    return float(plain), 0.5 * 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def agrees(text: str, value: float, *, slack: float = 1e-5) -> bool:
    """Whether a value is the printed number in all of its digits, but for ``slack`` of it in single precision."""
    shown, half = read(text)
    return abs(shown - value) <= half + slack * abs(value)
