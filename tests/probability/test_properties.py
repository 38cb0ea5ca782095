"""Every property over every row of the table in tests/examples.py."""

from __future__ import annotations

from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import EXAMPLES, Example

EXTREMES = (-1e4, -30.0, 0.0, 30.0, 1e4)
SAMPLES = 20_000
QUANTILES = np.linspace(0.02, 0.98, 4)
STEP = 1e-5

every_family = pytest.mark.parametrize("example", EXAMPLES, ids=repr)


def trying(raws: int) -> settings:
    return settings(derandomize=True, deadline=None, max_examples=raws, database=None)


@cache
def log_prob_of(example: Example):
    return jax.jit(lambda raw, x: example.distribution(raw).log_prob(x))


@cache
def value_and_gradient_of(example: Example):
    """log_prob and its gradient in raw, for each pair of raw and x."""
    return jax.jit(jax.vmap(jax.value_and_grad(lambda raw, x: example.distribution(raw).log_prob(x))))


@cache
def samples_of(example: Example):
    return jax.jit(lambda key, raw: example.distribution(raw).sample(key, (SAMPLES,)))


@cache
def moments_of(example: Example):
    def moments(raw):
        law = example.distribution(raw)
        return law.mean, law.variance

    return jax.jit(moments)


@cache
def drawn(example: Example, count: int) -> np.ndarray:
    """Raw vectors that Hypothesis draws, (count, raw_size); the same in every run."""
    batches = []

    @trying(2)
    @given(st.lists(example.raw, min_size=count, max_size=count))
    def collect(raws):
        batches.append(np.stack(raws))

    collect()
    return batches[-1]


def single(array) -> jax.Array:
    return jnp.asarray(array, jnp.float32)


def densities(example: Example, raw):
    """The points of the rule, the log density there, and the probability that stands for each, in double precision."""
    points, weights = example.rule(raw)
    with jax.enable_x64(True):
        log_prob = np.asarray(log_prob_of(example)(raw, points))
    return points, log_prob, weights * np.exp(log_prob)


def typical(mass):
    """Indices of points at a few quantiles of the distribution itself."""
    return np.searchsorted(np.cumsum(mass) / mass.sum(), QUANTILES)


def told(example: Example, raw, **found) -> str:
    """What a failure prints: the input, what was expected, what came."""
    lines = [f"{name} = {np.asarray(value).tolist()}" for name, value in found.items()]
    return "\n".join([f"{example.name} at raw = {np.asarray(raw).tolist()}", *lines])


@every_family
def test_shapes(example):
    size = drawn(example, 1).shape[-1]

    def shapes(raw, key):
        law = example.distribution(raw)
        assert law.batch_shape == raw.shape[:-1]
        x = law.sample(key, (5,))
        return x, law.log_prob(x), law.mean, law.variance

    for batch in [(), (3,), (2, 3)]:
        raw = jax.ShapeDtypeStruct((*batch, size), jnp.float32)
        x, log_prob, mean, variance = jax.eval_shape(shapes, raw, jax.random.key(0))
        event = mean.shape[len(batch) :]
        assert len(event) == 1
        assert x.shape == (5, *batch, *event)
        assert log_prob.shape == (5, *batch)
        assert mean.shape == variance.shape == (*batch, *event)


@every_family
def test_density_is_normalised(example):
    @trying(20)
    @given(example.raw)
    def total_is_one(raw):
        total = densities(example, raw)[-1].sum()
        assert abs(total - 1.0) < 1e-6, told(example, raw, expected=1.0, actual=total)

    total_is_one()


@every_family
def test_log_prob_is_the_oracle(example):
    @trying(30)
    @given(example.raw)
    def equals_oracle(raw):
        points, log_prob, mass = densities(example, raw)
        chosen = typical(mass)
        x, actual = points[chosen], log_prob[chosen]
        expected = example.log_prob(raw, x)
        message = told(example, raw, x=x, expected=expected, actual=actual)
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-8, err_msg=message)

        x = np.clip(single(x), min(example.edges), max(example.edges))
        expected, actual = example.log_prob(raw, x.astype(np.float64)), log_prob_of(example)(single(raw), x)
        error = np.abs(actual - expected) / (1.0 + np.abs(expected))
        assert error.max() < example.tolerance, told(example, raw, single=x, expected=expected, actual=actual)

    equals_oracle()


@every_family
def test_mean_and_variance_are_those_of_the_density(example):
    @trying(5)
    @given(example.raw)
    def moments_agree(raw):
        points, _, mass = densities(example, raw)
        mean = mass @ points
        variance = mass @ (points - mean) ** 2
        with jax.enable_x64(True):
            found = [np.asarray(moment) for moment in moments_of(example)(raw)]
        message = told(example, raw, expected=[mean, variance], actual=found)
        np.testing.assert_allclose(found[0], mean, rtol=1e-5, atol=1e-6, err_msg=message)
        np.testing.assert_allclose(found[1], variance, rtol=1e-4, atol=1e-7, err_msg=message)

    moments_agree()


