"""What may stand in a page's address: every name with what it must be, and nothing else.

An address is the whole state of a page, so it comes from links, from other programs and from attackers; a name that is
unknown or comes twice, and a value outside its domain, is refused before anything is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from reparam.errors import ParameterError

LONGEST = 8_000
MOST_NAMES = 200
LARGEST = 1e6

Parser = Callable[[str], Any]


@dataclass(frozen=True)
class Parameter:
    """One name in an address: how its text is read, and the text that it has where it does not stand."""

    parse: Parser
    default: str = ""


def read_query(query: str, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """The value of every parameter.

    Raises:
        ParameterError: the query is too long, a name is unknown or comes twice, or a value is outside its domain.

    >>> read_query("row=3", {"row": Parameter(whole(0, 9), "0"), "seed": Parameter(whole(0, 99), "1")})
    {'row': 3, 'seed': 1}
    """
    if len(query) > LONGEST:
        raise ParameterError(f"the address is longer than {LONGEST:,} characters.")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_NAMES, errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise ParameterError("the address cannot be read as names and values.") from error
    texts: dict[str, str] = {}
    for name, text in pairs:
        if name not in parameters:
            raise ParameterError(f"the address holds the unknown name {name[:40]!r}. Known: {', '.join(parameters)}.")
        if name in texts:
            raise ParameterError(f"the address holds the name {name!r} twice.")
        texts[name] = text
    return {name: _read(name, texts.get(name, known.default), known) for name, known in parameters.items()}


def _read(name: str, text: str, parameter: Parameter) -> Any:
    try:
        return parameter.parse(text)
    except ValueError as error:
        raise ParameterError(f"{name}={text[:40]!r} in the address: {error}.") from None


def whole(low: int, high: int) -> Parser:
    """A whole number from ``low`` to ``high``."""

    def parse(text: str) -> int:
        if not (text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() and len(text) < 20):
            raise ValueError("a whole number is required")
        if not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high} is required")
        return int(text)

    return parse


def real(low: float, high: float) -> Parser:
    """A number from ``low`` to ``high``."""

    def parse(text: str) -> float:
        value = _number(text)
        if not low <= value <= high:
            raise ValueError(f"a number from {low:g} to {high:g} is required")
        return value

    return parse


def one_of(names: Sequence[str]) -> Parser:
    """One of these texts."""

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"one of {', '.join(names[:20])} is required")
        return text

    return parse


def flag(text: str) -> bool:
    """``1`` or nothing."""
    if text not in ("", "0", "1"):
        raise ValueError("1 or 0 is required")
    return text == "1"


def numbers(*counts: int) -> Parser:
    """So many numbers, between spaces or commas, or none at all: a tuple, or None."""

    def parse(text: str) -> tuple[float, ...] | None:
        words = text.replace(",", " ").split()
        if not words:
            return None
        if len(words) not in counts:
            raise ValueError(f"{' or '.join(map(str, counts[:4]))} numbers are required")
        return tuple(_number(word) for word in words)

    return parse


def polygon(most: int) -> Parser:
    """Corners x y x y …, three at least, or none at all."""

    def parse(text: str) -> tuple[tuple[float, float], ...] | None:
        flat = numbers(*range(6, 2 * most + 1, 2))(text)
        return None if flat is None else tuple(zip(flat[::2], flat[1::2], strict=True))

    return parse


def box(text: str) -> tuple[float, float, float, float] | None:
    """X from, x to, y from, y to, rising; or nothing."""
    found: tuple[float, float, float, float] | None = numbers(4)(text)
    if found is not None and not (found[0] < found[1] and found[2] < found[3]):
        raise ValueError("x from < x to and y from < y to are required")
    return found


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and abs(value) <= LARGEST and text.isascii() and len(text) < 40 and "_" not in text):
        raise ValueError(f"a number up to {LARGEST:g} is required")
    return value
