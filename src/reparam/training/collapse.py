"""Posterior collapse: latents whose q no longer differs from the prior, so that their codes tell nothing."""

from __future__ import annotations

from collections.abc import Sequence

from reparam.training.metrics import Metrics

DEAD_KL = 0.01  # nats per datum
PATIENCE = 5  # epochs


def dead_units(metrics: Metrics) -> tuple[int, ...]:
    """The numbers of the latents whose mean KL is below 0.01 nats; none where it has no closed form.

    >>> dead_units(Metrics(-90.0, -80.0, 10.0, (9.9, 0.001, 0.099), 2))
    (1,)
    """
    return tuple(unit for unit, kl in enumerate(metrics.kl_per_dimension or ()) if kl < DEAD_KL)


def collapse_warning(metrics: Metrics, before: Sequence[float], *, last: bool = False) -> str | None:
    """What to say where every latent is dead: which, how far, and what helps; None where one is alive.

    A KL that begins near zero may yet rise, so during training only one that has not risen for five epochs counts.

    Args:
        metrics: of the newest epoch.
        before: the KL of the epochs before it, nats.
        last: whether training ends here, so that nothing can rise any more.
    """
    units = len(metrics.kl_per_dimension or ())
    dead = dead_units(metrics)
    all_dead = len(dead) == units if units else metrics.kl < DEAD_KL
    rising = metrics.kl >= max(before[-PATIENCE:], default=0.0)
    if not all_dead or len(before) + 1 < PATIENCE or (rising and not last):
        return None
    largest = max(metrics.kl_per_dimension or (metrics.kl,))
    named = ", ".join(map(str, dead[:10])) + (", …" if len(dead) > 10 else "")
    which = f"all {units} latents ({named}) have" if units else "all latents together have"
    return (
        f"posterior collapse: {which} a KL below {DEAD_KL} nats (the largest {largest:.1g}), so the codes tell nothing "
        "of the data. What helps: a warm-up (warmup='linear:10'), free bits (objective='free_bits:0.1'), a beta below "
        "1, less noise in the decoder, or more epochs."
    )
