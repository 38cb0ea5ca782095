"""How far σ reaches, and whether anything overflows where networks go."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from reparam.verification.arrays import Array
from reparam.verification.context import Context, SkipCheck, Verdict, failed, passed, warned
from reparam.verification.randomness import SEED
from reparam.verification.subject import UserError

REACH = np.array([-30.0, -20.0, -10.0, -6.0, 0.0, 6.0, 10.0, 20.0, 30.0])
NARROW, WIDE = 0.2, 1.5


def scale_range(context: Context) -> Verdict:
    """Σ goes well below and above 1 for raw numbers that a network can give."""
    if context.sampler.trouble is not None:
        raise SkipCheck("σ(raw) could not be measured: see sampler-location-scale")
    std = _std_over_reach(context)
    finite = std[np.isfinite(std)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (np.nan, np.nan)
    measured = f"σ in [{low:.3g}, {high:.3g}] for |raw| ≤ 30"
    if low > NARROW:
        return failed(
            measured, "σ cannot become small: feed raw unconstrained (no ReLU, softplus or tight clamp before it)"
        )
    if high < WIDE:
        return failed(
            measured, "σ cannot exceed 1 by much: feed raw unconstrained (no sigmoid or tight clamp before it)"
        )
    return passed(measured)


def _std_over_reach(context: Context) -> Array:
    sampler = context.sampler.sampler
    if sampler.noise == "given":
        return sampler.std(REACH)
    return np.array([sampler.draw(*sampler.constant(0.0, a, sampler.rows), seed=SEED + 300).std() for a in REACH])


def finite_at_extremes(context: Context) -> Verdict:
    """Sampler, KL and loss stay finite in single precision; further out and in half precision is only told."""
    if not any(context.has(name) for name in ("sample", "kl", "loss", "reconstruction_loss")):
        raise SkipCheck("the file defines neither sample, kl, loss nor reconstruction_loss")
    broken = _not_finite(context, 30.0, 1e3, "float32", raising=None)
    if broken:
        return failed(f"not finite: {broken}", "compute with logaddexp, log1p, expm1 or a wide clamp of raw")
    further = {
        "|raw| ≤ 100": _not_finite(context, 100.0, 1e3, "float32", raising=False),
        "half precision": _not_finite(context, 30.0, 1e2, "float16", raising=True),
        "saturated decoder outputs": _decoder_not_finite(context),
    }
    told = "; ".join(f"{where}: {what}" for where, what in further.items() if what)
    if told:
        return warned(
            f"finite for |raw| ≤ 30, further out not: {told}", "clamp raw widely (-20 … 20); take losses of logits"
        )
    return passed("finite also for |raw| ≤ 100, in half precision and at saturated decoder outputs")


def _not_finite(context: Context, raw: float, mean: float, precision: str, raising: bool | None) -> str:
    """Which callables are not finite when raw and mean are of these sizes, and where first.

    A callable that raises counts as finite or not as ``raising`` says (a framework may lack an operation in half
    precision); with None its exception is told.
    """
    points = [(m, a) for a in (-raw, -raw / 2, 0.0, raw / 2, raw) for m in (-mean, 0.0, mean)]
    points.sort(key=lambda point: (abs(point[1]), abs(point[0])))
    found = []
    for name, call in _calls(context, precision):
        bad = next(((m, a) for m, a in points if not _is_finite(call, m, a, raising)), None)
        found += [f"{name} at raw {bad[1]:g}, mean {bad[0]:g}"] if bad else []
    return ", ".join(found)


def _is_finite(call: Callable[..., Array], first: Any, second: Any, raising: bool | None) -> bool:
    try:
        return bool(np.all(np.isfinite(call(first, second))))
    except UserError:
        if raising is None:
            raise
        return bool(raising)


def _calls(context: Context, precision: str) -> Iterator[tuple[str, Callable[[float, float], Array]]]:
    """The callables that take means and raw numbers, as functions of one of each."""
    shape = (context.count, context.latent_dim)
    x, decoded = context.examples.data()

    def wide(value: float) -> Array:
        return np.full(shape, value)

    if context.has("sample"):
        yield "sample", lambda mean, raw: _sample(context, wide(mean), wide(raw), precision)
    if context.has("kl"):
        kl = context.function("kl")
        yield "kl", lambda mean, raw: kl(wide(mean), wide(raw), precision=precision)
    if context.has("loss"):
        loss = context.function("loss")
        yield "loss", lambda mean, raw: loss(x, wide(mean), wide(raw), decoded, precision=precision)


def _sample(context: Context, mean: Array, raw: Array, precision: str) -> Array:
    sampler = context.sampler.sampler
    return sampler.draw(mean, raw, precision=precision)


def _decoder_not_finite(context: Context) -> str:
    """Where decoder outputs are logits, far ones; where they are probabilities, saturated ones."""
    if not context.has("reconstruction_loss") or context.reconstruction.kind is None:
        return ""
    kind = context.reconstruction.kind
    if kind.likelihood == "poisson":
        return ""
    outputs = (0.0, 1.0) if kind.name == "cross-entropy of probabilities" else (-100.0, -30.0, 30.0, 100.0)
    function, shape = context.function("reconstruction_loss"), (context.count, context.features)
    for output, x in itertools.product(outputs, (0.0, 1.0)):
        arrays = np.full(shape, x), np.full(shape, output)
        if not _is_finite(lambda *given: function(*given, precision="float32"), *arrays, False):
            return f"reconstruction_loss at x {x:g}, decoded {output:g}"
    return ""
