"""A VAE of images from beginning to end: training, linear starts, gaps, likelihoods, keeping, and what is refused."""

from __future__ import annotations

import math
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reparam
from reparam.data import from_array
from reparam.errors import ParameterError
from reparam.estimator import Configuration, fitting, memory
from reparam.estimator.columns import likelihood_part
from reparam.model import Statistics, assemble
from reparam.networks import ImageDecoder, ImageEncoder, Residual, convolution
from reparam.objectives import ELBO
from reparam.starts.linear import probabilistic_pca
from reparam.starts.networks import begin_at
from reparam.training.folds import folds

SHAPE, LATENTS = (8, 8), 2
SETTINGS = {"latent_dim": LATENTS, "network": "conv:16", "start": "random", "batch_size": 50, "schedule": "constant"}


def pictures(count: int = 100) -> np.ndarray:
    """A bright bar at a random place and angle, 8-bit."""
    rng = np.random.default_rng(0)
    place, slope = rng.uniform(2, 6, (count, 1, 1)), rng.uniform(-1, 1, (count, 1, 1))
    rows, columns = np.mgrid[:8, :8]
    return np.round(255 * np.exp(-((columns - place - slope * (rows - 3.5)) ** 2))).astype(np.uint8)


@pytest.fixture(scope="module")
def fitted() -> reparam.VAE:
    return reparam.VAE(**SETTINGS, epochs=6).fit_dataset(from_array(pictures()))


def test_training_raises_the_bound(fitted):
    bounds = [line["bound"] for line in fitted.history_]
    assert bounds[-1] > bounds[0] + 5
    assert isinstance(fitted.model_.encoder, ImageEncoder)
    assert isinstance(fitted.model_.decoder, ImageDecoder)
    assert (fitted.network_, fitted.network_reason_) == ("conv:16", "chosen by the user")


def test_a_run_opens_with_the_same_bytes(fitted, tmp_path):
    opened = reparam.load(fitted.save(tmp_path / "run"))
    rows = pictures().reshape(100, -1)
    assert (opened.network_, opened.network_reason_) == ("conv:16", "chosen by the user")
    np.testing.assert_array_equal(opened.transform(rows), fitted.transform(rows))


def test_a_run_gives_the_same_values_in_the_form_of_another_platform(fitted):
    """What was trained in the form for processors is used in the form for accelerators."""
    x = jnp.asarray(pictures(4).reshape(4, -1) / 255.0, jnp.float32)
    model = fitted.model_
    here = model.encoder(x), model.decoder(jnp.ones((4, LATENTS)))
    with mock.patch.object(convolution, "formulation", return_value="native"):
        there = model.encoder(x), model.decoder(jnp.ones((4, LATENTS)))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def built(likelihood: str = "gaussian:learned", **more):
    data = Statistics(jnp.zeros(64), jnp.ones(64), jnp.zeros((2, 64)), shape=SHAPE)
    settings = {"latent_dim": LATENTS, "network": "conv:16", "likelihood": likelihood, **more}
    return assemble(data, jax.random.key(1), **settings)


def test_a_linear_path_beside_a_convolution_begins_at_the_exact_answer():
    """With the exact posterior p(x, z) / q(z|x) is p(x) whatever z: one draw, to single precision."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, LATENTS)) @ rng.normal(size=(LATENTS, 64)) + 0.5 * rng.normal(size=(200, 64))
    start = probabilistic_pca(x, LATENTS)
    model = begin_at(built(), start.start)
    bound = ELBO(1, "monte_carlo")(model, jnp.asarray(x, jnp.float32), jax.random.key(0)).bound
    np.testing.assert_allclose(bound, start.log_density(x), atol=1e-3)
    assert isinstance(model.encoder, Residual)
    assert isinstance(model.decoder.correction, ImageDecoder)


def test_linear_paths_of_many_pixels_move_less():
    """Adam's first step is the rate in every weight; of the matrices of all P = 256 pixels 128/P of it."""
    images = np.random.default_rng(0).normal(size=(64, 16, 16))
    settings = {**SETTINGS, "start": "linear", "batch_size": 64, "learning_rate": 1e-3, "standardize": "none"}
    configuration, data = Configuration(**settings, epochs=1), from_array(images)
    fitted = fitting.begin(configuration, data)
    (after, _), *_ = fitting.train(fitted, fitting.task(fitted, data))

    def moved(of) -> float:
        return float(np.median(np.abs(np.asarray(of(after.model)) - np.asarray(of(fitted.model)))))

    np.testing.assert_allclose(moved(lambda model: model.encoder.linear.weight), 1e-3 * 128 / 256, rtol=1e-2)
    np.testing.assert_allclose(moved(lambda model: model.decoder.linear.weight), 1e-3 * 128 / 256, rtol=1e-2)
    np.testing.assert_allclose(moved(lambda model: model.decoder.linear.bias), 1e-3, rtol=1e-2)
    np.testing.assert_allclose(moved(lambda model: model.decoder.correction.head.bias), 1e-3, rtol=1e-2)


