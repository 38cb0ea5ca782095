"""Results → pictures. Nothing is computed here but places, and no global state of matplotlib is touched.

Every function returns a ``matplotlib.figure.Figure``; ``figure.savefig(path)`` writes it.
"""

from reparam.plots.columns import agreement, marginals
from reparam.plots.evaluation import bound_by_samples
from reparam.plots.explained import worst_rows
from reparam.plots.gap import inference_gaps
from reparam.plots.gradients import gradient_quality
from reparam.plots.latents import latent_path
from reparam.plots.run import (
    decoded_grid,
    image_grid,
    latent_space,
    mosaic,
    reconstructions,
    training_curves,
    traversals,
)
from reparam.plots.style import drawn_as_text

__all__ = [
    "agreement",
    "bound_by_samples",
    "decoded_grid",
    "drawn_as_text",
    "gradient_quality",
    "image_grid",
    "inference_gaps",
    "latent_path",
    "latent_space",
    "marginals",
    "mosaic",
    "reconstructions",
    "training_curves",
    "traversals",
    "worst_rows",
]
