"""The likelihood of a table: blocks of columns, one family for each block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike
from numpy.typing import NDArray
from numpyro.distributions import Distribution

from reparam.probability.distributions.bounded import CategoricalLogits
from reparam.probability.distributions.side_by_side import Places, SideBySide, joined
from reparam.probability.likelihoods.base import Likelihood
from reparam.probability.likelihoods.bounded import Bernoulli
from reparam.probability.numerics import at_least_single
from reparam.probability.supports import Support, codes


class Levels(Likelihood):
    r"""Codes 0 … L_j − 1, a number of levels for each feature: :math:`\ln p(k|z) = a_{jk} - \ln \sum_l e^{a_{jl}}`.

    Raw: the logits of the first feature, then those of the next, Σ L_j numbers. They are computed as one padded array,
    in which levels that a feature has not are impossible.

    Args:
        levels: L_j of each feature.

    >>> likelihood = Levels((2, 3))
    >>> likelihood.raw_size, likelihood.distribution(jnp.zeros(5)).log_prob(jnp.array([1.0, 2.0])).round(2).tolist()
    (5, [-0.6899999976158142, -1.100000023841858])
    """

    levels: tuple[int, ...] = eqx.field(static=True)
    name: ClassVar[str] = "levels"

    def __init__(self, levels: Sequence[int]):
        self.levels, self.event_size = tuple(levels), len(levels)

    @property
    def support(self) -> Support:
        """The codes of the feature with most levels."""
        return codes(max(self.levels))

    @property
    def raw_size(self) -> int:
        """One number for each level."""
        return sum(self.levels)

    @property
    def expectation_size(self) -> int:
        """One number for each level, padded."""
        return self.event_size * max(self.levels)

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return categorical laws of the logits."""
        real = np.arange(max(self.levels)) < np.array(self.levels)[:, None]  # (n, L)
        first = np.cumsum((0, *self.levels[:-1]))[:, None]
        where = np.where(real, first + np.arange(max(self.levels)), 0)
        return CategoricalLogits(jnp.where(real, at_least_single(raw)[..., where], -jnp.inf))

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return equal logits."""
        return jnp.zeros(self.raw_size)

    def begin_raw(self, x_mean: ArrayLike, x_std: ArrayLike, rows: ArrayLike) -> Array:
        """Return the logarithm of how often each level stands in the rows, one more time than it does."""
        x = jnp.asarray(rows)
        counts = [jnp.sum(x[:, j, None] == jnp.arange(levels), axis=0) + 1.0 for j, levels in enumerate(self.levels)]
        return jnp.concatenate([jnp.log(count / jnp.sum(count)) for count in counts])

    def inside(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which values are codes of their feature."""
        return np.asarray(super().inside(x) & (np.asarray(x) < np.array(self.levels)))

    def expectation(self, laws: Distribution) -> Array:
        """The probability of each level, padded, (..., n L)."""
        probabilities = laws.probs
        return jnp.reshape(probabilities, (*probabilities.shape[:-2], -1))

    def centre(self, expectation: Array) -> Array:
        """The most probable code, (..., n)."""
        return jnp.argmax(self._by_level(expectation), axis=-1).astype(expectation.dtype)

    def deviation(self, expectation: Array, square: Array) -> Array:
        """The probability that the most probable code is not the one, (..., n)."""
        return 1.0 - jnp.max(self._by_level(expectation), axis=-1)

    def _by_level(self, expectation: Array) -> Array:
        return expectation.reshape(*expectation.shape[:-1], self.event_size, -1)


class Bits(Likelihood):
    """Yes or no as a code: a Bernoulli whose centre is 0 or 1.

    >>> Bits(2).centre(jnp.array([0.2, 0.7])).tolist()
    [0.0, 1.0]
    """

    name: ClassVar[str] = "bits"
    support: ClassVar[Support] = codes(2)

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return Bernoulli laws of the logits."""
        return Bernoulli(self.event_size).distribution(raw)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the logits of the means."""
        return Bernoulli(self.event_size).initial_raw(x_mean)

    def centre(self, expectation: Array) -> Array:
        """The more probable code."""
        return (expectation > 0.5).astype(expectation.dtype)

    def deviation(self, expectation: Array, square: Array) -> Array:
        """The probability that it is not the one."""
        return jnp.minimum(expectation, 1.0 - expectation)


