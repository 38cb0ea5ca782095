"""Pythae's models with the training step of its trainer, and its own data loader."""

from __future__ import annotations

import logging
import os
import tempfile
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import IWAE, VAE, IWAEConfig, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig

from benchmarks.throughput.configurations import RATE, Configuration, by_hand
from benchmarks.throughput.contenders import Epoch
from benchmarks.throughput.contenders.torch_by_hand import mlp


class Encoder(BaseEncoder):
    def __init__(self, configuration: Configuration):
        super().__init__()
        sizes = (configuration.entering, *configuration.hidden, configuration.raw_size)
        self.layers = mlp(sizes, configuration.activation)

    def forward(self, x: torch.Tensor) -> Any:
        loc, log_variance = self.layers(x.flatten(1)).chunk(2, dim=-1)
        return ModelOutput(embedding=loc, log_covariance=log_variance)


class Decoder(BaseDecoder):
    def __init__(self, configuration: Configuration):
        super().__init__()
        sizes = (configuration.latents, *configuration.hidden[::-1], configuration.leaving)
        self.layers = mlp(sizes, configuration.activation)

    def forward(self, z: torch.Tensor) -> Any:
        return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))


def epoch(configuration: Configuration) -> Epoch:
    logging.disable(logging.INFO)
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    sizes = {"input_dim": (configuration.entering,), "latent_dim": configuration.latents, "reconstruction_loss": "bce"}
    parts = Encoder(configuration), Decoder(configuration)
    if configuration.draws == 1:
        model = VAE(VAEConfig(**sizes), *parts)
    else:
        model = IWAE(IWAEConfig(number_samples=configuration.draws, **sizes), *parts)
    data = torch.from_numpy(by_hand(configuration))
    settings = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(),
        num_epochs=10**6,
        learning_rate=RATE,
        per_device_train_batch_size=configuration.batch,
        train_dataloader_num_workers=0,
        no_cuda=True,
    )
    trainer = BaseTrainer(model, BaseDataset(data, torch.zeros(len(data))), None, settings)
    trainer.prepare_training()
    number = 0

    def run() -> float:
        nonlocal number
        number += 1
        return float(trainer.train_step(number))

    return run
