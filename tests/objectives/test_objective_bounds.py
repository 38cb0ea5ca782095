"""The number that is reported: honest lower bounds on ln p(x), against closed forms."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_models import denoiser, evaluate, gradient_of, linear_model, log_evidence, quick_jit, surrogate_gradient

from reparam.model import build_model
from reparam.objectives import (
    CIWAE,
    ELBO,
    IWAE,
    MIWAE,
    MMD,
    OBJECTIVES,
    PIWAE,
    FreeBits,
    Renyi,
    Warmup,
    build_objective,
    draws,
)
from reparam.objectives.importance import Average

DIMENSION = 20
X = jnp.asarray(np.random.default_rng(1).normal(size=(4, DIMENSION)) * 1.4, jnp.float32)
FIVE = jnp.asarray(np.random.default_rng(2).normal(size=(6, 5)), jnp.float32)


@quick_jit
def bounds(objective, model, x, keys):
    """The bound of each datum for each key, (keys, B)."""
    return jax.vmap(lambda key: objective(model, x, key).bound)(keys)


def mean_and_error(values):
    """The mean over keys and data, with the standard error of the draws."""
    values = np.asarray(values, np.float64).mean(axis=1)
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))


def test_one_importance_sample_is_the_elbo_sample_for_sample():
    model, key, x = linear_model(3, 5), jax.random.key(3), FIVE
    one, elbo = IWAE(1), ELBO(1, "monte_carlo")
    assert np.allclose(*(evaluate(objective, model, x, key).bound for objective in (one, elbo)), rtol=1e-6)
    gradients = (gradient_of(objective, model, x, key) for objective in (one, elbo))
    for a, b in zip(*map(jax.tree.leaves, gradients), strict=True):
        assert np.allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["analytic", "monte_carlo", "entropy"])
def test_every_form_of_the_elbo_has_the_closed_form_as_its_mean(form):
    """Within 5 standard errors: a false alarm in 2e6."""
    model = denoiser(DIMENSION, 2 / 3)
    mean, error = mean_and_error(bounds(ELBO(1, form), model, X, jax.random.split(jax.random.key(0), 20_000)))
    gap = DIMENSION / 2 * (4 / 3 - 1 - np.log(4 / 3))
    assert abs(gap - 0.456513) < 1e-6  # the value that the references give
    assert abs(log_evidence(np.asarray(X)).mean() - gap - mean) < 5 * error + 1e-4
    assert error < 0.02


def test_the_bound_rises_with_the_number_of_draws_and_stays_below_the_evidence():
    """Steps of the mean exceed 5 standard errors; and the largest is no further above ln p(x) than 5: 1 in 1e6."""
    model = denoiser(DIMENSION, 2 / 3)
    means, errors = zip(
        *(
            mean_and_error(bounds(IWAE(count), model, X, jax.random.split(jax.random.key(0), 1000)))
            for count in (1, 2, 8, 64)
        ),
        strict=True,
    )
    for k in range(3):
        assert means[k + 1] - means[k] > 5 * np.hypot(errors[k], errors[k + 1]), (means, errors)
    assert means[-1] < log_evidence(np.asarray(X)).mean() + 5 * errors[-1]


@pytest.mark.parametrize(
    "objective",
    [ELBO(3, "monte_carlo"), IWAE(1), IWAE(7), MIWAE(2, 3), CIWAE(0.3, 4), PIWAE(2, 3), Renyi(0.5, 4), Renyi(2.0, 4)],
    ids=repr,
)
def test_with_the_exact_posterior_every_draw_gives_the_evidence(objective):
    drawn = bounds(objective, denoiser(DIMENSION), X, jax.random.split(jax.random.key(0), 5))
    assert np.allclose(drawn, log_evidence(np.asarray(X)), atol=5e-5)  # no variance but rounding


def test_renyi_is_the_elbo_at_one_and_iwae_at_zero_and_falls_between():
    model, keys = denoiser(DIMENSION, 2 / 3), jax.random.split(jax.random.key(5), 3)
    elbo = bounds(ELBO(6, "monte_carlo"), model, X, keys)
    by_alpha = [bounds(Renyi(alpha, 6), model, X, keys) for alpha in (0.0, 0.5, 1.0 - 1e-6, 1.0, 1.0 + 1e-6, 2.0)]
    iwae, half, below, at, above, two = by_alpha
    assert np.allclose(iwae, bounds(IWAE(6), model, X, keys), atol=1e-5)
    for near in (below, at, above):
        assert np.allclose(near, elbo, atol=5e-5)
    assert np.all(iwae > half)
    assert np.all(half > at)
    assert np.all(at > two)


def test_the_combinations_are_made_of_the_same_draws():
    model, keys = denoiser(DIMENSION, 2 / 3), jax.random.split(jax.random.key(5), 3)
    elbo, iwae = (bounds(objective, model, X, keys) for objective in (ELBO(6, "monte_carlo"), IWAE(6)))
    assert np.allclose(bounds(CIWAE(0.25, 6), model, X, keys), 0.25 * elbo + 0.75 * iwae, atol=1e-4)
    assert np.allclose(bounds(PIWAE(2, 3), model, X, keys), iwae, atol=1e-5)
    assert np.allclose(bounds(MIWAE(1, 6), model, X, keys), iwae, atol=1e-5)
    assert np.allclose(bounds(MIWAE(6, 1), model, X, keys), elbo, atol=1e-4)
    miwae = bounds(MIWAE(2, 3), model, X, keys)
    assert np.all(miwae > elbo)
    assert np.all(miwae < iwae)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_weight_changes_the_surrogate_and_leaves_the_bound(name):
    plain, weighted = (build_objective(name, beta=beta) for beta in (1.0, 4.0))
    assert weighted.coefficients()["beta"] == 4.0

    @quick_jit
    def both(model):
        return tuple(objective(model, X, jax.random.key(0)) for objective in (plain, weighted))

    of_one, of_four = both(denoiser(DIMENSION, 2 / 3))
    assert np.array_equal(of_one.bound, of_four.bound)
    assert not np.allclose(of_one.surrogate, of_four.surrogate)


@pytest.mark.parametrize("name", ["free_bits:0.5", "beta_tcvae", "mmd", "mmd:10,gaussian", "free_bits:3,total"])
def test_a_regularised_objective_reports_the_elbo(name):
    model, key = denoiser(DIMENSION, 2 / 3), jax.random.key(0)
    found = evaluate(build_objective(name, beta=3.0), model, X, key)
    assert np.array_equal(found.bound, evaluate(ELBO(), model, X, key).bound)


@pytest.mark.parametrize(
    "mean",
    [
        Average(),
        Average(power=0.5),
        Average(power=-1.0),
        Average(power=1e-4),
        Average(2),
        Average(mix=0.3),
    ],
)
def test_one_weight_that_dominates_by_ten_thousand_nats_is_no_nan(mean):
    log_weights = jnp.array([[0.0, -1e4], [1e4, 1e4], [-1e4, -1e4], [5.0, 1e4]])

    @quick_jit
    def found(log_w):
        return *jax.value_and_grad(lambda log_w: jnp.sum(mean.value(log_w)))(log_w), mean.curvature(log_w)

    value, gradient, curvature = found(log_weights)
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    assert np.allclose(np.sum(gradient, axis=0), 1.0, atol=1e-4)  # moving all ℓ by one moves the value by one
    assert np.all(np.isfinite(curvature))


@quick_jit
def compiled_average(mean, log_weights):
    return mean.value(log_weights)


def averaged(mean, log_weights):
    return compiled_average(mean, jnp.asarray(log_weights, jnp.float32))


def test_the_logarithm_of_the_mean_weight_is_right_where_one_dominates():
    assert np.allclose(averaged(Average(), [[0.0], [1e4]]), 1e4 - np.log(2.0))


@pytest.mark.parametrize("power", [1.0, 0.5, 0.1])
def test_one_of_many_weights_that_dominates_loses_no_digits(power):
    """Of K = 5,000 the mean is e^{ℓ}/K: (1/r) ln (1/K) beside ℓ, to single precision."""
    log_weights = np.full((5000, 1), -2000.0)
    log_weights[7] = 3.0
    assert abs(float(averaged(Average(power=power), log_weights)[0]) - (3.0 - np.log(5000) / power)) < 1e-5 / power


def test_a_draw_that_explains_nothing_has_weight_zero():
    log_weights = [[1.0, -np.inf], [-np.inf, -np.inf]]
    assert np.allclose(averaged(Average(), log_weights), [1.0 - np.log(2.0), -np.inf])


@pytest.mark.parametrize("estimator", ["pathwise", "dreg", "score_function", "vimco"])
def test_gradients_are_finite_where_one_draw_dominates(estimator):
    """A decoder that explains x so sharply that log weights differ by more than 1e4."""
    model = linear_model(1, noise=3e-3)
    x, key = jnp.asarray([[2.0]]), jax.random.key(0)
    spread = evaluate(ELBO(1), model, x, key).bound - evaluate(IWAE(50), model, x, key).bound
    assert abs(spread[0]) > 1e4
    gradient = gradient_of(IWAE(50, estimator=estimator), model, x, key)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    ("name", "estimator"),
    [("iwae:7", "pathwise"), ("iwae:7", "dreg"), ("elbo:7", "pathwise"), ("iwae:7", "vimco"), ("piwae:7,2", "dreg")],
)
def test_draws_in_chunks_give_the_same_bound_and_gradient(monkeypatch, name, estimator):
    model, key, x = linear_model(3, 5), jax.random.key(3), FIVE
    objective = build_objective(name, estimator=estimator)

    @eqx.filter_grad(has_aux=True)
    def surrogate(model):
        terms = objective(model, x, key)
        return jnp.mean(terms.surrogate), terms.bound

    def found():
        return quick_jit(lambda: surrogate(model))()

    whole = found()
    calls = []
    monkeypatch.setattr(jax, "checkpoint", lambda f, checkpoint=jax.checkpoint: calls.append(f) or checkpoint(f))
    monkeypatch.setattr(draws, "_bytes", lambda _: 1)
    monkeypatch.setattr(draws, "CHUNK_BYTES", 2 * 3)
    chunked = found()
    assert calls  # it is indeed taken in chunks
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(chunked), strict=True):
        assert np.allclose(a, b, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "objective", [ELBO(3, "monte_carlo"), IWAE(7), PIWAE(2, 3), Renyi(0.5, 4), FreeBits(), MMD()], ids=repr
)
def test_in_double_precision_everything_is_double(objective):
    """And in single precision the surrogate too is single, whatever a coefficient is."""
    x = np.asarray(X, np.float64)

    def warm(*arguments):
        return Warmup(objective, 10).at(jnp.array(3), 7)(*arguments)

    with jax.enable_x64(True):
        terms = quick_jit(warm)(denoiser(DIMENSION), jnp.asarray(x), jax.random.key(0))
        assert {term.dtype for term in terms} == {jnp.dtype(jnp.float64)}
        if not isinstance(objective, FreeBits | MMD):
            assert np.allclose(terms.bound, log_evidence(x), atol=1e-11)
    single = eqx.filter_eval_shape(warm, denoiser(DIMENSION), X, jax.random.key(0))
    assert {term.dtype for term in single} == {jnp.dtype(jnp.float32)}


class Wide(eqx.Module):
    """A decoder of one's own, with many numbers between z and the one that it gives."""

    weight: jax.Array

    def __call__(self, z):
        return jnp.mean(jnp.tanh(z @ self.weight), axis=-1, keepdims=True)


