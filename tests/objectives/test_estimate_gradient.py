"""reparam.estimate_gradient, and the measurement behind ``reparam gradients``."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.special
from gaussian_models import denoiser, quick_jit, surrogate_gradient
from matplotlib.figure import Figure

import reparam
from reparam.errors import ParameterError, UnknownNameError
from reparam.gradients import compare_gradients, measure_gradient
from reparam.plots import gradient_quality

MU, SIGMA, C = 1.0, 0.7, 0.3
A = MU - C
DRAWS = 200_000


def drawn(f, make, params, estimator, *, num_samples=1, count=DRAWS):
    """Many independent estimates."""
    keys = jax.random.split(jax.random.key(0), count)
    each = jax.vmap(lambda key: reparam.estimate_gradient(f, make, params, key, estimator, num_samples))
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), quick_jit(each)(keys))


@pytest.mark.parametrize(
    ("estimator", "of_mu", "of_sigma"),
    [
        ("pathwise", 4 * SIGMA**2, 4 * A**2 + 8 * SIGMA**2),
        (
            "score_function",
            A**4 / SIGMA**2 + 14 * A**2 + 15 * SIGMA**2,
            2 * A**4 / SIGMA**2 + 60 * A**2 + 74 * SIGMA**2,
        ),
    ],
)
def test_mean_and_variance_of_one_draw_are_the_closed_forms(estimator, of_mu, of_sigma):
    """f = (z − c)², z ~ N(μ, σ²). Four numbers within 5 standard errors: a false alarm in 4e5."""
    gradients = drawn(
        lambda z: (z - C) ** 2,
        lambda params: dist.Normal(*params),
        (jnp.float32(MU), jnp.float32(SIGMA)),
        estimator,
    )
    for values, mean, variance in zip(gradients, (2 * A, 2 * SIGMA), (of_mu, of_sigma), strict=True):
        squares = (values - values.mean()) ** 2
        assert abs(values.mean() - mean) < 5 * values.std() / np.sqrt(DRAWS)
        assert abs(squares.mean() - variance) < 5 * squares.std() / np.sqrt(DRAWS)
        assert squares.std() / np.sqrt(DRAWS) < 0.05 * variance  # sharp enough to tell the formulas apart


def test_the_other_draws_are_a_baseline_that_keeps_the_mean_and_lowers_the_variance():
    """Within 5 standard errors: a false alarm in 1e6. Without a baseline four draws would quarter the variance."""
    settings = (lambda z: (z - C) ** 2 + 10.0, lambda mu: dist.Normal(mu, SIGMA), jnp.float32(MU), "score_function")
    one, four = (drawn(*settings, num_samples=n, count=50_000) for n in (1, 4))
    assert abs(four.mean() - 2 * A) < 5 * four.std() / np.sqrt(len(four))
    assert four.var() < one.var() / 4 / 10


@pytest.mark.parametrize("estimator", ["pathwise", "score_function"])
@pytest.mark.parametrize("name", ["diagonal", "full", "cholesky", "low_rank:1", "diagonal:laplace", "flow:1,4,2"])
def test_every_posterior_of_ours_has_unbiased_gradients(name, estimator):
    """Of E‖z‖² = ‖E z‖² + tr Cov z; a flow's by the other estimator. 5 standard errors each: 1 in 1e5 in all."""
    from reparam.specification import build

    family = quick_jit(lambda key: build("posterior", reparam.POSTERIORS, name, 2, key=key))(jax.random.key(1))
    raw = jnp.asarray(family.initial_raw() + 0.3 * np.random.default_rng(2).normal(size=family.raw_size), jnp.float32)
    values = drawn(lambda z: jnp.sum(z**2), family.distribution, raw, estimator, num_samples=2, count=20_000)
    error = values.std(axis=0) / np.sqrt(len(values))
    if name.startswith("flow"):
        other = drawn(lambda z: jnp.sum(z**2), family.distribution, raw, "pathwise", num_samples=2, count=20_001)[1:]
        wanted = other.mean(axis=0)
        error = np.hypot(error, other.std(axis=0) / np.sqrt(len(other))) + 1e-9
    else:
        wanted = quick_jit(jax.grad(lambda raw: second_moment(family.distribution(raw))))(raw)
    assert np.all(np.abs(values.mean(axis=0) - wanted) < 5 * error + 1e-5)


