"""Everything that reparam raises or warns of.

::

    ReparamError
    ├── ParameterError (ValueError)         a setting outside its domain, or two that disagree
    │   └── UnknownNameError                a name that no registry holds; suggests the nearest
    ├── DataError (ValueError)              input that cannot be read, or is not numbers
    │   └── SupportError                    numbers outside the support of the likelihood
    ├── RunError (ValueError)               a run folder that is missing, damaged or occupied
    ├── TrainingError (ArithmeticError)     training left the finite numbers
    ├── ProcessError (RuntimeError)         a process of several was lost, or never came
    ├── NoClosedFormError (NotImplementedError)   no closed form of a divergence is known
    └── VerificationError (AssertionError)  an audit failed

    ReparamWarning (UserWarning)            the answer stands, but somebody should look
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN_NAMES = 40


class ReparamError(Exception):
    """The root of what reparam raises; its text says what, where, and how to mend it."""


class ParameterError(ReparamError, ValueError):
    """A setting lies outside its domain, or two settings exclude each other."""


class UnknownNameError(ParameterError):
    """A name that its registry does not hold.

    >>> raise UnknownNameError("posterior", "digonal", ["diagonal", "full"])
    Traceback (most recent call last):
    ...
    reparam.errors.UnknownNameError: unknown posterior 'digonal'. Did you mean 'diagonal'? Known: diagonal, full.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str]):
        names = list(known)
        nearest = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        told = ascii(name) if len(ascii(name)) <= 80 else f"{ascii(name)[:80]}…"
        more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
        super().__init__(f"unknown {kind} {told}.{hint} Known: {', '.join(names[:SHOWN_NAMES])}{more}.")


class DataError(ReparamError, ValueError):
    """Input data that cannot be read, or cannot be used as it is."""


class SupportError(DataError):
    """Data outside the support of the likelihood that should explain them."""


class RunError(ReparamError, ValueError):
    """A run folder that is missing, damaged, occupied or of another shape."""


class TrainingError(ReparamError, ArithmeticError):
    """Training left the finite numbers."""


class ProcessError(ReparamError, RuntimeError):
    """A process of several that share the work was lost, or never came."""


class NoClosedFormError(ReparamError, NotImplementedError):
    """No closed form is known for this pair of distributions."""


class VerificationError(ReparamError, AssertionError):
    """An audit found something wrong."""


class ReparamWarning(UserWarning):
    """The answer stands, but somebody should look at it."""
