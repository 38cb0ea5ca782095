"""A part chosen by name, with its arguments behind a colon: ``"diagonal"``, ``"iwae:50"``, ``"gaussian:fixed:0.1"``."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, TypeVar, get_type_hints

from reparam.errors import ParameterError, UnknownNameError

Part = TypeVar("Part")

NAME = re.compile(r"[A-Za-z][\w-]*")


def parse(specification: str) -> tuple[str, tuple[int | float | str, ...]]:
    """Split ``name:argument,argument`` into the name and its arguments; in names hyphens and underscores are one.

    >>> parse("low-rank:2")
    ('low_rank', (2,))
    >>> parse("gaussian:fixed:1e-3"), parse("gaussian:per-dimension")
    (('gaussian', ('fixed:1e-3',)), ('gaussian', ('per_dimension',)))
    """
    name, _, rest = specification.partition(":")
    arguments = tuple(_argument(word.strip()) for word in rest.split(",")) if rest else ()
    return underscored(name.strip()), arguments


def underscored(name: str) -> str:
    """A name as Python spells it."""
    return name.replace("-", "_")


def lookup(kind: str, registry: Mapping[str, Part], specification: str) -> tuple[Part, tuple[Any, ...]]:
    """The registry's entry and the arguments that a specification names.

    Raises:
        UnknownNameError: the registry does not hold the name.

    >>> lookup("objective", {"elbo": float, "iwae": int}, "iwae:50")
    (<class 'int'>, (50,))
    """
    if not isinstance(specification, str):
        raise ParameterError(
            f"The {kind!r} parameter must be a name such as {next(iter(registry))!r}. "
            f"Got {shown(specification)} instead."
        )
    name, arguments = parse(specification)
    if name not in registry:
        raise UnknownNameError(kind, name, registry)
    return registry[name], arguments


def build(kind: str, registry: Mapping[str, Any], part: Any, *first: Any, **named: Any) -> Any:
    """The part that a name stands for, as :func:`construct` makes it, or the part itself.

    Raises:
        ParameterError: as there, or the part is no object of the kind that the registry's entries make.

    >>> from fractions import Fraction
    >>> build("number", {"ratio": Fraction}, "ratio:1,2"), build("number", {"ratio": Fraction}, Fraction(1, 3))
    (Fraction(1, 2), Fraction(1, 3))
    """
    if isinstance(part, str):
        return construct(kind, registry, part, *first, **named)
    base = _common_base(registry)
    if not isinstance(part, base):
        names = f"a name such as {next(iter(registry))!r}, or an object of the class {base.__name__}"
        raise ParameterError(f"The {kind!r} parameter must be {names}. Got {shown(part)} instead.")
    return part


def construct(kind: str, registry: Mapping[str, Any], specification: str, *first: Any, **named: Any) -> Any:
    """The part that a specification names, ``registry[name](*first, *arguments, **named)``.

    Raises:
        ParameterError: the name is unknown, or the part does not take these arguments.
    """
    constructor, arguments = lookup(kind, registry, specification)
    signature = inspect.signature(constructor)
    try:
        signature.bind(*first, *arguments, **named)
    except TypeError as error:
        own = list(signature.parameters.values())[len(first) :]
        taken = [f"{p.replace(annotation=p.empty)}" for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
        raise ParameterError(
            f"{kind} {specification!r} does not take these arguments: {error}. "
            f"{parse(specification)[0]!r} takes {', '.join(taken) or 'none'}."
        ) from None
    return constructor(*first, *arguments, **named)


MOST_INT, MOST_REAL = 2**31 - 1, 1e15
"""What no count and no number exceeds that a program of 32-bit indices and single precision can mean."""


def positive_int(name: str, value: object, owner: str = "the posterior", *, most: int = MOST_INT) -> int:
    """The value itself, if it is an int of at least 1 and at most ``most``.

    Raises:
        ParameterError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise ParameterError(requirement(name, owner, "an int in [1, inf)", value))
    if int(value) > most:
        raise ParameterError(requirement(name, owner, f"at most {most:,}", value))
    return int(value)


def real_number(name: str, value: object, owner: str, *, above: float | None = None, least: float = -math.inf) -> float:
    """The value itself, if it is a finite number above ``above`` and at least ``least``, and no larger than any means.

    Raises:
        ParameterError: it is not.
    """
    low = f"({above:g}" if above is not None else f"[{least:g}" if math.isfinite(least) else "(-inf"
    try:
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:  # an int of hundreds of digits
        number = math.inf
    if MOST_REAL < abs(number) < math.inf:
        raise ParameterError(requirement(name, owner, f"at most {MOST_REAL:g}, in size", value))
    if not (math.isfinite(number) and number >= least and (above is None or number > above)):
        raise ParameterError(requirement(name, owner, f"a float in {low}, inf)", value))
    return number


def requirement(name: str, owner: str, required: str, value: object) -> str:
    """The text of an error about a parameter: its name, its owner, what is required, what came."""
    return f"The {name!r} parameter of {owner} must be {required}. Got {shown(value)} instead."


def shown(value: object) -> str:
    """A value as an error shows it: in one short line of characters that can be written everywhere.

    >>> shown("low"), shown(10**5000), len(shown([0] * 1000))
    ("'low'", 'a number of thousands of digits', 61)
    """
    try:
        text = " ".join(repr(value).encode(errors="backslashreplace").decode().split())
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:60]}…"


def _argument(word: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return ":".join(underscored(part) if NAME.fullmatch(part) else part for part in word.split(":"))


def _common_base(registry: Mapping[str, Any]) -> type:
    """The nearest class of which every entry, a class or a function that says what it returns, makes an instance."""
    made = [entry if isinstance(entry, type) else get_type_hints(entry)["return"] for entry in registry.values()]
    return next(base for base in made[0].__mro__ if all(issubclass(other, base) for other in made))
