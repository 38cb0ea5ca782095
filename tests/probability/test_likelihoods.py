from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats
from scipy.special import gammaln

from examples import LIKELIHOOD_EXAMPLES
from reparam.errors import DataError, ParameterError, ReparamWarning, SupportError
from reparam.probability.distributions.bounded import BetaByMean, ContinuousBernoulliLogits, LogisticLevels
from reparam.probability.distributions.counts import NegativeBinomialByMean, ZeroInflated
from reparam.probability.likelihoods import LIKELIHOODS
from reparam.probability.numerics import tempered
from reparam.specification import build, lookup

SPECIFICATIONS = {
    "bernoulli": 3,
    "continuous_bernoulli": 3,
    "gaussian": 3,
    "gaussian:learned": 3,
    "gaussian:per_dimension": 3,
    "gaussian:per-dimension": 3,
    "gaussian:decoder": 6,
    "gaussian:optimal": 3,
    "gaussian:fixed:0.1": 3,
    "laplace": 3,
    "student_t": 3,
    "student_t:2.5": 3,
    "log_normal": 3,
    "categorical:10": 30,
    "poisson": 3,
    "negative_binomial": 3,
    "zero_inflated_negative_binomial": 6,
    "discretized_logistic": 45,
    "discretized_logistic:2": 18,
    "beta": 6,
}
UNIT_MEAN = np.array([0.1, 0.5, 0.93])
LEARNED = {"learned": (), "per_dimension": (3,), "optimal": ()}


def likelihood_of(specification, event_size=3):
    return build("likelihood", LIKELIHOODS, specification, event_size)


def test_every_likelihood_has_a_row_in_the_table():
    assert {lookup("likelihood", LIKELIHOODS, row.name)[0] for row in LIKELIHOOD_EXAMPLES} == set(LIKELIHOODS.values())


def test_registry_names_are_the_likelihoods_own():
    assert {name: kind.name for name, kind in LIKELIHOODS.items()} == {name: name for name in LIKELIHOODS}


@pytest.mark.parametrize(("specification", "raw_size"), SPECIFICATIONS.items())
def test_raw_size_is_what_the_distribution_takes(specification, raw_size):
    likelihood = likelihood_of(specification)
    law = jax.eval_shape(likelihood.distribution, jnp.zeros((2, raw_size)))
    assert (likelihood.raw_size, law.batch_shape, law.event_shape) == (raw_size, (2, 3), ())
    assert likelihood.initial_raw(UNIT_MEAN).shape == (raw_size,)


@pytest.mark.parametrize("specification", sorted(set(SPECIFICATIONS) - {"categorical:10"}))
def test_training_starts_at_the_means_of_the_data(specification):
    likelihood = likelihood_of(specification)
    mean = jax.jit(lambda: likelihood.distribution(likelihood.initial_raw(UNIT_MEAN)).mean)()
    # The edge bins of the 256 levels pull a wide logistic inwards, and no starting value undoes it.
    tolerance = 0.2 if specification.startswith("discretized") else 1e-3
    np.testing.assert_allclose(mean, UNIT_MEAN, atol=tolerance)


@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_training_starts_finite_on_constant_columns(specification):
    likelihood = likelihood_of(specification)
    assert np.isfinite(likelihood.initial_raw(np.array([0.0, 0.0, 1.0]))).all()


@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_learned_noise_is_in_the_default_precision(specification):
    leaves = jax.tree.leaves(eqx.filter(likelihood_of(specification), eqx.is_array))
    assert [leaf.dtype for leaf in leaves] == [jnp.result_type(float)] * len(leaves)


def test_discrete_likelihoods_are_those_with_probability_mass():
    densities = {"continuous_bernoulli", "gaussian", "laplace", "student_t", "log_normal", "beta"}
    assert {
        name for name in LIKELIHOODS if not likelihood_of("categorical:3" if name == "categorical" else name).discrete
    } == densities