def wide_model():
    model = linear_model(2, 1)
    return eqx.tree_at(lambda model: model.decoder, model, Wide(jnp.ones((2, 2**16)))), jnp.zeros((16, 1))


def model_of_levels():
    x = jnp.zeros((64, 3072))
    key = jax.random.key(0, impl="rbg")
    return quick_jit(build_model)(x, key, latent_dim=2, likelihood="discretized_logistic:10", hidden=()), x


@pytest.mark.parametrize("make", [wide_model, model_of_levels])
def test_memory_follows_what_decoder_and_likelihood_form_and_not_the_size_of_the_data(make):
    """By XLA's own account of the compiled gradient, which is never run; all 512 draws at once would need 30 GB."""
    model, x = make()
    lowered = quick_jit(surrogate_gradient).lower(IWAE(512), model, x, jax.random.key(0))
    assert lowered.compile().compiled.memory_analysis().temp_size_in_bytes < draws.CHUNK_BYTES


def test_fifty_draws_of_mnist_sized_data_are_one_compiled_call():
    x = jnp.asarray(np.random.default_rng(0).random((8, 784)) < 0.2, jnp.float32)
    model = quick_jit(build_model)(x, jax.random.key(0), latent_dim=20, likelihood="bernoulli", hidden=(400,))
    traces = []

    @eqx.filter_jit
    def value_and_gradient(model, key):
        traces.append(key)
        return eqx.filter_value_and_grad(lambda model: jnp.mean(IWAE(50)(model, x, key).surrogate))(model)

    for seed in range(2):
        value, gradient = value_and_gradient(model, jax.random.key(seed))
        assert np.isfinite(value)
        assert gradient.encoder.layers[0].weight.shape == (784, 400)
        assert np.any(gradient.encoder.layers[0].weight)
    assert len(traces) == 1
