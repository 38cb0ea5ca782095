"""What is differentiated: every estimator against quadrature, closed forms and its paper's formula."""

from __future__ import annotations

import warnings
from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_models import denoiser, gradient_of, leaves, linear_model, quick_jit, surrogate_gradient, with_weights

from reparam.batch import Batch
from reparam.errors import ParameterError, ReparamWarning, UnknownNameError
from reparam.gradients import measure_gradient
from reparam.objectives import ELBO, IWAE, build_objective
from reparam.objectives.draws import evaluate_draws
from reparam.objectives.estimators import Target, arithmetic_mean, geometric_mean, score_function
from reparam.objectives.importance import Average
from reparam.probability.reparameterization import draw_noise, reparameterize

NOISE = 0.8
X = jnp.asarray([[1.3]])
MODEL = with_weights(
    linear_model(1, noise=NOISE),
    np.array([[0.3, 0.1]]),
    np.array([0.2, -0.4]),
    np.array([[0.9]]),
    np.array([-0.1]),
)
REPEATS = 100_000


def log_weight(weights, eps, beta=1.0):
    """ln p(x|z) + β (ln p(z) − ln q(z|x)) of the scalar model, written out."""
    encoder, bias, decoder, offset = weights
    loc, log_variance = X[0, 0] * encoder[0] + bias
    z = loc + jnp.exp(log_variance / 2) * eps
    residual = (X[0, 0] - decoder[0, 0] * z - offset[0]) / NOISE
    log_likelihood = -(residual**2) / 2 - jnp.log(NOISE) - jnp.log(2 * jnp.pi) / 2
    return log_likelihood + beta * (-(z**2) / 2 + eps**2 / 2 + log_variance / 2)


def expected(value, weights, beta):
    """E value(ℓ₁, ℓ₂) over two draws by the Gauss–Hermite rule."""
    nodes, rule = np.polynomial.hermite_e.hermegauss(60)
    rule = rule / rule.sum()
    each = log_weight(weights, jnp.asarray(nodes), beta)
    pairs = jnp.stack(jnp.meshgrid(each, each, indexing="ij"))
    return jnp.sum(value(pairs) * jnp.outer(rule, rule))


@cache
def exact_gradient(name, beta):
    """Of the encoder's target and of the decoder's, in double precision."""
    mean = {
        "elbo:2": (lambda pairs: pairs.mean(axis=0),) * 2,
        "iwae:2": (lambda pairs: jnp.logaddexp(*pairs) - jnp.log(2),) * 2,
        "miwae:2,1": (lambda pairs: pairs.mean(axis=0),) * 2,
        "ciwae:0.3,2": (lambda pairs: 0.3 * pairs.mean(axis=0) + 0.7 * (jnp.logaddexp(*pairs) - jnp.log(2)),) * 2,
        "renyi:0.4,2": (lambda pairs: (jnp.logaddexp(*(0.6 * pairs)) - jnp.log(2)) / 0.6,) * 2,
        "piwae:2,1": (lambda pairs: pairs.mean(axis=0), lambda pairs: jnp.logaddexp(*pairs) - jnp.log(2)),
    }[name]
    with jax.enable_x64(True):
        weights = tuple(jnp.asarray(np.asarray(leaf, np.float64)) for leaf in leaves(MODEL))
        encoder, decoder = (quick_jit(jax.grad(lambda w, v=v: expected(v, w, beta)))(weights) for v in mean)
        return np.concatenate([np.ravel(leaf) for leaf in (*encoder[:2], *decoder[2:])])


@quick_jit
def sampled_gradients(objective, keys):
    def gradient(key):
        return jnp.concatenate([jnp.ravel(leaf) for leaf in leaves(surrogate_gradient(objective, MODEL, X, key))])

    return jax.vmap(gradient)(keys)


def errors_in_units(objective, name, beta=1.0):
    """How far the mean gradient lies from the exact one, in standard errors, and those errors."""
    drawn = np.asarray(sampled_gradients(objective, jax.random.split(jax.random.key(7), REPEATS)), np.float64)
    standard_error = drawn.std(axis=0, ddof=1) / np.sqrt(REPEATS)
    return (drawn.mean(axis=0) - exact_gradient(name, beta)) / (standard_error + 1e-6)


UNBIASED = [
    ("elbo:2", "pathwise"),
    ("elbo:2,entropy", "pathwise"),
    ("elbo:2,monte_carlo", "pathwise"),
    ("elbo:2", "score_function"),
    ("elbo:2,monte_carlo", "score_function"),
    ("elbo:2", "stl"),
    ("iwae:2", "pathwise"),
    ("iwae:2", "dreg"),
    ("iwae:2", "score_function"),
    ("iwae:2", "vimco"),
    ("miwae:2,1", "stl"),
    ("ciwae:0.3,2", "dreg"),
    ("ciwae:0.3,2", "vimco"),
    ("renyi:0.4,2", "pathwise"),
    ("renyi:0.4,2", "dreg"),
    ("piwae:2,1", "pathwise"),
    ("piwae:2,1", "dreg"),
    ("piwae:2,1", "vimco"),
]


