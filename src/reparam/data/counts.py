"""Counts of single cells: `.h5ad` (anndata) and Matrix Market `.mtx` files → arrays; codes → `.h5ad`."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data.arrays import Raw
from reparam.data.dialect import text_of
from reparam.data.files import reading, refuse_labels
from reparam.data.places import Place, on_this_machine, place_of, without_array
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
    if array is not None and array not in data.layers:
        raise DataError(f"{path}: {UnknownNameError('layer', array, data.layers)}")
    matrix = data.X if array is None else data.layers[array]
    if matrix is None:
        known = ", ".join(f"{path}:{name}" for name in data.layers) or "and it has no layers"
        raise DataError(f"{path} has no matrix X. Say which layer is meant: {known}.")
    if labels is not None and labels not in data.obs.columns:
        raise DataError(f"{path}: {UnknownNameError('column of obs', labels, data.obs.columns)}")
    found = None if labels is None else data.obs[labels].to_numpy(dtype=str)
    names, cells = list(map(str, data.var_names)), np.asarray(data.obs_names, dtype=str)
    return Raw(_dense(path, matrix), labels=found, scale=1.0, columns=_different(path, names), index=cells)


def read_mtx(path: Place, array: str | None = None, labels: str | None = None) -> Raw:
    """A Matrix Market file, gzipped or not: a row a datum.

    Beside `barcodes.tsv` and `features.tsv` (or `genes.tsv`), as 10x Genomics writes it, a column is a cell: it is
    turned, and cells and genes have their names.
    """
    from scipy.io import mmread

    refuse_labels(path, labels)
    with reading(path, "Matrix Market file"), on_this_machine(path) as file:
        matrix = mmread(file)
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

    whole = place_of(source)
    cells = whole if whole.exists() else place_of(without_array(source)[0])
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
    with reading(path, ".h5ad file"), on_this_machine(path) as file:
        return anndata.read_h5ad(file)


def _dense(path: Place, matrix: Any) -> NDArray[Any]:
    """A matrix as an array; whole numbers from 0 up in the narrowest type that holds them."""
    with reading(path, "matrix that memory holds"):
        return _narrowed(matrix)


def _narrowed(matrix: Any) -> NDArray[Any]:
    sparse = hasattr(matrix, "toarray")
    values = np.asarray(matrix.data if sparse else matrix)
    if values.size == 0 or not (values.min() >= 0 and (values == np.rint(values)).all()):
        return np.asarray(matrix.toarray() if sparse else matrix)
    narrow = np.uint16 if values.max() < 1 << 16 else np.int32 if values.max() < 1 << 31 else np.float64
    return np.asarray(matrix.astype(narrow).toarray() if sparse else values.astype(narrow))


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
    with reading(path, "list of names"), text_of(path, "utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file]
