"""The page of an estimator that was fitted in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data import Dataset, from_array
from reparam.errors import DataError
from reparam.estimator.fitting import check_support
from reparam.estimator.vae import VAE
from reparam.explorer.serving import Explorer, explore
from reparam.insight import Session


def explore_fitted(
    vae: VAE, X: Any, y: Any = None, *, host: str = "127.0.0.1", port: int = 0, name: str = "vae"
) -> Explorer:
    """Open a page that shows a fitted estimator on rows; a notebook shows it where it stands.

    Args:
        vae: fitted.
        X: rows, shape (N, P), or a dataset.
        y: labels to colour by, shape (N,).
        host: another than this machine's own needs the token that ``url`` bears.
        port: 0 takes any that is free.
        name: what the page calls the run.

    Returns:
        The running page: ``url`` opens it, ``close()`` ends it.

    Raises:
        DataError: rows of another shape, labels of another number, or a port that is taken.
    """
    given = X if isinstance(X, Dataset) else from_array(X, name="X")
    rows, labels = given.rows, given.labels if y is None else y
    if labels is not None and len(labels) != len(rows):
        raise DataError(f"y must hold one label for each of the {len(rows)} rows. Got {len(labels)}.")
    data = Dataset(rows, vae.schema_.of(rows), None if labels is None else _sortable(np.asarray(labels)))
    check_support(vae.fitted_, rows)
    return explore([Session(vae, data, name, f"{len(rows):,} rows")], host=host, port=port)


def _sortable(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels that can be set in order: what is mixed, or holds None, as text."""
    return labels.astype(str) if labels.dtype.kind == "O" else labels
