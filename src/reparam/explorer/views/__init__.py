"""The tabs of the page: an address → its controls and its results."""

from __future__ import annotations

from reparam.explorer.views.base import View
from reparam.explorer.views.latents import LATENTS
from reparam.explorer.views.map import MAP
from reparam.explorer.views.rows import ROWS
from reparam.explorer.views.training import TRAINING
from reparam.explorer.views.trick import TRICK

VIEWS: dict[str, View] = {"trick": TRICK, "map": MAP, "latents": LATENTS, "rows": ROWS, "training": TRAINING}

__all__ = ["VIEWS", "View"]
