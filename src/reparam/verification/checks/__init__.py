"""The checks by name: what each asks and why, what it needs and rests on, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reparam.errors import UnknownNameError
from reparam.verification.checks import bound, extremes, gradient, kl, likelihood, loss, reductions, sampler
from reparam.verification.context import Context, Verdict


@dataclass(frozen=True)
class Check:
    """A named question: what it expects, why, the mathematics, a broken and a mended example, and who answers.

    ``needs``: the jobs without which it is skipped; ``wants``: those without which its answer says too little;
    ``after``: the checks that it rests on.
    """

    name: str
    expected: str
    answer: Callable[[Context], Verdict]
    why: str
    mathematics: str
    broken: str
    mended: str
    needs: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def about(self) -> set[str]:
        """The jobs that it judges."""
        return {*self.needs, *self.wants}

    def __str__(self) -> str:
        """It in a few lines, for ``--explain``."""
        rests = f"\nRests on:    {', '.join(self.after)}" if self.after else ""
        return (
            f"{self.name}: {self.expected}.\n\nWhy:         {self.why}\nMathematics: {self.mathematics}\n"
            f"Broken:      {self.broken}\nMended:      {self.mended}{rests}"
        )


CHECKS: tuple[Check, ...] = (
    Check(
        "sampler-location-scale",
        "z = mean + σ(raw)·ε, ε from N(0, 1), one per datum and latent",
        sampler.location_scale,
        "If z is not drawn from q(z|x), the bound that is reported is not the bound of the model that is trained.",
        "z = μ + σ(raw)·ε, ε ~ N(0, I), one ε per datum and latent (Kingma & Welling 2014, section 2.4)",
        "return mu + torch.exp(0.5 * logvar) * torch.rand_like(mu)",
        "return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)",
        needs=("sample",),
    ),
    Check(
        "scale-range",
        "σ below 0.2 and above 1.5 within |raw| ≤ 30",
        extremes.scale_range,
        "A σ that cannot become small keeps the code noisy; one that cannot exceed 1 cannot switch a latent off.",
        "σ(raw) goes below 0.2 and above 1.5 while raw goes through what a network can give",
        "logvar = F.softplus(self.fc_logvar(h))  # then σ ≥ 1",
        "logvar = self.fc_logvar(h)",
        needs=("sample",),
        after=("sampler-location-scale",),
    ),
    Check(
        "kl-sums-over-latents",
        "twice the latents, twice the KL",
        kl.sums_over_latents,
        "A mean over D latents makes the KL D times too small: an effective β of 1/D.",
        "KL(q‖p) = Σ_d KL(q_d‖p_d) for independent latents",
        "kl = -0.5 * torch.mean(1 + logvar - mu**2 - logvar.exp())",
        "kl = -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp(), dim=1).mean()",
        needs=("kl",),
    ),
    Check(
        "kl-nonnegative-zero-at-prior",
        "KL ≥ 0, and 0 where q is the prior: mean 0, σ 1",
        kl.nonnegative_zero_at_prior,
        "A KL below zero, or not zero at the prior, rewards the posterior for being something else than it should.",
        "KL(q‖p) ≥ 0, and 0 only for q = p: μ = 0, σ = 1",
        "kl = 0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())",
        "kl = -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())",
        needs=("kl",),
    ),
    Check(
        "kl-matches-sampler",
        "KL of the drawn z: ½ Σ(mean² + σ² − 1 − log σ²) nats, σ being the sampler's",
        kl.matches_sampler,
        "Sampler and KL that read one number as two different σ train without complaint, towards neither.",
        "KL = ½ Σ(μ² + σ² − 1 − ln σ²), σ being that of the z that are drawn",
        "z = mu + torch.exp(logvar) * eps; kl = -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())",
        "z = mu + torch.exp(0.5 * logvar) * eps; kl as before",
        needs=("kl",),
        wants=("sample",),
        after=("sampler-location-scale", "kl-nonnegative-zero-at-prior"),
    ),
    Check(
        "reconstruction-sums-over-features",
        "twice the features, twice the loss",
        reductions.reconstruction_sums_over_features,
        "A mean over P features against a KL in nats is an effective β of P: 784 for a digit.",
        "log p(x|z) = Σ_p log p(x_p|z)",
        "F.mse_loss(recon, x) + kl",
        "F.mse_loss(recon, x, reduction='sum') / len(x) + kl",
        needs=("reconstruction_loss",),
    ),
    Check(
        "likelihood-support",
        "−log p(x|z): falls as decoded nears x, a density where one is claimed, DATA in its support",
        likelihood.support,
        "A loss that is no −log p(x|z) gives a bound in no units; data where p = 0 have no likelihood at all.",
        "∫ exp(−loss) dx = 1, lowest where the decoder's output is x, p > 0 on the data",
        "F.binary_cross_entropy_with_logits(torch.sigmoid(logits), x)",
        "F.binary_cross_entropy_with_logits(logits, x)",
        wants=("reconstruction_loss",),
    ),
    Check(
        "batch-reduction-consistent",
        "over the batch all terms are summed, or all are averaged",
        reductions.batch_reduction_consistent,
        "One term summed and the other averaged over N data is an effective β of N or 1/N.",
        "loss = (1/N) Σ_n (R_n + β·KL_n), or N times that",
        "recon.sum() + kl.mean()",
        "(recon + kl).mean()",
        wants=("kl", "reconstruction_loss"),
        after=("kl-sums-over-latents", "reconstruction-sums-over-features"),
    ),
    Check(
        "loss-is-their-sum",
        "loss = reconstruction + β·KL",
        loss.is_their_sum,
        "A KL that is subtracted, forgotten or weighed together with the reconstruction is not an ELBO's.",
        "loss = R(x, x̂) + β·KL(q‖p)",
        "return recon_loss - kl",
        "return recon_loss + kl",
        needs=("loss",),
        after=("kl-nonnegative-zero-at-prior", "batch-reduction-consistent"),
    ),
    Check(
        "beta-effective",
        "the KL's weight is BETA (1 if none is declared)",
        loss.beta_effective,
        "A weight that nobody declared makes figures incomparable, and a β in the wrong place does nothing.",
        "∂loss/∂KL = β, relative to the reconstruction's weight",
        "return recon + 0.00025 * kl",
        "BETA = 0.00025; return recon + BETA * kl",
        needs=("loss",),
        after=("loss-is-their-sum", "kl-sums-over-latents", "reconstruction-sums-over-features"),
    ),
    Check(
        "finite-at-extremes",
        "finite for |raw| ≤ 30, |mean| ≤ 1000 in single precision",
        extremes.finite_at_extremes,
        "One infinite number ends a training run; a decoder that saturates gives one sooner or later.",
        "finite for |raw| ≤ 30 and |μ| ≤ 1000 in single precision",
        "std = torch.log(1 + torch.exp(raw))",
        "std = F.softplus(raw)",
    ),
    Check(
        "gradient-reaches-encoder",
        "dz/dmean = 1, dz/draw = σ′(raw)·ε; automatic gradients agree with differences",
        gradient.reaches_encoder,
        "Where the path is cut, the encoder learns from the KL alone and collapses to the prior.",
        "∂z/∂μ = 1, ∂z/∂raw = σ′(raw)·ε; automatic gradients equal finite differences",
        "z = Normal(mu, std).sample()",
        "z = Normal(mu, std).rsample()",
        wants=("sample",),
    ),
    Check(
        "bound-log-mean-exp",
        "log (1/K) Σ exp(log_w) over the sample axis",
        bound.is_log_mean_exp,
        "What is reported as an importance-weighted bound must be one: no larger, over the right axis, rising with K.",
        "L_K = log (1/K) Σ_k w_k (Burda, Grosse & Salakhutdinov 2016, equation 8)",
        "(torch.softmax(log_w, 1) * log_w).sum(1)",
        "torch.logsumexp(log_w, 1) - math.log(log_w.shape[1])",
        needs=("bound",),
    ),
    Check(
        "bound-stable",
        "finite and right where one weight dominates, near ±1000",
        bound.stable,
        "Log-weights of images lie near -1000, where exp is zero.",
        "log Σ exp(a) = m + log Σ exp(a − m), m = max a",
        "torch.log(torch.mean(torch.exp(log_w), 1))",
        "torch.logsumexp(log_w, 1) - math.log(log_w.shape[1])",
        needs=("bound",),
        after=("bound-log-mean-exp",),
    ),
)


def check_named(name: str) -> Check:
    """A check, by a name with hyphens or underscores.

    Raises:
        UnknownNameError: none has this name.

    >>> print(str(check_named("bound_stable")).splitlines()[0])
    bound-stable: finite and right where one weight dominates, near ±1000.
    """
    found = next((check for check in CHECKS if check.name == name.replace("_", "-")), None)
    if found is None:
        raise UnknownNameError("check", name, [check.name for check in CHECKS])
    return found
