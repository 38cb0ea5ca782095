"""What every test shares."""

from __future__ import annotations

import gc

# JAX keeps millions of objects alive: at its default pace the collector walks them again and again, and frees nothing.
gc.set_threshold(200_000, 50, 100)
