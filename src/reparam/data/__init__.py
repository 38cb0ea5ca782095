"""Sources (names, arrays, tables, images) → datasets; results → files."""

from reparam.data.arrays import from_array
from reparam.data.coding import check_cells
from reparam.data.columns import Column
from reparam.data.frames import conform_frame, filled, from_frame, is_frame, template, to_frame
from reparam.data.inspection import ColumnSummary, Summary, inspect
from reparam.data.kinds import coding, span
from reparam.data.pictures import check_pictures, cut_note, grey_limits, is_folder, is_image, write_mosaic
from reparam.data.reading import Reading
from reparam.data.schema import Dataset, Judgement, Schema
from reparam.data.sources import NAMES, conform, load
from reparam.data.splitting import split, spread
from reparam.data.statistics import blocks, moments
from reparam.data.streaming import Passes, Stream, Survey, stream, survey
from reparam.data.writing import WRITERS, write, write_cells, write_rows

__all__ = [
    "NAMES",
    "WRITERS",
    "Column",
    "ColumnSummary",
    "Dataset",
    "Judgement",
    "Passes",
    "Reading",
    "Schema",
    "Stream",
    "Summary",
    "Survey",
    "blocks",
    "check_cells",
    "check_pictures",
    "coding",
    "conform",
    "conform_frame",
    "cut_note",
    "filled",
    "from_array",
    "from_frame",
    "grey_limits",
    "inspect",
    "is_folder",
    "is_frame",
    "is_image",
    "load",
    "moments",
    "span",
    "split",
    "spread",
    "stream",
    "survey",
    "template",
    "to_frame",
    "write",
    "write_cells",
    "write_mosaic",
    "write_rows",
]
