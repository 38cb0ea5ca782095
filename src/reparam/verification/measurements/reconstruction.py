"""What a reconstruction term is: its sum over features, and the likelihood whose negative logarithm it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from reparam.verification.arrays import Array
from reparam.verification.functions import Numeric, UserError
from reparam.verification.measurements.examples import Examples
from reparam.verification.measurements.terms import Term, close

Loss = Callable[[Array, Array], Array]

KINDS: dict[str, tuple[str, Loss]] = {
    "squared error": ("gaussian", lambda x, d: (x - d) ** 2),
    "absolute error": ("laplace", lambda x, d: np.abs(x - d)),
    "cross-entropy of probabilities": ("bernoulli", lambda x, d: -special.xlogy(x, d) - special.xlog1py(1.0 - x, -d)),
    "cross-entropy of logits": ("bernoulli", lambda x, d: np.logaddexp(0.0, d) - x * d),
    "cross-entropy of logits that went through a sigmoid already": (
        "bernoulli",
        lambda x, d: np.logaddexp(0.0, special.expit(d)) - x * special.expit(d),
    ),
    "Poisson loss of rates": ("poisson", lambda x, d: d - special.xlogy(x, d)),
    "Poisson loss of log-rates": ("poisson", lambda x, d: np.exp(d) - x * d),
}
"""Name → the likelihood it belongs to, and the loss of one feature up to a factor and a constant."""

DECODED = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
"""Decoder outputs that are lawful as probabilities, logits, means and rates alike."""


@dataclass(frozen=True)
class Kind:
    """The loss of one feature is ``factor`` · (the named loss) + ``constant``."""

    name: str
    likelihood: str
    factor: float
    constant: float


@dataclass
class ReconstructionMeasurement:
    """The user's ``reconstruction_loss``, taken apart."""

    function: Numeric
    examples: Examples

    @property
    def features(self) -> int:
        """P."""
        return self.examples.features

    @cached_property
    def term(self) -> Term:
        """One reconstruction loss per datum."""
        return Term(self.function, self.examples.data())

    @cached_property
    def growth(self) -> float:
        """By what the loss's variation is multiplied when every feature is there twice: 2 for a sum, 1 for a mean."""
        try:
            return self.term.growth
        except UserError:  # it takes no other number of features
            return self._growth_in_place()

    def _growth_in_place(self) -> float:
        """The same without doubling: a known loss whose factor is about 1/P is a mean."""
        fit = self._best_fit(self._table(self.features))
        return 1.0 if fit is not None and any(close(fit.factor * self.features, one) for one in (0.5, 1.0)) else 2.0

    @property
    def averages_features(self) -> bool:
        """Whether the loss is a mean over features."""
        return self.features > 1 and close(self.growth, 1.0)

    @cached_property
    def shift_invariant(self) -> bool:
        """Whether adding one number to all decoder outputs of a datum changes nothing: a softmax over the features."""
        if self.features < 3:
            return False
        decoded = self.term.example[1]
        one_hot = np.eye(self.features)[np.arange(len(decoded)) % self.features]
        loss = self.term.rows(one_hot, decoded)
        shifted, turned = self.term.rows(one_hot, decoded + 0.04), self.term.rows(one_hot, decoded[:, ::-1])
        return close(loss, shifted, 1e-5) and not close(loss, turned, 1e-5)

    def per_feature(self, x: Array | float, decoded: Array | float) -> Array:
        """What one feature contributes for each pair of numbers, as if the features were summed."""
        return self._alike(x, decoded) / (1 if self.averages_features else self.features)

    def _alike(self, x: Array | float, decoded: Array | float) -> Array:
        """The loss of data all of whose features are alike."""
        x, decoded = np.broadcast_arrays(np.atleast_1d(x), np.atleast_1d(decoded))
        wide = [np.repeat(values[:, None].astype(float), self.features, axis=1) for values in (x, decoded)]
        return self.term.rows(*wide)

    @cached_property
    def table(self) -> Array:
        """The loss of one feature for x = 0 and x = 1 (rows) at :data:`DECODED` (columns)."""
        return self._table(1 if self.averages_features else self.features)

    def _table(self, shares: int) -> Array:
        return np.stack([self._alike(x, DECODED) for x in (0.0, 1.0)]) / shares

    @cached_property
    def kind(self) -> Kind | None:
        """The known loss that it is up to a factor and a constant, if any."""
        return self._best_fit(self.table)

    def _best_fit(self, table: Array) -> Kind | None:
        return next((fit for name in KINDS if (fit := _fit(name, table)) is not None), None)

    @property
    def implied_std(self) -> float | None:
        """σ_x of the Gaussian whose negative log-density the term is, as it stands, apart from a constant."""
        if self.kind is None or self.kind.name != "squared error" or self.kind.factor <= 0:
            return None
        factor = self.kind.factor / (self.features if self.averages_features else 1)
        return float(np.sqrt(0.5 / factor))

    def total_mass(self, decoded: float, x: Array) -> float:
        """∫ exp(−loss) over an evenly spaced range of x, for one feature: 1 for a log-density."""
        return float(np.trapezoid(np.exp(-self.per_feature(x, decoded)), x))


def _fit(name: str, table: Array) -> Kind | None:
    """``table`` as factor · (the named loss) + constant, by least squares, if that leaves nothing over."""
    if not np.all(np.isfinite(table)):
        return None
    likelihood, loss = KINDS[name]
    truth = np.stack([loss(np.full_like(DECODED, x), DECODED) for x in (0.0, 1.0)]).ravel()
    design = np.stack([truth, np.ones_like(truth)], axis=1)
    (factor, constant), *_ = np.linalg.lstsq(design, table.ravel(), rcond=None)
    residual = np.abs(design @ np.array([factor, constant]) - table.ravel()).max()
    fits = residual <= 1e-3 * abs(factor) * np.ptp(truth) and abs(factor) > 1e-9
    return Kind(name, likelihood, float(factor), float(constant)) if fits else None