@every_family
def test_samples_follow_the_density(example):
    """Means of bounded functions over 20 000 draws, against those under the density, within 5 standard errors.

    Seven functions and three raw vectors: a false alarm with probability 1.2e-5 for each row, on a fixed key.
    """

    @trying(3)
    @given(example.raw)
    def functions_agree(raw):
        points, _, mass = densities(example, raw)
        centre = mass @ points
        spread = np.sqrt(mass @ (points - centre) ** 2) + 1e-12

        def functions(x):
            u = (x - centre) / spread
            bend = np.tanh(u)
            return np.concatenate([bend, np.cos(3 * u), u**2 / (1 + u**2), bend[:, :1] * bend[:, -1:]], axis=-1)

        values = functions(points)
        expected = mass @ values
        error = np.sqrt(np.maximum(mass @ (values - expected) ** 2, 0.0) / SAMPLES)
        draws = np.asarray(samples_of(example)(jax.random.key(7), single(raw)))
        assert np.all(example.distribution(single(raw)).support(draws)), told(example, raw, outside_support=draws)
        actual = functions(draws.astype(np.float64)).mean(axis=0)
        standard_errors = np.abs(actual - expected) / (error + 1e-4)
        message = told(example, raw, expected=expected, actual=actual, standard_errors=standard_errors)
        assert standard_errors.max() < 5.0, message

    functions_agree()


@every_family
def test_gradient_is_the_finite_difference(example):
    @trying(10)
    @given(example.raw)
    def gradients_agree(raw):
        points, _, mass = densities(example, raw)
        x = points[typical(mass)[1]]
        shifts = STEP * np.eye(len(raw))
        raws = np.concatenate([raw[None], raw + shifts, raw - shifts])
        with jax.enable_x64(True):
            values, gradients = value_and_gradient_of(example)(raws, np.broadcast_to(x, (len(raws), x.size)))
        up, down = np.split(np.asarray(values)[1:], 2)
        expected, actual = (up - down) / (2 * STEP), np.asarray(gradients)[0]
        message = told(example, raw, x=x, expected=expected, actual=actual)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5, err_msg=message)

    gradients_agree()


@every_family
def test_jit_vmap_and_loop_agree(example):
    raws = drawn(example, 3)
    x = np.stack([points[typical(mass)[1]] for points, _, mass in (densities(example, raw) for raw in raws)])
    with jax.enable_x64(True):
        raws, x = jnp.asarray(raws), jnp.asarray(x)
        expected = example.distribution(raws).log_prob(x)
        through_law = jax.vmap(lambda law, x: law.log_prob(x))
        answers = {
            "jit": log_prob_of(example)(raws, x),
            "loop": [log_prob_of(example)(*pair) for pair in zip(raws, x, strict=True)],
            "vmap": jax.jit(lambda raws, x: through_law(jax.vmap(example.distribution)(raws), x))(raws, x),
        }
    for way, actual in answers.items():
        message = told(example, raws, way=way, expected=expected, actual=actual)
        np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-12, atol=1e-12, err_msg=message)


@every_family
def test_extremes_are_finite(example):
    """Raw numbers from −10⁴ to 10⁴ at the edges of the support: never NaN, and infinite only where a row says so."""
    size = drawn(example, 1).shape[-1]
    same = np.repeat(np.array(EXTREMES)[:, None], size, axis=1)
    mixed = np.random.default_rng(3).choice(EXTREMES, (40, size))
    edges = list(product(example.edges, repeat=2))
    raws, x = zip(*product(np.concatenate([same, mixed]), edges), strict=True)
    log_prob, gradient = value_and_gradient_of(example)(single(raws), single(x))
    refused = np.isnan if example.unbounded else lambda value: ~np.isfinite(value)
    bad = np.flatnonzero(refused(log_prob) | refused(gradient).any(axis=-1))
    found = "\n".join(told(example, raws[i], x=x[i], log_prob=log_prob[i], gradient=gradient[i]) for i in bad[:3])
    assert bad.size == 0, f"{bad.size} of {len(raws)} are not finite, first\n{found}"


@every_family
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16], ids=lambda dtype: dtype.__name__)
def test_half_precision_is_computed_in_single(example, dtype):
    """Parameters and log density are then those of single precision, finite at the extremes."""
    size = drawn(example, 1).shape[-1]

    def law_and_log_prob(raw):
        law = example.distribution(raw)
        return law, law.log_prob(jnp.zeros(law.event_shape, dtype))

    law, log_prob = jax.eval_shape(law_and_log_prob, jax.ShapeDtypeStruct((size,), dtype))
    assert {leaf.dtype for leaf in jax.tree.leaves((law, log_prob))} == {np.dtype(np.float32)}
