"""The audit of anyone's variational autoencoder, in any framework: is its mathematics what it should be?

It shares no code with the rest of the project: its oracles are Monte Carlo, finite differences and closed forms in
NumPy and SciPy.

>>> import types, numpy as np
>>> report = verify(types.SimpleNamespace(kl=lambda mean, raw: 0.5 * (mean**2 + np.exp(raw) - 1 - raw).sum(axis=1)))
>>> report.passed, report.exit_code, report.missing[0]
(True, 3, "no sampler was found, so that its σ could not be compared with the KL's")
"""

from reparam.verification.audit import verify
from reparam.verification.report import Finding, Report

__all__ = ["Finding", "Report", "verify"]