@pytest.mark.parametrize(("name", "estimator"), UNBIASED)
def test_the_mean_gradient_is_the_gradient_of_the_expected_objective(name, estimator):
    """Six entries within 5 standard errors: a false alarm in 3e5 for each estimator, in 2e4 for all."""
    exact = name.replace(",entropy", "").replace(",monte_carlo", "")
    errors = errors_in_units(build_objective(name, estimator=estimator), exact)
    assert np.all(np.abs(errors) < 5), errors


@pytest.mark.parametrize(("name", "estimator"), [("iwae:2", "dreg"), ("iwae:2", "vimco"), ("elbo:2", "stl")])
def test_a_weight_keeps_the_gradient_unbiased_for_the_weighted_objective(name, estimator):
    """As above."""
    errors = errors_in_units(build_objective(name, estimator=estimator, beta=2.5), name, beta=2.5)
    assert np.all(np.abs(errors) < 5), errors


def test_sticking_the_landing_is_biased_for_more_than_one_draw_and_says_so():
    """Which shows too that the comparison above can fail."""
    with pytest.warns(ReparamWarning, match="biased for objective 'iwae'"):
        objective = build_objective("iwae:2", estimator="stl")
    assert np.max(np.abs(errors_in_units(objective, "iwae:2"))) > 20


def test_sticking_the_landing_has_no_noise_at_the_exact_posterior():
    x, key = jnp.ones((3, 4)), jax.random.key(0)
    encoder = gradient_of(ELBO(1, estimator="stl"), denoiser(4), x, key).encoder
    assert all(np.allclose(leaf, 0.0, atol=1e-5) for leaf in jax.tree.leaves(encoder))
    noisy = gradient_of(ELBO(1), denoiser(4), x, key).encoder
    assert max(np.max(np.abs(leaf)) for leaf in jax.tree.leaves(noisy)) > 0.1


FAMILIES = ["diagonal", "diagonal:laplace", "full", "cholesky", "low_rank:1", "flow:1,4,2"]


