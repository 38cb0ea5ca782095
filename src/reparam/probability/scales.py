r"""Scales: an unconstrained number :math:`a \in \mathbb{R}` becomes a standard deviation :math:`\sigma > 0`, and back.

Why a logarithm? A network's output may be any real number, a standard deviation may not. An invertible map of
:math:`\mathbb{R}` onto :math:`(0, \infty)` removes the constraint from gradient descent; the exponential is the
plainest one. If ``a`` is read as :math:`\ln \sigma^2`, then :math:`\sigma = e^{a/2}`: the ½ turns a variance into a
standard deviation. If it is read as :math:`\ln \sigma`, then :math:`\sigma = e^a`. Since
:math:`\ln \sigma^2 = 2 \ln \sigma`, both are one posterior in other coordinates, and :func:`convert_raw` carries the
raw number of any scale into any other with the same :math:`\sigma`. What differs is the size of the gradient
:math:`d\sigma/da`, the range that can be reached, and what happens far out: softplus grows linearly where the
exponential explodes. Reading a log-variance as a log-standard-deviation is not a choice of coordinates but a mistake:
it squares :math:`\sigma`.

Half-precision input is computed in single precision. Where :math:`\sigma` or :math:`\sigma^2` would leave the
floating-point range, ``std`` saturates (in single precision at 2.9e-19 and 6.8e18) and its gradient is
:math:`\sigma\, d \ln\sigma / da` at the saturated value, so that it still points back (infinite where a half-precision
input cannot hold it); ``log_std`` never saturates.
"""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from reparam.errors import ParameterError
from reparam.probability.numerics import at_least_single, inverse_log_softplus, log_softplus, saturated_exp
from reparam.specification import lookup


class Scale(eqx.Module):
    """An invertible map between a raw number and a standard deviation; concrete scales are final."""

    @abstractmethod
    def log_std(self, raw: ArrayLike) -> Array:
        """Return ln σ of ``raw``, without forming σ first. Shapes: any, kept."""

    @abstractmethod
    def raw_from_log_std(self, log_std: ArrayLike) -> Array:
        """Return the raw number whose σ has the given logarithm: the inverse of :meth:`log_std`."""

    def std(self, raw: ArrayLike) -> Array:
        """Return σ > 0 of ``raw``. Shapes: any, kept."""
        return saturated_exp(self.log_std(raw))

    def raw(self, std: ArrayLike) -> Array:
        """Return the raw number whose standard deviation is ``std`` > 0: the inverse of :meth:`std`."""
        return self.raw_from_log_std(jnp.log(at_least_single(std)))


class Exponential(Scale):
    r"""The raw number is proportional to :math:`\ln \sigma`: :math:`\sigma = e^{ca}`.

    c = ½ makes it :math:`\ln \sigma^2` (``log_variance``; Kingma & Welling 2014, Appendix C), c = 1 :math:`\ln \sigma`
    (``log_std``), c = −½ :math:`\ln \sigma^{-2}` (``log_precision``, the natural parameter's side).

    >>> Exponential(0.5).raw(1.0).item(), Exponential(-0.5).log_std(2.0).item()
    (0.0, -1.0)
    """

    slope: float = eqx.field(static=True)

    def log_std(self, raw: ArrayLike) -> Array:
        """Ln σ = c a."""
        return self.slope * at_least_single(raw)

    def raw_from_log_std(self, log_std: ArrayLike) -> Array:
        """A = ln σ / c."""
        return at_least_single(log_std) / self.slope


class Softplus(Scale):
    r"""Softplus of the deviation or, with ``power`` 2, of the variance: :math:`\sigma^{power} = \ln(1 + e^a)`.

    Exponential far below zero, a power far above.

    >>> round(Softplus().std(100.0).item(), 4), round(Softplus().raw(Softplus().std(-3.0)).item(), 4)
    (100.0, -3.0)
    >>> round(Softplus(2).std(100.0).item(), 4)
    10.0
    """

    power: int = eqx.field(static=True, default=1)

    def log_std(self, raw: ArrayLike) -> Array:
        """Ln σ = ln ln(1 + e^a) / power, which tends to a/power far below zero."""
        return log_softplus(at_least_single(raw)) / self.power

    def raw_from_log_std(self, log_std: ArrayLike) -> Array:
        """A = ln(e^{σ^power} − 1)."""
        return inverse_log_softplus(self.power * at_least_single(log_std))

    def std(self, raw: ArrayLike) -> Array:
        """Σ = ln(1 + e^a)^{1/power}."""
        raw = at_least_single(raw)
        low = raw < -10.0
        return jnp.where(low, super().std(raw), jax.nn.softplus(jnp.where(low, 0.0, raw)) ** (1.0 / self.power))