@pytest.mark.parametrize(
    ("specification", "message"),
    [
        ("gaussian:wide", "must be 'learned', 'per_dimension', 'decoder', 'optimal' or 'fixed:σ'.*Got 'wide'"),
        ("gaussian:learned:2", "Got 'learned:2'"),
        ("gaussian:0.1", "Got 0.1"),
        ("gaussian:fixed:-1", r"\(0, inf\). Got -1.0"),
        ("gaussian:fixed:", r"\(0, inf\). Got ''"),
        ("gaussian:fixed", r"\(0, inf\). Got ''"),
        ("student_t:0", r"'df' .* student_t likelihood .* \(0, inf\). Got 0"),
        ("student_t:many", "Got 'many'"),
        ("student_t:inf", r"\(0, inf\). Got inf"),
        ("categorical", "categories"),
        ("categorical:0", r"'categories' .* int in \[1, inf\). Got 0"),
        ("discretized_logistic:2.5", "Got 2.5"),
        ("bernoulli:3", "does not take these arguments"),
    ],
)
def test_wrong_arguments_are_refused_at_construction(specification, message):
    with pytest.raises(ParameterError, match=message):
        likelihood_of(specification)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_likelihood_of_no_features_is_refused(name):
    arguments = (2,) if name == "categorical" else ()
    with pytest.raises(ParameterError, match=rf"'event_size' parameter of the {name} likelihood .* Got 0"):
        LIKELIHOODS[name](0, *arguments)


COUNT_LIKE = ["poisson", "negative_binomial", "zero_inflated_negative_binomial"]


@pytest.mark.parametrize(
    ("specifications", "row"),
    [
        (sorted(set(SPECIFICATIONS) - {"beta", "log_normal"}), [0, 1, 1]),
        (["categorical:10", *COUNT_LIKE], [0, 9, 3]),
        (["discretized_logistic", "continuous_bernoulli"], [0.0, 7 / 255, 1.0]),
        (["beta"], [0.01, 0.5, 0.99]),
        (["log_normal"], [1e-6, 1.0, 1e6]),
        (["gaussian", "laplace", "student_t"], [-1e6, 0.5, 1e6]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_data_of_the_support_pass(specifications, row, dtype):
    for specification in specifications:
        assert likelihood_of(specification).check(np.array([row] * 2, dtype)) is None


def test_the_ends_tell_what_lies_between_where_a_support_has_no_gaps():
    zeros, ones = np.zeros(3), np.ones(3)
    unit = likelihood_of("continuous_bernoulli")
    assert unit.holds_between(zeros, ones)
    assert not unit.holds_between(zeros, 1.5 * ones)
    assert not unit.holds_between(zeros, np.array([1.0, np.nan, 1.0]))
    assert not likelihood_of("beta").holds_between(zeros, ones)
    assert not likelihood_of("poisson").holds_between(zeros, ones)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.bool_, np.float16])
def test_bits_of_any_dtype_pass(dtype):
    assert likelihood_of("bernoulli").check(np.array([[0, 1, 1]], dtype)) is None


@pytest.mark.parametrize(
    ("specification", "value", "remedy"),
    [
        ("bernoulli", 2.0, "'poisson' or 'negative_binomial'"),
        ("bernoulli", -0.5, "'gaussian'"),
        ("bernoulli", np.nan, "fill those values"),
        ("continuous_bernoulli", 1.5, "'gaussian'"),
        ("gaussian", np.inf, "fill those values"),
        ("laplace", np.nan, "fill those values"),
        ("student_t", np.nan, "fill those values"),
        ("categorical:3", 3.0, "'poisson'"),
        ("categorical:3", 0.5, "'continuous_bernoulli'"),
        ("poisson", 0.5, "'continuous_bernoulli'"),
        ("poisson", -1.0, "'gaussian'"),
        ("negative_binomial", 2.5, "'gaussian'"),
        ("zero_inflated_negative_binomial", np.inf, "fill those values"),
        ("discretized_logistic", 0.5, "'continuous_bernoulli'"),
        ("discretized_logistic", 128.0, "'poisson'"),
        ("beta", 0.0, "'continuous_bernoulli'"),
        ("log_normal", 0.0, "'bernoulli'"),
    ],
)
def test_data_outside_the_support_are_refused_with_place_and_remedy(specification, value, remedy):
    inside = 0.5 if specification == "beta" else 1.0
    x = np.full((4, 3), inside)
    x[2, 1] = value
    likelihood = likelihood_of(specification)
    with pytest.raises(SupportError, match=r"row 2, column 1: .* 1 of 12 values are") as refusal:
        likelihood.check(x)
    for part in (f"{value}", likelihood.name, remedy):
        assert part in str(refusal.value)


def test_data_with_another_number_of_features_are_refused():
    with pytest.raises(DataError, match=r"made for 3 features\. Got 2 instead"):
        likelihood_of("gaussian").check(np.zeros((5, 2)))


def test_grey_values_warn_under_bernoulli():
    with pytest.warns(ReparamWarning, match=r"1 of 3 values .* 'continuous_bernoulli'"):
        likelihood_of("bernoulli").check(np.array([[0.0, 0.5, 1.0]]))


def test_optimal_noise_is_the_maximum_of_the_likelihood():
    generator = np.random.default_rng(0)
    loc, x = generator.normal(size=(2, 50, 3)).astype(np.float32)
    fitted = eqx.filter_jit(likelihood_of("gaussian:optimal").refit)(loc, x)
    log_prob = eqx.filter_jit(lambda likelihood: likelihood.distribution(loc).log_prob(x).mean())
    np.testing.assert_allclose(np.exp(fitted.log_scale), np.sqrt(np.mean((x - loc) ** 2)), rtol=1e-6)
    best = log_prob(fitted)
    for shift in (-0.1, 0.1):
        other = eqx.tree_at(lambda tree: tree.log_scale, fitted, fitted.log_scale + shift)
        assert log_prob(other) < best


def test_log_normal_noise_begins_at_the_spread_of_numbers_of_mean_one():
    rows = scipy.stats.lognorm(0.7).rvs((20_000, 3), random_state=0)
    rows = rows / rows.mean(axis=0)
    likelihood = likelihood_of("log_normal").started(rows.std(axis=0))
    law = likelihood.distribution(likelihood.initial_raw(rows.mean(axis=0)))
    np.testing.assert_allclose(law.mean, 1.0, rtol=1e-5)
    np.testing.assert_allclose(law.variance, rows.var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(np.exp(likelihood.log_scale), 0.7, atol=0.03)


def test_no_gradient_reaches_optimal_noise():
    likelihood, x = likelihood_of("gaussian:optimal"), jnp.ones(3)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda tree: tree.distribution(jnp.zeros(3)).log_prob(x).sum()))(
        likelihood
    )
    assert gradient.log_scale == 0.0
    refitted = jax.grad(lambda loc: likelihood.refit(loc, x).distribution(loc).log_prob(x).sum())
    through_refit = jax.jit(refitted)(jnp.zeros(3))
    np.testing.assert_allclose(through_refit, np.ones(3), rtol=1e-6)  # (x − μ)/σ² with σ² = 1


