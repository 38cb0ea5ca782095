"""What every likelihood has: sizes, a distribution, a checked support, and a place where training starts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike
from numpy.typing import NDArray
from numpyro.distributions import Distribution

from reparam.errors import DataError, SupportError
from reparam.probability import supports
from reparam.probability.numerics import at_least_single
from reparam.probability.supports import Support
from reparam.specification import positive_int


class Likelihood(eqx.Module):
    """p(x|z): the decoder's raw output becomes a distribution over the P features of x; concrete ones are final.

    Constructors take ``(event_size, ...)`` and raise ParameterError where an argument lies outside its domain.
    Learned noise is an array leaf, trained with the networks.
    """

    event_size: int = eqx.field(static=True)
    name: eqx.AbstractClassVar[str]

    def __check_init__(self) -> None:
        positive_int("event_size", self.event_size, f"the {self.name} likelihood")

    @property
    def raw_per_feature(self) -> int:
        """How many raw numbers the decoder gives for each feature."""
        return 1

    @property
    @abstractmethod
    def support(self) -> Support:
        """The values that a feature may have."""

    @property
    def discrete(self) -> bool:
        """Whether values have probabilities, not densities."""
        return self.support.is_discrete

    @property
    def raw_size(self) -> int:
        """How many raw numbers the decoder gives for each datum."""
        return self.raw_per_feature * self.event_size

    @abstractmethod
    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return the law of each feature, batch shape (..., P) and no event, of ``raw``, shape (..., raw_size)."""

    def of_datum(self, x: Array, observed: Array | None) -> Self:
        """Return the likelihood of data, (..., P), where some of it is given and not explained; here nothing."""
        return self

    @property
    def own_latents(self) -> int:
        """How many latents, the last of those that explain x, it takes itself: the decoder does not see them."""
        return 0

    def of_latents(self, z: Array) -> Self:
        """Return the likelihood at its own latents, (..., own_latents); most have none."""
        return self

    @abstractmethod
    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the raw vector where training starts, (raw_size,), from column means and deviations, (P,)."""

    def begin_raw(self, x_mean: ArrayLike, x_std: ArrayLike, rows: ArrayLike) -> Array:
        """Return the same where rows of the data, (N, P) with NaN for what is missing, say more than these."""
        return self.initial_raw(x_mean, x_std)

    def started(self, x_std: ArrayLike) -> Self:
        """Return the likelihood with its learned noise at the spread of the data, from column deviations (P,)."""
        return self

    def told(self, rows: ArrayLike) -> Self:
        """Return the likelihood with what whole rows, (N, P) with NaN for what is missing, say of its own latents."""
        return self

    @property
    def refits(self) -> bool:
        """Whether :meth:`refit` changes anything."""
        return False

    def refit(self, raw: ArrayLike, x: ArrayLike, observed: ArrayLike | None = None) -> Self:
        """Return the likelihood with its noise at the closed-form maximum for what was seen, where it has one."""
        return self

    @property
    def expectation_size(self) -> int:
        """How many numbers :meth:`expectation` gives, S."""
        return self.event_size

    def expectation(self, laws: Distribution) -> Array:
        """Return what is averaged over draws of z to say what a feature is, (..., S): here its mean, S = P."""
        return jnp.asarray(laws.mean)

    def centre(self, expectation: Array) -> Array:
        """Return the value that says it, (..., P): the mean of a number, the most probable code of a table's level."""
        return expectation

    def deviation(self, expectation: Array, square: Array) -> Array:
        r"""Return how far a value may be from it, (..., P): :math:`\sqrt{E x^2 - (E x)^2}`, of a code P(another).

        ``square`` is the mean of x², shape (..., P).
        """
        return jnp.sqrt(jnp.maximum(square - expectation**2, 0.0))

    def part_at(self, column: int) -> Likelihood:
        """Return the likelihood of one feature's family."""
        return self

    def inside(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which values lie in the support, in the shape of ``x``."""
        return np.asarray(self.support(x))

    def holds_between(self, low: NDArray[Any], high: NDArray[Any]) -> bool:
        """Return whether it is known that all values from ``low`` to ``high`` of each feature, (P,), are inside."""
        return self.support.has_no_gaps and bool(self.inside(np.stack([low, high])).all())

    def check(
        self, x: NDArray[Any], *, first_row: int = 0, missing: bool = False, names: Sequence[str] | None = None
    ) -> None:
        """Refuse data, shape (..., P), to which the likelihood gives no probability; rows count from ``first_row``.

        Where the caller knows of missing cells, NaN, ``missing`` lets them pass; ``names`` are what columns are called.

        Raises:
            DataError: there are not P features.
            SupportError: a value lies outside the support; the text says where, and what would fit.
        """
        values = np.atleast_2d(np.asarray(x))
        if values.shape[-1] != self.event_size:
            raise DataError(
                f"The {self.name} likelihood was made for {self.event_size} features. Got {values.shape[-1]} instead."
            )
        rows = values.reshape(-1, self.event_size)
        outside = ~self.inside(rows)
        if missing:
            outside &= ~np.isnan(rows)
        if outside.any():
            seen = ~(missing & np.isnan(rows))
            row, column = map(int, np.argwhere(outside)[0])
            part = self.part_at(column)
            alike = rows[seen] if part is self else rows[seen[:, column], column]
            called = column if names is None else repr(names[column])
            raise SupportError(
                f"row {first_row + row}, column {called}: {rows[row, column]} is outside the support of the "
                f"{part.name} likelihood, {part.support.words}; {outside.sum()} of {outside.size} values are. "
                f"{_remedy(alike)}"
            )

    def blocks(self, raw: ArrayLike) -> Array:
        """Return raw, (..., k P), as k blocks, (k, ..., P), in single precision or better."""
        raw = at_least_single(raw)
        split = raw.reshape(*raw.shape[:-1], self.raw_per_feature, self.event_size)
        return jnp.moveaxis(split, -2, 0)


FITTING: dict[str, Support] = {
    "'bernoulli'": supports.BITS,
    "'poisson' or 'negative_binomial'": supports.COUNTS,
    "'continuous_bernoulli'": supports.UNIT,
    "'gaussian'": supports.REALS,
}


def _remedy(values: NDArray[Any]) -> str:
    """Say which likelihood fits the data that another refused."""
    for names, support in FITTING.items():
        if support(values).all():
            return f"Use likelihood {names}, or rescale the data."
    return "No likelihood explains NaN or infinity: fill those values or drop their rows."
