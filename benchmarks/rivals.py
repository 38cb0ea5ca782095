"""What people use today in the place of a VAE: densities of tables, each fitted to rows and scored on others.

Every function has one form: training rows, rows to score, latents, seed → mean log-density of the latter, nats.
"""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp, xlogy
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.neural_network import BernoulliRBM

HIDDEN_UNITS = 14  # 2^14 states: ln Z of the machine is a sum, not an estimate
RESTRICTED_RATES = (0.01, 0.05)
BOUND_SAMPLES = 1000

Rows = NDArray[Any]


def pca(train: Rows, test: Rows, latents: int, seed: int) -> float:
    return float(PCA(min(latents, *train.shape), random_state=seed).fit(train).score(test))


def factor_analysis(train: Rows, test: Rows, latents: int, seed: int) -> float:
    return float(FactorAnalysis(min(latents, train.shape[1]), random_state=seed).fit(train).score(test))


def mixture(train: Rows, test: Rows, latents: int, seed: int) -> float:
    """Components and covariance chosen by five folds."""
    grid = {"n_components": [1, 2, 3, 5, 8], "covariance_type": ["full", "tied", "diag"]}
    chosen = GridSearchCV(GaussianMixture(reg_covar=1e-3, random_state=seed), grid, cv=5).fit(train)
    return float(chosen.score(test))


def kernels(train: Rows, test: Rows, latents: int, seed: int) -> float:
    """Bandwidth chosen by five folds."""
    chosen = GridSearchCV(KernelDensity(), {"bandwidth": np.geomspace(0.05, 2.0, 16)}, cv=5).fit(train)
    return float(chosen.score(test)) / len(test)


def pythae(train: Rows, test: Rows, latents: int, seed: int) -> float:
    """Its VAE and trainer with every default: noise N(0, 1); its ``get_nll`` gives ln p(x), whatever it is called."""
    import logging

    import pythae.models as pythae_models
    import torch
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    logging.disable(logging.INFO)
    torch.manual_seed(seed)
    model = pythae_models.VAE(pythae_models.VAEConfig(input_dim=(train.shape[1],), latent_dim=latents))
    with tempfile.TemporaryDirectory() as folder:
        pipeline = TrainingPipeline(model=model, training_config=BaseTrainerConfig(output_dir=folder))
        pipeline(train_data=train.astype(np.float32), eval_data=None)
    return float(model.get_nll(torch.as_tensor(test, dtype=torch.float32), n_samples=BOUND_SAMPLES, batch_size=100))


def independent_counts(train: Rows, test: Rows, latents: int, seed: int) -> float:
    """Each feature a Poisson, its mean that of the rows and of half a count more."""
    mean = (train.sum(axis=0) + 0.5) / len(train)
    return float(np.mean(np.sum(xlogy(test, mean) - mean - gammaln(test + 1.0), axis=1)))


def independent_dispersed(train: Rows, test: Rows, latents: int, seed: int) -> float:
    """Each feature a negative binomial of the rows' mean and variance."""
    mean = (train.sum(axis=0) + 0.5) / len(train)
    r = mean**2 / np.maximum(train.var(axis=0) - mean, 1e-3 * mean)
    constant = gammaln(test + r) - gammaln(r) - gammaln(test + 1.0)
    return float(np.mean(np.sum(constant + r * np.log(r / (r + mean)) + xlogy(test, mean / (r + mean)), axis=1)))


def independent_bits(train: Rows, test: Rows, latents: int, seed: int) -> float:
    """Each feature a Bernoulli, its mean that of the rows and of half a bit of each kind more."""
    mean = (train.sum(axis=0) + 0.5) / (len(train) + 1.0)
    return float(np.mean(test @ np.log(mean) + (1.0 - test) @ np.log1p(-mean)))


def boltzmann(train: Rows, test: Rows, latents: int, seed: int) -> float:
    """A restricted Boltzmann machine of ``HIDDEN_UNITS``, the better of two rates on the training rows."""
    machines = [
        BernoulliRBM(HIDDEN_UNITS, learning_rate=rate, n_iter=100, random_state=seed).fit(train)
        for rate in RESTRICTED_RATES
    ]
    best = max(machines, key=lambda machine: boltzmann_log_probability(machine, train).mean())
    return float(boltzmann_log_probability(best, test).mean())


def boltzmann_log_probability(machine: BernoulliRBM, x: Rows) -> Rows:
    """Ln p(x) of rows, nats: minus the free energy, minus ln Z summed over every state of the hidden units."""
    units = len(machine.intercept_hidden_)
    states = (np.arange(2**units)[:, None] >> np.arange(units)) & 1
    field = states @ machine.components_ + machine.intercept_visible_
    log_z = logsumexp(states @ machine.intercept_hidden_ + np.logaddexp(0.0, field).sum(axis=1))
    hidden = np.logaddexp(0.0, x @ machine.components_.T + machine.intercept_hidden_).sum(axis=1)
    log_probability: Rows = x @ machine.intercept_visible_ + hidden - log_z
    return log_probability
