"""Outside its support a distribution says −∞."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reparam.probability.likelihoods import LIKELIHOODS
from reparam.specification import build

OUTSIDE = {
    "bernoulli": [5.0, -0.5, np.nan],
    "continuous_bernoulli": [2.0, -0.1],
    "categorical:3": [3.0, -1.0, 0.5],
    "poisson": [-1.0, 0.5, np.inf],
    "negative_binomial": [-1.0, 2.5],
    "zero_inflated_negative_binomial": [-1.0, 2.5, np.nan],
    "discretized_logistic:2": [0.501, -1 / 255, 256 / 255],
    "beta": [0.0, 1.0, -0.5, 2.0],
}


@pytest.mark.parametrize("specification", OUTSIDE)
def test_outside_the_support_the_probability_is_zero(specification):
    """−∞, with a gradient of 0, and numpyro's warning where arguments are validated."""
    likelihood = build("likelihood", LIKELIHOODS, specification, 1)
    raw = jnp.linspace(-0.5, 0.7, likelihood.raw_size)
    for value in OUTSIDE[specification]:
        log_prob, gradient = jax.value_and_grad(lambda raw, x: likelihood.distribution(raw).log_prob(x).sum())(
            raw, jnp.array([value])
        )
        assert log_prob == -jnp.inf, value
        assert not np.isnan(gradient).any(), value
    law = likelihood.distribution(raw)
    law._validate_args = True
    with pytest.warns(UserWarning, match="Out-of-support"):
        law.log_prob(jnp.array([OUTSIDE[specification][0]]))
