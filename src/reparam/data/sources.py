"""DATA: a path, or a name such as `digits` → a dataset."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reparam.data import counts, files, images, tables
from reparam.data.arrays import Raw, channels_last, from_array, select_columns
from reparam.data.places import Place, file_of
from reparam.data.reading import OF_COLUMNS, OF_FILES, Reading
from reparam.data.schema import Dataset, Schema
from reparam.data.sheets import Sheet
from reparam.data.tables import conformed, from_sheet, pictured
from reparam.errors import DataError, ReparamWarning, UnknownNameError
from reparam.location import SHIPPED, is_uri

Source = str | os.PathLike[str]


def digits() -> Raw:
    """1,797 handwritten digits of 8 × 8 pixels from 0 to 16, shipped inside scikit-learn."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Raw(bunch.images.astype(np.uint8), labels=bunch.target, scale=16.0)


NAMES: dict[str, Callable[[], Raw]] = dict(zip(SHIPPED, (digits,), strict=True))

ARRAYS: dict[str, Callable[[Place, str | None, str | None], Raw]] = {
    ".npy": files.read_npy,
    ".npz": files.read_npz,
    "-ubyte": files.read_idx,
    "-ubyte.gz": files.read_idx,
    ".idx": files.read_idx,
    ".idx.gz": files.read_idx,
    ".h5ad": counts.read_h5ad,
    ".mtx": counts.read_mtx,
    ".mtx.gz": counts.read_mtx,
}

TABLES: dict[str, Callable[[Place, Reading], Sheet]] = {
    ".csv": tables.read_csv,
    ".csv.gz": tables.read_csv,
    ".tsv": tables.read_csv,
    ".tsv.gz": tables.read_csv,
    ".parquet": tables.read_parquet,
    ".arrow": tables.read_arrow,
    ".feather": tables.read_arrow,
}

UNKNOWN = ("refuse", "missing")
PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth")


def load(
    source: Source,
    *,
    labels: str | None = None,
    event_shape: Sequence[int] | None = None,
    allow_missing: bool = False,
    reading: Reading | None = None,
) -> Dataset:
    """Read a source of data; of a table, judge what its columns are.

    Args:
        source: a name in `NAMES`, a path (`./digits` is one), or `file.npz:array`; a folder of pictures, or a pattern
            such as `x/*.png`.
        labels: the column of a table, or the array of a `.npz`, that holds the labels.
        event_shape: the shape of one datum, when rows are flat; as `reading` may say it.
        allow_missing: keep NaN in an array, which means missing; otherwise it is refused. Empty cells of a table
            are always kept.
        reading: what data do not say of themselves; `labels` goes before what it says of labels.

    Raises:
        DataError: the source cannot be read, or not be modelled; the text says where and how to mend it.
        ParameterError: `labels`, `event_shape` or `reading` do not fit the source.

    >>> data = load("digits")
    >>> data.rows.shape, data.schema.event_shape, data.schema.units
    ((1797, 64), (8, 8), 'x/16')
    """
    said = _said(reading, labels)
    shape = said.event_shape if event_shape is None else event_shape
    found = _read(source, said)
    if isinstance(found, Sheet):
        return from_sheet(found, said, _name(source)) if shape is None else pictured(found, said, _name(source), shape)
    return _from_raw(found, source, event_shape=shape, allow_missing=allow_missing)


def conform(
    source: Source | Dataset,
    schema: Schema,
    *,
    labels: str | None = None,
    reading: Reading | None = None,
    unknown: str = "refuse",
) -> Dataset:
    """New data for an existing model: its columns, its shape, and its shift and scale.

    Named columns are matched by name, in any order, and further columns are passed over (they may hold
    labels or text); columns without names are matched by position. Values are taken in the units in
    which the model's data were stored.

    Args:
        source: as for `load`, or a dataset.
        schema: of the model.
        labels: as for `load`.
        reading: as for `load`; kinds of columns are those of the schema.
        unknown: what becomes of a level of a table that the model never saw: `refuse`, or `missing`.

    Raises:
        DataError: columns are missing, the shape of a datum is another, or a cell is no value of its column.
        ParameterError: `unknown` is neither.
    """
    if unknown not in UNKNOWN:
        raise UnknownNameError("value of 'unknown'", unknown, UNKNOWN)
    data = source if isinstance(source, Dataset) else _load_columns(source, schema, _said(reading, labels), unknown)
    if schema.table is not None:
        return _conformed_table(data, schema)
    rows, found = data.rows, data.schema
    if schema.columns is not None and found.columns is not None and found.columns != schema.columns:
        rows = np.ascontiguousarray(rows[:, select_columns(found.columns, schema.columns, found.name)])
    _check_same_shape(rows.shape[1], found, schema)
    _warn_of_units(rows, schema, found.name)
    return Dataset(rows, schema.of(rows), data.labels, data.index)


def _said(reading: Reading | None, labels: str | None) -> Reading:
    said = reading or Reading()
    return said if labels is None else replace(said, labels=labels)


def _load_columns(source: Source, schema: Schema, reading: Reading, unknown: str) -> Dataset:
    found = _read(source, reading, schema)
    if not isinstance(found, Sheet):
        return _from_raw(found, source, allow_missing=True)
    data = conformed(found, schema, reading, unknown=unknown)
    if not reading.channels_first or (schema.columns is not None and data.schema.columns == schema.columns):
        return data
    rows = channels_last(data.rows, _as_written(schema), data.schema.name)
    return replace(data, rows=np.ascontiguousarray(rows).reshape(len(rows), -1))


def _as_written(schema: Schema) -> tuple[int, ...] | None:
    """The shape of a model's pictures with their channels first."""
    *size, channels = schema.event_shape if len(schema.event_shape) == 3 else (*schema.event_shape, 1)
    return (channels, *size)


