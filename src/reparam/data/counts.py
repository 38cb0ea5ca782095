"""Counts of single cells: `.h5ad` (anndata) and Matrix Market `.mtx` files → arrays; codes → `.h5ad`."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reparam.data.arrays import Raw
from reparam.data.dialect import bytes_of, text_of
from reparam.data.files import reading as parsing
from reparam.data.files import refuse_labels
from reparam.data.places import Place, file_of, on_this_machine
from reparam.data.reading import Reading
from reparam.data.sheets import Sheet
from reparam.data.sparse import SparseRows, is_sparse, narrowest
from reparam.data.writing import atomic
from reparam.errors import DataError, ParameterError, UnknownNameError

CODES = "X_reparam"
FEATURES = ("features.tsv.gz", "features.tsv", "genes.tsv", "genes.tsv.gz")
BARCODES = ("barcodes.tsv.gz", "barcodes.tsv")


def read_h5ad(path: Place, array: str | None = None, labels: str | None = None) -> Raw:
    """The matrix of an `.h5ad` file, or a layer of it, with the names of genes and cells; labels are a column of obs.

    Raises:
        ParameterError: anndata is not installed.
        DataError: there is no such layer or column, or two genes have one name.
    """
    data = _opened(path)
    matrix, names = _matrix(path, data, array)
    found = None if labels is None else _obs(path, data, labels).to_numpy(dtype=str)
    return Raw(matrix, labels=found, scale=1.0, columns=names, index=np.asarray(data.obs_names, dtype=str))


def read_beside(path: Place, array: str | None, reading: Reading) -> Sheet:
    """The same as a table: counts, and beside them the columns of obs that a model is given, and the labels.

    Raises:
        ParameterError: anndata is not installed.
        DataError: there is no such layer or column, or two columns have one name.
    """
    data = _opened(path)
    matrix, names = _matrix(path, data, array)
    beside = [*reading.given, *([] if reading.labels is None else [reading.labels])]
    _different(path, [*names, *beside])
    columns = dict(zip(names, map(pa.array, matrix.T), strict=True))
    columns |= {name: pa.array(_obs(path, data, name).astype(object), from_pandas=True) for name in beside}
    return Sheet(str(path), pa.table(columns), kinds=dict.fromkeys(names, "negative_binomial"))


def _matrix(path: Place, data: Any, array: str | None) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Counts (cells, genes) and the names of genes."""
    if array is not None and array not in data.layers:
        raise DataError(f"{path}: {UnknownNameError('layer', array, data.layers)}")
    matrix = data.X if array is None else data.layers[array]
    if matrix is None:
        known = ", ".join(f"{path}:{name}" for name in data.layers) or "and it has no layers"
        raise DataError(f"{path} has no matrix X. Say which layer is meant: {known}.")
    return _dense(path, matrix), _different(path, list(map(str, data.var_names)))


def _obs(path: Place, data: Any, name: str) -> Any:
    """A column of obs."""
    if name not in data.obs.columns:
        raise DataError(f"{path}: {UnknownNameError('column of obs', name, data.obs.columns)}")
    return data.obs[name]


def read_mtx(path: Place, array: str | None = None, labels: str | None = None) -> Raw:
    """A Matrix Market file, gzipped or not: a row a datum.

    Beside `barcodes.tsv` and `features.tsv` (or `genes.tsv`), as 10x Genomics writes it, a column is a cell: it is
    turned, and cells and genes have their names.
    """
    from scipy.io import mmread

    refuse_labels(path, labels)
    with parsing(path, "Matrix Market file"), bytes_of(path) as file:
        matrix = mmread(io.BytesIO(file.read() + b"\n"))  # without a last newline SciPy may read past the end, and die
    features, barcodes = (_beside(path, names) for names in (FEATURES, BARCODES))
    if features is None or barcodes is None:
        return Raw(_dense(path, matrix), scale=1.0)
    genes, cells = _lines(features), _lines(barcodes)
    if matrix.shape != (len(genes), len(cells)):
        raise DataError(
            f"{path} holds {matrix.shape[0]} × {matrix.shape[1]} numbers, but {features.name} names {len(genes)} genes "
            f"and {barcodes.name} {len(cells)} cells. Give files that belong together."
        )
    names = [line[min(1, len(line) - 1)] for line in genes]
    if len(set(names)) < len(names):
        names = [line[0] for line in genes]  # symbols stand twice at times, identifiers never
    index = np.asarray([line[0] for line in cells])
    return Raw(_dense(path, matrix.T), scale=1.0, columns=_different(path, names), index=index)


def write_codes(path: Path, source: str, codes: NDArray[Any], index: NDArray[Any] | None) -> None:
    """Write codes (N, K) as `obsm["X_reparam"]` of an `.h5ad` file: into a copy of the source, where that is one.

    Raises:
        ParameterError: anndata is not installed.
        DataError: the file cannot be written.
    """
    anndata = _anndata(path)
    import h5py

    cells = file_of(source)[0] if ".h5ad" in source.lower() else Path(source)
    with atomic(path) as file, tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "codes.h5ad"  # HDF5 locks what it writes, and so does who holds the place of the file
        if cells.suffix.lower() == ".h5ad":
            with on_this_machine(cells) as counts:
                shutil.copyfile(counts, made)
        else:
            _without_counts(anndata, len(codes), index).write_h5ad(made)
        with h5py.File(made, "r+") as store:
            anndata.io.write_elem(store.require_group("obsm"), CODES, np.asarray(codes))
        with made.open("rb") as whole_file:
            shutil.copyfileobj(whole_file, file)


def _without_counts(anndata: Any, rows: int, index: NDArray[Any] | None) -> Any:
    """Cells with names, and nothing measured of them."""
    import pandas

    data = anndata.AnnData(shape=(rows, 0))
    names = np.asarray(range(rows) if index is None else index).astype(str)
    data.obs.index, data.var.index = (pandas.Index(each.astype(object), dtype=object) for each in (names, names[:0]))
    return data


def _anndata(path: Place) -> Any:
    try:
        import anndata
    except ImportError as error:
        raise ParameterError(f"{path} needs anndata, which is not installed: pip install 'reparam[counts]'.") from error
    return anndata


def _opened(path: Place) -> Any:
    anndata = _anndata(path)
    with parsing(path, ".h5ad file"), on_this_machine(path) as file:
        return anndata.read_h5ad(file)


def _dense(path: Place, matrix: Any) -> NDArray[Any]:
    """A matrix as an array; whole numbers from 0 up in the narrowest type that holds them."""
    with parsing(path, "matrix that memory holds"):
        return _narrowed(matrix)


def _narrowed(matrix: Any) -> NDArray[Any]:
    if is_sparse(matrix):
        return np.asarray(SparseRows.of(matrix))
    values = np.asarray(matrix)
    return values.astype(narrowest(values))


def _different(path: Place, names: Sequence[str]) -> tuple[str, ...]:
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        shown = ", ".join(map(repr, doubled[:5]))
        raise DataError(f"{path}: {len(doubled)} genes share their names with others ({shown}); make them unique.")
    return tuple(names)


def _beside(path: Place, names: Sequence[str]) -> Place | None:
    """The first of these files in the folder, with what stands before `matrix` in the name of the matrix."""
    before = path.name.partition("matrix")[0] if "matrix" in path.name else ""
    return next((path.with_name(before + name) for name in names if path.with_name(before + name).is_file()), None)


def _lines(path: Place) -> list[list[str]]:
    with parsing(path, "list of names"), text_of(path, "utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file]