class Table(Likelihood):
    r"""Features of several families: :math:`\ln p(x|z) = \sum_b \sum_{j \in b} \ln p_b(x_j|z)`.

    Each block of features of one family is one likelihood, computed at once: two hundred columns of five families cost
    what five families cost. Raw: that of the first block, then that of the next. Missing cells are masked by
    ``Model.decode``, as they are of every likelihood.

    Args:
        parts: the likelihood of each block.
        places: the features of each block, in its order; each feature stands in one.

    Source: the heterogeneous decoders of Nazábal, Olmos, Ghahramani & Valera (2020), Section 3.

    >>> from reparam.probability.likelihoods import table_of
    >>> table = table_of([("gaussian", 0), ("categorical", 3), ("gaussian", 0), ("bernoulli", 2)])
    >>> [part.name for part in table.parts], table.places, table.raw_size
    (['gaussian', 'levels', 'bits'], ((0, 2), (1,), (3,)), 6)
    """

    parts: tuple[Likelihood, ...]
    places: Places = eqx.field(static=True)
    name: ClassVar[str] = "table"

    def __init__(self, parts: Sequence[Likelihood], places: Places):
        self.parts, self.places = tuple(parts), places
        self.event_size = sum(map(len, places))

    @classmethod
    def of(cls, columns: Sequence[tuple[str, int]], build: Callable[[str, int], Likelihood]) -> Table:
        """The table of columns that name their likelihood, each with its number of levels where it is coded.

        Args:
            columns: name, with arguments behind a colon, and levels. ``gaussian`` has a noise for each column.
            build: makes the likelihood of a name and a number of features.
        """
        blocks = _blocks(columns)
        places = tuple(tuple(places) for places in blocks.values())
        levels = [[columns[place][1] for place in block] for block in places]
        parts = [_part(kind, counts, build) for kind, counts in zip(blocks, levels, strict=True)]
        return cls(parts, places)

    @property
    def support(self) -> Support:
        """The values that each feature may have."""
        return Support("each column's own", self.inside, is_discrete=all(part.discrete for part in self.parts))

    @property
    def raw_size(self) -> int:
        """Of all blocks."""
        return sum(part.raw_size for part in self.parts)

    @property
    def expectation_size(self) -> int:
        """Of all blocks."""
        return sum(part.expectation_size for part in self.parts)

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return the laws of all features, in their order."""
        split = jnp.split(jnp.asarray(raw), np.cumsum([part.raw_size for part in self.parts])[:-1], axis=-1)
        laws = [part.distribution(block) for part, block in zip(self.parts, split, strict=True)]
        return SideBySide(laws, self.places)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return what each block begins at."""
        mean, std = (jnp.broadcast_to(jnp.asarray(values, float), (self.event_size,)) for values in (x_mean, x_std))
        return jnp.concatenate([block.part.initial_raw(mean[block.at], std[block.at]) for block in self._blocks()])

    def begin_raw(self, x_mean: ArrayLike, x_std: ArrayLike, rows: ArrayLike) -> Array:
        """Return what each block begins at."""
        mean, std, x = jnp.asarray(x_mean), jnp.asarray(x_std), jnp.asarray(rows)
        begun = [block.part.begin_raw(mean[block.at], std[block.at], x[:, block.at]) for block in self._blocks()]
        return jnp.concatenate(begun)

    def started(self, x_std: ArrayLike) -> Self:
        """Return the likelihood with the learned noise of each block at the spread of its columns."""
        std = jnp.asarray(x_std)
        parts = tuple(block.part.started(std[block.at]) for block in self._blocks())
        started: Self = eqx.tree_at(lambda table: table.parts, self, parts)
        return started

    def inside(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which values lie in the support of their column."""
        values, found = np.asarray(x), np.empty(np.shape(x), bool)
        for block in self._blocks():
            found[..., block.at] = block.part.inside(values[..., block.at])
        return found

    def part_at(self, column: int) -> Likelihood:
        """The likelihood of one feature's block."""
        return next(block.part for block in self._blocks() if column in block.at)

    def expectation(self, laws: Distribution) -> Array:
        """Of each block in turn, (..., S)."""
        found = [part.expectation(law) for part, law in zip(self.parts, laws.laws, strict=True)]
        return jnp.concatenate(found, axis=-1)

    def centre(self, expectation: Array) -> Array:
        """Means of numbers and the most probable codes, (..., P)."""
        split = self._split(expectation)
        return joined([part.centre(block) for part, block in zip(self.parts, split, strict=True)], self.places)

    def deviation(self, expectation: Array, square: Array) -> Array:
        """Of each feature as its block tells it, (..., P)."""
        split = zip(self._blocks(), self._split(expectation), strict=True)
        return joined([block.part.deviation(part, square[..., block.at]) for block, part in split], self.places)

    def _split(self, expectation: Array) -> list[Array]:
        """What :meth:`expectation` joined."""
        return jnp.split(expectation, np.cumsum([part.expectation_size for part in self.parts])[:-1], axis=-1)

    def _blocks(self) -> Iterator[_Block]:
        return (_Block(part, np.array(at)) for part, at in zip(self.parts, self.places, strict=True))


class _Block(NamedTuple):
    """A likelihood and the features that it explains."""

    part: Likelihood
    at: NDArray[np.intp]


def _blocks(columns: Sequence[tuple[str, int]]) -> dict[tuple[str, int], list[int]]:
    """Places by family; features of many levels apart from those of few, so that at most three quarters are padding."""
    found: dict[tuple[str, int], list[int]] = {}
    for place, (name, levels) in enumerate(columns):
        family = name.partition(":")[0]
        kind = ("levels", int(np.ceil(np.log2(levels) / 2))) if family == "categorical" else (name, 0)
        found.setdefault(kind, []).append(place)
    return found


def _part(kind: tuple[str, int], levels: Sequence[int], build: Callable[[str, int], Likelihood]) -> Likelihood:
    name, _ = kind
    if name == "levels":
        return Levels(levels)
    if name == "bernoulli":
        return Bits(len(levels))
    return build("gaussian:per_dimension" if name == "gaussian" else name, len(levels))
