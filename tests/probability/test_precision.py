"""Single precision by default, double where JAX is told so: weights, laws and densities, with no number left behind."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reparam
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.numerics import softplus

K, P = 2, 3
POSTERIORS = {name: (lambda name=name: reparam.POSTERIORS[name](K)) for name in reparam.POSTERIORS}
PRIORS = {
    name: (lambda name=name: reparam.PRIORS[name](K, pseudo_inputs=jnp.zeros((4, P)), key=jax.random.key(0)))
    for name in reparam.PRIORS
}
LIKELIHOODS = {
    name: (lambda name=name: reparam.LIKELIHOODS[name](P, *([4] if name == "categorical" else [])))
    for name in reparam.LIKELIHOODS
}
PARTS = {"posterior": POSTERIORS, "prior": PRIORS, "likelihood": LIKELIHOODS}
precisions = pytest.mark.parametrize("double", [False, True], ids=["single", "double"])


def encode(x):
    return LocationScale(x[..., :K], jnp.ones(K))


@precisions
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, parts in PARTS.items() for name in parts])
def test_weights_laws_and_densities_have_the_precision_that_jax_is_told(kind, name, double):
    with jax.enable_x64(double):
        expected = np.dtype(np.float64 if double else np.float32)
        part = PARTS[kind][name]()
        size = P if kind == "likelihood" else K
        raw = None if kind == "prior" else jnp.zeros(part.raw_size)

        def law_and_density(point, key):
            law = part.distribution(encode) if raw is None else part.distribution(raw)
            return law, law.log_prob(point), law.sample(key)

        found = jax.eval_shape(law_and_density, jax.ShapeDtypeStruct((size,), expected), jax.random.key(0))
        leaves = [leaf for leaf in jax.tree.leaves((eqx.filter(part, eqx.is_inexact_array), found)) if leaf is not None]
        assert {leaf.dtype for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)} == {expected}


@pytest.mark.parametrize("name", [*POSTERIORS, *LIKELIHOODS])
def test_single_precision_stays_single_where_double_is_allowed(name):
    """What decides is the raw vector; a part's own learned weights may be in double."""
    with jax.enable_x64(True):
        part = {**POSTERIORS, **LIKELIHOODS}[name]()
        weights, rest = eqx.partition(part, eqx.is_inexact_array)
        part = eqx.combine(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), weights), rest)
        raw = jax.ShapeDtypeStruct((part.raw_size,), jnp.float32)
        found = jax.eval_shape(part.distribution, raw)
        assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float32)}


@precisions
def test_the_softplus_is_right_to_the_last_digits_wherever_it_is_not_zero(double):
    with jax.enable_x64(double):
        x = jnp.concatenate([jnp.linspace(-80.0, 80.0, 20_001), -jnp.logspace(-6.0, 1.0, 100)])
        expected = np.logaddexp(0.0, np.asarray(x, np.longdouble))
        np.testing.assert_allclose(np.asarray(softplus(x), np.longdouble), expected, rtol=4 * jnp.finfo(x.dtype).eps)
