"""A part chosen by name, with its arguments behind a colon: ``"diagonal"``, ``"iwae:50"``, ``"gaussian:fixed:0.1"``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, TypeVar

from reparam.errors import ParameterError, UnknownNameError

Part = TypeVar("Part")


def parse(specification: str) -> tuple[str, tuple[int | float | str, ...]]:
    """Split ``name:argument,argument`` into the name and its arguments; hyphens and underscores are one.

    >>> parse("low-rank:2")
    ('low_rank', (2,))
    >>> parse("gaussian:fixed:0.1")
    ('gaussian', ('fixed:0.1',))
    """
    name, _, rest = specification.partition(":")
    arguments = tuple(_number(word.strip()) for word in rest.split(",")) if rest else ()
    return name.strip().replace("-", "_"), arguments


def lookup(kind: str, registry: Mapping[str, Part], specification: str) -> tuple[Part, tuple[Any, ...]]:
    """The registry's entry and the arguments that a specification names.

    Raises:
        UnknownNameError: the registry does not hold the name.

    >>> lookup("objective", {"elbo": float, "iwae": int}, "iwae:50")
    (<class 'int'>, (50,))
    """
    if not isinstance(specification, str):
        raise ParameterError(
            f"The {kind!r} parameter must be a name such as {next(iter(registry))!r}. Got {specification!r} instead."
        )
    name, arguments = parse(specification)
    if name not in registry:
        raise UnknownNameError(kind, name, registry)
    return registry[name], arguments


def build(kind: str, registry: Mapping[str, Any], specification: str, *first: Any, **named: Any) -> Any:
    """Construct the part that a specification names: ``registry[name](*first, *arguments, **named)``.

    Raises:
        ParameterError: the name is unknown, or the part does not take these arguments.
    """
    constructor, arguments = lookup(kind, registry, specification)
    try:
        return constructor(*first, *arguments, **named)
    except TypeError as error:
        raise ParameterError(f"{kind} {specification!r} does not take these arguments: {error}.") from error


def positive_int(name: str, value: object, owner: str = "the posterior") -> int:
    """The value itself, if it is an int of at least 1.

    Raises:
        ParameterError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise ParameterError(requirement(name, owner, "an int in [1, inf)", value))
    return int(value)


def real_number(name: str, value: object, owner: str, *, above: float | None = None, least: float = -math.inf) -> float:
    """The value itself, if it is a finite number above ``above`` and at least ``least``.

    Raises:
        ParameterError: it is not.
    """
    low = f"({above:g}" if above is not None else f"[{least:g}"
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not (math.isfinite(number) and number >= least and (above is None or number > above)):
        raise ParameterError(requirement(name, owner, f"a float in {low}, inf)", value))
    return number


def requirement(name: str, owner: str, required: str, value: object) -> str:
    """The text of an error about a parameter: its name, its owner, what is required, what came."""
    return f"The {name!r} parameter of {owner} must be {required}. Got {value!r} instead."


def _number(word: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
