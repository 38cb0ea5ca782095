"""The scikit-learn face: settings, fitting, use, keeping; and what opens a run again."""

from reparam.estimator.configuration import Configuration
from reparam.estimator.fitting import Fitted
from reparam.estimator.keeping import load
from reparam.estimator.likelihood import choose_likelihood
from reparam.estimator.vae import VAE

__all__ = ["VAE", "Configuration", "Fitted", "choose_likelihood", "load"]
