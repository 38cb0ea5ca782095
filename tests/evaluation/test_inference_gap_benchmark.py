"""The loader of published checkpoints, against the networks written out in NumPy, and the published figures."""

from __future__ import annotations

import itertools
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest
from benchmarks.inference_gap import load_model, measure, read_rows

from reparam.evaluation.weights import row_bounds

DATA = Path(__file__).parents[3] / "shared" / "data"
CHECKPOINT = DATA / "mnist_ffg_anneal_e22d22.npz"


def checkpoint(seed, encoder=(6, 5, 4), latents=3, decoder=(3, 4, 6)):
    """A checkpoint of any depth and width."""
    rng = np.random.default_rng(seed)
    shapes = {f"enc{i}": size for i, size in enumerate(itertools.pairwise(encoder))}
    shapes |= {f"dec{i}": size for i, size in enumerate(itertools.pairwise(decoder))}
    shapes |= {"enc_mu": (encoder[-1], latents), "enc_lv": (encoder[-1], latents)}
    return {
        f"{name}_{kind}": rng.normal(size=size if kind == "W" else size[1:]).astype(np.float32)
        for name, size in shapes.items()
        for kind in "Wb"
    }


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def test_a_checkpoint_is_the_network_that_it_describes():
    weights = checkpoint(0)
    model = load_model(weights)
    x = np.random.default_rng(1).random((7, 6)).astype(np.float32)
    h = elu(elu(x @ weights["enc0_W"] + weights["enc0_b"]) @ weights["enc1_W"] + weights["enc1_b"])
    q = eqx.filter_jit(model.encode)(x)
    np.testing.assert_allclose(q.loc, h @ weights["enc_mu_W"] + weights["enc_mu_b"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(2 * np.log(q.scale), h @ weights["enc_lv_W"] + weights["enc_lv_b"], rtol=1e-3, atol=1e-4)
    z = np.asarray(q.loc)
    logits = elu(z @ weights["dec0_W"] + weights["dec0_b"]) @ weights["dec1_W"] + weights["dec1_b"]
    cross_entropy = (x * np.logaddexp(0, -logits) + (1 - x) * np.logaddexp(0, logits)).sum(1)
    np.testing.assert_allclose(eqx.filter_jit(lambda z: model.decode(z).log_prob(x))(z), -cross_entropy, rtol=1e-4)


def test_the_document_holds_what_was_asked(tmp_path):
    rows = np.random.default_rng(2).integers(0, 256, size=(9, 2, 3)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", images=rows)
    stored, schema = read_rows(f"{tmp_path}/data.npz:images", "x/256")
    assert schema.apply(stored).max() == rows.max() / 256
    document = measure(load_model(checkpoint(0)), stored, schema, 4)
    assert (document["all_rows"], document["rows"]) == (9, 4)
    assert document["local_elbo"] >= document["amortized_elbo"]
    assert document["iwae_2000"] >= document["iwae_100"] - 0.05 >= document["local_elbo"] - 0.1


@pytest.mark.skipif(not CHECKPOINT.exists(), reason="the published checkpoint is not beside the repository")
def test_published_local_posteriors_have_their_published_elbo():
    """−90.283 published, −90.271 recomputed elsewhere, over these 1000 rows; 100 draws leave an error of 0.02."""
    with np.load(CHECKPOINT) as arrays:
        weights = dict(arrays)
    rows, schema = read_rows(f"{DATA}/mnist.npz:train_x", "x/256")
    raw = np.concatenate([weights["local_mu"], weights["local_logvar"]], axis=1)
    found = row_bounds(load_model(weights), rows[:1000], schema, jax.random.key(0), 100, raw=raw)
    assert np.mean(found.reconstruction - found.kl, dtype=np.float64) == pytest.approx(-90.271, abs=0.06)
    assert np.mean(found.bound, dtype=np.float64) == pytest.approx(-89.132, abs=0.06)
