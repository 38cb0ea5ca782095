"""Sources (names, arrays, tables, images) → datasets; results → files."""

from reparam.data.arrays import from_array
from reparam.data.columns import Column
from reparam.data.inspection import ColumnSummary, Summary, inspect
from reparam.data.schema import Dataset, Schema
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
    "Schema",
    "Summary",
    "blocks",
    "conform",
    "from_array",
    "grey_limits",
    "inspect",
    "load",
    "moments",
    "split",
    "write",
    "write_rows",
]
