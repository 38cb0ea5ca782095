"""The linear VAE against probabilistic PCA, whose best log-likelihood is a closed form of the data's spectrum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.ppca import closed_form, falling, measure

from reparam import VAE
from reparam.data import from_array, load
from reparam.data.schema import Dataset

OIL = Path(__file__).parents[3] / "shared" / "data" / "oilflow3class.npz"
needs_oil = pytest.mark.skipif(not OIL.exists(), reason="the oil-flow data are not beside the repository")
LONG = ((1e-2, 200), (3e-3, 150))
SHORT = ((1e-2, 150), (3e-3, 100), (1e-3, 50))


@pytest.fixture(scope="module")
def oil():
    with np.load(OIL) as arrays:
        return from_array(arrays["DataTrn"], name="oil flow")


@pytest.fixture(scope="module")
def digits():
    data = load("digits")
    return Dataset(data.rows[:1500], data.schema)


def test_closed_form_is_that_of_the_published_spectra(digits):
    bound, variance = closed_form(digits.schema.apply(digits.rows).astype(np.float64), 10)
    assert bound == pytest.approx(17.587164, abs=1e-5)
    assert variance == pytest.approx(0.022648, abs=1e-6)


@needs_oil
@pytest.mark.parametrize(("posterior", "objective"), [("diagonal", "elbo"), ("full", "elbo:4")])
def test_oil_flow_reaches_the_closed_form(oil, posterior, objective):
    found = measure(oil, 2, SHORT, batch_size=100, posterior=posterior, objective=objective)
    assert found["elbo"] == pytest.approx(-4.732617, abs=0.05)
    assert found["inference_gap"] < 0.02
    assert found["variance"] == pytest.approx(0.088569, rel=0.02)


@needs_oil
@pytest.mark.parametrize(("variance", "beta", "active"), [(0.15, 1, 4), (0.05, 1, 6), (0.05, 4, 3), (0.05, 10, 2)])
def test_collapse_is_predicted_by_the_spectrum(oil, variance, beta, active):
    """Active units are the eigenvalues above βσ² (Lucas et al. 2019)."""
    spectrum = np.linalg.eigvalsh(np.cov(oil.rows.T.astype(np.float64), bias=True))
    assert np.sum(spectrum > beta * variance) == active
    likelihood = f"gaussian:fixed:{variance**0.5}"
    vae = VAE(latent_dim=8, hidden=(), likelihood=likelihood, beta=beta, batch_size=100, **falling(LONG))
    means = vae.fit_dataset(oil).transform(oil.rows)  # near βσ² a latent dies slowly
    assert np.sum(np.var(means, axis=0) > 0.01) == active