def test_optimal_noise_of_a_perfect_reconstruction_is_finite():
    fitted = likelihood_of("gaussian:optimal").refit(jnp.ones((2, 3)), jnp.ones((2, 3)))
    assert np.isclose(fitted.log_scale, -14.0)


@pytest.mark.parametrize("specification", sorted(set(SPECIFICATIONS) - {"gaussian:optimal"}))
def test_other_likelihoods_are_not_refitted(specification):
    likelihood = likelihood_of(specification)
    assert likelihood.refit(jnp.zeros((1, likelihood.raw_size)), jnp.zeros((1, 3))) is likelihood


@pytest.mark.parametrize(("noise", "shape"), LEARNED.items())
def test_noise_is_an_array_of_one_or_of_each_dimension(noise, shape):
    assert likelihood_of(f"gaussian:{noise}").log_scale.shape == shape


def test_fixed_noise_is_no_weight():
    assert jax.tree.leaves(eqx.filter(likelihood_of("gaussian:fixed:0.1"), eqx.is_inexact_array)) == []
    assert np.allclose(likelihood_of("gaussian:fixed:0.1").distribution(jnp.zeros(3)).variance, 0.01)


@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_a_feature_depends_on_its_own_raw_numbers_alone(specification):
    """The law of feature 1 is that of a likelihood of one feature with the same raw numbers."""
    likelihood, alone = likelihood_of(specification), likelihood_of(specification, 1)
    raw = np.random.default_rng(0).normal(size=likelihood.raw_size).astype(np.float32)

    @jax.jit
    def both(raw):
        x = likelihood.support.feasible_like(jnp.zeros(3))
        of_one = alone.distribution(raw.reshape(-1, 3)[:, 1]).log_prob(x[1:2])[0]
        return likelihood.distribution(raw).log_prob(x)[1], of_one

    assert np.isclose(*both(raw), rtol=1e-6)


