"""Arrays of images go in and come out in their own shape: grey or colour, pixels of uint8 or numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import DataError

SMALL: dict[str, Any] = {"latent_dim": 2, "hidden": (), "epochs": 1, "start": "random", "bound_samples": 2}
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 6, 4, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["pixels", "grey", "floats"])
def fitted(request: pytest.FixtureRequest) -> tuple[reparam.VAE, np.ndarray]:
    images = {"pixels": PIXELS, "grey": PIXELS[..., 0], "floats": PIXELS[..., 0] / 255.0}[request.param]
    return reparam.VAE(**SMALL).fit(images), images


def test_what_comes_out_has_the_shape_of_what_went_in(fitted: tuple[reparam.VAE, np.ndarray]) -> None:
    vae, images = fitted
    assert vae.schema_.event_shape == images.shape[1:]
    assert vae.schema_.units == ("x/255" if images.dtype == np.uint8 else "x")
    codes = vae.transform(images)
    assert codes.shape == (40, 2)
    assert vae.score_samples(images).shape == (40,)
    assert vae.reconstruct(images).shape == vae.inverse_transform(codes).shape == images.shape
    assert vae.sample(3).shape == vae.sample(3, draw=True).shape == (3, *images.shape[1:])
    np.testing.assert_array_equal(vae.inverse_transform(codes), vae.reconstruct(images))
    assert vae.n_features_in_ == images[0].size


def test_flat_rows_are_the_same_rows(fitted: tuple[reparam.VAE, np.ndarray]) -> None:
    vae, images = fitted
    flat = images.reshape(40, -1)
    np.testing.assert_array_equal(vae.transform(flat), vae.transform(images))
    np.testing.assert_array_equal(vae.score_samples(flat), vae.score_samples(images))
    with pytest.raises(DataError, match=r"has shape \(4, 6"):
        vae.transform(images.swapaxes(1, 2))


def test_a_run_that_is_opened_answers_in_the_shape_it_is_asked_in(tmp_path: Any) -> None:
    vae = reparam.VAE(**SMALL).fit(PIXELS)
    vae.save(tmp_path / "run")
    opened = reparam.load(tmp_path / "run")
    np.testing.assert_array_equal(opened.reconstruct(PIXELS), vae.reconstruct(PIXELS))
    assert opened.reconstruct(PIXELS.reshape(40, -1)).shape == (40, 72)


def test_missing_pixels_are_filled_in_where_they_are() -> None:
    images = PIXELS[..., 0] / 255.0
    images[3, 2, 1] = np.nan
    vae = reparam.VAE(**SMALL).fit(images)
    whole, deviation = vae.impute(images, std=True)
    assert whole.shape == deviation.shape == images.shape
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(np.isnan(images), deviation > 0)
    assert vae.impute(images, draws=2).shape == (2, *images.shape)


def test_lots_of_images_are_fitted_one_after_the_other() -> None:
    vae = reparam.VAE(**SMALL).partial_fit(PIXELS[:20]).partial_fit(PIXELS[20:])
    assert vae.sample(2).shape == (2, 6, 4, 3)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        vae.partial_fit(PIXELS[:0])
    assert vae.fit(PIXELS.reshape(40, -1)).sample(2).shape == (2, 72)
