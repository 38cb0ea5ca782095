"""The scikit-learn face: one estimator, every part by name; and what opens a run again."""

from reparam.estimator.likelihood import choose_likelihood
from reparam.estimator.opening import load
from reparam.estimator.vae import VAE

__all__ = ["VAE", "choose_likelihood", "load"]