@pytest.mark.parametrize("posterior", FAMILIES)
def test_for_every_posterior_stl_and_dreg_follow_their_papers(posterior):
    """The path gradient by Jacobian products: Roeder et al. (2017); Tucker et al. (2018)."""
    model = linear_model(2, 3, noise=NOISE, posterior=posterior, seed=1)
    x, key, count = jnp.asarray([[0.5, -1.0, 2.0]]), jax.random.key(4), 3
    eps = quick_jit(lambda: draw_noise(model.encode(x), key, (count,)))()
    trained, fixed = eqx.partition((model.encoder, model.posterior), eqx.is_inexact_array)

    def draws(trained):
        encoder, family = eqx.combine(trained, fixed)
        return reparameterize(family.distribution(encoder(x)), eps)

    def log_weights(z):
        p = model.prior_distribution()
        return model.decode(z).log_prob(x) + p.log_prob(z) - model.encode(x).log_prob(z)

    @quick_jit
    def by_formula():
        z, pull = jax.vjp(draws, trained)
        slope = jax.grad(lambda z: jnp.sum(log_weights(z)))(z)
        share = jax.nn.softmax(log_weights(z), axis=0)[..., None]
        return pull(slope / count)[0], pull(share**2 * slope)[0]

    @quick_jit
    def by_estimator():
        stl, dreg = ELBO(count, estimator="stl"), IWAE(count, estimator="dreg")
        gradients = (surrogate_gradient(objective, model, x, key) for objective in (stl, dreg))
        return tuple((gradient.encoder, gradient.posterior) for gradient in gradients)

    for found, wanted in zip(by_estimator(), by_formula(), strict=True):
        assert max(np.max(np.abs(leaf)) for leaf in jax.tree.leaves(wanted)) > 0.05
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
            assert np.allclose(a, b, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(
    "mean",
    [Average(), Average(power=0.6), Average(power=-1.5), Average(power=0.0), Average(2), Average(mix=0.3)],
)
def test_the_curvature_is_the_diagonal_of_the_second_derivative(mean):

    @quick_jit
    def found(log_w):
        return mean.curvature(log_w[:, None])[:, 0], jax.hessian(lambda log_w: mean.value(log_w[:, None])[0])(log_w)

    curvature, hessian = found(jnp.asarray(np.random.default_rng(0).normal(size=4), jnp.float32))
    assert np.allclose(curvature, np.diagonal(hessian), atol=1e-6)


@pytest.mark.parametrize("others", [geometric_mean, arithmetic_mean])
def test_the_score_is_weighted_by_what_its_draw_adds_beyond_the_others(others):
    """A surrogate with the learning signals of a loop (Mnih & Rezende 2016)."""
    x, key = jnp.asarray([[1.3]]), jax.random.key(0)
    q = quick_jit(MODEL.encode)(x)
    eps = quick_jit(draw_noise)(q, key, (4,))
    mean = Average()
    target = Target(lambda d: d.log_likelihood + d.log_prior - d.log_q, mean.value, mean.curvature, others)
    evaluate = partial(evaluate_draws, batch=Batch(x), key=key, count=4)
    gradient = quick_jit(jax.grad(lambda loc: score_function(target, evaluate, MODEL, located(q, loc))[0][0]))(q.loc)
    log_w = np.asarray(quick_jit(log_weight)(leaves(MODEL), eps[:, 0, 0]), np.float64)
    wanted = 0.0
    share = np.exp(log_w - log_w.max())
    share /= share.sum()
    for k in range(4):
        rest = np.delete(log_w, k)
        stand_in = rest.mean() if others is geometric_mean else np.log(np.mean(np.exp(rest)))
        baseline = np.log(np.mean(np.exp([*rest, stand_in])))
        score = float(eps[k, 0, 0]) / float(q.scale[0, 0])  # ∂ ln q/∂μ at fixed z
        wanted += (np.log(np.mean(np.exp(log_w))) - baseline - share[k]) * score
    assert abs(gradient[0, 0] - wanted) < 1e-4


def located(q, loc):
    return eqx.tree_at(lambda q: q.loc, q, loc)


def test_dreg_gains_signal_with_more_draws_where_the_plain_gradient_drowns():
    """Rainforth et al. (2018): SNR ~ K^(-1/2) of the encoder's plain gradient, K^(1/2) of the other; 800 gradients."""
    model, x = denoiser(4, 2 / 3, shift=0.3), jnp.ones((1, 4))

    def ratio(estimator, samples):
        found = measure_gradient(
            model,
            x,
            jax.random.key(0, impl="rbg"),
            objective="iwae",
            estimator=estimator,
            samples=samples,
            repeats=1600,
        )
        return found.encoder.signal_to_noise

    plain = [ratio("pathwise", samples) for samples in (1, 32)]
    doubly = [ratio("dreg", samples) for samples in (1, 32)]
    assert plain[1] < 0.5 * plain[0], plain
    assert doubly[1] > 2.0 * doubly[0], doubly


@pytest.mark.parametrize(
    ("name", "estimator", "reason"),
    [
        ("elbo", "dreg", "importance-weighted objectives"),
        ("elbo:1,analytic", "dreg", "importance-weighted objectives"),
        ("elbo:1,analytic", "stl", "this form does not contain"),
        ("elbo:1,entropy", "stl", "this form does not contain"),
        ("elbo:5", "vimco", "use 'score_function'"),
        ("iwae:1", "vimco", "there is only 1"),
        ("miwae:1,1", "vimco", "there is only 1"),
        ("free_bits", "score_function", "use 'pathwise'"),
        ("beta_tcvae", "dreg", "use 'pathwise'"),
        ("mmd", "stl", "use 'pathwise'"),
    ],
)
def test_what_cannot_go_together_is_refused_with_the_reason(name, estimator, reason):
    with pytest.raises(ParameterError, match=reason):
        build_objective(name, estimator=estimator)


@pytest.mark.parametrize(
    "name",
    ["elbo:0", "iwae:0", "iwae:2.5", "miwae:0,2", "ciwae:1.5,3", "renyi:-1,3", "free_bits:-1", "mmd:-2", "iwae:2,3"],
)
def test_arguments_outside_their_domain_are_refused(name):
    with pytest.raises(ParameterError, match=name.partition(":")[0]):
        build_objective(name)


@pytest.mark.parametrize(
    ("settings", "unknown"),
    [
        ({"estimator": "pathwize"}, "estimator"),
        ({"objective": "elbow"}, "objective"),
        ({"objective": "elbo:1,analitic"}, "form"),
        ({"objective": "mmd:1,gausian"}, "kernel"),
        ({"objective": "free_bits:1,totl"}, "per"),
        ({"warmup": "liner:3"}, "warmup"),
        ({"warmup": "linear:3,epoch"}, "unit"),
        ({"warmup": "linear:3,epochs,beeta"}, "coefficient"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(settings, unknown):
    with pytest.raises(UnknownNameError, match=rf"{unknown}.*Did you mean"):
        build_objective(**settings)


def test_estimators_that_suffice_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("iwae:1", "miwae:3,1", "ciwae:1,3", "renyi:1,3"):
            build_objective(name, estimator="stl")
