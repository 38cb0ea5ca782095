r"""Priors p(z). Each returns a distribution; those with weights are trained with the model.

A prior is asked for its distribution together with the encoder, because one of them (VampPrior) is made of it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions import Distribution

from reparam.errors import ParameterError
from reparam.probability.distributions.flow import AutoregressiveFlow, FlowDistribution, Key
from reparam.probability.distributions.location_scale import LocationScale
from reparam.specification import positive_int

Encode = Callable[[Array], Distribution]


class Prior(eqx.Module):
    """The distribution of z before any datum is seen; concrete priors are final.

    Every constructor takes ``(latent_dim, ..., pseudo_inputs=..., key=...)`` and ignores what it does not need.
    """

    latent_dim: int = eqx.field(static=True)

    @property
    def layers(self) -> tuple[int, ...]:
        """How many latents each layer has, the one that explains x first; most priors are of one."""
        return (self.latent_dim,)

    @abstractmethod
    def distribution(self, encode: Encode | None = None) -> Distribution:
        """Return p(z), batch shape () and event shape (K,); ``encode`` maps x to q(z|x)."""

    def under(self, top: LocationScale) -> Distribution:
        """Return p(z) with another law of the top layer, which is all of z where there is one."""
        return top

    def settled(self, z: Array, layer: int) -> Array:
        """Z (..., K) with every layer below ``layer``, counted from 1, at its mean given the one above."""
        return z


class StandardNormal(Prior):
    """N(0, I).

    >>> round(StandardNormal(2).distribution().log_prob(jnp.zeros(2)).item(), 4)
    -1.8379
    """

    def __init__(self, latent_dim: int, *, pseudo_inputs: Array | None = None, key: Key = None):
        self.latent_dim = positive_int("latent_dim", latent_dim, "the prior")

    def distribution(self, encode: Encode | None = None) -> LocationScale:
        """Return N(0, I)."""
        zeros = jnp.zeros(self.latent_dim)
        return LocationScale(zeros, jnp.ones_like(zeros), log_scale=zeros)


class GaussianMixture(Prior):
    r"""A learned mixture of diagonal Gaussians, :math:`\sum_c \pi_c N(m_c, \mathrm{diag}(s_c^2))`.

    Starts with means drawn from N(0, I), unit deviations and equal weights.

    >>> GaussianMixture(2, 5).distribution().mixture_size
    5
    """

    loc: Array
    log_scale: Array
    logits: Array

    def __init__(self, latent_dim: int, components: int = 10, *, pseudo_inputs: Array | None = None, key: Key = None):
        self.latent_dim = positive_int("latent_dim", latent_dim, "the prior")
        shape = (positive_int("components", components, "prior 'gaussian_mixture'"), latent_dim)
        self.loc = jax.random.normal(jax.random.key(0) if key is None else key, shape)
        self.log_scale = jnp.zeros(shape)
        self.logits = jnp.zeros(components)

    def distribution(self, encode: Encode | None = None) -> dist.MixtureSameFamily:
        """Return the mixture."""
        components = LocationScale(self.loc, jnp.exp(self.log_scale), log_scale=self.log_scale)
        return dist.MixtureSameFamily(dist.Categorical(logits=self.logits), components)


class VampPrior(Prior):
    r"""The encoder's own posteriors at learned pseudo-inputs, :math:`\frac1C \sum_c q(z|u_c)`.

    Source: Tomczak & Welling (2018), Equation 9. The pseudo-inputs start at data rows, (N, P), repeated where they are
    fewer than C.

    Raises:
        ParameterError: no rows to start at; or a distribution is asked for without an encoder.

    >>> encode = lambda u: LocationScale(u, jnp.ones(2))
    >>> VampPrior(2, 3, pseudo_inputs=jnp.zeros((3, 2))).distribution(encode).mixture_size
    3
    """

    pseudo_inputs: Array

    def __init__(self, latent_dim: int, components: int = 50, *, pseudo_inputs: Array | None = None, key: Key = None):
        self.latent_dim = positive_int("latent_dim", latent_dim, "the prior")
        positive_int("components", components, "prior 'vamp'")
        if pseudo_inputs is None:
            raise ParameterError(
                "prior 'vamp' starts at rows of data: VampPrior(K, C, pseudo_inputs=rows), rows (N, P)."
            )
        self.pseudo_inputs = jnp.resize(pseudo_inputs, (components, pseudo_inputs.shape[-1]))

    def distribution(self, encode: Encode | None = None) -> dist.MixtureSameFamily:
        """Return the mixture of the posteriors at the pseudo-inputs."""
        if encode is None:
            raise ParameterError(
                "prior 'vamp' is made of the encoder's posteriors: call distribution(encode) with a function that maps "
                "x to q(z|x), such as Model.encode."
            )
        weights = dist.Categorical(logits=jnp.zeros(self.pseudo_inputs.shape[0]))
        return dist.MixtureSameFamily(weights, encode(self.pseudo_inputs))


class FlowPrior(Prior):
    r"""An autoregressive flow of N(0, I), :math:`z = T(u)`, for K ≥ 2 (Chen et al. 2017).

    >>> FlowPrior(2, 1, 8).distribution().event_shape
    (2,)
    """

    flow: AutoregressiveFlow

    def __init__(
        self, latent_dim: int, layers: int = 2, width: int = 64, *, pseudo_inputs: Array | None = None, key: Key = None
    ):
        self.latent_dim = positive_int("latent_dim", latent_dim, "the prior")
        self.flow = AutoregressiveFlow(latent_dim, layers, width, None, key)

    def distribution(self, encode: Encode | None = None) -> FlowDistribution:
        """Return the law of T(u)."""
        return FlowDistribution(StandardNormal(self.latent_dim).distribution(), self.flow)


PRIORS: dict[str, type[Prior]] = {
    "standard_normal": StandardNormal,
    "gaussian_mixture": GaussianMixture,
    "vamp": VampPrior,
    "flow": FlowPrior,
}