def test_bernoulli_gradient_is_the_residual():
    logits, x = jnp.array([-1e4, -3.0, 0.0, 2.0, 1e4]), jnp.array([0.0, 1.0, 1.0, 0.0, 0.0])

    @jax.jit
    def found(logits):
        log_prob = lambda raw: likelihood_of("bernoulli", 5).distribution(raw).log_prob(x).sum()  # noqa: E731
        return jax.grad(log_prob)(logits), x - jax.nn.sigmoid(logits)

    np.testing.assert_array_equal(*found(logits))


def test_tempered_is_smooth_odd_and_never_flat():
    raw = jnp.array([-1e4, -14.001, -13.999, -2.0, 0.0, 2.0, 13.999, 14.001, 1e4])
    value, slope = map(np.asarray, jax.jit(jax.vmap(jax.value_and_grad(tempered)))(raw))
    np.testing.assert_allclose(value[2:7], np.asarray(raw)[2:7])
    np.testing.assert_allclose(value, -value[::-1])
    np.testing.assert_allclose(slope[[1, 2, 4, 6, 7]], 1.0, atol=2e-3)
    assert slope.min() > 5e-5


@jax.jit
def of_continuous_bernoulli(raw, x):
    """Log density, its gradient, and the mean."""
    value_and_gradient = jax.value_and_grad(lambda raw: ContinuousBernoulliLogits(raw).log_prob(x))
    return *value_and_gradient(raw), ContinuousBernoulliLogits(raw).mean


