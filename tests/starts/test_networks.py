"""A model that begins at a linear answer says what that answer says."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reparam.errors import ParameterError
from reparam.model import build_model
from reparam.networks import LogCounts
from reparam.objectives import ELBO
from reparam.starts import linear_start
from reparam.starts.linear import factor_analysis, probabilistic_pca
from reparam.starts.linked import linked_start
from reparam.starts.networks import begin_at

FEATURES, LATENTS = 5, 2
fresh_model = eqx.filter_jit(build_model)
begun = eqx.filter_jit(begin_at)


def rows(count: int = 200) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, LATENTS)) @ rng.normal(size=(LATENTS, FEATURES)) + rng.normal(
        size=(count, FEATURES)
    ) * np.linspace(0.3, 1.0, FEATURES)


def model_for(likelihood: str, posterior: str = "diagonal", scale: str = "log_variance"):
    return fresh_model(
        jnp.zeros((2, FEATURES)),
        jax.random.key(1),
        latent_dim=LATENTS,
        likelihood=likelihood,
        posterior=posterior,
        scale=scale,
        hidden=(7,),
    )


@pytest.mark.parametrize(
    ("posterior", "scale", "noise"),
    [
        ("diagonal", "log_variance", "per_dimension"),
        ("diagonal", "softplus", "decoder"),
        ("full", "log_variance", "per_dimension"),
        ("cholesky", "log_std", "per_dimension"),
        ("low_rank:2", "log_variance", "per_dimension"),
    ],
)
def test_every_single_draw_gives_the_exact_log_density_at_the_start(posterior, scale, noise):
    """With the exact posterior p(x, z) / q(z|x) is p(x) whatever z: one draw, to single precision."""
    x = rows()
    start = factor_analysis(x, LATENTS)
    model = begun(model_for(f"gaussian:{noise}", posterior, scale), start.start)
    bound = eqx.filter_jit(ELBO(1, "monte_carlo"))(model, jnp.asarray(x, jnp.float32), jax.random.key(0)).bound
    np.testing.assert_allclose(bound, start.log_density(x), atol=2e-4)


def test_one_noise_for_all_features_takes_the_principal_components():
    x = rows()
    start = probabilistic_pca(x, LATENTS)
    model = begun(model_for("gaussian:learned"), start.start)
    bound = eqx.filter_jit(ELBO(1, "monte_carlo"))(model, jnp.asarray(x, jnp.float32), jax.random.key(0)).bound
    np.testing.assert_allclose(bound, start.log_density(x), atol=2e-4)


def test_the_corrections_are_zero_at_the_start_and_learn_at_once():
    x = jnp.asarray(rows(), jnp.float32)
    model = begun(model_for("gaussian:per_dimension"), factor_analysis(rows(), LATENTS).start)
    assert not np.any(eqx.filter_jit(lambda model: model.encoder.correction(x))(model))
    gradient = eqx.filter_jit(eqx.filter_grad(lambda tree: jnp.mean(ELBO(1)(tree, x, jax.random.key(0)).surrogate)))(
        model
    )
    assert np.abs(gradient.decoder.correction.layers[-1].weight).max() > 1e-3
    assert np.abs(gradient.encoder.correction.layers[-1].weight).max() > 1e-6


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson", "negative_binomial"])
def test_a_linked_start_beats_independent_features(likelihood):
    """On rows of a strong common factor the start's ELBO exceeds the independent model's own likelihood."""
    rng = np.random.default_rng(2)
    raw = 2.0 * rng.normal(size=(2000, 1)) * np.ones(FEATURES)
    draw = rng.random(raw.shape) < 1 / (1 + np.exp(-raw)) if likelihood == "bernoulli" else rng.poisson(np.exp(raw / 2))
    x = draw.astype(np.float32)
    model = begun(model_for(likelihood), linked_start(x, LATENTS, likelihood))
    bound = eqx.filter_jit(ELBO(8))(model, jnp.asarray(x), jax.random.key(0)).bound
    parts = {"latent_dim": LATENTS, "likelihood": likelihood, "hidden": ()}
    independent = fresh_model(jnp.asarray(x), jax.random.key(1), **parts).likelihood

    @eqx.filter_jit
    def log_density(independent):
        return independent.distribution(independent.initial_raw(x.mean(axis=0))).log_prob(x).sum(axis=-1)

    alone = np.asarray(log_density(independent))
    assert bound.mean() > alone.mean() + 0.1
    assert isinstance(model.encoder, LogCounts) == (likelihood != "bernoulli")


def test_a_network_without_a_name_is_refused():
    start = factor_analysis(rows(), LATENTS).start
    with pytest.raises(ParameterError, match="needs a network that has a name. Got Residual"):
        begin_at(begin_at(model_for("gaussian:per_dimension"), start), start)


def test_what_has_no_linear_answer_is_told():
    assert linear_start(rows(), LATENTS, "laplace") is None
