"""The bottleneck: mathematics only."""

from reparam.probability import divergences as divergences  # tells numpyro's kl_divergence of our types
