"""A table with a column of pictures, as Hugging Face's datasets are kept: a struct of bytes and path."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reparam.data.images.finding import Found, Picture
from reparam.data.places import Place
from reparam.data.reading import Reading
from reparam.errors import DataError, ParameterError, UnknownNameError

LABELS = ("label", "labels")


def picture_column(schema: pa.Schema) -> str | None:
    """The first column whose cells are pictures, structs of ``bytes`` and ``path``; None where there is none."""
    return next((field.name for field in schema if _holds_pictures(field.type)), None)


def wanted_columns(schema: pa.Schema, reading: Reading, source: str) -> tuple[str, str | None, str | None]:
    """The columns of pictures, of labels, and of names of rows.

    Raises:
        DataError: the table has no such column.
        ParameterError: other columns are spoken of, which are not read.
    """
    if reading.columns or reading.drop:
        raise ParameterError(f"{source} holds pictures: of its other columns only labels and index are read.")
    for name in (reading.labels, reading.index):
        if name is not None and name not in schema.names:
            raise DataError(f"{source}: {UnknownNameError('column', name, schema.names)}")
    return str(picture_column(schema)), reading.labels or _label_column(schema), reading.index


def in_table(table: Any, reading: Reading, path: Place, *, part: str = "") -> Found:
    """The pictures of a table, with their labels by the names that the file gives them.

    Args:
        table: an Arrow table.
        reading: ``labels`` and ``index`` name columns; without the former a column of classes, or ``label``, is taken.
        path: of its file; a cell that holds no bytes names a file beside it.
        part: which part of the file it is, for errors, where it is one.

    Raises:
        DataError: there are no rows, or labels are missing.
    """
    column, label, index = wanted_columns(table.schema, reading, str(path))
    if not table.num_rows:
        raise DataError(f"{path} holds no rows; at least one is required.")
    pictures = tuple(
        Picture(f"{path}{part}: row {row}", content)
        for row, content in enumerate(_contents(table[column], path.parent))
    )
    others = [name for name in table.column_names if name not in (column, label, index)]
    told = [f"pictures are those of column {column!r}"]
    told += [f"labels are those of column {label!r}"] if label else []
    told += [f"left out: {', '.join(map(repr, others[:5]))}{', …' if len(others) > 5 else ''}"] if others else []
    return Found(
        str(path),
        pictures,
        None if label is None else _labels(table, label, path),
        None if index is None else np.asarray([str(name) for name in table[index].to_pylist()]),
        ("; ".join(told),),
    )


def _holds_pictures(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return False
    fields = {kind.field(place).name: kind.field(place).type for place in range(kind.num_fields)}
    held = fields.get("bytes")
    return "path" in fields and held is not None and (pa.types.is_binary(held) or pa.types.is_large_binary(held))


def _contents(cells: Any, folder: Place) -> list[pa.Buffer | Place | None]:
    """The bytes of each cell, or the file that it names in the folder; None where it holds neither."""
    contents: list[pa.Buffer | Place | None] = []
    for cell in (cell for chunk in cells.chunks for cell in chunk):
        held, named = (cell["bytes"], cell["path"]) if cell.is_valid else (None, None)
        if held is not None and held.is_valid:
            contents.append(held.as_buffer())
        else:
            contents.append(_beside(folder, named.as_py() if named is not None else None))
    return contents


def _beside(folder: Place, name: str | None) -> Place | None:
    """A file in the folder; a table from elsewhere has no say of others."""
    within = name is not None and not Path(name).is_absolute() and ".." not in Path(name).parts
    return folder / str(name) if within else None


def _label_column(schema: pa.Schema) -> str | None:
    """The column of classes that the file knows by their names, or one that is called so."""
    named = [name for name in schema.names if name in _class_names(schema)]
    plain = [name for name in schema.names if name in LABELS and not pa.types.is_nested(schema.field(name).type)]
    return next(iter([*named, *plain]), None)


def _labels(table: Any, column: str, path: Place) -> NDArray[Any]:
    cells = table[column]
    if cells.null_count:
        raise DataError(f"{path}: {cells.null_count} labels are missing in column {column!r}; fill them in.")
    values = np.asarray(cells.to_pylist())
    names = _class_names(table.schema).get(column)
    if names is None or values.dtype.kind not in "iu":
        return values.astype(str) if values.dtype.kind not in "biuf" else values
    return np.asarray([names[value] if 0 <= value < len(names) else str(value) for value in values.tolist()])


def _class_names(schema: pa.Schema) -> Mapping[str, Sequence[str]]:
    """The names of the classes of each column that has such, as the file's own words tell them."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            str(column): [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
