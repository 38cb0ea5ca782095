from __future__ import annotations

import builtins
import gzip
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats
from scipy.io import mmwrite

from reparam import VAE
from reparam.data import Reading, conform, load
from reparam.data.counts import write_codes
from reparam.errors import DataError, ParameterError

COUNTS = stats.nbinom(1, 0.3).rvs((12, 5), random_state=0)
GENES = [f"gene{n}" for n in range(5)]
CELLS = [f"cell{n}" for n in range(12)]


def cells(matrix: Any, **more: Any) -> anndata.AnnData:
    obs = pd.DataFrame({"kind": pd.Categorical.from_codes([0, 1, 2] * 4, plain(["a", "b", "c"]))}, index=plain(CELLS))
    return anndata.AnnData(X=matrix, obs=obs, var=pd.DataFrame(index=plain(GENES)), **more)


def plain(names: list[str]) -> pd.Index:
    """Names as objects: not every version of anndata writes the text of every version of pandas."""
    return pd.Index(np.array(names, dtype=object), dtype=object)


@pytest.mark.parametrize(
    "matrix",
    [COUNTS, COUNTS.astype("f4"), sparse.csr_matrix(COUNTS.astype("f4")), sparse.csc_matrix(COUNTS)],
    ids=["integers", "floats", "csr", "csc"],
)
def test_counts_of_cells_are_read_however_they_are_kept(tmp_path: Path, matrix: Any) -> None:
    cells(matrix).write_h5ad(tmp_path / "x.h5ad")
    data = load(tmp_path / "x.h5ad", labels="kind")
    np.testing.assert_array_equal(data.rows, COUNTS)
    assert (data.schema.dtype, data.schema.units, data.schema.columns) == ("uint16", "x", tuple(GENES))
    assert data.labels is not None
    assert data.labels.tolist() == ["a", "b", "c"] * 4
    assert data.index is not None
    assert data.index.tolist() == CELLS


def test_a_layer_may_be_named_and_fractions_stay_what_they_are(tmp_path: Path) -> None:
    cells(np.log1p(COUNTS), layers={"counts": sparse.csr_matrix(COUNTS)}).write_h5ad(tmp_path / "x.h5ad")
    np.testing.assert_array_equal(load(tmp_path / "x.h5ad").rows, np.log1p(COUNTS))
    np.testing.assert_array_equal(load(f"{tmp_path}/x.h5ad:counts").rows, COUNTS)
    for source, labels, told in (
        (f"{tmp_path}/x.h5ad:count", None, "unknown layer 'count'. Did you mean 'counts'"),
        (f"{tmp_path}/x.h5ad", "kid", "unknown column of obs 'kid'. Did you mean 'kind'"),
    ):
        with pytest.raises(DataError, match=told):
            load(source, labels=labels)


def test_columns_of_obs_that_a_model_is_given_stand_beside_the_counts(tmp_path: Path) -> None:
    cells(sparse.csr_matrix(COUNTS)).write_h5ad(tmp_path / "x.h5ad")
    data = load(tmp_path / "x.h5ad", reading=Reading(given=("kind",)))
    assert data.schema.table is not None
    assert [(c.name, c.likelihood) for c in data.schema.table] == [
        *((gene, "negative_binomial") for gene in GENES),
        ("kind", "categorical"),
    ]
    np.testing.assert_array_equal(data.rows[:, :5], COUNTS)
    vae = VAE(1, condition=("kind",), hidden=(4,), epochs=1).fit_dataset(data)
    made = vae.sample(6, given={"kind": "b"})
    assert made.shape == (6, 6)
    assert np.all(made[:, 5] == 1)
    assert np.all((made[:, :5] >= 0) & (made[:, :5] == np.rint(made[:, :5])))
    cells(COUNTS)[:, GENES[::-1]].write_h5ad(tmp_path / "turned.h5ad")
    again = conform(tmp_path / "turned.h5ad", data.schema, reading=Reading(given=("kind",)))
    np.testing.assert_array_equal(again.rows, data.rows)
    with pytest.raises(DataError, match="unknown column of obs 'batch'"):
        load(tmp_path / "x.h5ad", reading=Reading(given=("batch",)))


