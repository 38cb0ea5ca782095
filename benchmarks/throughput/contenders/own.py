"""reparam as ``VAE.fit`` trains."""

from __future__ import annotations

import pandas as pd

from benchmarks.throughput.configurations import RATE, Configuration, bits, columns
from benchmarks.throughput.contenders import Epoch
from reparam import VAE
from reparam.data import Dataset, from_array, from_frame
from reparam.estimator import fitting


def rows(configuration: Configuration) -> Dataset:
    if configuration.kind != "table":
        return from_array(bits(configuration).reshape(-1, *configuration.shape), name="bits")
    real, yes, levels = columns(configuration)
    frame = {f"real_{j}": real[:, j] for j in range(real.shape[1])}
    frame |= {f"bit_{j}": yes[:, j] for j in range(yes.shape[1])}
    frame |= {f"level_{j}": [f"level {level}" for level in levels[:, j]] for j in range(levels.shape[1])}
    return from_frame(pd.DataFrame(frame))


def epoch(configuration: Configuration) -> Epoch:
    settings = {
        "latent_dim": configuration.latents,
        "posterior": configuration.posterior,
        "likelihood": "auto" if configuration.kind == "table" else "bernoulli",
        "objective": "elbo" if configuration.draws == 1 else f"iwae:{configuration.draws}",
        "inference": "semi_amortized:5" if configuration.refined else "amortized",
        "network": "conv" if configuration.convolutional else "mlp",
        "activation": "gelu" if configuration.convolutional else configuration.activation,
        "batch_size": configuration.batch,
    }
    if configuration.hidden:
        settings["hidden"] = configuration.hidden
    plain = {"learning_rate": RATE, "schedule": "constant", "clip_norm": 0.0, "start": "random", "epochs": 10**6}
    data = rows(configuration)
    begun = fitting.begin(VAE(**settings, **plain).configuration(), data)
    records = fitting.train(begun, fitting.task(begun, data))
    return lambda: -next(records)[1].training.bound
