"""Where a distribution puts its probability, told once: numpyro's constraint, the check of data, an error's words."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from reparam.probability.numerics import at_least_single


@dataclass(eq=False)
class Support(constraints.Constraint):
    """A set of real numbers.

    Attributes:
        words: the set, as an error tells it.
        contains: whether an array's numbers, NumPy's or JAX's, are in the set.
        is_discrete: whether its distributions have masses, not densities.
        has_no_gaps: whether all that lies between two numbers of the set is in it.
        member: a number in the set.

    >>> COUNTS.words, COUNTS(np.array([3.0, 0.5, -1.0])).tolist()
    ('the whole numbers 0, 1, 2, …', [True, False, False])
    """

    words: str
    contains: Callable[[Any], Any]
    is_discrete: bool = False
    has_no_gaps: bool = False
    member: float = 0.0

    def __call__(self, x: ArrayLike) -> Any:
        """Whether each number is in the set; NumPy's arrays stay NumPy's."""
        return self.contains(x if hasattr(x, "dtype") else np.asarray(x))

    def feasible_like(self, prototype: ArrayLike) -> Array:
        """A member in each place."""
        return jnp.full_like(prototype, self.member)

    def tree_flatten(self) -> tuple[tuple[()], tuple[tuple[()], dict[str, Any]]]:
        """No arrays to carry."""
        return (), ((), dict(vars(self)))


def codes(categories: int, step: float = 1.0) -> Support:
    """The whole numbers below ``categories``, times ``step``."""
    if step == 1.0:
        words = f"the codes 0 … K − 1 with K = {categories} categories"
        return Support(words, functools.partial(_is_code, categories), is_discrete=True)
    words = f"the {categories} levels 0, {step:.3g}, …, {(categories - 1) * step:.3g}"
    return Support(words, functools.partial(_is_step, categories, step), is_discrete=True)


def _is_code(categories: float, x: Any) -> Any:
    return (x >= 0) & (x < categories) & (x == x.round())


def _is_step(categories: int, step: float, x: Any) -> Any:
    """A whole number of steps, up to rounding."""
    level = x / step
    rounding = np.maximum(1e-3, categories * jnp.finfo(level.dtype).eps)
    return (level > -0.5) & (level < categories - 0.5) & (abs(level - level.round()) <= rounding)


def _is_level(x: Any) -> Any:
    """A whole number of 255ths from 0 to 1, up to rounding."""
    return (x >= 0) & (x <= 1) & _is_step(256, 1.0 / 255.0, x)


REALS = Support("the finite real numbers", lambda x: abs(x) < np.inf, has_no_gaps=True)
BITS = Support("{0, 1}", lambda x: (x == 0) | (x == 1), is_discrete=True)
GREYS = Support("{0, 1}, or greys between", lambda x: (x >= 0) & (x <= 1), is_discrete=True)
POSITIVE = Support("the numbers above 0", lambda x: (x > 0) & (x < np.inf), has_no_gaps=True, member=1.0)
UNIT = Support("[0, 1]", lambda x: (x >= 0) & (x <= 1), has_no_gaps=True)
OPEN_UNIT = Support("the open interval (0, 1)", lambda x: (x > 0) & (x < 1), has_no_gaps=True, member=0.5)
COUNTS = Support("the whole numbers 0, 1, 2, …", functools.partial(_is_code, math.inf), is_discrete=True)
LEVELS = Support("the 8-bit levels {0, 1/255, …, 1}", _is_level, is_discrete=True)


def guarded(log_prob: Callable[[Any, Array], Array]) -> Callable[[Any, ArrayLike], Array]:
    """A ``log_prob`` that is −∞ outside the support, with a gradient of 0, and warns there under ``validate_args``.

    The formula sees a member of the support instead, so that no NaN of its own reaches a gradient.
    """

    @validate_sample  # type: ignore[untyped-decorator]
    @functools.wraps(log_prob)
    def outside_impossible(self: Any, value: ArrayLike) -> Array:
        inside, value = self.support(value), at_least_single(value)
        return jnp.where(inside, log_prob(self, jnp.where(inside, value, self.support.feasible_like(value))), -jnp.inf)

    return outside_impossible  # type: ignore[no-any-return]
