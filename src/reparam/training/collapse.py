"""Posterior collapse: latents whose q no longer differs from the prior, so that their codes tell nothing."""

from __future__ import annotations

from reparam.training.metrics import Metrics

DEAD_KL = 0.01  # nats per datum


def dead_units(metrics: Metrics) -> tuple[int, ...]:
    """The numbers of the latents whose mean KL is below 0.01 nats; none where it has no closed form.

    >>> dead_units(Metrics(-90.0, -80.0, 10.0, (9.9, 0.001, 0.099), 2))
    (1,)
    """
    return tuple(unit for unit, kl in enumerate(metrics.kl_per_dimension or ()) if kl < DEAD_KL)


def collapse_warning(metrics: Metrics, highest_kl: float) -> str | None:
    """What to say where every latent is dead: which, how far, and what helps; None where one is alive.

    Args:
        metrics: of the newest epoch.
        highest_kl: of the epochs before it: a KL that still rises has not collapsed, nats.
    """
    dead = dead_units(metrics)
    if metrics.kl >= highest_kl or not dead or len(dead) < len(metrics.kl_per_dimension or ()):
        return None
    largest = max(metrics.kl_per_dimension or ())
    named = ", ".join(map(str, dead[:10])) + (", …" if len(dead) > 10 else "")
    return (
        f"posterior collapse: all {len(dead)} latents ({named}) have a KL below {DEAD_KL} nats (the largest "
        f"{largest:.1g}), so the codes tell nothing of the data. What helps: a warm-up (warmup='linear:10'), free bits "
        "(objective='free_bits:0.1'), a beta below 1, less noise in the decoder, or more epochs."
    )
