"""What a trained model is worth: bounds, latent use, codes; every row on its own noise."""

from reparam.evaluation.bounds import Evaluation, evaluate, importance_bound
from reparam.evaluation.latents import draw_prior, posterior_moments

__all__ = ["Evaluation", "draw_prior", "evaluate", "importance_bound", "posterior_moments"]
