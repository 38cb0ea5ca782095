"""What every likelihood has: sizes, a distribution, a checked support, and a place where training starts."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike
from numpy.typing import NDArray
from numpyro.distributions import Distribution

from reparam.errors import DataError, ParameterError, SupportError
from reparam.probability.scales import at_least_single
from reparam.specification import positive_int

Mask = NDArray[np.bool_]

TEMPERED_BEYOND = 14.0


class Likelihood(eqx.Module):
    """p(x|z): the decoder's raw output becomes a distribution over the P features of x; concrete ones are final.

    Constructors take ``(event_size, ...)`` and raise ParameterError where an argument lies outside its domain.
    Learned noise is an array leaf in single precision, trained with the networks.
    """

    event_size: eqx.AbstractVar[int]
    name: eqx.AbstractClassVar[str]
    support: eqx.AbstractClassVar[str]
    discrete: eqx.AbstractClassVar[bool]

    def __check_init__(self) -> None:
        positive_int("event_size", self.event_size, f"the {self.name} likelihood")

    @property
    def raw_per_feature(self) -> int:
        """How many raw numbers the decoder gives for each feature."""
        return 1

    @property
    def raw_size(self) -> int:
        """How many raw numbers the decoder gives for each datum."""
        return self.raw_per_feature * self.event_size

    @abstractmethod
    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return p(x|z), batch shape (...) and event shape (P,), of ``raw``, shape (..., raw_size)."""

    @abstractmethod
    def inside(self, x: NDArray[Any]) -> Mask:
        """Return which values lie in the support, in the shape of ``x``."""

    @abstractmethod
    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the raw vector where training starts, (raw_size,), from column means and deviations, (P,)."""

    def started(self, x_std: ArrayLike) -> Self:
        """Return the likelihood with its learned noise at the spread of the data, from column deviations (P,)."""
        return self

    @property
    def refits(self) -> bool:
        """Whether :meth:`refit` changes anything."""
        return False

    def refit(self, raw: ArrayLike, x: ArrayLike) -> Self:
        """Return the likelihood with its noise at the closed-form maximum for these data, where it has one."""
        return self

    def check(self, x: NDArray[Any]) -> None:
        """Refuse data, shape (..., P), to which the likelihood gives no probability.

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
        if outside.any():
            row, column = np.argwhere(outside)[0]
            raise SupportError(
                f"row {row}, column {column}: {rows[row, column]} is outside the support of the {self.name} "
                f"likelihood, {self.support_in_words()}; {outside.sum()} of {outside.size} values are. {_remedy(rows)}"
            )

    def support_in_words(self) -> str:
        """Return the support as an error text tells it."""
        return self.support

    def blocks(self, raw: ArrayLike) -> Array:
        """Return raw, (..., k P), as k blocks, (k, ..., P), in single precision or better."""
        raw = at_least_single(raw)
        split = raw.reshape(*raw.shape[:-1], self.raw_per_feature, self.event_size)
        return jnp.moveaxis(split, -2, 0)


def tempered(raw: ArrayLike) -> Array:
    r"""Return the logarithm of a positive parameter from any real number: the identity, logarithmic beyond ±14.

    .. math:: t(a) = a \text{ for } |a| \le 14, \qquad
        t(a) = \operatorname{sign}(a)\,\bigl(14 + \ln(1 + |a| - 14)\bigr) \text{ beyond}

    :math:`e^{-14} \approx 10^{-6}` is the precision of single-precision numbers near ten, so data of that size can
    ask for no smaller σ. At |a| = 10⁴ the parameter is :math:`e^{\pm 23}`, where densities and gradients are still
    finite, and unlike a clip the gradient is never zero, so that training can come back. Shapes: any, kept.

    >>> tempered(jnp.array([-2.5, 14.0, 1e4])).round(2).tolist()
    [-2.5, 14.0, 23.209999084472656]
    """
    raw = at_least_single(raw)
    excess = jnp.maximum(jnp.abs(raw) - TEMPERED_BEYOND, 0.0)
    within = jnp.where(excess > 0, jnp.sign(raw) * TEMPERED_BEYOND, raw)
    return within + jnp.sign(raw) * jnp.log1p(excess)


def logit(p: Array) -> Array:
    """ln p − ln(1 − p), with p held within [0.001, 0.999] (Burda et al. 2016, their published code)."""
    p = jnp.clip(at_least_single(p), 1e-3, 1.0 - 1e-3)
    return jnp.log(p) - jnp.log1p(-p)


def log_of_mean(x_mean: ArrayLike) -> Array:
    """The logarithm of column means, with those of all-zero columns held at 0.001."""
    return jnp.log(jnp.maximum(at_least_single(x_mean), 1e-3))


def is_finite(x: NDArray[Any]) -> Mask:
    """Neither NaN nor infinite."""
    return np.isfinite(np.asarray(x, dtype=np.float64))


def is_unit(x: NDArray[Any]) -> Mask:
    """In [0, 1]."""
    return np.asarray((x >= 0) & (x <= 1))


def is_binary(x: NDArray[Any]) -> Mask:
    """0 or 1."""
    return np.asarray((x == 0) | (x == 1))


def is_count(x: NDArray[Any]) -> Mask:
    """A whole number from 0 on."""
    return np.asarray(is_finite(x) & (x >= 0) & (x == np.floor(x)))


def positive_number(parameter: str, value: object, owner: str) -> float:
    """Return a finite number above zero, from a number or its text.

    Raises:
        ParameterError: it is none.
    """
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not 0.0 < number < math.inf:
        raise ParameterError(
            f"The {parameter!r} parameter of the {owner} likelihood must be a number in (0, inf). "
            f"Got {value!r} instead."
        )
    return number


FITTING: tuple[tuple[str, Any], ...] = (
    ("'bernoulli'", is_binary),
    ("'poisson' or 'negative_binomial'", is_count),
    ("'continuous_bernoulli'", is_unit),
    ("'gaussian'", is_finite),
)


def _remedy(rows: NDArray[Any]) -> str:
    """Say which likelihood fits the data that another refused."""
    for names, inside in FITTING:
        if inside(rows).all():
            return f"Use likelihood {names}, or rescale the data."
    return "No likelihood explains NaN or infinity: fill those values or drop their rows."
