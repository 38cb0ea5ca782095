"""Keras on JAX: a model whose KL is added by a layer, trained by ``fit``."""

from __future__ import annotations

import os

from benchmarks.throughput.configurations import RATE, Configuration, by_hand
from benchmarks.throughput.contenders import Epoch

os.environ["KERAS_BACKEND"] = "jax"  # Keras reads it when it is imported

import keras
from keras import layers, ops


class Sampling(layers.Layer):
    """Draws z, and adds the KL to the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.seed = keras.random.SeedGenerator(0)

    def call(self, raw):
        loc, log_variance = ops.split(raw, 2, axis=-1)
        kl = 0.5 * ops.sum(ops.exp(log_variance) - 1.0 - log_variance + loc**2, axis=-1)
        self.add_loss(ops.mean(kl))
        return loc + ops.exp(0.5 * log_variance) * keras.random.normal(ops.shape(loc), seed=self.seed)


def epoch(configuration: Configuration) -> Epoch:
    keras.utils.set_random_seed(0)
    between = configuration.activation
    encoder = [layers.Dense(width, between) for width in configuration.hidden]
    decoder = [layers.Dense(width, between) for width in configuration.hidden[::-1]]
    middle = [layers.Dense(configuration.raw_size), Sampling()]
    inputs = keras.Input((configuration.entering,))
    outputs = inputs
    for layer in (*encoder, *middle, *decoder, layers.Dense(configuration.leaving)):
        outputs = layer(outputs)
    vae = keras.Model(inputs, outputs)

    def missed(x, logits):
        return ops.sum(ops.softplus(logits) - x * logits, axis=-1)

    vae.compile(keras.optimizers.Adam(RATE), loss=missed)
    data = by_hand(configuration)
    how = {"epochs": 1, "batch_size": configuration.batch, "verbose": 0}
    return lambda: float(vae.fit(data, data, **how).history["loss"][0])
