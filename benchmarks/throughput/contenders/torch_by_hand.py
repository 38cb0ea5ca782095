"""What a careful person writes in PyTorch: data in memory, one permutation per epoch, fused Adam."""

from __future__ import annotations

import itertools
import math
import os
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.throughput.configurations import (
    BITS,
    LEVELS,
    RATE,
    REAL,
    SEMI_AMORTIZED_DRAWS,
    SEMI_AMORTIZED_RATE,
    SEMI_AMORTIZED_STEPS,
    Configuration,
    by_hand,
)
from benchmarks.throughput.contenders import Epoch

LN_2PI = math.log(2 * math.pi)


def eager(configuration: Configuration) -> Epoch:
    return _epoch(configuration, compile=False)


def compiled(configuration: Configuration) -> Epoch:
    return _epoch(configuration, compile=True)


def _epoch(configuration: Configuration, *, compile: bool) -> Epoch:
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    data = torch.from_numpy(by_hand(configuration))
    vae = networks(configuration)
    loss = torch.compile(vae) if compile else vae
    optimizer = torch.optim.Adam(vae.parameters(), lr=RATE, fused=True)

    def run() -> float:
        total = torch.zeros(())
        for rows in torch.randperm(configuration.rows).split(configuration.batch):
            value = loss(data[rows])
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            total += value.detach()
        return float(total) / (configuration.rows // configuration.batch)

    return run


def networks(configuration: Configuration) -> nn.Module:
    if configuration.convolutional:
        from benchmarks.convolution import TorchNetworks, image_model

        model = image_model(configuration.shape)
        both = TorchNetworks(model.encoder, model.decoder)
        return Loss(configuration, both.encode, both.decode, both)
    encoder = mlp((configuration.entering, *configuration.hidden, configuration.raw_size), configuration.activation)
    sizes = (configuration.latents, *configuration.hidden[::-1], configuration.leaving)
    decoder = mlp(sizes, configuration.activation)
    return Loss(configuration, encoder, decoder)


def mlp(sizes: tuple[int, ...], activation: str) -> nn.Sequential:
    between = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
    steps: list[nn.Module] = []
    for one, other in itertools.pairwise(sizes):
        steps += [nn.Linear(one, other), between()]
    return nn.Sequential(*steps[:-1])


class Loss(nn.Module):
    """−bound of a batch, nats per row."""

    def __init__(self, configuration: Configuration, encoder: Any, decoder: Any, networks: nn.Module | None = None):
        super().__init__()
        self.configuration, self.encode, self.decode, self.networks = configuration, encoder, decoder, networks
        self.log_noise = nn.Parameter(torch.zeros(REAL)) if configuration.kind == "table" else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raw, configuration = self.encode(x), self.configuration
        if configuration.refined:
            raw = self.refined(raw, x)
        if configuration.draws == 1:
            return -self.elbo(raw, x, 1).mean()
        z, _, log_q = self.drawn(raw, configuration.draws)
        log_p = self.log_likelihood(self.decode(z), x) - 0.5 * (z**2 + LN_2PI).sum(-1)
        return math.log(configuration.draws) - torch.logsumexp(log_p - log_q, 0).mean()

    def elbo(self, raw: torch.Tensor, x: torch.Tensor, draws: int) -> torch.Tensor:
        z, kl, _ = self.drawn(raw, draws)
        return (self.log_likelihood(self.decode(z), x) if draws > 1 else self.one(z, x)) - kl

    def one(self, z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.log_likelihood(self.decode(z[0]), x)

    def drawn(self, raw: torch.Tensor, draws: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """z (S, B, K), KL (B,) and ln q(z|x) (S, B)."""
        size = self.configuration.latents
        loc, rest = raw[:, :size], raw[:, size:]
        eps = torch.randn(draws, *loc.shape)
        if self.configuration.posterior == "full":
            matrix = torch.eye(size) + rest.reshape(-1, size, size)
            log_det = torch.linalg.slogdet(matrix)[1]
            kl = 0.5 * ((matrix**2).sum((1, 2)) + (loc**2).sum(1) - size - 2 * log_det)
            z = loc + torch.einsum("bij,sbj->sbi", matrix, eps)
            return z, kl, -0.5 * (eps**2 + LN_2PI).sum(-1) - log_det
        kl = 0.5 * (rest.exp() - 1.0 - rest + loc**2).sum(1)
        return loc + torch.exp(0.5 * rest) * eps, kl, -0.5 * (eps**2 + rest + LN_2PI).sum(-1)

    def log_likelihood(self, out: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        if self.log_noise is None:
            return -F.binary_cross_entropy_with_logits(out, x.expand_as(out), reduction="none").sum(-1)
        error = (x[:, :REAL] - out[..., :REAL]) * torch.exp(-self.log_noise)
        found = -0.5 * (error**2 + 2 * self.log_noise + LN_2PI).sum(-1)
        yes, logits = x[:, REAL : REAL + BITS], out[..., REAL : REAL + BITS]
        found = found - F.binary_cross_entropy_with_logits(logits, yes, reduction="none").sum(-1)
        place = REAL + BITS
        for count in LEVELS:
            level = slice(place, place + count)
            found = found + (x[:, level] * F.log_softmax(out[..., level], -1)).sum(-1)
            place += count
        return found

    def refined(self, raw: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Some steps up the ELBO of each row, that count as constants."""
        moved, square = raw.detach(), torch.zeros_like(raw)
        for step in range(SEMI_AMORTIZED_STEPS):
            moved.requires_grad_()
            total = self.elbo(moved, x, SEMI_AMORTIZED_DRAWS).mean(0).sum()
            gradient = torch.autograd.grad(total, moved)[0]
            square = square + gradient**2
            moved = (moved + SEMI_AMORTIZED_RATE * gradient / (square / (step + 1) + 1e-8).sqrt()).detach()
        return raw + (moved - raw).detach()