def test_genes_are_matched_by_name(tmp_path: Path) -> None:
    cells(COUNTS).write_h5ad(tmp_path / "x.h5ad")
    cells(COUNTS)[:, GENES[::-1]].write_h5ad(tmp_path / "turned.h5ad")
    trained = load(tmp_path / "x.h5ad")
    np.testing.assert_array_equal(conform(tmp_path / "turned.h5ad", trained.schema).rows, COUNTS)
    cells(COUNTS)[:, GENES[:4]].write_h5ad(tmp_path / "few.h5ad")
    with pytest.raises(DataError, match="lacks 1 of the 5 columns that are required: 'gene4'"):
        conform(tmp_path / "few.h5ad", trained.schema)


def test_two_genes_of_one_name_and_files_that_are_none_are_refused(tmp_path: Path) -> None:
    data = cells(COUNTS)
    data.var.index = plain(["g", "g", "h", "i", "j"])
    data.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(DataError, match=r"1 genes share their names with others \('g'\)"):
        load(tmp_path / "x.h5ad")
    for name in ("y.h5ad", "y.mtx"):
        (tmp_path / name).write_text("nothing of the kind")
        with pytest.raises(DataError, match="truncated, damaged or no") as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_without_anndata_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells(COUNTS).write_h5ad(tmp_path / "x.h5ad")
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "anndata":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ParameterError, match=r"x.h5ad needs anndata.*pip install 'reparam\[counts\]'"):
        load(tmp_path / "x.h5ad")


def test_a_matrix_market_file_alone_has_a_row_a_datum(tmp_path: Path) -> None:
    mmwrite(tmp_path / "x.mtx", sparse.coo_matrix(COUNTS))
    data = load(tmp_path / "x.mtx")
    np.testing.assert_array_equal(data.rows, COUNTS)
    assert data.schema.columns is None
    (tmp_path / "x.mtx.gz").write_bytes(gzip.compress((tmp_path / "x.mtx").read_bytes()))
    np.testing.assert_array_equal(load(tmp_path / "x.mtx.gz").rows, COUNTS)


def test_beside_names_of_genes_and_cells_a_column_is_a_cell(tmp_path: Path) -> None:
    mmwrite(tmp_path / "matrix.mtx", sparse.coo_matrix(COUNTS.T))
    (tmp_path / "barcodes.tsv").write_text("\n".join(CELLS) + "\n")
    lines = [f"ENS{n}\t{gene}\tGene Expression" for n, gene in enumerate(GENES)]
    (tmp_path / "features.tsv").write_text("\n".join(lines) + "\n")
    data = load(tmp_path / "matrix.mtx")
    np.testing.assert_array_equal(data.rows, COUNTS)
    assert data.schema.columns == tuple(GENES)
    assert data.index is not None
    assert data.index.tolist() == CELLS
    (tmp_path / "features.tsv").write_text("\n".join(lines).replace("gene1", "gene0") + "\n")
    assert load(tmp_path / "matrix.mtx").schema.columns == tuple(f"ENS{n}" for n in range(5))
    (tmp_path / "barcodes.tsv").write_text("one\n")
    with pytest.raises(
        DataError, match="holds 5 × 12 numbers, but features.tsv names 5 genes and barcodes.tsv 1 cells"
    ):
        load(tmp_path / "matrix.mtx")


def test_codes_go_into_a_copy_of_the_cells(tmp_path: Path) -> None:
    cells(COUNTS, layers={"raw": COUNTS}).write_h5ad(tmp_path / "x.h5ad")
    codes = np.arange(24, dtype="f4").reshape(12, 2)
    for source in (f"{tmp_path}/x.h5ad", f"{tmp_path}/x.h5ad:raw"):
        write_codes(tmp_path / "z.h5ad", source, codes, None)
        written = anndata.read_h5ad(tmp_path / "z.h5ad")
        np.testing.assert_array_equal(written.obsm["X_reparam"], codes)
        np.testing.assert_array_equal(written.X, COUNTS)
        assert list(written.obs["kind"]) == ["a", "b", "c"] * 4
    write_codes(tmp_path / "z.h5ad", f"{tmp_path}/x.csv", codes, np.array(CELLS))
    written = anndata.read_h5ad(tmp_path / "z.h5ad")
    np.testing.assert_array_equal(written.obsm["X_reparam"], codes)
    assert list(written.obs_names) == CELLS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.h5ad", "z.h5ad"]
