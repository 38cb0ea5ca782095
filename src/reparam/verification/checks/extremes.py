"""How far σ reaches, and whether anything overflows where networks go."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from reparam.verification.arrays import Array
from reparam.verification.context import CannotTell, Context, SkipCheck, Verdict, failed, passed, warned
from reparam.verification.functions import UserError

REACH = np.array([-30.0, -20.0, -10.0, -6.0, 0.0, 6.0, 10.0, 20.0, 30.0])
NARROW, WIDE = 0.2, 1.5


def scale_range(context: Context) -> Verdict:
    """Σ goes well below and above 1 for raw numbers that a network can give."""
    with np.errstate(all="ignore"):
        std = context.sampler.std_of(REACH)
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


def finite_at_extremes(context: Context) -> Verdict:
    """Sampler, KL and loss stay finite in single precision; a decoder's saturated outputs are only warned of."""
    broken = _not_finite(context)
    if broken:
        return failed(f"not finite: {broken}", "compute with logaddexp, log1p, expm1 or a wide clamp of raw")
    saturated = _decoder_not_finite(context)
    if saturated:
        return warned(
            f"a saturated decoder gives infinity: {saturated}", "take the loss of logits, or clamp the probabilities"
        )
    return passed("finite for |raw| ≤ 30 and |mean| ≤ 1000 in single precision")


def _not_finite(context: Context) -> str:
    """Which callables are not finite where single-precision networks go, and where first."""
    points = [(m, a) for a in (-30.0, -15.0, 0.0, 15.0, 30.0) for m in (-1e3, 0.0, 1e3)]
    points.sort(key=lambda point: (abs(point[1]), abs(point[0])))
    found = []
    for name, call in _calls(context):
        bad = next(((m, a) for m, a in points if not np.all(np.isfinite(call(m, a)))), None)
        found += [f"{name} at raw {bad[1]:g}, mean {bad[0]:g}"] if bad else []
    return ", ".join(found)


def _calls(context: Context) -> Iterator[tuple[str, Callable[[float, float], Array]]]:
    """The callables that take means and raw numbers, as functions of one of each."""
    shape = (context.count, context.latent_dim)
    x, decoded = context.examples.data()

    def wide(value: float) -> Array:
        return np.full(shape, value)

    if context.subject.has("sample"):
        sampler = context.sampler
        yield "sample", lambda mean, raw: sampler.draw(*sampler.constant(mean, raw, sampler.batch), precision="float32")
    if context.subject.has("kl"):
        kl = context.function("kl")
        yield "kl", lambda mean, raw: kl(wide(mean), wide(raw), precision="float32")
    if context.subject.has("loss"):
        loss = context.function("loss")
        yield "loss", lambda mean, raw: loss(x, wide(mean), wide(raw), decoded, precision="float32")


def _decoder_not_finite(context: Context) -> str:
    """Where decoder outputs are logits, far ones; where they are probabilities, saturated ones."""
    if not context.has("reconstruction_loss"):
        return ""
    try:
        kind = context.reconstruction.kind
    except (CannotTell, SkipCheck, UserError):
        return ""
    if kind is None or kind.likelihood == "poisson":
        return ""
    outputs = (0.0, 1.0) if kind.name == "cross-entropy of probabilities" else (-100.0, -30.0, 30.0, 100.0)
    function, shape = context.reconstruction.function, (context.count, context.features)
    for output, x in itertools.product(outputs, (0.0, 1.0)):
        try:
            value = function(np.full(shape, x), np.full(shape, output), precision="float32")
        except UserError:
            continue
        if not np.all(np.isfinite(value)):
            return f"the reconstruction loss at x {x:g}, decoded {output:g}"
    return ""
