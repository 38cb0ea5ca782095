"""Does the gradient reach the encoder? Finite differences with fixed noise, and the framework's own gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from reparam.verification.arrays import Array
from reparam.verification.context import Context, SkipCheck, Verdict, failed, passed
from reparam.verification.functions import Function, UserError
from reparam.verification.oracle import SCALES
from reparam.verification.randomness import SEED, fixed_noise

STEP = 2e-2
"""Of the central differences: their error is about STEP²/6, and rounding 1e-7/STEP in single precision."""
AGREE = 3e-2
PATCH = np.s_[:2, :6]
"""The entries of each array whose derivatives are taken: two data, six columns."""


@dataclass(frozen=True)
class Route:
    """A way the gradient takes, from one array through one callable; derivatives on :data:`PATCH`.

    ``automatic``: the framework's gradient, if any; ``expected``: the derivative that the mathematics has, if known.
    """

    name: str
    differences: Array
    automatic: Array | None
    expected: Array | None = None
    rounding: float = 0.0

    @property
    def blocked(self) -> bool:
        """Whether the automatic gradient is not that of the differences."""
        if self.automatic is None or _off(self.automatic, self.differences) <= AGREE:
            return False
        return bool(np.abs(self.automatic - self.differences).max() > self.rounding)

    @property
    def wrong(self) -> bool:
        """Whether the differences are not the derivative that the mathematics has."""
        return self.expected is not None and _off(self.differences, self.expected) > AGREE

    def told(self) -> str:
        """What is wrong, in numbers."""
        if self.blocked and self.automatic is not None:
            return f"the automatic gradient of {self.name} is {_worst(self.automatic, self.differences)}"
        truth = self.differences if self.expected is None else self.expected
        return f"the derivative of {self.name} is {_worst(self.differences, truth)}"


def _worst(found: Array, truth: Array) -> str:
    i = np.unravel_index(np.abs(found - truth).argmax(), found.shape)
    value = "0" if np.abs(found).max() < 1e-9 else f"{found[i]:.3g}"
    return f"{value} where it should be {truth[i]:.3g}"


def _off(derivative: Array, truth: Array) -> float:
    return float(np.abs(derivative - truth).max() / (np.abs(truth).max() + 1e-3))


def reaches_encoder(context: Context) -> Verdict:
    """The derivative of z is 1 and σ′·ε; automatic gradients of z, KL, reconstruction and loss are the differences."""
    routes = list(_routes(context))
    if not routes:
        raise SkipCheck("nothing to differentiate: no callable, or noise of its own that cannot be repeated")
    for route in routes:
        if route.blocked:
            return failed("; ".join(each.told() for each in routes if each.blocked), _fix(route))
        if route.wrong:
            return failed(route.told(), "z = mean + σ(raw)·ε: its derivatives are 1 and σ′(raw)·ε")
    return passed("; ".join([*_by_differences(routes), _by_framework(routes)]))


def _by_differences(routes: list[Route]) -> list[str]:
    known = [route.name for route in routes if route.expected is not None]
    return ["dz/dmean = 1, dz/draw = σ′(raw)·ε by differences"] if len(known) == 2 else []


def _by_framework(routes: list[Route]) -> str:
    names = dict.fromkeys(route.name.split(" ")[0] for route in routes if route.automatic is not None)
    return f"automatic gradients of {', '.join(names)} agree" if names else "the arrays carry no automatic gradient"


def _fix(route: Route) -> str:
    if route.automatic is not None and np.abs(route.automatic).max() < 1e-9:
        return "remove detach, stop_gradient or no_grad on that path (and draw by rsample, not sample)"
    return "let every use of it carry its gradient: no detach or stop_gradient on a part"


def _routes(context: Context) -> Iterator[Route]:
    (mean, raw), (x, decoded) = context.examples.posteriors(), context.examples.data()
    decoded = 0.5 + 0.6 * (decoded - 0.5)
    if context.subject.has("sample"):
        yield from _sample_routes(context, mean, raw)
    if context.subject.has("kl") and not context.is_random(context.function("kl")):
        yield from _routes_through(context.function("kl"), [mean, raw], {"mean": 0, "raw": 1})
    if context.subject.has("reconstruction_loss"):
        yield from _routes_through(context.function("reconstruction_loss"), [x, decoded], {"decoded": 1})
    if context.subject.has("loss") and not context.is_random(context.function("loss")):
        places = {"mean": 1, "raw": 2, "decoded": 3}
        yield from _routes_through(context.function("loss"), [x, mean, raw, decoded], places)


def _routes_through(function: Function, arrays: list[Array], places: dict[str, int]) -> Iterator[Route]:
    precise = _double_precision(function, arrays)
    value = function(*arrays)
    weights = _weights(value.shape)
    rounding = 1e-6 * float(np.abs(weights * value).sum()) / STEP if value.size == 1 else 0.0
    automatic = function.gradient(list(arrays), weights)
    for name, i in places.items():
        differences = _differences(lambda *given: (weights * function(*given, precision=precise)).sum(), arrays, i)
        found = automatic[i][PATCH] if automatic else None
        yield Route(f"{function.name} in {name}", differences, found, rounding=rounding)


def _double_precision(function: Function, arrays: list[Array]) -> str | None:
    """Double precision for the differences where the function takes it."""
    try:
        return "float64" if np.all(np.isfinite(function(*arrays, precision="float64"))) else None
    except UserError:
        return None


def _sample_routes(context: Context, mean: Array, raw: Array) -> Iterator[Route]:
    """Through the sampler with its noise held: handed over, or repeated by seeding it anew for every call."""
    sampler = context.sampler
    if not sampler.held:
        return
    mean, raw = (np.resize(array, (sampler.batch, sampler.latent_dim)) for array in (mean, raw))
    eps = np.random.default_rng(SEED).standard_normal(mean.shape)

    def call(m: Array, a: Array) -> Array:
        return sampler.draw(m, a, eps)

    weights = _weights(mean.shape)
    with fixed_noise(context.subject.namespaces):
        automatic = sampler.function.gradient([mean, raw, *([eps] if sampler.given else [])], weights)
    expected = _expected(context, call, mean, raw)
    for i, name in enumerate(("mean", "raw")):
        differences = _differences(lambda *given: (weights * call(*given)).sum(), [mean, raw], i)
        truth = None if expected is None else (weights * expected[i])[PATCH]
        yield Route(f"sample in {name}", differences, automatic[i][PATCH] if automatic else None, truth)


def _expected(context: Context, call: Callable[..., Array], mean: Array, raw: Array) -> tuple[Array, Array] | None:
    """1 and σ′(raw)·ε, where the sampler is sound and its σ(·) a scale of the list; ε = (z − μ)/σ."""
    if context.sampler.trouble is not None or not context.sampler.recognition.is_scale:
        return None
    log_std = SCALES[str(context.sampler.recognition.name)]
    std, slope = np.exp(log_std(raw)), (np.exp(log_std(raw + 1e-5)) - np.exp(log_std(raw - 1e-5))) / 2e-5
    return np.ones_like(mean), slope * (call(mean, raw) - mean) / std


def _weights(shape: tuple[int, ...]) -> Array:
    """Weights that let no two entries cancel."""
    return np.random.default_rng(SEED + 3).uniform(0.5, 1.5, shape)


def _differences(total: Callable[..., Any], arrays: list[Array], i: int) -> Array:
    """Central differences of ``total`` with respect to :data:`PATCH` of the i-th array."""
    patch = np.zeros_like(arrays[i][PATCH])
    for place in np.ndindex(patch.shape):
        nudge = np.zeros_like(arrays[i])
        nudge[place] = STEP
        up, down = ([*arrays[:i], arrays[i] + step, *arrays[i + 1 :]] for step in (nudge, -nudge))
        patch[place] = float(total(*up) - total(*down)) / (2.0 * STEP)
    return patch
