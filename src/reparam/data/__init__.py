"""Sources (names, arrays, tables, images) → datasets; results → files."""

from reparam.data.arrays import from_array
from reparam.data.columns import Column
from reparam.data.inspection import ColumnSummary, Summary, inspect
from reparam.data.kinds import coding, span
from reparam.data.reading import Reading
from reparam.data.schema import Dataset, Judgement, Schema
from reparam.data.sources import NAMES, conform, load
from reparam.data.splitting import split
from reparam.data.statistics import blocks, moments
from reparam.data.writing import WRITERS, grey_limits, write, write_rows

__all__ = [
    "NAMES",
    "WRITERS",
    "Column",
    "ColumnSummary",
    "Dataset",
    "Judgement",
    "Reading",
    "Schema",
    "Summary",
    "blocks",
    "coding",
    "conform",
    "from_array",
    "grey_limits",
    "inspect",
    "load",
    "moments",
    "span",
    "split",
    "write",
    "write_rows",
]
