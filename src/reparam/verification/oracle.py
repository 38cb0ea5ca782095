r"""The truth that code is held against: standard deviations by name, closed forms, exact noise.

Everything is in NumPy and double precision, and nothing is shared with the rest of the project.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from reparam.errors import UnknownNameError
from reparam.verification.arrays import Array

CORE = np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
"""Raw numbers where a scale shows its kind: no sensible limit binds there."""

LogStd = Callable[[Array], Array]


def log_softplus(a: Array) -> Array:
    """Ln ln(1 + e^a), which tends to a far below zero."""
    return np.where(a < -30.0, a, np.log(np.logaddexp(0.0, np.maximum(a, -30.0))))


def bounded(minimum: float, maximum: float) -> LogStd:
    """Ln σ = m + h u(a/h) with u(t) = t/√(1+t²): from ln ``minimum`` to ln ``maximum``."""
    low, high = np.log(minimum), np.log(maximum)
    middle, half_width = 0.5 * (low + high), 0.5 * (high - low)

    def log_std(a: Array) -> Array:
        t = a / half_width
        return np.asarray(middle + half_width * t / np.sqrt(1.0 + t * t))

    return log_std


SCALES: dict[str, LogStd] = {
    "log_variance": lambda a: 0.5 * a,
    "log_std": lambda a: 1.0 * a,
    "softplus": log_softplus,
    "softplus_variance": lambda a: 0.5 * log_softplus(a),
    "log_precision": lambda a: -0.5 * a,
    "bounded": bounded(1e-3, 1e3),
}
"""Name → ln σ of the raw number."""

MISTAKES: dict[str, LogStd] = {
    "exp(2·raw), as if raw were ½ log σ": lambda a: 2.0 * a,
    "exp(−raw), as if raw were log 1/σ": lambda a: -1.0 * a,
    "exp(¼·raw), a root too many": lambda a: 0.25 * a,
    "sigmoid(raw)": lambda a: -np.logaddexp(0.0, -a),
    "√sigmoid(raw)": lambda a: -0.5 * np.logaddexp(0.0, -a),
    "exp(½·softplus(raw)): a softplus in front of a log-variance": lambda a: 0.5 * np.logaddexp(0.0, a),
    "exp(softplus(raw)): a softplus in front of a log-standard-deviation": lambda a: np.logaddexp(0.0, a),
    "exp(½·relu(raw)): a ReLU in front of a log-variance": lambda a: 0.5 * np.maximum(a, 0.0),
    "exp(relu(raw)): a ReLU in front of a log-standard-deviation": lambda a: np.maximum(a, 0.0),
    "exp(½·sigmoid(raw)): a sigmoid in front of a log-variance": lambda a: 0.5 * special.expit(a),
    "exp(sigmoid(raw)): a sigmoid in front of a log-standard-deviation": special.expit,
    "exp(½·tanh(raw)): a tanh in front of a log-variance": lambda a: 0.5 * np.tanh(a),
    "exp(tanh(raw)): a tanh in front of a log-standard-deviation": np.tanh,
}
"""Maps seen in the wild that are no scale of the list: named so that a finding can say what was found."""

MEANING = {
    "log_variance": "log σ²",
    "log_std": "log σ",
    "softplus": "softplus⁻¹(σ)",
    "softplus_variance": "softplus⁻¹(σ²)",
    "log_precision": "−log σ²",
    "bounded": "a bounded log σ",
}

FORMULA = {
    "log_variance": "exp(0.5·raw)",
    "log_std": "exp(raw)",
    "softplus": "softplus(raw)",
    "softplus_variance": "√softplus(raw)",
    "log_precision": "exp(-0.5·raw)",
    "bounded": "exp of the bounded raw",
}


def scale_named(specification: str) -> LogStd:
    """The ln σ(·) of a declared name, ``"bounded:MIN,MAX"`` included.

    Raises:
        UnknownNameError: no scale has this name.
    """
    name, _, arguments = specification.partition(":")
    if name == "bounded" and arguments:
        try:
            low, high = (float(number) for number in arguments.split(","))
        except ValueError:
            low = high = 0.0
        if 0.0 < low < high < np.inf:
            return bounded(low, high)
    if name not in SCALES or arguments:
        raise UnknownNameError("SCALE", specification, SCALES)
    return SCALES[name]


@dataclass(frozen=True)
class Recognition:
    """The map that σ(·) was found to be: ``factor`` times the one of that name; ``name`` is None for none known."""

    name: str | None
    factor: float

    @property
    def is_scale(self) -> bool:
        """Whether it is a scale of the list, not scaled by any factor."""
        return self.name in SCALES and abs(self.factor - 1.0) < 1e-2

    def __str__(self) -> str:
        """In words, for a finding."""
        if self.name is None:
            return "no scale of the list"
        times = "" if abs(self.factor - 1.0) < 1e-2 else f"{self.factor:.3g} × "
        return times + (f"{FORMULA[self.name]} ({self.name})" if self.name in SCALES else self.name)


def recognise(raw: Array, log_std: Array, tolerance: float = 2e-2) -> Recognition:
    """Find the named map whose ln σ differs from ``log_std`` by nothing, or else by a constant."""
    known = {**SCALES, **MISTAKES}
    off = {name: log_std - log_sigma(raw) for name, log_sigma in known.items()}
    nearest = min(off, key=lambda name: float(np.abs(off[name]).max()))
    if np.abs(off[nearest]).max() < tolerance:
        return Recognition(nearest, 1.0)
    parallel = min(off, key=lambda name: float(np.ptp(off[name])))
    if np.ptp(off[parallel]) < tolerance:
        return Recognition(parallel, float(np.exp(off[parallel].mean())))
    return Recognition(None, 1.0)


def gaussian_kl(mean: Array, log_std: Array) -> Array:
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½(μ² + σ² − 1) − ln σ, per latent, in nats (Kingma & Welling 2014, Appendix B)."""
    return np.asarray(0.5 * (mean**2 + np.expm1(2.0 * log_std)) - log_std)


def exact_noise(count: int) -> Array:
    """Normal quantiles at the midpoints of ``count`` equal probabilities, with mean 0 and variance 1 exactly."""
    eps = special.ndtri((np.arange(count) + 0.5) / count)
    return np.asarray((eps - eps.mean()) / eps.std())


def lowest(function: Callable[[Array], Array], reach: float = 12.0) -> tuple[float, float]:
    """(where, how low) a function of one number is lowest within ±``reach``, by a grid drawn closer five times."""
    centre, width = 0.0, reach
    for _ in range(5):
        grid = np.linspace(centre - width, centre + width, 25)
        values = function(grid)
        values = np.where(np.isfinite(values), values, np.inf)
        centre, best, width = float(grid[values.argmin()]), float(values.min()), width / 10.0
    return centre, best


def not_normal(eps: Array) -> float:
    """P-value of Kolmogorov's test of many numbers against N(0, 1)."""
    ordered = special.ndtr(np.sort(eps.ravel()))
    ranks = np.arange(ordered.size + 1) / ordered.size
    distance = max(float((ranks[1:] - ordered).max()), float((ordered - ranks[:-1]).max()))
    return float(special.kolmogorov(np.sqrt(ordered.size) * distance))


def log_mean_exp(log_w: Array, axis: int = -1) -> Array:
    """Ln (1/K) Σ_k w_k, the importance-weighted bound (Burda, Grosse & Salakhutdinov 2016, equation 8)."""
    return np.asarray(special.logsumexp(log_w, axis=axis) - np.log(log_w.shape[axis]))