def _from_raw(found: Raw, source: Source, **more: Any) -> Dataset:
    said: dict[str, Any] = {"columns": found.columns, "labels": found.labels, "scale": found.scale}
    dataset = from_array(found.array, name=_name(source), **said, **more)
    return replace(dataset, index=found.index, remarks=found.remarks)


def _conformed_table(data: Dataset, schema: Schema) -> Dataset:
    """Rows for the schema of a table, which are its own values already.

    Raises:
        DataError: they are rows of another table.
    """
    if data.schema.table is None or data.schema.columns != schema.columns:
        raise DataError(
            f"{data.schema.name} is no table with the columns of {schema.name}, for which the model was made: "
            f"{', '.join(map(repr, (schema.columns or ())[:5]))}, … Give a table (.csv, .parquet, .arrow), or a frame."
        )
    if [column.levels for column in data.schema.table] != [column.levels for column in schema.table or ()]:
        raise DataError(f"{data.schema.name} was read with other levels than the model has. Read it by conform.")
    return replace(data, schema=schema, judgement=None)


def _check_same_shape(size: int, found: Schema, required: Schema) -> None:
    """One datum must have the size that is required, and the same shape unless either is flat."""
    flat = len(found.event_shape) == 1 or len(required.event_shape) == 1
    shape = found.event_shape if size == found.size else (size,)
    if size != required.size or not (flat or shape == required.event_shape):
        raise DataError(
            f"a datum of {found.name} has shape {shape}, but the model was made for shape "
            f"{required.event_shape} (from {required.name}). Give data of that shape."
        )


def _warn_of_units(rows: np.ndarray, schema: Schema, name: str) -> None:
    """Pixels that were divided by 255 already would be divided again."""
    if schema.units == "x/255" and rows.dtype.kind == "f" and rows.max() <= 1:
        warnings.warn(
            f"{name} holds floats up to {rows.max():g}, but the model's data were pixels from 0 to 255; "
            "values are read in those units. Multiply by 255 if they were divided before.",
            ReparamWarning,
            stacklevel=3,
        )


def _name(source: Source) -> str:
    """What the schema calls the source: `digits`, or the file's name, with the array's."""
    text = os.fspath(source)
    return (text.partition("?")[0].rstrip("/").rpartition("/")[2] if is_uri(text) else Path(text).name) or text


def read_sheet(source: Source, reading: Reading) -> Sheet | None:
    """The cells of a table as they were written, or None of what is no table.

    Raises:
        DataError: it cannot be read.
    """
    found = _read(source, reading)
    return found if isinstance(found, Sheet) else None


def _read(source: Source, reading: Reading, schema: Schema | None = None) -> Raw | Sheet:
    """What a source holds; of pictures what the model of a schema can take.

    Raises:
        DataError: it cannot be read.
        ParameterError: something is said of it that cannot be; for a model's ``schema`` it may be said, since that is
            how its own data were read.
    """
    named = os.fspath(source) in NAMES  # whatever lies under that name here: a run may
    pictures = None if named else images.pictures_at(os.fspath(source))
    if pictures is not None:
        reading.refuse(OF_COLUMNS, f"{pictures.source} is no table of named columns")
        files.refuse_labels(pictures.source, reading.labels)
        return _read_pictures(pictures, reading, schema)
    found = _read_file(os.fspath(source), reading)
    if isinstance(found, Sheet) and images.picture_column(found.table.schema) is not None:
        return _read_pictures(images.in_table(found.table, reading, file_of(os.fspath(source))[0]), reading, schema)
    if schema is None:
        reading.refuse(OF_FILES, f"{os.fspath(source)} holds no files of pictures")
    if isinstance(found, Raw) and reading.channels_first:
        shape = reading.shape if schema is None else _as_written(schema)
        return replace(found, array=channels_last(found.array, shape, _name(source)))
    return found


def _read_pictures(found: images.Found, reading: Reading, schema: Schema | None) -> Raw:
    if schema is None:
        why = "holds pictures, which have a shape, and are given another size by --resize"
        reading.refuse(("shape", "channels_first"), f"{found.source} {why}")
    return images.read(found, reading, schema)


def _read_file(text: str, reading: Reading) -> Raw | Sheet:
    if text in NAMES:
        reading.refuse(("labels",), f"{text} brings its own labels")
        reading.refuse(OF_COLUMNS, f"{text} is no table of named columns")
        return NAMES[text]()
    path, array = file_of(text)
    ending = _ending(path)
    if array is not None and ending not in (".npz", ".h5ad"):
        raise DataError(f"{text} asks for the array {array!r}, but only .npz and .h5ad files hold named ones.")
    if ending in TABLES:
        return TABLES[ending](path, reading)
    reading.refuse(OF_COLUMNS, f"{text} is no table of named columns")
    if ending == ".h5ad" and reading.given:
        return counts.read_beside(path, array, reading)
    return ARRAYS[ending](path, array, reading.labels)


def _ending(path: Place) -> str:
    """The longest known ending of the file's name."""
    name = path.name.lower()
    known = sorted([*ARRAYS, *TABLES], key=len, reverse=True)
    ending = next((ending for ending in known if name.endswith(ending)), None)
    if ending is not None:
        return ending
    if name.endswith(PICKLES):
        raise DataError(f"{path} looks like a pickle; opening a pickle runs code, so it is refused. Save as .npz.")
    raise DataError(f"{path} has an unknown ending. Known: {_known_endings()}.")


def _known_endings() -> str:
    return ", ".join([*ARRAYS, *TABLES, *images.ENDINGS])
