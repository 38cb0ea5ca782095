"""Cells as text → cells of a type: numbers, dates, or the text itself; and the one cell that is no number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from reparam.data.arrays import LARGEST_EXACT
from reparam.data.dialect import is_number
from reparam.data.reading import MISSING

FEW_LEVELS = 20
BAD_SHARE = 0.1
DATE_FORMATS = (
    *("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d", "%Y/%m/%d %H:%M:%S"),
    *("%d.%m.%Y", "%d.%m.%Y %H:%M", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%d-%m-%Y"),
)
WHOLE = r"^[+-]?\d+$"
LEADING_ZERO = r"^[+-]?0\d+$"
GROUPED = r"^[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?$"  # 1,234.5
COMMA = r"^[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?$"  # 1.234,5
DATE_LIKE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")


@dataclass(frozen=True)
class Cells:
    """The cells of one column, understood.

    Args:
        values: of one Arrow type, null where nothing is known.
        stored_as: the type as a file or a frame has it: an Arrow name, ``decimal_comma``, or ``date:FORMAT``.
        note: what a user may wonder at, or nothing.
        bad: the places of cells that are no numbers among numbers, and ``None`` where the column is no such mixture.
    """

    values: Any
    stored_as: str
    note: str = ""
    bad: tuple[int, ...] = ()


def without_missing(cells: Any, missing: Sequence[str] = ()) -> Any:
    """Text cells, spaces around them taken away, and null where they say that nothing is known."""
    trimmed = compute.utf8_trim_whitespace(cells.cast(pa.string()))
    known = pa.array([*MISSING, *missing], pa.string())
    return compute.if_else(compute.is_in(trimmed, value_set=known), pa.scalar(None, pa.string()), trimmed)


def understood(cells: Any, missing: Sequence[str] = (), *, comma_is_free: bool = False) -> Cells:
    """Text cells as what they are: whole numbers, numbers, dates, or text.

    Args:
        cells: of one column.
        missing: further cells, besides ``MISSING``, that mean: not known.
        comma_is_free: whether something else separates cells, so that a comma stands before decimals.
    """
    text = without_missing(cells, missing)
    present = text.drop_null()
    if not len(present):
        return Cells(pa.nulls(len(text)), "string")
    if compute.any(compute.match_substring_regex(present, LEADING_ZERO)).as_py():
        return Cells(text, "string", "codes with leading zeros")
    for kind in ("int64", "float64"):
        numbers = _cast(text, kind)
        if numbers is not None:
            rounded = beyond_exact(numbers) and (
                kind == "int64" or compute.all(compute.match_substring_regex(present, WHOLE)).as_py()
            )
            return Cells(text, "string", "whole numbers beyond 2^53") if rounded else Cells(numbers, kind)
    return _with_commas(text, present, comma_is_free) or _dates(text, present) or _text(text)


def numbers_in(text: Any, stored_as: str) -> tuple[Any, tuple[int, ...]]:
    """Cells as float64, null where they are none or are no numbers, and the places of the latter."""
    plain = _pointed(text, stored_as)
    numbers = _cast(plain, "float64")
    if numbers is not None:
        return numbers, ()
    values = [_number(cell) for cell in plain.to_pylist()]
    bad = [
        place
        for place, (cell, value) in enumerate(zip(plain.to_pylist(), values, strict=True))
        if cell and value is None
    ]
    return pa.array(values, pa.float64()), tuple(bad)


def exact_numbers_in(text: Any, stored_as: str) -> tuple[Any, tuple[int, ...]]:
    """The same, where whole numbers that float64 would round are no numbers either."""
    numbers, bad = numbers_in(text, stored_as)
    large = np.flatnonzero(np.abs(np.asarray(numbers.fill_null(0.0))) > LARGEST_EXACT).tolist()
    rounded = [place for place in large if re.fullmatch(WHOLE, text[place].as_py()) is not None]
    return numbers, tuple(sorted({*bad, *rounded}))


def dates_in(text: Any, written: str) -> tuple[Any, tuple[int, ...]]:
    """Cells written in a format of dates as timestamps, and the places of those that are not."""
    dates = _strptime(text, written)
    bad = np.flatnonzero(np.asarray(dates.is_null()) & np.asarray(text.is_valid()))
    return dates, tuple(bad.tolist())


def is_numeric(kind: Any) -> bool:
    """Whether an Arrow type is of numbers, or of true and false."""
    types = pa.types
    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
    return any(test(kind) for test in tests)


def _cast(text: Any, kind: str) -> Any | None:
    try:
        return text.cast(kind)
    except pa.ArrowInvalid:
        return None


def beyond_exact(numbers: Any) -> bool:
    """Whether float64 would round a whole number among these."""
    extremes = compute.min_max(numbers).as_py()
    return bool(extremes["min"] < -LARGEST_EXACT or extremes["max"] > LARGEST_EXACT)


def _pointed(text: Any, stored_as: str) -> Any:
    """Numbers with a point before their decimals and nothing between thousands."""
    if stored_as == "decimal_comma":
        return compute.replace_substring(compute.replace_substring(text, ".", ""), ",", ".")
    return compute.replace_substring(text, ",", "") if stored_as == "grouped" else text


def _with_commas(text: Any, present: Any, comma_is_free: bool) -> Cells | None:
    """Numbers with a decimal comma, or with commas between thousands."""
    for stored_as, pattern in sorted((("grouped", GROUPED), ("decimal_comma", COMMA)), reverse=not comma_is_free):
        like = compute.match_substring_regex(present, pattern)
        comma = compute.match_substring(present, ",")
        plain = compute.match_substring_regex(present, r"^[+-]?\d+(\.\d+)?$") if stored_as == "grouped" else like
        if compute.any(comma).as_py() and compute.all(compute.or_(like, plain)).as_py():
            numbers = _cast(_pointed(text, stored_as), "float64")
            return None if numbers is None else Cells(numbers, stored_as)
    return None


def _dates(text: Any, present: Any) -> Cells | None:
    """Dates in the first format that all cells follow."""
    if DATE_LIKE.match(present[0].as_py()) is None:
        return None
    for written in DATE_FORMATS:
        values = _strptime(text, written)
        if values.null_count == text.null_count:
            return Cells(values, f"date:{written}")
    return None


def _strptime(text: Any, written: str) -> Any:
    return compute.strptime(text, written, "s", error_is_null=True)


def _text(text: Any) -> Cells:
    """Text, with the places of the few cells that keep it from being numbers."""
    distinct = compute.value_counts(text.drop_null())
    texts, counts = distinct.field("values").to_pylist(), distinct.field("counts").to_pylist()
    good = {cell: count for cell, count in zip(texts, counts, strict=True) if _number(cell) is not None}
    if not good:
        return Cells(text, "string")
    odd = {cell: count for cell, count in zip(texts, counts, strict=True) if cell not in good}
    numbers, bad = sum(good.values()), sum(odd.values())
    few_of_many = (
        numbers > FEW_LEVELS and bad <= BAD_SHARE * (numbers + bad) and (len(odd) == 1 or len(good) > FEW_LEVELS)
    )
    note = f"numbers in {numbers / (numbers + bad):.0%} of the cells, text in the others"
    if not ((bad == 1 and numbers >= 2) or few_of_many or _changes_midway(text, good)):
        return Cells(text, "string", note)
    is_odd = compute.is_in(text, value_set=pa.array(list(odd), pa.string()))
    return Cells(text, "string", note, tuple(np.flatnonzero(np.asarray(is_odd)).tolist()))


def _changes_midway(text: Any, good: dict[str, int]) -> bool:
    """Whether a long column is numbers down to some row, and text from there on, or the other way round."""
    is_number = np.asarray(compute.is_in(text.drop_null(), value_set=pa.array(list(good), pa.string())))
    return len(is_number) >= 2 * FEW_LEVELS and int(np.abs(np.diff(is_number.astype(np.int8))).sum()) == 1


def _number(cell: str | None) -> float | None:
    if cell is None or "_" in cell or "," in cell or not is_number(cell):
        return None
    try:
        return float(cell)
    except ValueError:  # several points, as of a version or an address: "1.2.3"
        return None
