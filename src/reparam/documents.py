"""JSON from anywhere → checked values: types are the rules, and what breaks one is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, TypeVar

from annotated_types import Interval, Len, MaxLen

from reparam.errors import RunError

Document = TypeVar("Document")

STRICT = {"extra": "forbid", "allow_inf_nan": False, "strict": True}
"""For ``__pydantic_config__`` of a dataclass that a document becomes."""

Text = Annotated[str, MaxLen(100_000)]
Name = Annotated[str, MaxLen(10_000)]
Count = Annotated[int, Interval(ge=1, le=2**40)]
Whole = Annotated[int, Interval(ge=-(2**63), le=2**63)]
Number = Whole | float | None
"""A finite number, or null in its place where it was not finite."""
Names = Annotated[tuple[Name, ...], Len(1, 10_000_000)]


def parsed(text: str | bytes, where: object) -> Any:
    """What a JSON text says, strictly: numbers are finite, and a name stands once in an object.

    Raises:
        RunError: it is no JSON, or nested or long beyond reason.

    >>> parsed('{"a": [1, null]}', "x.json")
    {'a': [1, None]}
    """
    try:
        return json.loads(text, parse_constant=_refused, object_pairs_hook=_unique)
    except RecursionError:
        raise RunError(f"{where}: is nested too deeply. The run is damaged.") from None
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise RunError(f"{where}: is not JSON ({str(error)[:200]}). The run is damaged.") from error


def checked(kind: Callable[..., Document], document: Any, what: str) -> Document:
    """A document as the ``kind`` whose types it keeps.

    Args:
        kind: a dataclass, or any type that pydantic knows, with its limits.
        document: plain values, as :func:`parsed` gives them.
        what: what the document is called in an error.

    Raises:
        RunError: a field is missing, unknown, or not what it should be; the error names the first.

    >>> checked(dict[str, Count], {"rows": 3}, "the example")
    {'rows': 3}
    """
    from pydantic import ValidationError

    try:
        found: Document = _adapter(kind).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise RunError(_told(error.errors(include_url=False)[0], what)) from None
    except RecursionError:
        raise RunError(f"{what} is nested too deeply. The run is damaged.") from None
    return found


def _told(fault: Mapping[str, Any], what: str) -> str:
    place = ".".join(map(str, fault["loc"]))
    if fault["type"] in ("missing", "missing_argument"):
        return f"the field {place!r} of {what} is missing."
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"the field {place!r} of {what} is unknown."
    if fault["type"] == "json_invalid":
        return f"{what}: holds text that is no Unicode. The run is damaged."
    if not place:
        return f"{what} must be a JSON object: {fault['msg']}. Got {_shortened(fault['input'])} instead."
    first = str(fault["loc"][0])
    at = "" if first == place else f" (at {place})"
    told = "It is none of those that are known" if fault["type"] == "predicate_failed" else fault["msg"]
    return f"the field {first!r} of {what}{at} is not what it should be: {told}. Got {_shortened(fault['input'])}."


def _shortened(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found
