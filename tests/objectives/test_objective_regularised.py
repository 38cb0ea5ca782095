"""Terms of the whole batch, and coefficients that change with time."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from gaussian_models import evaluate, gradient_of, linear_model, quick_jit

import reparam
from reparam.errors import DataError, ParameterError
from reparam.objectives import ELBO, MMD, BetaTCVAE, FreeBits, Warmup, build_objective
from reparam.objectives.regularised import gaussian, inverse_multiquadratic, squared_mmd, total_correlation
from reparam.probability.divergences import kl_divergence
from reparam.probability.reparameterization import draw_noise, reparameterize

X = jnp.asarray(np.random.default_rng(1).normal(size=(7, 5)), jnp.float32)
KEY = jax.random.key(3)
MODEL = linear_model(3, 5, seed=2)
CORRELATED = linear_model(3, 5, posterior="full", seed=2)


@quick_jit
def encoded(model):
    """q(z|x) of the data, with its covariance where it has one."""
    q = model.encode(X)
    return q, getattr(q, "covariance_matrix", None)


@quick_jit
def posterior_and_draws(model):
    q = model.encode(X)
    return q, reparameterize(q, draw_noise(q, KEY, (1,)))[0]


def normal_kl(q):
    """KL(q‖N(0, I)) of each datum and latent, written out."""
    loc, scale = np.asarray(q.loc, np.float64), np.asarray(q.scale, np.float64)
    return (loc**2 + scale**2 - 1) / 2 - np.log(scale)


def test_free_bits_hold_the_mean_divergence_of_each_latent_from_below():
    means = normal_kl(encoded(MODEL)[0]).mean(axis=0)
    level = float(np.sort(means)[1])  # one latent below, one at it, one above
    terms = evaluate(FreeBits(level, beta=2.0), MODEL, X, KEY)
    wanted = np.asarray(terms.reconstruction).mean() - 2.0 * np.maximum(level, means).sum()
    assert abs(float(terms.surrogate.mean()) - wanted) < 1e-4


def test_free_bits_average_before_they_compare():
    """Data on both sides of the level: the mean of the maxima would be larger."""
    divergences = normal_kl(encoded(MODEL)[0]).sum(axis=1)
    level = float(divergences.mean()) * 0.99
    terms = evaluate(FreeBits(level, "total"), MODEL, X, KEY)
    assert abs(float(np.mean(terms.reconstruction - terms.surrogate)) - divergences.mean()) < 1e-4
    assert np.maximum(level, divergences).mean() > divergences.mean() + 1e-2


def test_below_its_level_the_divergence_has_no_gradient():
    gradient = gradient_of(FreeBits(100.0), MODEL, X, KEY)
    reconstruction = quick_jit(eqx.filter_grad(lambda model: jnp.mean(ELBO()(model, X, KEY).reconstruction)))(MODEL)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(reconstruction), strict=True):
        assert np.allclose(a, b, atol=1e-5)


def test_free_bits_of_a_correlated_posterior_pay_its_total_correlation_in_full():
    q, found = encoded(CORRELATED)
    covariance = np.asarray(found, np.float64)
    variances = np.diagonal(covariance, axis1=1, axis2=2)
    marginal = (np.asarray(q.loc) ** 2 + variances - 1 - np.log(variances)) / 2
    correlation = (np.log(variances).sum(axis=1) - np.linalg.slogdet(covariance)[1]) / 2
    level = float(marginal.mean())
    terms = evaluate(FreeBits(level), CORRELATED, X, KEY)
    wanted = np.maximum(level, marginal.mean(axis=0)).sum() + correlation.mean()
    assert abs(float(np.mean(terms.reconstruction - terms.surrogate)) - wanted) < 1e-3
    with pytest.raises(ParameterError, match="free_bits:λ,total"):
        eqx.filter_eval_shape(FreeBits(1.0), linear_model(2, 5, posterior="flow:1,4,2"), X, KEY)


def aggregate_correlation(q, z, size):
    """Minibatch-weighted sampling with a loop (Chen et al. 2018), the data being ``size`` rows."""
    batch, latents = z.shape
    found = []
    for i in range(batch):
        each = scipy.stats.norm.logpdf(z[i], np.asarray(q.loc), np.asarray(q.scale))  # (B, K)
        joint = np.log(np.exp(each.sum(axis=1)).sum()) - np.log(size * batch)
        product = sum(np.log(np.exp(each[:, d]).sum()) - np.log(size * batch) for d in range(latents))
        found.append(joint - product)
    return np.array(found)


def test_the_total_correlation_is_that_of_minibatch_weighted_sampling_up_to_a_constant():
    q, drawn = posterior_and_draws(MODEL)
    z = np.asarray(drawn, np.float64)
    found = np.asarray(quick_jit(total_correlation)(q, drawn, jnp.ones(7)))
    assert np.allclose(found, aggregate_correlation(q, z, size=1), atol=1e-4)
    shift = aggregate_correlation(q, z, size=60_000) - found
    assert np.allclose(shift, shift[0], atol=1e-4)  # the size of the data has no gradient
    terms = evaluate(BetaTCVAE(beta=6.0), MODEL, X, KEY)
    assert np.allclose(terms.surrogate, terms.bound - 5.0 * found, atol=1e-3)


def test_the_total_correlation_of_a_full_posterior_uses_its_joint_density():
    q, drawn = posterior_and_draws(CORRELATED)
    z = np.asarray(drawn, np.float64)
    found = quick_jit(total_correlation)(q, drawn, jnp.ones(7))
    loc, covariance = np.asarray(q.loc, np.float64), np.asarray(encoded(CORRELATED)[1], np.float64)
    for i in range(7):
        joint = np.mean([scipy.stats.multivariate_normal.pdf(z[i], loc[j], covariance[j]) for j in range(7)])
        stds = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        product = np.prod(scipy.stats.norm.pdf(z[i], loc, stds).mean(axis=0))
        assert abs(np.log(joint / product) - float(found[i])) < 1e-3
    with pytest.raises(ParameterError, match="FlowDistribution"):
        eqx.filter_eval_shape(BetaTCVAE(beta=2.0), linear_model(2, 5, posterior="flow:1,4,2"), X, KEY)


@pytest.mark.parametrize("kernel", [inverse_multiquadratic, gaussian])
def test_the_squared_discrepancy_is_the_mean_over_pairs_of_different_draws(kernel):
    z, y = np.random.default_rng(3).normal(size=(2, 5, 3)).astype(np.float32)
    of = quick_jit(kernel)  # of one pair, as it comes
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    wanted = np.mean([float(of(z[i], z[j])) + float(of(y[i], y[j])) - 2 * float(of(z[i], y[j])) for i, j in pairs])
    assert abs(float(quick_jit(squared_mmd)(kernel, z, y, np.ones(5, np.float32))) - wanted) < 1e-5
    if kernel is inverse_multiquadratic:
        squared = float(np.sum((z[0] - y[0]) ** 2))
        by_hand = sum(6 * s / (6 * s + squared) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))
        assert abs(float(of(z[0], y[0])) - by_hand) < 1e-5


def test_the_discrepancy_of_two_normals_is_the_closed_form():
    """N(0, 1) and N(m, 1): 2 √⅓ (1 − exp(−m²/6)), within 5 standard errors: a false alarm in 2e6."""
    shift = 1.5

    def one(key):
        z, y = jax.random.normal(key, (2, 8, 1))
        return squared_mmd(gaussian, z + shift, y, jnp.ones(8))

    drawn = np.asarray(quick_jit(jax.vmap(one))(jax.random.split(KEY, 20_000)), np.float64)
    wanted = 2 * np.sqrt(1 / 3) * (1 - np.exp(-(shift**2) / 6))
    assert abs(drawn.mean() - wanted) < 5 * drawn.std() / np.sqrt(len(drawn))


def test_the_discrepancy_is_weighed_beside_the_divergence():
    plain, heavy = (evaluate(MMD(weight, beta=0.0), MODEL, X, KEY) for weight in (0.0, 10.0))
    assert np.allclose(plain.surrogate, plain.reconstruction)
    difference = plain.surrogate - heavy.surrogate
    assert np.allclose(difference, difference[0], atol=1e-3)  # one number for the whole batch
    assert abs(float(difference[0])) > 1e-2


@pytest.mark.parametrize("name", ["free_bits:3", "free_bits:9,total", "beta_tcvae", "mmd"])
def test_rows_of_weight_zero_change_nothing(name):
    """Of three rows, and four that only fill up the batch, the mean surrogate is that of the three."""
    objective = build_objective(name, beta=3.0)
    weight = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], np.float32)
    others = jnp.asarray(np.where(weight[:, None], X, 50.0))
    first, second = (
        weight @ np.asarray(evaluate(objective, MODEL, x, KEY, jnp.asarray(weight)).surrogate) / weight.sum()
        for x in (X, others)
    )
    assert abs(float(first - second)) < 1e-4
    unweighted = weight @ np.asarray(evaluate(objective, MODEL, others, KEY).surrogate) / weight.sum()
    assert abs(float(first - unweighted)) > 1e-3


@pytest.mark.parametrize(
    ("warmup", "step", "coefficient"),
    [
        ("linear:10", 0, 0.0),
        ("linear:10", 50, 2.0),
        ("linear:10", 1000, 4.0),
        ("linear:10,steps", 5, 2.0),
        ("cyclic:10", 25, 2.0),
        ("cyclic:10", 75, 4.0),
        ("cyclic:10", 125, 2.0),
        ("cyclic:10,steps", 12, 1.6),
        ("none", 0, 4.0),
    ],
)
def test_a_warm_up_multiplies_the_coefficient_by_its_schedule(warmup, step, coefficient):
    objective = build_objective("elbo", beta=4.0, warmup=warmup)
    assert abs(objective.at(jnp.array(step), steps_per_epoch=10).coefficients()["beta"] - coefficient) < 1e-6


def test_the_total_correlation_is_weighed_unless_told_otherwise_and_never_rewarded():
    """β − 1 multiplies it: 5 where nothing is said, from 0 upwards in a warm-up."""
    warm = build_objective("beta_tcvae", warmup="linear:10,steps")
    assert warm.coefficients() == {"beta": 6.0}
    found = [evaluate(warm.at(jnp.array(step), 1), MODEL, X, KEY) for step in (0, 5, 10)]
    assert np.allclose(found[0].surrogate, found[0].bound, rtol=1e-6)
    q, z = posterior_and_draws(MODEL)
    correlation = aggregate_correlation(q, np.asarray(z, np.float64), size=1)
    for terms, coefficient in zip(found, (0.0, 2.5, 5.0), strict=True):
        assert np.allclose(terms.bound - terms.surrogate, coefficient * correlation, atol=1e-3)


def test_the_estimator_leaves_the_coefficient_to_the_objective():
    vae = reparam.VAE(2, hidden=(), epochs=1, objective="beta_tcvae").fit(np.random.default_rng(0).normal(size=(40, 4)))
    assert vae.history_[0]["coefficients"] == {"beta": 6.0}


def test_a_warm_up_of_a_warm_up_varies_both_coefficients():
    both = Warmup(Warmup(MMD(8.0, beta=4.0), 4, "steps", "mmd_weight"), 2, "steps", shape="cyclic")
    assert both.coefficients() == {"beta": 4.0, "mmd_weight": 8.0}
    assert both.at(jnp.array(1), 10).coefficients() == {"beta": 4.0, "mmd_weight": 2.0}
    assert both.at(jnp.array(4), 10).coefficients() == {"beta": 0.0, "mmd_weight": 8.0}


@pytest.mark.parametrize("warmup", ["linear", "linear:1,steps,beta,more", "none:3"])
def test_a_warm_up_says_what_it_takes(warmup):
    with pytest.raises(ParameterError, match=f"warmup '{warmup}' does not take these arguments.*takes"):
        build_objective(warmup=warmup)


def test_other_coefficients_compile_nothing_anew():
    traces = []

    @eqx.filter_jit
    def surrogate(objective):
        traces.append(objective)
        return objective(MODEL, X, KEY).surrogate

    for name, other in (("elbo", {}), ("iwae:2", {}), ("mmd:3", {"objective": "mmd:4"}), ("free_bits:1", {})):
        traces.clear()
        first = surrogate(build_objective(name, beta=1.0))
        second = surrogate(build_objective(**{"objective": name, "beta": 0.3, **other}))
        assert len(traces) == 1, name
        assert not np.allclose(first, second)


def test_coefficients_are_told_as_they_were_given():
    assert build_objective("mmd:0.1", beta=0.7).coefficients() == {"beta": 0.7, "mmd_weight": 0.1}
    assert repr(ELBO(beta=0.1)) == "ELBO(samples=1, form='auto', beta=0.1, estimator='pathwise')"


@pytest.mark.parametrize("x", [jnp.zeros((0, 5)), jnp.zeros(5)])
def test_a_batch_without_data_is_refused_in_one_line(x):
    with pytest.raises(DataError, match=r"one datum or more.*Got shape"):
        ELBO()(MODEL, x, KEY)


def test_a_warm_up_varies_the_coefficient_that_is_named_and_no_other():
    objective = build_objective("mmd:8", beta=0.5, warmup="linear:4,steps,mmd_weight").at(jnp.array(1), 10)
    assert objective.coefficients() == {"beta": 0.5, "mmd_weight": 2.0}


def test_a_warm_up_changes_the_surrogate_of_its_step_and_never_the_bound():
    warm = Warmup(ELBO(beta=2.0), 10)
    half = evaluate(warm.at(jnp.array(5), 1), MODEL, X, KEY)
    plain = evaluate(ELBO(beta=1.0), MODEL, X, KEY)
    assert np.allclose(half.surrogate, plain.surrogate, rtol=1e-6)
    assert np.allclose(evaluate(warm, MODEL, X, KEY).bound, plain.bound)
    wanted = quick_jit(lambda model: kl_divergence(model.encode(X), model.prior_distribution()))(MODEL)
    assert np.allclose(plain.kl, wanted)


def test_names_are_choosable_from_the_estimator_and_a_resumed_warm_up_goes_on(tmp_path):
    rows = np.random.default_rng(0).normal(size=(40, 4))
    settings = {"latent_dim": 2, "hidden": (), "batch_size": 20, "warmup": "linear:4", "beta": 2.0}
    whole = reparam.VAE(objective="iwae:3", estimator="dreg", epochs=3, **settings).fit(rows)
    half = reparam.VAE(objective="iwae:3", estimator="dreg", epochs=1, **settings).fit(rows)
    resumed = reparam.load(half.save(tmp_path / "run"))
    assert (resumed.objective, resumed.estimator, resumed.warmup) == ("iwae:3", "dreg", "linear:4")
    resumed.set_params(epochs=3, warm_start=True).fit(rows)
    coefficients = [line["coefficients"]["beta"] for line in whole.history_]
    assert np.allclose(coefficients, [0.25, 0.75, 1.25])  # at the last of the two steps of each epoch
    assert [line["coefficients"]["beta"] for line in resumed.history_] == coefficients
    for a, b in zip(jax.tree.leaves(whole.model_), jax.tree.leaves(resumed.model_), strict=True):
        assert np.array_equal(a, b)


def test_a_warm_up_trains_as_its_weights_say():
    """With a schedule that never leaves 0 the encoder is trained as without a divergence; and not otherwise."""
    rows = np.random.default_rng(0).normal(size=(40, 4))

    def trained(**settings):
        return reparam.VAE(2, hidden=(), start="random", epochs=3, **settings).fit(rows).model_.encoder.layers[0].weight

    frozen = trained(warmup="linear:1000000000")
    assert np.allclose(frozen, trained(beta=0.0), atol=1e-6)
    assert not np.allclose(frozen, trained(), atol=1e-4)
