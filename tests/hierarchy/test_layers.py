"""Several layers of latents, against closed forms: densities, divergences, bounds, gradients."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import two_layers
from scipy.stats import multivariate_normal

from reparam.batch import Batch
from reparam.data import from_array
from reparam.errors import NoClosedFormError, ParameterError
from reparam.evaluation import evaluate, posterior_moments
from reparam.hierarchy import BottomUp, Hierarchy, Ladder
from reparam.model import build_model
from reparam.objectives import ELBO, IWAE, FreeBits
from reparam.objectives.draws import evaluate_draws
from reparam.probability.conditional import conditional_kl
from reparam.probability.distributions.chain import Chain
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.posteriors import Diagonal
from reparam.probability.priors import StandardNormal
from reparam.probability.reparameterization import draw_noise, reparameterize, reparameterize_with_log_prob

WAYS = ("bottom_up", "ladder")
X = two_layers.rows(6)
KEY = jax.random.key(3)
DRAWS = 4000

terms_of = eqx.filter_jit(lambda objective, model, x: objective(model, x, KEY))
gradient_of = eqx.filter_jit(eqx.filter_grad(lambda m, objective, x: jnp.mean(objective(m, x, KEY).surrogate)))
fresh = eqx.filter_jit(lambda size, **parts: build_model(jnp.zeros((2, size)), KEY, **parts))
both_ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module", params=WAYS)
def exact(request):
    return two_layers.exact_model(request.param)


def gaussian_chain(rng, *, upward: bool):
    """Of layers of 2 and 1: a chain of affine means and constant deviations, and its joint mean and covariance."""
    loc, std = [rng.normal(size=size) for size in (2, 1)], [np.exp(rng.normal(size=size) / 2) for size in (2, 1)]
    order = (0, 1) if upward else (1, 0)
    first, second = order
    slope = rng.normal(size=(len(loc[first]), len(loc[second])))
    weights = [jnp.asarray(values, jnp.float32) for values in (slope, loc[second], std[second])]

    def link(z):
        return LocationScale(z @ weights[0] + weights[1], weights[2])

    whole = Chain(LocationScale(jnp.asarray(loc[first]), jnp.asarray(std[first])), (link,), (2, 1), upward=upward)
    mean = {first: loc[first], second: loc[first] @ slope + loc[second]}
    own = np.diag(std[first] ** 2)
    blocks = {(first, first): own, (first, second): own @ slope, (second, first): (own @ slope).T}
    blocks[second, second] = slope.T @ own @ slope + np.diag(std[second] ** 2)
    covariance = np.block([[blocks[0, 0], blocks[0, 1]], [blocks[1, 0], blocks[1, 1]]])
    return whole, np.concatenate([mean[0], mean[1]]), covariance


def gaussian_kl(q, p):
    """Of (mean, covariance) pairs."""
    shift, inverse = p[0] - q[0], np.linalg.inv(p[1])
    quadratic = np.trace(inverse @ q[1]) + shift @ inverse @ shift - len(shift)
    return 0.5 * (quadratic + np.linalg.slogdet(p[1])[1] - np.linalg.slogdet(q[1])[1])


@pytest.mark.parametrize("upward", [True, False])
def test_a_chain_of_affine_gaussians_is_the_joint_gaussian(upward):
    chain, mean, covariance = gaussian_chain(np.random.default_rng(int(upward)), upward=upward)
    law = multivariate_normal(mean, covariance)

    @jax.jit
    def drawn():
        eps = draw_noise(chain, KEY, (DRAWS,))
        z, log_q = reparameterize_with_log_prob(chain, eps)
        return z, log_q, chain.log_prob(z), reparameterize(chain, eps)

    z, log_q, log_prob, again = drawn()
    np.testing.assert_allclose(log_q, law.logpdf(z), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(log_prob, law.logpdf(z), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(again, z)
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), (np.asarray(z) - mean).T)
    # means and second moments of whitened draws, nine numbers at five standard errors: false with probability 5e-6
    np.testing.assert_allclose(whitened.mean(axis=1), 0.0, atol=5 / np.sqrt(DRAWS))
    np.testing.assert_allclose(whitened @ whitened.T / DRAWS, np.eye(3), atol=5 * np.sqrt(2 / DRAWS))


@pytest.mark.parametrize("upward", [True, False])
def test_what_latents_add_sums_to_the_divergence(upward):
    """Two chains, five standard errors: a false alarm with probability 6e-7 each."""
    rng = np.random.default_rng(10 + upward)
    q, *of_q = gaussian_chain(rng, upward=upward)
    p, *of_p = gaussian_chain(rng, upward=False)
    terms = np.asarray(jax.jit(lambda: conditional_kl(q, p, q.sample(KEY, (DRAWS,))))(), np.float64)
    assert terms.shape == (DRAWS, 3)
    total = terms.sum(axis=1)
    assert abs(total.mean() - gaussian_kl(of_q, of_p)) < 5 * total.std() / np.sqrt(DRAWS)
    assert np.ptp(terms[:, 2]) < 1e-5 or upward  # the top layer of q and p downward is given nothing


def test_only_chains_have_conditional_divergences():
    normal = LocationScale(jnp.zeros(3))
    assert conditional_kl(normal, normal, jnp.zeros(3)) is None


def test_where_q_is_the_posterior_every_weight_is_the_evidence(exact):
    """So that bounds of any number of draws, and the ELBO, are ln p(x); five standard errors of 24 rows: 1.4e-5."""
    batch = Batch(jnp.asarray(X))
    draws = eqx.filter_jit(lambda m: evaluate_draws(m, m.encode(batch), batch=batch, key=KEY, count=1000))(exact)
    log_w = draws.log_likelihood + draws.log_prior - draws.log_q
    np.testing.assert_allclose(log_w, np.broadcast_to(two_layers.log_evidence(X), log_w.shape), atol=2e-4)
    elbo = np.asarray(draws.log_likelihood - draws.kl.sum(axis=-1), np.float64)
    error = elbo.std(axis=0) / np.sqrt(len(elbo))
    assert error.min() > 0
    assert np.all(np.abs(elbo.mean(axis=0) - two_layers.log_evidence(X)) < 5 * error)
    for objective in (ELBO(1000), ELBO(1000, "monte_carlo"), ELBO(1000, estimator="stl"), IWAE(1000)):
        terms = terms_of(objective, exact, batch)
        np.testing.assert_allclose(terms.kl, terms.kl_per_dimension.sum(axis=-1), rtol=1e-5)
        np.testing.assert_allclose(terms.kl, draws.kl.sum(axis=-1).mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(terms.bound, two_layers.log_evidence(X), atol=2e-4)


def test_activity_is_that_of_the_paper_and_goes_by_the_units_of_the_first_layer():
    """Burda et al. (2016): Var_x(E[u|x]) > 0.01, by 256 draws; 5 standard errors of means, nearly always within."""
    x = two_layers.rows(200)
    schema, exact = from_array(x).schema, two_layers.exact_model("bottom_up")
    means, stds = posterior_moments(exact, x, schema, KEY)
    expected = two_layers.posterior_means(x)
    np.testing.assert_allclose(means, expected, atol=5 * stds.max() / 16)
    np.testing.assert_allclose(means.var(axis=0), expected.var(axis=0), rtol=0.05)
    smaller = two_layers.in_other_units(exact, 0.01)
    before, after = (evaluate(model, x, schema, KEY, 50) for model in (exact, smaller))
    assert before.bound == pytest.approx(after.bound, abs=1e-3)
    assert before.kl_per_dimension == pytest.approx(after.kl_per_dimension, abs=1e-3)
    assert [layer.active_units for layer in before.layers] == [1, 1]
    assert [layer.active_units for layer in after.layers] == [0, 1]  # which says as much of x as before


@pytest.mark.parametrize("objective", [ELBO(2, estimator="stl"), IWAE(3, estimator="dreg")], ids=["stl", "dreg"])
def test_estimators_without_noise_at_the_posterior_have_none(exact, objective):
    """Not a bit of gradient in encoder or q; the pathwise one has some."""

    def slope(objective):
        gradient = gradient_of(exact, objective, jnp.asarray(X))
        return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves((gradient.encoder, gradient.posterior)))

    assert slope(objective) < 1e-4
    assert slope(type(objective)(2) if isinstance(objective, ELBO) else IWAE(3)) > 1e-2


@both_ways
@pytest.mark.parametrize("objective", [ELBO(2), IWAE(2), FreeBits(0.2)], ids=["elbo", "iwae", "free_bits"])
def test_gradients_are_finite_differences(way, objective):
    with jax.enable_x64(True):
        parts = {"posterior": way, "likelihood": "bernoulli", "hidden": (4,), "activation": "tanh"}
        model = fresh(3, latent_dim=(2, 1), **parts)
        trained, fixed = eqx.partition(model, eqx.is_inexact_array)
        x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (3, 3)), float)

        @jax.jit
        @jax.value_and_grad
        def value(trained):
            return jnp.mean(objective(eqx.combine(trained, fixed), x, KEY).surrogate)

        leaves, structure = jax.tree.flatten(trained)
        keys = jax.random.split(KEY, len(leaves))
        direction = [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
        moved = [
            jax.tree.unflatten(structure, [leaf + step * d for leaf, d in zip(leaves, direction, strict=True)])
            for step in (1e-5, -1e-5)
        ]
        expected = (value(moved[0])[0] - value(moved[1])[0]) / 2e-5
        gradient = jax.tree.leaves(value(trained)[1])
        actual = sum(jnp.sum(g * d) for g, d in zip(gradient, direction, strict=True))
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


@both_ways
def test_free_bits_hold_each_latent_of_each_layer(way):
    model = fresh(4, latent_dim=(2, 1), posterior=way, likelihood="bernoulli", hidden=())
    terms = terms_of(FreeBits(0.3), model, jnp.ones((5, 4)))
    means = np.asarray(terms.kl_per_dimension).mean(axis=0)
    held = np.asarray(terms.reconstruction).mean() - np.maximum(means, 0.3).sum()
    np.testing.assert_allclose(np.asarray(terms.surrogate).mean(), held, rtol=1e-5)


def test_a_ladder_to_which_the_data_say_nothing_is_the_prior():
    prior = Hierarchy((3, 2), hidden=(8,), key=KEY)
    family = Ladder((3, 2)).beside(prior)
    raw = jnp.concatenate([jnp.full(3, 5.0), jnp.full(3, 60.0), jnp.zeros(4)])  # μ̂₁ of no precision; N(0, I) at the top
    q, p = family.distribution(raw), prior.distribution()
    z = p.sample(jax.random.key(5), (50,))
    np.testing.assert_allclose(q.log_prob(z), p.log_prob(z), rtol=1e-5)
    np.testing.assert_allclose(conditional_kl(q, p, z), 0.0, atol=1e-5)
    sure = family.distribution(raw.at[3:6].set(-60.0))
    np.testing.assert_allclose(sure.sample(KEY)[:3], 5.0, rtol=1e-5)


@pytest.mark.parametrize("family", [BottomUp, Ladder])
def test_one_layer_is_the_plain_model(family):
    raw = jax.random.normal(KEY, (4, 6))
    q, plain = family((3,)).distribution(raw), Diagonal(3).distribution(raw)
    assert type(q) is LocationScale
    np.testing.assert_array_equal(q.loc, plain.loc)
    np.testing.assert_array_equal(q.scale, plain.scale)
    p, normal = Hierarchy((3,)).distribution(), StandardNormal(3).distribution()
    np.testing.assert_array_equal(p.log_prob(q.loc), normal.log_prob(q.loc))


def test_widths_halve_from_layer_to_layer_as_in_the_paper():
    """784-200-200-100 and 100-100-100-50 of Burda et al. (2016), Section 5."""
    parts = {"latent_dim": (100, 50), "likelihood": "bernoulli", "hidden": (200, 200)}
    model = eqx.filter_eval_shape(fresh, 784, **parts)
    shapes = lambda network: [layer.weight.shape for layer in network.layers]  # noqa: E731
    assert shapes(model.encoder) == [(784, 200), (200, 200), (200, 200)]
    assert shapes(model.posterior.links[0].network) == [(100, 100), (100, 100), (100, 100)]
    assert shapes(model.prior.links[0].network) == [(50, 100), (100, 100), (100, 200)]
    assert shapes(model.decoder) == [(100, 200), (200, 200), (200, 784)]


def test_layers_settle_from_above():
    prior = Hierarchy((2, 2, 1), hidden=(4,), key=KEY)
    z = jnp.arange(5.0)
    top = prior.settled(z, 3)
    np.testing.assert_array_equal(top[4:], z[4:])
    np.testing.assert_array_equal(top[2:4], prior.links[0](z[4:]).mean)
    np.testing.assert_array_equal(top[:2], prior.links[1](top[2:4]).mean)
    np.testing.assert_array_equal(prior.settled(z, 1), z)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"latent_dim": (2, 0)}, "an int in"),
        ({"latent_dim": ()}, "one for each layer"),
        ({"latent_dim": (2, 1), "posterior": "full"}, "'ladder'"),
        ({"latent_dim": (2, 1), "prior": "vamp"}, "N\\(0, I\\)"),
        ({"latent_dim": (2, 1), "prior": StandardNormal(3)}, "layers of \\(3,\\)"),
        ({"latent_dim": (2, 1), "posterior": Diagonal(2)}, "must be equal"),
    ],
)
def test_what_cannot_be_meant_is_refused(parts, said):
    with pytest.raises(ParameterError, match=said):
        build_model(jnp.zeros((2, 4)), KEY, **parts)


def test_a_ladder_without_its_prior_says_so():
    with pytest.raises(ParameterError, match=r"model\.family"):
        Ladder((2, 1)).distribution(jnp.zeros(6))


def test_the_analytic_form_of_layers_needs_the_pathwise_gradient(exact):
    with pytest.raises(NoClosedFormError):
        ELBO(2, "analytic", estimator="score_function")(exact, jnp.asarray(X), KEY)