@pytest.mark.parametrize("eta", [0.0, 1e-30, 1e-6, 1e-3, 0.4999, 0.5001, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_continuous_bernoulli_is_stable_through_one_half(eta, sign):
    """Value, gradient and mean against the closed form about the favoured end, in double precision."""
    eta, x = np.float64(np.float32(sign * eta)), 0.25
    near = abs(eta) < 1e-2
    constant = -eta / 2 - eta**2 / 24 if near else np.log(abs(eta)) - np.log(-np.expm1(-abs(eta))) - max(eta, 0.0)
    mean = 0.5 + eta / 12 if near else 1 / -np.expm1(-min(max(eta, -700.0), 700.0)) - 1 / eta
    single = np.float32(eta)
    value, gradient, found = of_continuous_bernoulli(jnp.asarray(single), x)
    np.testing.assert_allclose(value, eta * x + constant, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(gradient, x - mean, rtol=1e-5, atol=3e-7)
    np.testing.assert_allclose(found, mean, rtol=1e-5, atol=1e-6)


negative_binomial_log_prob = jax.jit(lambda log_mean, log_r, x: NegativeBinomialByMean(log_mean, log_r).log_prob(x))
MEANS = np.array([1e-6, 1e-2, 1.0, 50.0, 5e3])
COUNTS = np.array([0, 1, 2, 17, 300, 6000])


@pytest.mark.parametrize("inverse_dispersion", [1e-6, 1e-2, 1.0, 7.99, 8.01, 1e3, 1e6, 1e10])
def test_negative_binomial_is_accurate_at_any_dispersion_in_single_precision(inverse_dispersion):
    mean, x = (array.ravel() for array in np.meshgrid(MEANS, COUNTS))
    log_mean, log_r = np.log(mean).astype(np.float32), np.float32(np.log(inverse_dispersion))
    mean, r = np.exp(log_mean.astype(np.float64)), np.exp(np.float64(log_r))
    if inverse_dispersion < 1e8:
        expected = gammaln(x + r) - gammaln(r) - gammaln(x + 1) - r * np.log1p(mean / r) + x * np.log(mean / (r + mean))
    else:  # that cancels here even in double precision; the law is Poisson's up to x²/r
        expected = scipy.stats.poisson.logpmf(x, mean)
    actual = negative_binomial_log_prob(log_mean, log_r, jnp.asarray(x))
    rounding = 5e-6 + 2e-7 * x * np.log1p(np.maximum(x, mean)) + 1e-6 * np.abs(expected)
    np.testing.assert_array_less(np.abs(actual - expected), rounding)


def test_numpyros_negative_binomial_fails_where_ours_stands():
    expected = scipy.stats.nbinom.logpmf(5, 1e7, 1e7 / (1e7 + 4.0))
    with jax.enable_x64(False):
        theirs = dist.NegativeBinomial2(jnp.float32(4.0), jnp.float32(1e7)).log_prob(5)
    ours = NegativeBinomialByMean(jnp.log(4.0), jnp.log(1e7)).log_prob(5)
    assert abs(theirs - expected) > 0.1
    assert abs(ours - expected) < 1e-5


def test_numpyros_beta_fails_where_ours_stands():
    x, precision = np.float64(np.float32(0.3004)), 1e6
    logit = np.float32(np.log(0.3 / 0.7))
    mean = 1 / (1 + np.exp(-np.float64(logit)))
    expected = scipy.stats.beta.logpdf(x, mean * precision, (1 - mean) * precision)
    theirs = dist.Beta(jnp.float32(mean * precision), jnp.float32((1 - mean) * precision)).log_prob(jnp.float32(x))
    ours = BetaByMean(logit, jnp.log(precision)).log_prob(jnp.float32(x))
    assert abs(theirs - expected) > 0.1
    assert abs(ours - expected) < 5e-3


def test_numpyros_categorical_refuses_the_codes_that_data_are():
    with pytest.raises(TypeError):
        dist.Categorical(logits=jnp.zeros(3)).log_prob(jnp.float32(1.0))
    assert np.isclose(likelihood_of("categorical:3", 1).distribution(jnp.zeros(3)).log_prob(jnp.ones(1)), -np.log(3))


def test_numpyros_poisson_is_accurate_enough_to_use():
    log_mean, x = np.float32([-10.0, 0.0, 3.0, 8.0]), np.float32([0.0, 3.0, 30.0, 2900.0])
    expected = scipy.stats.poisson.logpmf(x, np.exp(log_mean.astype(np.float64)))
    actual = likelihood_of("poisson", 4).distribution(log_mean).log_prob(x)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=3e-3)


@pytest.mark.parametrize("gate", [-1e4, -50.0, 0.0, 50.0, 1e4])
def test_zero_inflation_keeps_its_digits_at_any_gate(gate):
    counts = NegativeBinomialByMean(1.0, 1.0)
    log_open, log_dropped = -np.logaddexp(0.0, gate), -np.logaddexp(0.0, -gate)
    law = ZeroInflated(counts, jnp.float32(gate))
    zero = np.logaddexp(log_dropped, log_open + float(counts.log_prob(0)))
    np.testing.assert_allclose(law.log_prob(0), zero, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(law.log_prob(3), log_open + float(counts.log_prob(3)), rtol=1e-6)


def test_discretized_logistic_keeps_its_digits_far_in_the_tail():
    """Far from μ the mass of a bin is e^{−|x − μ|/s} (e^{h/s} − e^{−h/s}), h = 1/510, to e^{−|x − μ|/s}."""
    log_scale, loc = np.float32(-4.0), np.float32(0.1)
    x = np.float32(np.array([100, 200, 254]) / 255)
    s, h = np.exp(np.float64(log_scale)), 1 / 510
    expected = -(np.round(x * 255.0) / 255 - np.float64(loc)) / s + np.log(2 * np.sinh(h / s))
    actual = jax.jit(lambda *raw: LogisticLevels(*raw).log_prob(x))(jnp.zeros(1), loc[None], log_scale[None])
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_half_precision_data_are_taken_to_their_level():
    law = LogisticLevels(jnp.zeros(1), jnp.array([0.4]), jnp.array([-3.0]))
    levels, log_prob = np.arange(256) / 255, jax.jit(law.log_prob)
    np.testing.assert_array_equal(log_prob(levels.astype(np.float16)), log_prob(levels.astype(np.float32)))