class Bounded(Scale):
    r"""Smooth limits: :math:`\ln \sigma = m + h\, u(a/h)` with :math:`u(t) = t / \sqrt{1 + t^2}`.

    ``m`` and ``h`` are the middle and the half width of :math:`[\ln \sigma_{min}, \ln \sigma_{max}]`. Both limits are
    reached as a → ±∞. Near zero it is ``log_std`` around the middle. Unlike a clip or a sigmoid, whose gradient
    rounds to zero, its gradient falls as :math:`a^{-3}` and can be represented wherever a network can go.

    Raises:
        ParameterError: not 0 < min_std < max_std < ∞.

    >>> scale = Bounded(0.1, 10.0)
    >>> scale.std(0.0).item(), round(scale.std(-1e4).item(), 4), round(scale.std(1e4).item(), 4)
    (1.0, 0.1, 10.0)
    """

    min_std: float = eqx.field(static=True)
    max_std: float = eqx.field(static=True)

    def __init__(self, min_std: float = 1e-3, max_std: float = 1e3):
        if not 0.0 < min_std < max_std < float("inf"):
            raise ParameterError(
                f"The limits of scale 'bounded' must satisfy 0 < min_std < max_std < inf. "
                f"Got {min_std!r} and {max_std!r} instead."
            )
        self.min_std, self.max_std = float(min_std), float(max_std)

    def log_std(self, raw: ArrayLike) -> Array:
        """Ln σ = m + h u(a/h)."""
        middle, half_width = self._interval()
        t = at_least_single(raw) / half_width
        return middle + half_width * t * jax.lax.rsqrt(1.0 + t * t)

    def raw_from_log_std(self, log_std: ArrayLike) -> Array:
        """A = h u / √(1 − u²), u = (ln σ − m)/h; infinite at the limits, NaN beyond them."""
        middle, half_width = self._interval()
        u = (at_least_single(log_std) - middle) / half_width
        return half_width * u * jax.lax.rsqrt((1.0 - u) * (1.0 + u))

    def _interval(self) -> tuple[Array, Array]:
        low, high = jnp.log(self.min_std), jnp.log(self.max_std)
        return 0.5 * (low + high), 0.5 * (high - low)


SCALES: dict[str, Scale] = {
    "log_variance": Exponential(0.5),
    "log_std": Exponential(1.0),
    "softplus": Softplus(),
    "softplus_variance": Softplus(2),
    "log_precision": Exponential(-0.5),
    "bounded": Bounded(),
}


def scale_from(specification: str) -> Scale:
    """The scale of a name, with limits where it takes them: ``"log_variance"``, ``"bounded:0.01,10"``.

    Raises:
        ParameterError: the name is unknown or the scale takes no such arguments.

    >>> scale_from("bounded:0.01,10")
    Bounded(min_std=0.01, max_std=10.0)
    """
    scale, arguments = lookup("scale", SCALES, specification)
    if not arguments:
        return scale
    if not isinstance(scale, Bounded) or len(arguments) != 2 or any(isinstance(a, str) for a in arguments):
        raise ParameterError(f"scale {specification!r}: only 'bounded:MIN,MAX' takes arguments, two numbers.")
    return Bounded(*arguments)


def convert_raw(raw: ArrayLike, source: str, target: str) -> Array:
    r"""Carry raw numbers from one scale to another with the same σ: :math:`a' = t^{-1}(s(a))`.

    Goes through ln σ, so no σ overflows on the way. Shapes: any, kept.

    >>> convert_raw(jnp.array([-4.0, 0.0, 6.0]), "log_variance", "log_std").tolist()
    [-2.0, 0.0, 3.0]
    """
    return scale_from(target).raw_from_log_std(scale_from(source).log_std(raw))


def natural_from_mean_variance(mean: ArrayLike, variance: ArrayLike) -> tuple[Array, Array]:
    r"""Natural parameters of a Gaussian: :math:`\eta_1 = \mu/\sigma^2`, :math:`\eta_2 = -1/(2\sigma^2)`.

    >>> [eta.item() for eta in natural_from_mean_variance(3.0, 2.0)]
    [1.5, -0.25]
    """
    precision = 1.0 / at_least_single(variance)
    return at_least_single(mean) * precision, -0.5 * precision


def mean_variance_from_natural(eta1: ArrayLike, eta2: ArrayLike) -> tuple[Array, Array]:
    r"""Mean and variance from natural parameters: :math:`\sigma^2 = -1/(2\eta_2)`, :math:`\mu = \sigma^2 \eta_1`.

    >>> [moment.item() for moment in mean_variance_from_natural(1.5, -0.25)]
    [3.0, 2.0]
    """
    variance = -0.5 / at_least_single(eta2)
    return at_least_single(eta1) * variance, variance
