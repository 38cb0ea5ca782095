"""Correct code with one thing changed: every change of the mathematics is caught, every other one is listed."""

from __future__ import annotations

import types
from itertools import chain

import pytest
from mutants import mutants

from reparam.errors import ReparamError
from reparam.verification import verify

BERNOULLI = """
import numpy as np

SCALE, LIKELIHOOD, REDUCTION = "log_variance", "bernoulli", "mean"

def sample(mean, raw, eps):
    return mean + np.exp(0.5 * raw) * eps

def kl(mean, raw):
    return np.mean(-0.5 * np.sum(1 + raw - mean**2 - np.exp(raw), axis=1))

def reconstruction_loss(x, decoded):
    return -np.mean(np.sum(x * np.log(decoded) + (1 - x) * np.log(1 - decoded), axis=1))

def loss(x, mean, raw, decoded):
    return reconstruction_loss(x, decoded) + kl(mean, raw)
"""

GAUSSIAN = """
import numpy as np

SCALE, LIKELIHOOD, REDUCTION, BETA = "log_std", "gaussian", "mean", 2.0

def sample(mean, raw, eps):
    return mean + np.exp(raw) * eps

def kl(mean, raw):
    return np.sum(0.5 * (mean**2 + np.exp(2 * raw) - 1) - raw, axis=-1)

def reconstruction_loss(x, decoded):
    std = 0.3
    return np.sum(0.5 * ((x - decoded) / std) ** 2 + np.log(std) + 0.5 * np.log(2 * np.pi), axis=-1)

def loss(x, mean, raw, decoded):
    return np.mean(reconstruction_loss(x, decoded) + BETA * kl(mean, raw))
"""

SOFTPLUS = """
import numpy as np

REDUCTION, LIKELIHOOD = "sum", "bernoulli"

def sample(mean, raw, eps):
    return mean + np.logaddexp(0, raw) * eps

def kl(mean, raw):
    std = np.logaddexp(0, raw)
    return np.sum((mean**2 + std**2 - 1) / 2 - np.log(std))

def reconstruction_loss(x, decoded):
    return np.sum(np.logaddexp(0, decoded) - x * decoded)

def loss(x, mean, raw, decoded):
    return reconstruction_loss(x, decoded) + kl(mean, raw)
"""

BOUND = """
import numpy as np

PARTS = "bound"

def bound(log_w):
    top = np.max(log_w, axis=1, keepdims=True)
    return top[:, 0] + np.log(np.sum(np.exp(log_w - top), axis=1)) - np.log(log_w.shape[1])
"""

SOURCES = {"bernoulli": BERNOULLI, "gaussian": GAUSSIAN, "softplus": SOFTPLUS, "bound": BOUND}

EQUIVALENT = {
    "the last of two axes, written another way": (
        "np.exp(raw), axis=-1))",
        "np.log(1 - decoded), axis=-1))",
        "- 1) - raw, axis=+1)",
        "- 1) - raw, axis=--1)",
        "np.log(2 * np.pi), axis=+1)",
        "np.log(2 * np.pi), axis=--1)",
        "np.max(log_w, axis=-1, keepdims=True)",
        "np.sum(np.exp(log_w - top), axis=-1)) - np.log(log_w.shape[1])",
        "np.log(log_w.shape[-1])",
    ),
    "another σ_x, in the error and in the constant alike": ("std = 1.3", "std = 0.33"),
}
"""Why a change leaves the mathematics as it is → how the changed lines end."""


def _report_passes(source: str) -> bool:
    module = types.ModuleType("mutant")
    try:
        exec(compile(source, "mutant.py", "exec"), module.__dict__)
        return verify(module).exit_code == 0
    except ReparamError:
        return False


@pytest.mark.parametrize("name", SOURCES)
def test_every_change_of_the_mathematics_is_caught(name, record_property):
    assert _report_passes(SOURCES[name])
    changed = list(mutants(SOURCES[name]))
    equivalent = {mutant.change for mutant in changed if mutant.change.endswith(tuple(chain(*EQUIVALENT.values())))}
    survivors = {mutant.change for mutant in changed if _report_passes(mutant.source)}
    record_property("mutants", len(changed))
    record_property("caught", len(changed) - len(survivors))
    print(f"{name}: {len(changed)} mutants, {len(changed) - len(survivors)} caught, {len(equivalent)} equivalent")
    assert survivors == equivalent
