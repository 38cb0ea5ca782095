"""Settings, fitting, use, keeping; and what opens a run again. Its scikit-learn face, ``vae``, is imported last."""

from reparam.estimator.configuration import Configuration
from reparam.estimator.fitting import Fitted
from reparam.estimator.keeping import load
from reparam.estimator.likelihood import choose_likelihood

__all__ = ["Configuration", "Fitted", "choose_likelihood", "load"]
