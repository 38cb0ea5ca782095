"""What a trained model is worth: bounds, gaps, latent use, codes; every row on its own noise."""

from reparam.evaluation.bounds import Evaluation, evaluate
from reparam.evaluation.latents import draw_prior, posterior_moments
from reparam.evaluation.weights import importance_bound

__all__ = ["Evaluation", "draw_prior", "evaluate", "importance_bound", "posterior_moments"]
