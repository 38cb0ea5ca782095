"""What each column of a table is, by its cells: its kind, the likelihood that explains it, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from reparam.data.cells import Cells, is_numeric
from reparam.data.coding import as_numbers, as_text, level_of
from reparam.data.columns import CODED, KINDS, LEFT_OUT, MOST_DECIMALS, SECONDS_A_DAY, Column
from reparam.errors import ParameterError, UnknownNameError

LIKELIHOOD_OF = {
    "real": "gaussian",
    "positive": "log_normal",
    "count": "negative_binomial",
    "binary": "bernoulli",
    "categorical": "categorical",
    "ordinal": "categorical",
    "date": "gaussian",
    **dict.fromkeys(LEFT_OUT, ""),
}
KIND_OF = {
    **dict.fromkeys(("gaussian", "laplace", "student_t"), "real"),
    "log_normal": "positive",
    **dict.fromkeys(("poisson", "negative_binomial", "zero_inflated_negative_binomial"), "count"),
    "bernoulli": "binary",
}
ROWS_TO_JUDGE = 10  # fewer do not tell codes from numbers, nor keys from values
ORDINAL_LEVELS = 20
ROWS_PER_LEVEL = 5
MOST_LEVELS = 1000
MOST_ASKED_LEVELS = 10_000
"""Of a column that is asked to be coded: every draw of every row takes a number for each level."""
SPIKED_LEVELS, ROWS_PER_SPIKED_LEVEL, SPIKE = 128, 20, 0.25
LARGEST_COUNT = 1 << 17  # beyond, ln x! in single precision is off by tenths of a nat
NO = ("no", "n", "false", "f", "off", "absent", "negative", "0")
SCALES = (
    ("very low", "low", "medium", "high", "very high"),
    ("low", "mid", "high"),
    ("low", "moderate", "high"),
    ("small", "medium", "large"),
    ("xs", "s", "m", "l", "xl", "xxl"),
    ("never", "rarely", "sometimes", "often", "always"),
    ("very poor", "poor", "fair", "average", "good", "very good", "excellent"),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
    ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
)
KEY_NAME = re.compile(r"(?i:(.*[\s_.-])?(id|uuid|guid|key|index|no|nr)|rownames?|unnamed.*)|.*[a-z](Id|ID)")
INTERVAL = re.compile(r"[<>≤≥]?=?\s*\d+(\.\d+)?\s*([-–+]|to)?\s*(\d+(\.\d+)?)?\+?")


def judge_column(name: str, place: int, cells: Cells, asked: str | None = None) -> Column:
    """What a column is.

    Args:
        name: of the column.
        place: where it stands.
        cells: of the column, understood.
        asked: the kind, or the likelihood, that the user wants; else the cells decide.

    Raises:
        UnknownNameError: no kind and no likelihood of one column has that name.
        ParameterError: it is to be binary, and has not two values; or coded, and has more than can be learned.

    >>> cells = Cells(pa.array(["no", "yes", None, "no"]), "string")
    >>> column = judge_column("smoker", 0, cells)
    >>> column.kind, column.likelihood, column.levels, column.missing
    ('binary', 'bernoulli', ('no', 'yes'), 1)
    """
    blank = Column(name, "text", "", stored_as=cells.stored_as, missing=cells.values.null_count, place=place)
    if asked is not None:
        return _as_asked(blank, cells, asked.replace("-", "_"))
    judged = _judged(blank, cells)
    return replace(judged, likelihood=LIKELIHOOD_OF[judged.kind])


def coding(column: Column) -> str:
    """How a model is shown the cells of a column."""
    match column.kind:
        case "binary":
            return "0 or 1"
        case "categorical" | "ordinal":
            return f"one of {len(column.levels or ())}"
        case "count":
            return "as it is"
        case "date":
            return "seconds, shifted and scaled"
        case "real":
            return "shifted and scaled"
        case "positive":
            return "its logarithm"
    return "left out"


def span(column: Column) -> str:
    """The range, or the number of levels, for a person."""
    if column.levels is not None:
        if len(column.levels) == 2:
            return " or ".join(column.levels)
        ends = f"{column.levels[0]} … {column.levels[-1]}" if column.kind == "ordinal" else ", ".join(column.levels[:5])
        return f"{len(column.levels):,}: {ends}"
    if column.lower is None or column.upper is None:
        return ""
    is_date = column.kind == "date" or column.stored_as.startswith(("date", "timestamp"))
    return " … ".join(date_of(limit) if is_date else _figure(limit) for limit in (column.lower, column.upper))


def date_of(seconds: float) -> str:
    """A date from seconds since 1970, without the time of day where that is midnight."""
    return str(np.datetime64(int(seconds), "s")).removesuffix("T00:00:00")


def _as_asked(blank: Column, cells: Cells, asked: str) -> Column:
    if asked not in {*KINDS, *KIND_OF}:
        raise UnknownNameError(f"kind of the column {blank.name!r}", asked, [*KINDS, *KIND_OF])
    kind, reason = KIND_OF.get(asked, asked), "chosen by the user"
    likelihood = asked if asked in KIND_OF else LIKELIHOOD_OF[kind]
    column = replace(blank, kind=kind, likelihood=likelihood, reason=reason)
    if kind in CODED:
        texts = compute.unique(as_text(cells.values, cells.stored_as)).drop_null().to_pylist()
        if kind == "binary" and len(texts) != 2:
            raise ParameterError(
                f"column {blank.name!r} cannot be {asked}: that takes two values, and its cells hold {len(texts):,}. "
                "Say categorical, ordinal or a kind of numbers."
            )
        if len(texts) > MOST_ASKED_LEVELS:
            raise ParameterError(
                f"column {blank.name!r} cannot be {asked}: its cells hold {len(texts):,} different values, and at most "
                f"{MOST_ASKED_LEVELS:,} levels can be learned. Drop the column, or join its levels into fewer."
            )
        return replace(column, levels=ordered_levels(texts))
    return column if kind in LEFT_OUT else _ranged(column, as_numbers(cells.values, cells.stored_as)[0])


def _judged(column: Column, cells: Cells) -> Column:
    """The column with its kind, levels, range and reason, by the type of the cells."""
    kind, types = cells.values.type, pa.types
    if cells.values.null_count == len(cells.values):
        return replace(column, kind="constant", reason="every cell is empty")
    if types.is_timestamp(kind) or types.is_date(kind):
        return _judge_dates(column, cells)
    if types.is_boolean(kind):
        return _judge_texts(column, as_text(cells.values, cells.stored_as), "true or false")
    if is_numeric(kind):
        return _judge_numbers(column, as_numbers(cells.values, cells.stored_as)[0], len(cells.values))
    if types.is_dictionary(kind) and kind.ordered:
        levels = as_text(cells.values.dictionary, cells.stored_as).to_pylist()
        return replace(
            column, kind="ordinal", levels=tuple(levels), reason=f"{len(levels)} categories in a declared order"
        )
    if types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind):
        return _judge_texts(column, as_text(cells.values, cells.stored_as), cells.note)
    return replace(column, kind="text", reason=f"cells of type {kind}, which no likelihood explains")


def _ranged(column: Column, values: NDArray[np.float64]) -> Column:
    """The column with the range of its values, and whether they are whole."""
    present = values[np.isfinite(values)]
    if not len(present):
        return column
    column = replace(column, lower=float(present.min()), upper=float(present.max()))
    if column.kind == "date":
        decimals = 0 if (present == np.rint(present)).all() else None
        return replace(column, whole=bool((present % SECONDS_A_DAY == 0).all()), decimals=decimals)
    decimals = next((digits for digits in range(MOST_DECIMALS + 1) if _has_decimals(present, digits)), None)
    return replace(column, whole=decimals == 0, decimals=decimals)


def _has_decimals(values: NDArray[np.float64], digits: int) -> bool:
    """Whether rounding to so many digits changes no value; a look at the first spares the others."""
    return bool(np.round(values[0], digits) == values[0] and (np.round(values, digits) == values).all())


def _judge_dates(column: Column, cells: Cells) -> Column:
    seconds = as_numbers(cells.values, cells.stored_as)[0]
    ranged = _ranged(replace(column, kind="date"), seconds)
    if ranged.lower == ranged.upper:
        reason = f"{date_of(ranged.lower or 0.0)} in every cell that is not empty"
        return replace(ranged, kind="constant", reason=reason)
    return replace(ranged, reason="dates")


def _judge_numbers(column: Column, values: NDArray[np.float64], rows: int) -> Column:
    present = values[~np.isnan(values)]
    if np.isinf(present).any():
        return replace(column, kind="real", reason="infinite cells, which are refused")
    distinct = np.unique(present)
    ranged = _ranged(replace(column, kind="real"), values)
    if len(distinct) == 1:
        return replace(ranged, kind="constant", reason=f"{_figure(distinct[0])} in every cell that is not empty")
    if not ranged.whole:
        return _judge_fractions(ranged, present)
    if set(distinct) <= {0.0, 1.0} or (len(distinct) == 2 and len(present) >= 2 * ROWS_PER_LEVEL):
        levels = _number_levels(distinct)
        return replace(ranged, kind="binary", levels=levels, reason="two whole numbers")
    if _counts_rows(column.name, distinct, rows):
        return replace(ranged, kind="identifier", reason="a different whole number in every row")
    if len(distinct) <= ORDINAL_LEVELS and len(present) >= ROWS_PER_LEVEL * len(distinct):
        levels = _number_levels(distinct)
        return replace(ranged, kind="ordinal", levels=levels, reason=f"{len(levels)} whole numbers")
    if _spiked(distinct, present):
        most, share = _commonest(present)
        reason = f"{len(distinct)} whole numbers, {share:.0%} of them {_figure(most)}"
        return replace(ranged, kind="ordinal", levels=_number_levels(distinct), reason=reason)
    mean, variance = float(present.mean()), float(present.var())
    if distinct[0] >= 0 and variance >= mean and distinct[-1] <= LARGEST_COUNT:
        reason = f"whole numbers, variance {_rounded(variance)} above the mean {_rounded(mean)}"
        return replace(ranged, kind="count", reason=reason)
    if distinct[0] > 0 and (told := _positive(present)):
        return replace(ranged, kind="positive", reason=f"whole numbers above 0, {told}")
    return replace(ranged, reason=f"whole numbers{_why_no_counts(distinct, mean, variance)}")


def _spiked(distinct: NDArray[np.float64], present: NDArray[np.float64]) -> bool:
    """Whether one value stands out as no law of counts has it, and there are rows to learn each level.

    Laws of counts may have many zeros, and then some ones.
    """
    if len(distinct) > SPIKED_LEVELS or len(present) < ROWS_PER_SPIKED_LEVEL * len(distinct):
        return False
    most, share = _commonest(present)
    return share >= SPIKE and (most != 0 or 1.0 not in distinct)


def _commonest(present: NDArray[np.float64]) -> tuple[float, float]:
    """The commonest value and its share."""
    values, counts = np.unique(present, return_counts=True)
    return float(values[counts.argmax()]), float(counts.max() / len(present))


def _why_no_counts(distinct: NDArray[np.float64], mean: float, variance: float) -> str:
    if distinct[0] < 0:
        return ", some below 0"
    if variance >= mean:
        return f", beyond {LARGEST_COUNT:,}"
    return f", variance {_rounded(variance)} below the mean {_rounded(mean)}"


def _judge_fractions(column: Column, present: NDArray[np.float64]) -> Column:
    """Real, or positive where the logarithms are nearer to a bell."""
    told = _positive(present) if present.min() > 0 else ""
    return replace(column, kind="positive", reason=f"positive, {told}") if told else replace(column, reason="fractions")


def _positive(present: NDArray[np.float64]) -> str:
    """Why numbers above 0 are best told by their logarithms; nothing where they are not."""
    if len(present) < ROWS_TO_JUDGE:
        return ""
    plain, logarithmic = _skewness(present), _skewness(np.log(present))
    skewed = plain > 1 and abs(logarithmic) < plain / 2
    return f"skewness {plain:.2g} and {logarithmic:.2g} of the logarithms" if skewed else ""


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def _skewness(values: NDArray[np.float64]) -> float:
    centred = values - values.mean()
    std = centred.std()
    return 0.0 if std == 0 else float(np.mean((centred / std) ** 3))


def _counts_rows(name: str, distinct: NDArray[np.float64], rows: int) -> bool:
    """Whether whole numbers name the rows: all differ, and they number them or are called so."""
    if len(distinct) < rows or rows < ROWS_TO_JUDGE:
        return False
    numbers_rows = distinct[0] in (0, 1) and distinct[-1] - distinct[0] == rows - 1
    return bool(numbers_rows or KEY_NAME.fullmatch(name))


def _number_levels(distinct: Iterable[float]) -> tuple[str, ...]:
    return tuple(map(level_of, distinct))


def _judge_texts(column: Column, text: Any, note: str) -> Column:
    counted = compute.value_counts(text.drop_null())
    texts, present = counted.field("values").to_pylist(), len(text) - text.null_count
    count = len(texts)
    if count == 1:
        reason = f"{_short(texts[0])} in every cell that is not empty"
        return replace(column, kind="constant", levels=(texts[0],), reason=reason)
    about = f", {note}" if note else ""
    if _names_rows(count, present):
        return replace(
            column, kind=_kind_of_many(texts), reason=f"{count:,} different texts in {present:,} cells{about}"
        )
    if count > MOST_LEVELS:
        reason = f"{count:,} different texts, and at most {MOST_LEVELS:,} are modelled as categories{about}"
        return replace(column, kind=_kind_of_many(texts), reason=reason)
    if count == 2:
        levels = ordered_levels(texts)
        return replace(
            column, kind="binary", levels=levels, reason=f"{_short(levels[0])} or {_short(levels[1])}{about}"
        )
    levels = ordered_levels(texts)
    if _scale(texts) is not None:
        return replace(column, kind="ordinal", levels=levels, reason=f"{count} texts in an order that is known{about}")
    return replace(column, kind="categorical", levels=levels, reason=f"{count} texts{about}")


def _names_rows(count: int, present: int) -> bool:
    """Whether texts differ from row to row, so that there is nothing to learn of each."""
    return present >= ROWS_TO_JUDGE and (count == present or (count > ORDINAL_LEVELS and 2 * count > present))


def _kind_of_many(texts: Sequence[str]) -> str:
    some = texts[:1000]
    words = sum(len(text.split()) for text in some) / len(some)
    return "text" if words >= 4 else "identifier"


def _short(text: str) -> str:
    return repr(text if len(text) <= 30 else text[:29] + "…")


def ordered_levels(texts: Sequence[str]) -> tuple[str, ...]:
    """Levels by their code: no before yes, small before large, numbers by value, others by letter."""
    scale = _scale(texts) or ({text: float(text) for text in texts} if all(map(str.isdecimal, texts)) else None)
    return tuple(sorted(texts, key=lambda text: (*((scale[text],) if scale else ()), text)))


def _scale(texts: Sequence[str]) -> dict[str, float] | None:
    """The rank of each text where all are known to have one."""
    lower = {text: text.strip().lower() for text in texts}
    if len(texts) == 2 and len(set(lower.values()) & set(NO)) == 1:
        return {text: float(low not in NO) for text, low in lower.items()}
    for scale in SCALES:
        if len(texts) > 1 and set(lower.values()) <= set(scale):
            return {text: float(scale.index(low)) for text, low in lower.items()}
    plain = [low.isdigit() for low in lower.values()]
    if all(INTERVAL.fullmatch(low) for low in lower.values()) and len(texts) > 1 and not all(plain):
        return {text: _start(low) for text, low in lower.items()}
    return None


def _start(interval: str) -> float:
    """Where an interval such as 18-24, <18 or 65+ begins."""
    number = float(re.search(r"\d+(\.\d+)?", interval)[0])  # type: ignore[index]
    return number - 0.5 * interval.startswith(("<", "≤")) + 0.5 * interval.startswith((">", "≥"))
