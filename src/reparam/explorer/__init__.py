"""A trained model in the browser: one page, read-only, served from this machine by the standard library alone."""

from reparam.explorer.fitted import explore_fitted
from reparam.explorer.serving import Explorer, explore

__all__ = ["Explorer", "explore", "explore_fitted"]
