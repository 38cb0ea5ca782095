"""The checks by name: what each needs and rests on, what it expects, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reparam.verification.checks import bound, extremes, gradient, kl, likelihood, loss, reductions, sampler
from reparam.verification.context import Context, Verdict


@dataclass(frozen=True)
class Check:
    """A named question: the jobs without which it is skipped, what it expects, how it is answered, what it rests on."""

    name: str
    needs: tuple[str, ...]
    expected: str
    answer: Callable[[Context], Verdict]
    after: tuple[str, ...] = ()


CHECKS: tuple[Check, ...] = (
    Check(
        "sampler-location-scale",
        ("sample",),
        "z = mean + σ(raw)·ε, ε from N(0, 1), one per datum and latent",
        sampler.location_scale,
    ),
    Check(
        "scale-range",
        ("sample",),
        "σ below 0.2 and above 1.5 within |raw| ≤ 30",
        extremes.scale_range,
        after=("sampler-location-scale",),
    ),
    Check("kl-sums-over-latents", ("kl",), "twice the latents, twice the KL", kl.sums_over_latents),
    Check(
        "kl-nonnegative-zero-at-prior",
        ("kl",),
        "KL ≥ 0, and 0 where q is the prior: mean 0, σ 1",
        kl.nonnegative_zero_at_prior,
    ),
    Check(
        "kl-matches-sampler",
        ("kl",),
        "KL of the drawn z: ½ Σ(mean² + σ² − 1 − log σ²) nats, σ being the sampler's",
        kl.matches_sampler,
        after=("sampler-location-scale", "kl-nonnegative-zero-at-prior"),
    ),
    Check(
        "reconstruction-sums-over-features",
        ("reconstruction_loss",),
        "twice the features, twice the loss",
        reductions.reconstruction_sums_over_features,
    ),
    Check(
        "likelihood-support",
        (),
        "−log p(x|z): falls as decoded nears x, a density where one is claimed, DATA in its support",
        likelihood.support,
    ),
    Check(
        "batch-reduction-consistent",
        (),
        "over the batch all terms are summed, or all are averaged",
        reductions.batch_reduction_consistent,
        after=("kl-sums-over-latents", "reconstruction-sums-over-features"),
    ),
    Check(
        "loss-is-their-sum",
        ("loss",),
        "loss = reconstruction + β·KL",
        loss.is_their_sum,
        after=("kl-nonnegative-zero-at-prior", "batch-reduction-consistent"),
    ),
    Check(
        "beta-effective",
        ("loss",),
        "the KL's weight is BETA (1 if none is declared)",
        loss.beta_effective,
        after=("loss-is-their-sum", "kl-sums-over-latents", "reconstruction-sums-over-features"),
    ),
    Check(
        "finite-at-extremes",
        (),
        "finite for |raw| ≤ 30, |mean| ≤ 1000 in single precision",
        extremes.finite_at_extremes,
    ),
    Check(
        "gradient-reaches-encoder",
        (),
        "dz/dmean = 1, dz/draw = σ′(raw)·ε; automatic gradients agree with differences",
        gradient.reaches_encoder,
    ),
    Check("bound-log-mean-exp", ("bound",), "log (1/K) Σ exp(log_w) over the sample axis", bound.is_log_mean_exp),
    Check(
        "bound-stable",
        ("bound",),
        "finite and right where one weight dominates, near ±1000",
        bound.stable,
        after=("bound-log-mean-exp",),
    ),
)
