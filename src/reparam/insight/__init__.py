"""What a trained model shows of itself: numbers for pictures, computed once for the page, the report and the plots.

Nothing here draws. :class:`Session` is all that is asked of a run.
"""

from reparam.insight.session import Session

__all__ = ["Session"]