def second_moment(q):
    return jnp.sum(q.mean**2 + q.variance)


def test_parameters_may_be_any_tree_and_distributions_batched():
    params = {"loc": jnp.zeros(3), "log_scale": jnp.zeros(3)}
    make = lambda p: dist.Normal(p["loc"], jnp.exp(p["log_scale"]))  # noqa: E731
    gradient = quick_jit(reparam.estimate_gradient)(jnp.sum, make, params, jax.random.key(0))
    assert jax.tree.map(jnp.shape, gradient) == {"loc": (3,), "log_scale": (3,)}
    assert np.allclose(gradient["loc"], 1.0)


@pytest.mark.parametrize("estimator", ["stl", "dreg", "vimco"])
def test_estimators_of_objectives_are_refused_with_the_reason(estimator):
    with pytest.raises(ParameterError, match=r"f\(z\).*choose 'pathwise' or 'score_function'"):
        reparam.estimate_gradient(jnp.sum, lambda p: dist.Normal(p, 1.0), 0.0, jax.random.key(0), estimator)


def test_unknown_estimators_and_numbers_of_samples_are_refused():
    settings = (jnp.sum, lambda p: dist.Normal(p, 1.0), 0.0, jax.random.key(0))
    with pytest.raises(UnknownNameError, match="Did you mean 'pathwise'"):
        reparam.estimate_gradient(*settings, "pathwize")
    with pytest.raises(ParameterError, match="num_samples"):
        reparam.estimate_gradient(*settings, num_samples=0)


@pytest.mark.parametrize("estimator", ["pathwise", "score_function"])
def test_noise_that_has_a_parameter_of_its_own_is_differentiated_rightly(estimator):
    """d/dν E|z| of Student's t, −0.0381 at ν = 5; within 5 standard errors: a false alarm in 2e6."""

    def mean_of_modulus(df):
        log_ratio = scipy.special.gammaln((df + 1) / 2) - scipy.special.gammaln(df / 2)
        return 2 * np.sqrt(df / np.pi) * np.exp(log_ratio) / (df - 1)

    exact = (mean_of_modulus(5 + 1e-4) - mean_of_modulus(5 - 1e-4)) / 2e-4
    assert abs(exact + 0.0381) < 1e-4
    settings = (jnp.abs, lambda df: dist.StudentT(df, 0.0, 1.0), jnp.float32(5.0), estimator)
    values = drawn(*settings, num_samples=4, count=50_000)
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - exact) < 5 * error
    assert error < 0.05 * abs(exact)


@pytest.mark.parametrize("estimator", ["pathwise", "score_function"])
def test_an_f_of_more_than_one_number_is_refused(estimator):
    make = lambda mean: dist.Normal(mean, 1.0).to_event(1)  # noqa: E731
    with pytest.raises(ParameterError, match=r"one number.*Got shape \(3,\) for z of shape \(3,\)"):
        reparam.estimate_gradient(jnp.square, make, jnp.zeros(3), jax.random.key(0), estimator)


def test_keys_of_either_kind_measure_the_same():
    """The same seed is the same noise, as a typed key and as two bare numbers."""
    model, x = denoiser(2, 2 / 3, shift=0.2), jnp.ones((1, 2))
    settings = {"objective": "elbo", "estimator": "pathwise", "samples": 1, "repeats": 8}
    typed, bare = (measure_gradient(model, x, key, **settings) for key in (jax.random.key(3), jax.random.PRNGKey(3)))
    assert typed.encoder.norm == pytest.approx(bare.encoder.norm, rel=1e-5)
    assert typed.encoder.variance == pytest.approx(bare.encoder.variance, rel=1e-5)
    assert typed.encoder.norm > 0
    estimates = [
        quick_jit(reparam.estimate_gradient)(jnp.square, lambda mean: dist.Normal(mean, 1.0), jnp.float32(3.0), key)
        for key in (jax.random.key(3), jax.random.PRNGKey(3))
    ]
    assert estimates[0] == estimates[1]


