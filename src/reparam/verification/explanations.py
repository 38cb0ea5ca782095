"""``--explain CHECK``: what it asks, why it matters, the mathematics, a broken and a mended example."""

from __future__ import annotations

from dataclasses import dataclass

from reparam.errors import UnknownNameError
from reparam.verification.checks import CHECKS


@dataclass(frozen=True)
class Explanation:
    """Why a check is there; what it expects stands in the registry."""

    why: str
    mathematics: str
    broken: str
    mended: str


EXPLANATIONS: dict[str, Explanation] = {
    "sampler-location-scale": Explanation(
        "If z is not drawn from q(z|x), the bound that is reported is not the bound of the model that is trained.",
        "z = μ + σ(raw)·ε, ε ~ N(0, I), one ε per datum and latent (Kingma & Welling 2014, section 2.4)",
        "return mu + torch.exp(0.5 * logvar) * torch.rand_like(mu)",
        "return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)",
    ),
    "scale-range": Explanation(
        "A σ that cannot become small keeps the code noisy; one that cannot exceed 1 cannot switch a latent off.",
        "σ(raw) goes below 0.2 and above 1.5 while raw goes through what a network can give",
        "logvar = F.softplus(self.fc_logvar(h))  # then σ ≥ 1",
        "logvar = self.fc_logvar(h)",
    ),
    "kl-sums-over-latents": Explanation(
        "A mean over D latents makes the KL D times too small: an effective β of 1/D.",
        "KL(q‖p) = Σ_d KL(q_d‖p_d) for independent latents",
        "kl = -0.5 * torch.mean(1 + logvar - mu**2 - logvar.exp())",
        "kl = -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp(), dim=1).mean()",
    ),
    "kl-nonnegative-zero-at-prior": Explanation(
        "A KL below zero, or not zero at the prior, rewards the posterior for being something else than it should.",
        "KL(q‖p) ≥ 0, and 0 only for q = p: μ = 0, σ = 1",
        "kl = 0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())",
        "kl = -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())",
    ),
    "kl-matches-sampler": Explanation(
        "Sampler and KL that read one number as two different σ train without complaint, towards neither.",
        "KL = ½ Σ(μ² + σ² − 1 − ln σ²), σ being that of the z that are drawn",
        "z = mu + torch.exp(logvar) * eps; kl = -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())",
        "z = mu + torch.exp(0.5 * logvar) * eps; kl as before",
    ),
    "reconstruction-sums-over-features": Explanation(
        "A mean over P features against a KL in nats is an effective β of P: 784 for a digit.",
        "log p(x|z) = Σ_p log p(x_p|z)",
        "F.mse_loss(recon, x) + kl",
        "F.mse_loss(recon, x, reduction='sum') / len(x) + kl",
    ),
    "likelihood-support": Explanation(
        "A loss that is no −log p(x|z) gives a bound in no units; data where p = 0 have no likelihood at all.",
        "∫ exp(−loss) dx = 1, lowest where the decoder's output is x, p > 0 on the data",
        "F.binary_cross_entropy_with_logits(torch.sigmoid(logits), x)",
        "F.binary_cross_entropy_with_logits(logits, x)",
    ),
    "batch-reduction-consistent": Explanation(
        "One term summed and the other averaged over N data is an effective β of N or 1/N.",
        "loss = (1/N) Σ_n (R_n + β·KL_n), or N times that",
        "recon.sum() + kl.mean()",
        "(recon + kl).mean()",
    ),
    "loss-is-their-sum": Explanation(
        "A KL that is subtracted, forgotten or weighed together with the reconstruction is not an ELBO's.",
        "loss = R(x, x̂) + β·KL(q‖p)",
        "return recon_loss - kl",
        "return recon_loss + kl",
    ),
    "beta-effective": Explanation(
        "A weight that nobody declared makes figures incomparable, and a β in the wrong place does nothing.",
        "∂loss/∂KL = β, relative to the reconstruction's weight",
        "return recon + 0.00025 * kl",
        "BETA = 0.00025; return recon + BETA * kl",
    ),
    "finite-at-extremes": Explanation(
        "One infinite number ends a training run; a decoder that saturates gives one sooner or later.",
        "finite for |raw| ≤ 30 and |μ| ≤ 1000 in single precision",
        "std = torch.log(1 + torch.exp(raw))",
        "std = F.softplus(raw)",
    ),
    "gradient-reaches-encoder": Explanation(
        "Where the path is cut, the encoder learns from the KL alone and collapses to the prior.",
        "∂z/∂μ = 1, ∂z/∂raw = σ′(raw)·ε; automatic gradients equal finite differences",
        "z = Normal(mu, std).sample()",
        "z = Normal(mu, std).rsample()",
    ),
    "bound-log-mean-exp": Explanation(
        "What is reported as an importance-weighted bound must be one: no larger, over the right axis, rising with K.",
        "L_K = log (1/K) Σ_k w_k (Burda, Grosse & Salakhutdinov 2016, equation 8)",
        "(torch.softmax(log_w, 1) * log_w).sum(1)",
        "torch.logsumexp(log_w, 1) - math.log(log_w.shape[1])",
    ),
    "bound-stable": Explanation(
        "Log-weights of images lie near -1000, where exp is zero.",
        "log Σ exp(a) = m + log Σ exp(a − m), m = max a",
        "torch.log(torch.mean(torch.exp(log_w), 1))",
        "torch.logsumexp(log_w, 1) - math.log(log_w.shape[1])",
    ),
}


def explain(name: str) -> str:
    """A check in a few lines.

    Raises:
        UnknownNameError: no check has this name.

    >>> print(explain("bound-stable").splitlines()[0])
    bound-stable: finite and right where one weight dominates, near ±1000.
    """
    check = next((check for check in CHECKS if check.name == name.replace("_", "-")), None)
    if check is None:
        raise UnknownNameError("check", name, [check.name for check in CHECKS])
    told = EXPLANATIONS[check.name]
    rests = f"\nRests on:    {', '.join(check.after)}" if check.after else ""
    return (
        f"{check.name}: {check.expected}.\n\nWhy:         {told.why}\nMathematics: {told.mathematics}\n"
        f"Broken:      {told.broken}\nMended:      {told.mended}{rests}"
    )
