"""How an estimator comes to be fitted: by rows at once, by parts of a file, by one lot of rows after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np

from reparam.data import Dataset, Reading, from_array, from_frame, is_frame, stream, template
from reparam.data.sparse import SparseRows, is_sparse
from reparam.data.streaming.sparse import sparse_stream
from reparam.errors import ParameterError
from reparam.estimator import fitting
from reparam.estimator.configuration import AUTO, FIELDS, Configuration
from reparam.estimator.fitting import Fitted
from reparam.estimator.latents import choose_latents
from reparam.estimator.seeing import Data, survey
from reparam.estimator.telling import telling
from reparam.estimator.use import FittedUse, flat, shape_of, shared


class Learning(FittedUse):
    """The methods that fit; they read the parameters, and leave :attr:`fitted_`."""

    latent_dim: Any
    random_state: Any
    warm_start: bool
    verbose: int

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on the rows of X, shape (N, P), or on images (N, H, W) or (N, H, W, C); y is ignored.

        NaN is a cell that is missing, and uint8 are pixels. Columns of a DataFrame (pandas, polars) may be text,
        categories, dates or booleans, and miss cells; ``schema_`` says what was made of each, and new rows come as a
        frame like it. A sparse matrix of scipy stays sparse: a chunk of it at a time is dense.
        """
        if is_sparse(X):
            return self._fit_sparse(X)
        self.fit_dataset(self._judged(X))
        self.frame_, self.shape_ = template(X) if is_frame(X) else None, shape_of(X)
        return self

    def fit_stream(
        self,
        source: str | Path,
        *,
        reading: Reading | None = None,
        event_shape: Sequence[int] | None = None,
    ) -> Self:
        """Train on a file, or a folder of files of one kind, of which one part at a time is in memory.

        Args:
            source: ``.csv``, ``.tsv``, ``.parquet``, ``.arrow``, ``.feather`` or ``.npy``.
            reading: what a table does not say of itself.
            event_shape: the shape of one datum, when rows are flat.

        Raises:
            DataError: the source cannot be read, or changes while it is.
        """
        before: Fitted | None = getattr(self, "fitted_", None) if self.warm_start else None
        schema = None if before is None else before.schema
        opened = stream(source, reading=reading, event_shape=event_shape, schema=schema)
        return self.fit_dataset(survey(opened, self.configuration(before), known=before is not None))

    @shared
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Visit the rows of X once, and go on from there with the next call; y is ignored.

        The first rows decide what the data decide: units, scales, likelihood, the linear start. Nothing is held out, so
        the newest weights are used.

        Raises:
            ParameterError: the weights are those of ``fit``, whose epochs folds judge.
            DataError: later rows are of other columns.
        """
        before: Fitted | None = getattr(self, "fitted_", None)
        if before is not None and (before.state.judged is not None or before.configuration.early_stopping):
            raise ParameterError(
                "partial_fit goes on only after partial_fit: these weights were chosen by rows that fit left out."
            )
        data = self._judged(X) if before is None else Dataset(self._given(X), before.schema)
        epochs = 1 + (0 if before is None else len(before.history))
        configuration = replace(self.configuration(before), epochs=epochs, early_stopping=False)
        fitted = fitting.begin(configuration, data) if before is None else replace(before, configuration=configuration)
        for reached, _ in fitting.train(fitted, fitting.task(fitted, data)):
            fitted = reached
        first = before is None
        kept = (template(X) if is_frame(X) else None, shape_of(X)) if first else (self.frame_, self.shape_)
        self.adopt(fitted)
        self.frame_, self.shape_ = kept
        return self

    @shared
    def fit_dataset(self, data: Data) -> Self:
        """Train on a dataset with a schema, from :func:`reparam.data.load` or :func:`reparam.data.from_array`.

        Raises:
            ParameterError: a setting lies outside its domain, or two disagree.
            DataError: the data cannot be used, or ``warm_start`` finds other rows than before.
            TrainingError: the bound or a weight left the finite numbers.
        """
        before: Fitted | None = getattr(self, "fitted_", None)
        if before is not None:
            del self.fitted_  # an interrupted or failed fit leaves nothing that looks fitted
        if not self.warm_start:
            before = None
        configuration = self.configuration(before)
        if before is None:
            configuration, trials = choose_latents(configuration, data, print if self.verbose else None)
            path = tuple(trial.to_json() for trial in trials)
            fitted = replace(fitting.begin(configuration, data), latent_path=path)
        else:
            fitted = fitting.resume(before, configuration, data)
        of = fitting.task(fitted, data)
        with telling(self.verbose, of.epochs) as tell:
            for reached, record in fitting.train(fitted, of):
                fitted = reached
                tell(record)
        return self.adopt(fitted)

    def adopt(self, fitted: Fitted) -> Self:
        """Be the estimator of a model that was fitted elsewhere."""
        self.fitted_, self.frame_, self.shape_ = fitted, None, None
        names = fitted.schema.names
        self.n_features_in_ = fitted.schema.size if names is None else len(names)
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        self._n_features_out = fitted.configuration.latents
        return self

    def configuration(self, before: Fitted | None = None) -> Configuration:
        """The parameters as they stand, checked and frozen; the seed is that of ``before`` where it was drawn.

        Raises:
            ParameterError: a setting lies outside its domain, or two disagree.
        """
        settings = {name: getattr(self, name) for name in FIELDS}
        if before is not None and self.latent_dim == AUTO:
            settings["latent_dim"] = before.configuration.latent_dim
        if not isinstance(self.random_state, Integral):
            from sklearn.utils import check_random_state

            drawn = int(check_random_state(self.random_state).randint(2**31)) if before is None else None
            settings["random_state"] = drawn if before is None else before.configuration.seed
        return Configuration(**settings)

    def _fit_sparse(self, X: Any) -> Self:
        from sklearn.utils.validation import validate_data

        valid = validate_data(self, X, accept_sparse="csr", ensure_min_samples=2, ensure_all_finite="allow-nan")
        before: Fitted | None = getattr(self, "fitted_", None) if self.warm_start else None
        opened = sparse_stream(SparseRows.of(valid))
        return self.fit_dataset(survey(opened, self.configuration(before), known=before is not None))

    def _judged(self, X: Any) -> Dataset:
        """Rows as a dataset, whose columns are what they are found to be."""
        from sklearn.utils.validation import validate_data

        data = from_frame(X) if is_frame(X) else None
        if data is not None and data.schema.table is not None:
            validate_data(self, X, skip_check_array=True)
            return data
        X = np.asarray(SparseRows.of(X)) if is_sparse(X) else X
        rows = validate_data(self, flat(X), dtype="numeric", ensure_min_samples=2, ensure_all_finite="allow-nan")
        return from_array(rows, name="X", allow_missing=True, event_shape=shape_of(X))
