"""Sparse matrices of scipy: the same answers as of dense rows, and never dense as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.utils.estimator_checks import check_estimator_sparse_array

import reparam
from reparam.data.sparse import SparseRows

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(240, 1))
X = RNG.negative_binomial(2, 1 / (1 + np.exp(Z @ RNG.normal(size=(1, 12)) - 1.0) / 2))
SETTINGS = {"hidden": (8,), "epochs": 3}


@pytest.fixture(scope="module")
def fitted() -> reparam.VAE:
    return reparam.VAE(2, **SETTINGS).fit(sparse.csr_array(X))


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_what_is_asked_of_sparse_rows_is_what_is_asked_of_dense_ones(fitted: reparam.VAE, form) -> None:
    rows = form(X.astype(np.float64))
    np.testing.assert_allclose(fitted.transform(rows), fitted.transform(X), atol=1e-5)
    np.testing.assert_allclose(fitted.score_samples(rows, samples=3), fitted.score_samples(X, samples=3), rtol=1e-5)
    np.testing.assert_allclose(fitted.reconstruct(rows), fitted.reconstruct(X), rtol=1e-4)


def test_counts_are_counts_however_they_are_kept(fitted: reparam.VAE) -> None:
    assert fitted.likelihood_ == "negative_binomial"
    assert fitted.schema_.dtype == "uint16"
    assert fitted.n_features_in_ == 12
    dense = reparam.VAE(2, **SETTINGS).fit(X)
    assert fitted.score(X) == pytest.approx(dense.score(X), abs=1.0)  # other batches, the same model: of −25 nats


def test_rows_are_dense_piece_by_piece(fitted: reparam.VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    """No piece that is made of 40,000 rows in training or in use has a tenth of them."""
    largest = [0]
    real = SparseRows.__getitem__

    def counted(self: SparseRows, chosen):
        piece = real(self, chosen)
        largest[0] = max(largest[0], piece.size)
        return piece

    monkeypatch.setattr(SparseRows, "__getitem__", counted)
    monkeypatch.setattr("reparam.data.streaming.sparse.PART_BYTES", 1 << 16)
    monkeypatch.setattr("reparam.data.streaming.sparse.JUDGED_ROWS", 1000)
    many = sparse.random_array((40_000, 50), density=0.02, rng=0, data_sampler=lambda size: RNG.integers(1, 9, size))
    vae = reparam.VAE(1, hidden=(4,), epochs=1, batch_size=1000).fit(many)
    assert vae.transform(many[:3000]).shape == (3000, 1)
    assert 0 < largest[0] <= 0.1 * 40_000 * 50


def test_fractions_are_standardised_as_dense_ones_are() -> None:
    x = np.where(RNG.random((200, 5)) < 0.5, 0.0, RNG.gamma(2.0, 1.0, (200, 5)))
    vae = reparam.VAE(1, **SETTINGS).fit(sparse.csr_array(x))
    assert vae.likelihood_ == "gaussian:per_dimension"
    np.testing.assert_allclose(vae.transform(sparse.csr_array(x)), vae.transform(x), atol=1e-5)


def test_scikit_learn_accepts_how_sparse_input_is_taken() -> None:
    check_estimator_sparse_array("VAE", reparam.VAE(1, hidden=(4,), epochs=1))