def test_networks_begin_where_an_mlp_does():
    """The decoder's bias is the likelihood's start for every pixel, in the order in which the likelihood takes it."""
    mean, std = jnp.linspace(0.1, 0.9, 64), jnp.linspace(1.0, 2.0, 64)
    data = Statistics(mean, std, jnp.broadcast_to(mean, (2, 64)), shape=SHAPE)
    model = assemble(data, jax.random.key(1), latent_dim=2, network="conv:16", likelihood="gaussian:decoder")
    expected = model.likelihood.begin_raw(mean, std, data.rows)
    np.testing.assert_array_equal(model.decoder.head.bias, expected)
    laws = model.likelihood.distribution(model.decoder.head.bias)
    np.testing.assert_allclose(laws.mean, mean, atol=1e-6)


def test_pixels_that_are_missing_enter_as_a_second_image():
    x = pictures(20).astype(np.float32) / 255.0
    x[::2, 3, 4] = np.nan
    vae = reparam.VAE(**{**SETTINGS, "epochs": 1}).fit_dataset(from_array(x, allow_missing=True))
    assert vae.model_.encoder.in_size == 128
    assert math.isfinite(vae.history_[-1]["bound"])


@pytest.mark.parametrize(
    ("likelihood", "settings"),
    [
        ("discretized_logistic:2", {}),
        ("categorical:256", {}),
        ("continuous_bernoulli", {}),
        ("gaussian:decoder", {}),
        ("bernoulli", {"binarize": "dynamic"}),
    ],
)
def test_every_likelihood_of_images_is_begun_with_a_finite_bound(likelihood, settings):
    rows = pictures(20)
    begun = fitting.begin(
        Configuration(**{**SETTINGS, **settings, "likelihood": likelihood, "epochs": 1}), from_array(rows)
    )
    stored, schema = begun.stored(rows.reshape(20, -1))
    x = jnp.asarray(schema.apply(stored), jnp.float32)

    bound = jax.jit(lambda x: ELBO(1)(begun.model, x, jax.random.key(0)).bound)(x)
    assert bound.shape == (20,)
    assert np.isfinite(bound).all()


def test_codes_of_pixels_are_their_levels():
    """Equal logits give each of 256 levels the same probability, 8 bits, in the scale that the model sees."""
    schema = from_array(pictures()).schema
    likelihood = likelihood_part("categorical:256", schema)
    x = np.asarray(schema.apply(pictures(3).reshape(3, -1)))
    likelihood.check(x)
    bits = -likelihood.distribution(jnp.zeros((3, likelihood.raw_size))).log_prob(x) / math.log(2)
    np.testing.assert_allclose(bits, 8.0, rtol=1e-6)
    first = jnp.zeros((256, 64)).at[128].set(50.0).ravel()
    laws = likelihood.distribution(first)
    np.testing.assert_allclose(laws.mean, 128 / 255, rtol=1e-5)
    np.testing.assert_allclose(laws.mode, 128 / 255, rtol=1e-6)
    with pytest.raises(reparam.errors.SupportError, match="256 levels 0, 0.00392, …, 1"):
        likelihood.check(x + 0.001)


def test_a_model_of_images_that_cannot_fit_is_refused_with_the_estimate():
    image = from_array(np.zeros((2, 256, 256, 3), np.uint8))
    configuration = Configuration(network="conv", latent_dim=2, epochs=1, start="random")
    with (
        mock.patch.object(memory, "free_memory", return_value=2**33),
        pytest.raises(ParameterError, match=r"GiB for a batch of 128; 8.0 GiB are free"),
    ):
        memory.check_memory(configuration, image.schema, "categorical:256", 1000)


def test_one_copy_of_a_network_of_images_is_trained_and_judged_by_rows_left_out():
    """Copies side by side would multiply what is already the longer training."""
    assert Configuration(network="mlp").folds(300).copies == 6
    found = Configuration(network="conv").folds(300)
    assert (found.copies, found.held_out.shape) == (1, (1, 60))
    sizes = {count: folds(count, 0, several=False).held_out.size for count in (3, 1500, 4500, 60_000)}
    assert sizes == {3: 1, 1500: 200, 4500: 450, 60_000: 2000}


def test_a_table_is_refused_a_network_of_images():
    with pytest.raises(ParameterError, match="a datum has no height and width"):
        reparam.VAE(network="conv").fit(np.zeros((10, 3)))
