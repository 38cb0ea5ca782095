"""bfloat16 rounds the factors of the networks' products, and nothing else: not the bound, not the weights."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import reparam
from reparam.errors import UnknownNameError
from reparam.estimator import load
from reparam.networks import ImageDecoder, ImageEncoder
from reparam.networks.precision import Narrow, in_precision

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(96, 2)) @ RNG.normal(size=(2, 12)) + 0.3 * RNG.normal(size=(96, 12))).astype(np.float32)
SMALL = {"latent_dim": 2, "hidden": (16,), "epochs": 30, "batch_size": 32, "start": "random"}


def rounded(values: np.ndarray) -> np.ndarray:
    return np.asarray(values).astype(ml_dtypes.bfloat16).astype(np.float64)


def test_a_product_and_its_derivatives_are_those_of_rounded_factors():
    """NumPy in double precision: sums of a few dozen products in single precision err by less than 1e-6 of them."""
    x, matrix, gradient = (RNG.normal(size=shape).astype(np.float32) for shape in ((2, 5, 7), (7, 3), (2, 5, 3)))
    product, pull = jax.vjp(lambda x, matrix: x @ Narrow(matrix), jnp.asarray(x), jnp.asarray(matrix))
    of_x, of_matrix = pull(jnp.asarray(gradient))
    assert product.dtype == of_x.dtype == of_matrix.dtype == jnp.float32
    np.testing.assert_allclose(product, rounded(x) @ rounded(matrix), atol=1e-5)
    np.testing.assert_allclose(of_x, rounded(gradient) @ rounded(matrix).T, atol=1e-5)
    flat = rounded(x).reshape(-1, 7).T @ rounded(gradient).reshape(-1, 3)
    np.testing.assert_allclose(of_matrix, flat, atol=1e-5)
    assert np.abs(x @ matrix - product).max() > 1e-4  # which is not what single precision gives


def matrices_in(function, *arguments) -> set[str]:
    """The types of the factors of every product in a traced program."""
    program, found = jax.make_jaxpr(function)(*arguments), set()

    def look(lines) -> None:
        for line in lines:
            if line.primitive.name == "dot_general":
                found.update(str(variable.aval.dtype) for variable in line.invars)
            for value in jax.tree.leaves(line.params, is_leaf=lambda leaf: hasattr(leaf, "eqns")):
                inner = getattr(value, "jaxpr", value)
                if hasattr(inner, "eqns"):
                    look(inner.eqns)

    look(program.jaxpr.eqns)
    return found


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_product_of_networks_of_images_has_it(precision):
    how = {"channels": 16, "depth": 1, "activation": "gelu", "key": jax.random.key(0)}
    for network in (ImageEncoder((10, 8), 80, 3, **how), ImageDecoder((10, 8), 3, 160, **how)):
        rows = jnp.ones((2, network.in_size))
        assert matrices_in(in_precision(network, precision), rows) == {precision}


@pytest.fixture(scope="module")
def pair() -> tuple[reparam.VAE, reparam.VAE]:
    return reparam.VAE(**SMALL).fit(X), reparam.VAE(**SMALL, precision="bfloat16").fit(X)


def test_a_bound_is_as_good_to_a_few_hundredths_of_its_gain(pair):
    """Rounding factors to 8 bits moves a gradient by a hundredth, and where thirty epochs lead by less."""
    plain, narrow = ([line["bound"] for line in vae.history_] for vae in pair)
    gained = plain[-1] - plain[0]
    assert gained > 1.0
    assert plain != narrow
    assert abs(narrow[-1] - plain[-1]) < 0.05 * gained
    assert pair[1].score(X) == pytest.approx(pair[0].score(X), abs=0.05 * gained)


def test_weights_and_optimiser_stay_single_and_the_run_says_what_it_is(pair, tmp_path):
    narrow = pair[1]
    arrays = jax.tree.leaves(eqx.filter((narrow.state_.model, narrow.state_.moments), eqx.is_inexact_array))
    assert {str(array.dtype) for array in arrays} == {"float32"}
    narrow.save(tmp_path / "run")
    opened = load(tmp_path / "run")
    assert opened.precision == "bfloat16"
    opened.set_params(warm_start=True, epochs=32).fit(X)
    unbroken = reparam.VAE(**{**SMALL, "epochs": 32}, precision="bfloat16").fit(X)
    assert [line["bound"] for line in opened.history_] == [line["bound"] for line in unbroken.history_]


@pytest.mark.parametrize("posterior", ["full", "cholesky", "flow"])
def test_what_stands_behind_the_networks_keeps_single_precision(posterior):
    """A matrix S, a triangle, a flow's log-determinant: beside the networks' no factor of a step is rounded."""
    vae = reparam.VAE(**{**SMALL, "epochs": 1}, posterior=posterior, precision="bfloat16").fit(X[:32])
    model = in_precision(vae.state_.model, "bfloat16")

    def behind(raw: jax.Array) -> jax.Array:
        q = model.family.distribution(raw)
        return q.log_prob(q.sample(jax.random.key(0)))

    raw = model.encoder(jnp.asarray(X[:4]))
    assert raw.dtype == jnp.float32
    assert "bfloat16" not in matrices_in(behind, raw)
    assert np.isfinite(vae.history_[-1]["bound"])


def test_another_precision_is_refused():
    with pytest.raises(UnknownNameError, match="precision"):
        reparam.VAE(precision="half").fit(X)
