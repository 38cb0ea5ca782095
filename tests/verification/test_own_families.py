"""The project's own scales, KL and likelihoods pass the audit, which shares no code with them."""

from __future__ import annotations

import types

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from reparam.probability.divergences import kl_divergence
from reparam.probability.likelihoods import LIKELIHOODS
from reparam.probability.posteriors import Diagonal
from reparam.probability.reparameterization import reparameterize
from reparam.probability.scales import SCALES
from reparam.verification import verify
from reparam.verification.oracle import SCALES as ORACLE

ONE_OUTPUT_PER_FEATURE = ("bernoulli", "continuous_bernoulli", "gaussian", "laplace", "student_t", "poisson")


def _posterior(mean, raw, scale):
    return Diagonal(mean.shape[-1], scale=scale).distribution(jnp.concatenate([mean, raw], axis=-1))


@pytest.mark.parametrize("scale", SCALES)
def test_posteriors_of_every_scale_pass(scale):
    @jax.jit
    def kl(mean, raw):
        prior = dist.Normal(jnp.zeros(mean.shape[-1]), 1.0).to_event(1)
        return kl_divergence(_posterior(mean, raw, scale), prior)

    sample = jax.jit(lambda mean, raw, eps: reparameterize(_posterior(mean, raw, scale), eps))
    report = verify(types.SimpleNamespace(sample=sample, kl=kl, SCALE=scale))
    assert report.failures == ()
    assert report["gradient-reaches-encoder"].status == "pass"


@pytest.mark.parametrize("name", ONE_OUTPUT_PER_FEATURE)
def test_likelihoods_pass(name):
    @jax.jit
    def reconstruction_loss(x, decoded):
        return -LIKELIHOODS[name](x.shape[-1]).distribution(decoded).to_event(1).log_prob(x)

    report = verify(types.SimpleNamespace(reconstruction_loss=reconstruction_loss, LIKELIHOOD=name))
    assert report.failures == ()
    assert report["likelihood-support"].status == "pass"


def test_oracle_and_project_know_the_same_scales():
    raw = np.linspace(-6.0, 6.0, 25)
    assert sorted(SCALES) == sorted(ORACLE)
    for name, log_std in ORACLE.items():
        np.testing.assert_allclose(log_std(raw), SCALES[name].log_std(raw), atol=1e-5)
