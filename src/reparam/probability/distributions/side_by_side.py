"""Laws of features in several blocks, as the laws of all features in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.probability.supports import Support

Places = tuple[tuple[int, ...], ...]


class SideBySide(Distribution):
    r"""Independent features of several families: :math:`\ln p(x_j) = \ln p_{b(j)}(x_j)`, b(j) the block of feature j.

    Args:
        laws: of each block, batch shape (..., n_b), no event.
        places: the features that a block explains, in the order of its law; each of the P features stands in one.

    >>> from reparam.probability.distributions.bounded import BernoulliLogits
    >>> from reparam.probability.distributions.counts import PoissonByMean
    >>> laws = BernoulliLogits(jnp.zeros(2)), PoissonByMean(jnp.zeros(1))
    >>> SideBySide(laws, ((0, 2), (1,))).log_prob(jnp.array([1.0, 0.0, 1.0])).round(2).tolist()
    [-0.6899999976158142, -1.0, -0.6899999976158142]
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("laws",)
    pytree_aux_fields = ("places",)

    def __init__(self, laws: Sequence[Distribution], places: Places, *, validate_args: bool | None = False):
        self.laws, self.places = tuple(laws), places
        leading = jnp.broadcast_shapes(*(law.batch_shape[:-1] for law in self.laws))
        super().__init__((*leading, sum(map(len, places))), validate_args=validate_args)

    @property
    def support(self) -> Support:
        """The values that each feature may have."""
        supports = [law.support for law in self.laws]
        return Sided("each feature's own", _contains(supports, self.places), supports=supports, places=self.places)

    def log_prob(self, value: ArrayLike) -> Array:
        """Return ln p(x_j) of each feature in nats, (..., P)."""
        value = jnp.asarray(value)
        return joined([law.log_prob(value[..., np.array(at)]) for law, at in self._blocks()], self.places)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw features of shape (*sample_shape, ..., P)."""
        keys = jax.random.split(key, len(self.laws))
        drawn = [law.sample(key, sample_shape) for law, key in zip(self.laws, keys, strict=True)]
        return joined(drawn, self.places)

    @property
    def mean(self) -> Array:
        """Of each feature, (..., P)."""
        return joined([law.mean for law in self.laws], self.places)

    @property
    def variance(self) -> Array:
        """Of each feature, (..., P)."""
        return joined([law.variance for law in self.laws], self.places)

    def _blocks(self) -> zip[tuple[Distribution, tuple[int, ...]]]:
        return zip(self.laws, self.places, strict=True)


@dataclass(eq=False)
class Sided(Support):
    """The supports of several blocks of features."""

    supports: Sequence[Support] = ()
    places: Places = ()

    def feasible_like(self, prototype: ArrayLike) -> Array:
        """A member in each place."""
        value = jnp.asarray(prototype)
        blocks = zip(self.supports, self.places, strict=True)
        return joined([support.feasible_like(value[..., np.array(at)]) for support, at in blocks], self.places)


def joined(blocks: Sequence[Any], places: Places) -> Array:
    """Blocks of features, each (..., n_b), put in the features' order, (..., P)."""
    leading = jnp.broadcast_shapes(*(jnp.shape(block)[:-1] for block in blocks))
    spread = [jnp.broadcast_to(block, (*leading, jnp.shape(block)[-1])) for block in blocks]
    return jnp.concatenate(spread, axis=-1)[..., np.argsort(np.concatenate(places))]


def _contains(supports: Sequence[Support], places: Places) -> Callable[[Any], Any]:
    def contains(x: Any) -> Any:
        return joined([support(x[..., np.array(at)]) for support, at in zip(supports, places, strict=True)], places)

    return contains
