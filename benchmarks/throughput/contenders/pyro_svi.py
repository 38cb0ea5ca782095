"""Pyro's SVI as its own VAE example trains, with the rows in memory."""

from __future__ import annotations

import os

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, RenyiELBO, Trace_ELBO
from pyro.optim import Adam

from benchmarks.throughput.configurations import RATE, Configuration, by_hand
from benchmarks.throughput.contenders import Epoch
from benchmarks.throughput.contenders.torch_by_hand import mlp


def epoch(configuration: Configuration) -> Epoch:
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    data = torch.from_numpy(by_hand(configuration))
    latents = configuration.latents
    encoder = mlp((configuration.entering, *configuration.hidden, 2 * latents), configuration.activation)
    decoder = mlp((latents, *configuration.hidden[::-1], configuration.leaving), configuration.activation)

    def model(x: torch.Tensor) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), latents), x.new_ones(len(x), latents)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=decoder(z), validate_args=False).to_event(1), obs=x)

    def guide(x: torch.Tensor) -> None:
        pyro.module("encoder", encoder)
        loc, log_variance = encoder(x).chunk(2, dim=-1)
        with pyro.plate("rows", len(x)):
            pyro.sample("z", dist.Normal(loc, torch.exp(0.5 * log_variance)).to_event(1))

    several = {"num_particles": configuration.draws, "vectorize_particles": True}
    bound = Trace_ELBO() if configuration.draws == 1 else RenyiELBO(alpha=0.0, **several)
    svi = SVI(model, guide, Adam({"lr": RATE}), loss=bound)

    def run() -> float:
        order = torch.randperm(configuration.rows)
        return sum(svi.step(data[rows]) for rows in order.split(configuration.batch)) / configuration.rows

    return run