def test_in_double_precision_gradients_are_double():
    with jax.enable_x64(True):
        key = jax.random.key(0)
        normal = lambda mean: dist.Normal(mean, 1.0)  # noqa: E731
        gradient = quick_jit(reparam.estimate_gradient)(jnp.sum, normal, jnp.zeros(3), key)
        found = measure_gradient(
            denoiser(2, 0.5), jnp.ones((1, 2)), key, objective="elbo", estimator="stl", samples=1, repeats=4
        )
    assert gradient.dtype == jnp.float64
    assert found.encoder.variance < 1e-28  # at the exact posterior nothing is left but rounding


@pytest.fixture(scope="module")
def measured():
    model, x = denoiser(3, 2 / 3, shift=0.2), jnp.ones((2, 3))
    return compare_gradients(model, x, jax.random.key(0, impl="rbg"), samples=(1, 4), repeats=400)


def test_the_measurement_is_the_mean_and_variance_of_the_gradients(measured):
    """Against independent gradients, one by one; 5 standard errors, a false alarm in 1e6."""
    from reparam.objectives import IWAE

    model, x = denoiser(3, 2 / 3, shift=0.2), jnp.ones((2, 3))
    found = next(r for r in measured if r.estimator == "pathwise" and r.samples == 4).encoder

    def gradient(key):
        leaves = jax.tree.leaves(surrogate_gradient(IWAE(4), model, x, key).encoder)
        return jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])

    each = np.asarray(quick_jit(jax.vmap(gradient))(jax.random.split(jax.random.key(9), 20_000)), np.float64)
    assert abs(found.variance - each.var(axis=0, ddof=1).sum()) < 5 * found.standard_error
    assert found.standard_error < 0.2 * found.variance
    assert abs(found.norm - np.linalg.norm(each.mean(axis=0))) < 5 * np.sqrt(found.variance / 400)
    assert found.signal_to_noise == pytest.approx(found.norm / np.sqrt(found.variance))


def test_every_unbiased_estimator_is_measured_and_the_decoder_is_the_same_in_all(measured):
    assert [(r.estimator, r.samples) for r in measured] == [
        ("pathwise", 1),
        ("pathwise", 4),
        ("dreg", 1),
        ("dreg", 4),
        ("score_function", 1),
        ("score_function", 4),
        ("vimco", 4),
    ]
    with_four = [r.decoder.variance for r in measured if r.samples == 4]
    assert np.allclose(with_four, with_four[0], rtol=1e-3)
    by_name = {r.estimator: r.encoder.variance for r in measured if r.samples == 1}
    assert by_name["score_function"] > 10 * by_name["pathwise"] > 10 * by_name["dreg"]


def test_a_measurement_is_plain_values_for_json(measured):
    document = measured[0].to_json()
    assert document["estimator"] == "pathwise"
    assert set(document["encoder"]) == {"norm", "variance", "standard_error", "signal_to_noise"}


def test_what_cannot_be_measured_is_refused():
    model, x, key = denoiser(2), jnp.ones((1, 2)), jax.random.key(0)
    with pytest.raises(ParameterError, match="even int"):
        measure_gradient(model, x, key, objective="iwae", estimator="pathwise", samples=1, repeats=5)
    with pytest.raises(UnknownNameError, match="objective"):
        compare_gradients(model, x, key, objective="elbow")
    with pytest.raises(ParameterError, match="importance-weighted"):
        compare_gradients(model, x, key, objective="elbo", estimators=["dreg"])


def test_the_picture_shows_what_was_measured(measured):
    figure = gradient_quality(measured)
    assert isinstance(figure, Figure)
    variance, _, bars = figure.axes[:3]
    lines = {line.get_label(): line for line in variance.containers}
    assert set(lines) == {"pathwise", "dreg", "score function", "vimco"}
    wanted = [r.encoder.variance for r in measured if r.estimator == "dreg"]
    assert np.allclose(lines["dreg"].lines[0].get_ydata(), wanted)
    shown = [bar.get_height() for bar in bars.patches]
    assert np.allclose(shown, [r.encoder.variance for r in measured if r.samples == 1])
