"""Broken variational autoencoders in PyTorch: each class has one mistake seen in public code."""

import torch
import torch.nn.functional as F
from correct_torch import Distributions, Example


class Detached(Example):
    """The noise scaled by a detached std: raw learns nothing from the reconstruction."""

    FAILS = ("gradient-reaches-encoder",)

    def sample(self, mu, logvar):
        std = torch.exp(0.5 * logvar).detach()
        return mu + torch.randn_like(std) * std


class SampleNotRsample(Distributions):
    """sample() where rsample() belongs: no gradient at all."""

    FAILS = ("gradient-reaches-encoder",)

    def sample(self, mean, raw):
        return self.posterior(mean, raw).sample()


class NoGrad(Distributions):
    """The sampler under no_grad, left over from evaluation."""

    FAILS = ("gradient-reaches-encoder",)

    @torch.no_grad()
    def sample(self, mean, raw, eps):
        return mean + F.softplus(raw) * eps


class DetachedKL(Distributions):
    """The KL computed for logging, and then used."""

    FAILS = ("gradient-reaches-encoder",)

    def kl(self, mean, raw):
        return super().kl(mean, raw).detach()


class RandLike(Example):
    """rand_like in the place of randn_like."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        return mu + torch.rand_like(std) * std


class StdFromLogvar(Example):
    """std = exp(logvar), the KL in log-variances."""

    FAILS = ("kl-matches-sampler",)

    def sample(self, mu, logvar):
        return mu + torch.randn_like(mu) * logvar.exp()


class MeanEverywhere(Example):
    """-0.5 * torch.mean(…): over batch and latents."""

    FAILS = ("kl-sums-over-latents",)
    loss = None

    def kl(self, mu, logvar):
        return -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())

    def reconstruction_loss(self, x, decoded):
        return F.binary_cross_entropy(decoded, x, reduction="sum") / len(x)

    REDUCTION = "mean"


class DefaultMSE(Example):
    """F.mse_loss with its default reduction, the KL averaged over the batch."""

    FAILS = ("reconstruction-sums-over-features",)
    REDUCTION = "mean"

    def kl(self, mu, logvar):
        return super().kl(mu, logvar) / len(mu)

    def reconstruction_loss(self, x, decoded):
        return F.mse_loss(decoded, x)


class LogitsTwice(Distributions):
    """Sigmoid, and then binary_cross_entropy_with_logits."""

    FAILS = ("likelihood-support",)

    def reconstruction_loss(self, x, decoded):
        return F.binary_cross_entropy_with_logits(torch.sigmoid(decoded), x, reduction="none").sum(-1)


class SurrogateReported(Distributions):
    """The surrogate with detached weights returned as the bound."""

    FAILS = ("bound-log-mean-exp",)

    def bound(self, log_w):
        return (torch.softmax(log_w, dim=1).detach() * log_w).sum(1).mean()
