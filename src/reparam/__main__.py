"""``python -m reparam``, and the command ``reparam``."""

from __future__ import annotations

from typing import NoReturn

from reparam.ending import end_at_once


def main() -> NoReturn:
    """Run the command line; from its first moment on a signal ends it."""
    end_at_once()
    from reparam.cli import main

    main()


if __name__ == "__main__":
    main()
