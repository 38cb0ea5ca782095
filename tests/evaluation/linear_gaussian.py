"""A linear-Gaussian model whose answers are known: x = Wz + c + σ e, so ln p(x), p(z|x) and every bound are exact."""

from __future__ import annotations

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_normal

from reparam.data import Schema, from_array
from reparam.model import Model, build_model

LATENTS, SIZE, SIGMA = 2, 5, 0.6


@dataclass(frozen=True)
class LinearGaussian:
    """The weights (K, P) and centre (P,), NumPy doubles."""

    weight: np.ndarray
    centre: np.ndarray
    sigma: float = SIGMA

    def log_prob(self, x):
        covariance = self.weight.T @ self.weight + self.sigma**2 * np.eye(len(self.centre))
        return multivariate_normal(self.centre, covariance).logpdf(x)

    def posterior_covariance(self):
        return np.linalg.inv(np.eye(len(self.weight)) + self.weight @ self.weight.T / self.sigma**2)

    def posterior_gain(self):
        """E[z|x] = (x − c) @ gain, shape (P, K)."""
        return self.weight.T @ self.posterior_covariance() / self.sigma**2

    def best_diagonal_gap(self):
        """min KL(q‖p(z|x)) over diagonal Gaussians: ½[Σ ln Λ_ii − ln det Λ], Λ the posterior's precision."""
        precision = np.linalg.inv(self.posterior_covariance())
        return 0.5 * (np.sum(np.log(np.diag(precision))) - np.linalg.slogdet(precision)[1])

    def sample(self, count, seed):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(count, len(self.weight)))
        x = z @ self.weight + self.centre + self.sigma * rng.normal(size=(count, len(self.centre)))
        return x.astype(np.float32)


def linear_gaussian(seed=0):
    rng = np.random.default_rng(seed)
    return LinearGaussian(rng.normal(size=(LATENTS, SIZE)), rng.normal(size=SIZE))


def exact_model(truth: LinearGaussian, posterior: str = "full") -> Model:
    """The model with the true decoder, and an encoder that gives the exact posterior (or N(0, I) if diagonal)."""
    model = eqx.filter_jit(build_model)(
        jnp.zeros((2, len(truth.centre))),
        jax.random.key(0),
        latent_dim=len(truth.weight),
        posterior=posterior,
        likelihood=f"gaussian:fixed:{truth.sigma}",
        hidden=(),
    )
    decoder = eqx.tree_at(
        lambda d: (d.layers[0].weight, d.layers[0].bias),
        model.decoder,
        (jnp.asarray(truth.weight), jnp.asarray(truth.centre)),
    )
    encoder = eqx.tree_at(lambda e: e.layers[0].weight, model.encoder, replace_fn=lambda w: jnp.zeros(w.shape))
    if posterior == "full":
        gain, covariance = truth.posterior_gain(), truth.posterior_covariance()
        spread = len(truth.weight) ** 2
        weight = np.concatenate([gain, np.zeros((len(gain), spread))], axis=1)
        bias = np.concatenate([-truth.centre @ gain, np.linalg.cholesky(covariance).ravel()])
        encoder = eqx.tree_at(
            lambda e: (e.layers[0].weight, e.layers[0].bias),
            encoder,
            (jnp.asarray(weight), jnp.asarray(bias)),
        )
    return eqx.tree_at(lambda m: (m.encoder, m.decoder), model, (encoder, decoder))


def plain_schema(rows) -> Schema:
    return from_array(rows).schema
