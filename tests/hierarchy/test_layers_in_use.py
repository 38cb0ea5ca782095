"""Several layers through the estimator: what is told, kept, decoded, given and missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import reparam
from reparam.errors import ParameterError

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(80, 2)) @ RNG.normal(size=(2, 6)) + 0.1 * RNG.normal(size=(80, 6))).astype(np.float32)
SMALL = {"hidden": (8,), "epochs": 2, "batch_size": 40, "bound_samples": 10, "standardize": "none"}


def layered(**changes) -> reparam.VAE:
    return reparam.VAE(**{"latent_dim": (3, 2), "likelihood": "gaussian", **SMALL, **changes})


@pytest.fixture(scope="module", params=["diagonal", "ladder"])
def vae(request):
    return layered(posterior=request.param).fit(X)


def test_the_divergence_is_told_by_layer(vae):
    for line in vae.history_:
        assert len(line["kl_per_dimension"]) == 5
        np.testing.assert_allclose(line["kl_per_layer"], np.add.reduceat(line["kl_per_dimension"], [0, 3]), rtol=1e-5)
        np.testing.assert_allclose(sum(line["kl_per_layer"]), line["kl"], rtol=1e-5)
        np.testing.assert_allclose(line["reconstruction"] - line["kl"], line["bound"], rtol=1e-5)
    found = vae.evaluate(X[:16])
    assert [layer.latents for layer in found.layers] == [3, 2]
    np.testing.assert_allclose(sum(layer.kl for layer in found.layers), found.kl, rtol=1e-5)
    assert sum(layer.active_units for layer in found.layers) == found.active_units
    assert found.elbo <= found.bound
    assert found.to_json()["layers"][1]["latents"] == 2
    parts = vae.contributions(X[:16])
    assert abs((parts.cells.sum(axis=1) - parts.kl).mean() - found.elbo) < 5 * np.std(parts.kl) + 5  # other draws


def test_codes_hold_all_layers_and_the_first_explains(vae):
    mean, std = vae.posterior_moments(X[:4])
    assert mean.shape == std.shape == (4, 5)
    decoded = vae.inverse_transform(mean)
    np.testing.assert_array_equal(vae.inverse_transform(mean + np.array([0, 0, 0, 3, 3])), decoded)
    np.testing.assert_array_equal(vae.reconstruct(X[:4]), decoded)
    assert np.abs(vae.inverse_transform(mean + np.array([3, 0, 0, 0, 0])) - decoded).max() > 1e-3
    draws = np.stack([vae.transform(X[:4], draw=True, random_state=seed) for seed in range(200)])
    # of 20 means and as many deviations five standard errors, the deviations' of near-Gaussians: 2e-5
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 5 * (std / np.sqrt(200) + std / np.sqrt(256)))
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=5 * 1.3 / np.sqrt(400))
    assert vae.sample(3, draw=True).shape == (3, 6)


def test_a_run_comes_back_and_goes_on(vae, tmp_path):
    vae.save(tmp_path / "run")
    loaded = reparam.load(tmp_path / "run")
    assert tuple(loaded.latent_dim) == (3, 2)
    np.testing.assert_array_equal(loaded.transform(X[:4]), vae.transform(X[:4]))
    onward = loaded.set_params(epochs=3, warm_start=True).fit(X)
    straight = layered(posterior=vae.posterior, epochs=3).fit(X)
    assert onward.history_[-1]["bound"] == straight.history_[-1]["bound"]


def test_one_layer_is_the_plain_model_to_the_bit():
    plain, one = layered(latent_dim=2, epochs=1).fit(X), layered(latent_dim=(2,), posterior="ladder", epochs=1).fit(X)
    assert plain.history_ == one.history_
    np.testing.assert_array_equal(plain.transform(X), one.transform(X))


def test_missing_cells_and_conditions_of_a_frame():
    frame = pd.DataFrame(X[:, :3], columns=list("abc")).assign(kind=np.where(X[:, 3] > 0, "up", "down"))
    frame.loc[::5, "a"] = np.nan
    vae = layered(likelihood="auto", condition=["kind"], epochs=1).fit(frame)
    assert np.isfinite(vae.history_[-1]["bound"])
    filled = vae.impute(frame[:10])
    assert not filled.isna().any().any()
    assert list(vae.sample(2, given={"kind": "up"})["kind"]) == ["up", "up"]
    assert np.isfinite(vae.score_samples(frame[:5])).all()


def test_a_posterior_of_ones_own_is_of_all_layers_at_once():
    vae = layered(posterior=reparam.LowRank(5, 1), epochs=1).fit(X)
    assert vae.history_[-1]["kl_per_layer"] is None
    found = vae.evaluate(X[:8])
    assert [layer.kl for layer in found.layers] == [None, None]
    np.testing.assert_allclose(found.reconstruction - found.kl, found.elbo, rtol=1e-5)


@pytest.mark.parametrize("inference", ["mean_field:2", "semi_amortized:2"])
def test_other_ways_of_inference_find_a_q_of_layers(inference):
    vae = layered(posterior="ladder", inference=inference, epochs=1).fit(X)
    np.testing.assert_allclose(sum(vae.history_[-1]["kl_per_layer"]), vae.history_[-1]["kl"], rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"start": "linear"}, "no linear answer"),
        ({"latent_dim": "many"}, "a sequence of 1 to"),
        ({"latent_dim": (2, 1.5)}, "an int in"),
        ({"posterior": "flow"}, "'ladder'"),
        ({"prior": "flow"}, "prior='standard_normal'"),
    ],
)
def test_what_layers_cannot_be_is_said_before_any_data_are_read(changes, said):
    with pytest.raises(ParameterError, match=said):
        layered(**changes).fit(X[:4])
