"""``FILE.py[:NAME]``, a notebook or ``pkg.module:NAME`` → the namespace to audit, without its training script."""

from reparam.verification.loading.running import Loaded, describe, load
from reparam.verification.loading.safety import limits, prints_on_stderr

__all__ = ["Loaded", "describe", "limits", "load", "prints_on_stderr"]
