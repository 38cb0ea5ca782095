"""What a loss is made of: loss = a + b·KL + c·reconstruction, fitted on batches of one datum."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from reparam.verification.arrays import Array
from reparam.verification.finding.signatures import Argument
from reparam.verification.functions import Function, UserError
from reparam.verification.measurements.examples import Examples
from reparam.verification.measurements.terms import Term
from reparam.verification.subject import Subject

Rows = Callable[..., Array]
SPREAD = np.linspace(0.3, 1.5, 5)[:, None]
"""How far from the prior, and from a flat decoder, the posteriors and outputs of the fit lie."""


@dataclass(frozen=True)
class Combination:
    """loss = ``constant`` + ``kl``·KL + ``reconstruction``·R, up to ``residual`` relative to the loss's variation."""

    constant: float
    kl: float
    reconstruction: float
    residual: float


def _with_beta(function: Function, value: float) -> Function:
    """The function with its parameter ``beta`` set, where it has one."""
    try:
        parameters = inspect.signature(function.call.target).parameters
    except (TypeError, ValueError):
        return function
    name = next((name for name in parameters if name.lower() == "beta"), None)
    if name is None:
        return function
    others = tuple(a for a in function.call.arguments if a.name != name)
    call = replace(function.call, arguments=(*others, Argument(name, constant=value, keyword=True)))
    changed = Function(function.name, call, function.frameworks)
    changed.kind = function.kind
    return changed


@dataclass
class ObjectiveMeasurement:
    """The user's ``loss``, taken apart with the help of its terms."""

    function: Function
    kl: Rows
    reconstruction: Rows
    examples: Examples

    @cached_property
    def term(self) -> Term:
        """One loss per datum."""
        (mean, raw), (x, decoded) = self.examples.posteriors(), self.examples.data()
        return Term(self.function, (x, mean, raw, decoded))

    @cached_property
    def posteriors(self) -> tuple[Array, Array]:
        """Five posteriors ever further from the prior."""
        mean, raw = self.examples.posteriors(len(SPREAD))
        return mean * SPREAD, raw * SPREAD

    @cached_property
    def outputs(self) -> tuple[Array, Array]:
        """Five pairs of data and decoder outputs."""
        x, decoded = self.examples.data(len(SPREAD))
        return x, 0.5 + (decoded - 0.5) * SPREAD[::-1] / SPREAD.max()

    @cached_property
    def table(self) -> Array:
        """The loss at every posterior (rows) and every pair of data and outputs (columns)."""
        (mean, raw), (x, decoded) = self.posteriors, self.outputs
        i, j = (index.ravel() for index in np.indices((len(SPREAD), len(SPREAD))))
        losses = self.term.rows(x[j], mean[i], raw[i], decoded[j])
        if not np.all(np.isfinite(losses)):
            raise UserError("loss", "loss is not finite for ordinary means, raw numbers and decoder outputs")
        return losses.reshape(len(SPREAD), len(SPREAD))

    @cached_property
    def combination(self) -> Combination:
        """Least squares over the table; what has no term of its own is absorbed by one constant per column."""
        kl = self.kl(*self.posteriors)
        reconstruction = self.reconstruction(*self.outputs)
        design = np.stack([g.ravel() for g in np.meshgrid(kl, reconstruction, indexing="ij")], axis=1)
        design = np.concatenate([np.ones((len(design), 1)), design], axis=1)
        (constant, b, c), *_ = np.linalg.lstsq(design, self.table.ravel(), rcond=None)
        residual = np.abs(design @ np.array([constant, b, c]) - self.table.ravel()).max()
        return Combination(float(constant), float(b), float(c), float(residual / (1.0 + np.ptp(self.table))))

    def slope_in_beta(self, subject: Subject) -> Array | None:
        """How much one more β adds to the loss at each posterior; None where β cannot be moved."""
        beta = 1.0 if subject.declared.beta is None else subject.declared.beta
        x, decoded = (np.repeat(array[:1], len(SPREAD), axis=0) for array in self.outputs)
        losses = []
        for value in (beta, beta + 1.0):
            term = Term(_with_beta(self.function, value), self.term.example)
            with subject.with_beta(value):
                losses.append(term.rows(x, *self.posteriors, decoded))
        return None if np.array_equal(losses[0], losses[1]) else losses[1] - losses[0]

    def parts_growth(self) -> tuple[float, float]:
        """N-fold growth of the loss's KL part and reconstruction part from the mean datum to the batch of N.

        1 for a part that is averaged over the batch, N for one that is summed.
        """
        x, mean, raw, decoded = self.term.example
        nearer = (x, 0.5 * mean, raw, decoded)
        sharper = (x, mean, raw, 0.5 + 0.5 * (decoded - 0.5))
        return self._growth(nearer), self._growth(sharper)

    def _growth(self, changed: tuple[Array, ...]) -> float:
        alone = float((self.term.rows(*changed) - self.term.rows(*self.term.example)).mean())
        whole = self.term.batch(*changed) - self.term.batch(*self.term.example)
        return whole / alone if abs(alone) > 1e-9 else float("nan")
