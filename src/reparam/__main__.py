"""``python -m reparam``, and the command ``reparam``."""

from __future__ import annotations

import gc
from typing import NoReturn

from reparam.ending import end_at_once

FEW_COLLECTIONS = (200_000, 50, 100)
"""JAX keeps millions of objects alive: at its own pace the collector takes a seventh of a start, and frees nothing."""


def main() -> NoReturn:
    """Run the command line; from its first moment on a signal ends it."""
    end_at_once()
    gc.set_threshold(*FEW_COLLECTIONS)
    from reparam.cli import main

    main()


if __name__ == "__main__":
    main()
