"""What a fitted model is for: codes, reconstructions, samples, bounds, gaps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import jax
import numpy as np
from numpy.typing import NDArray

from reparam.data import Dataset, Schema, conform_frame, filled, from_array, is_frame, to_frame
from reparam.data.sparse import SparseRows, is_sparse
from reparam.data.streaming.drawing import Drawn
from reparam.devices.mesh import devices
from reparam.devices.use import apart, using
from reparam.errors import DataError, ParameterError, ReparamWarning
from reparam.estimator.conditions import as_told, told_batch, told_rows
from reparam.estimator.facts import Facts
from reparam.estimator.memory import check_room
from reparam.estimator.seeing import split_rows
from reparam.evaluation import Evaluation, draw_prior, evaluate, importance_bound, posterior_moments
from reparam.evaluation.annealing import Annealed, Annealing, anneal
from reparam.evaluation.contributions import Contributions, row_contributions
from reparam.evaluation.gap import Gap, measure_gap
from reparam.evaluation.imputation import Expected, drawn_cells, expected_cells
from reparam.evaluation.joining import joined, of_all
from reparam.evaluation.latents import decoded, draw_data, posterior_draws
from reparam.evaluation.local import find_rows
from reparam.evaluation.rows import Progress
from reparam.inference import Found
from reparam.specification import positive_int, real_number

DRAWN_ROWS = 20_000
"""Of rows that come part by part, so many are looked at together."""
Method = TypeVar("Method", bound=Callable[..., Any])


def shared(method: Method) -> Method:
    """A method of an estimator that is run by the devices which it names, or by those that are in use."""

    @wraps(method)
    def run(self: Any, *arguments: Any, **named: Any) -> Any:
        if self.devices is None and self.shard_model == 1:
            return method(self, *arguments, **named)
        with using(devices(self.devices, self.shard_model)):
            return method(self, *arguments, **named)

    return cast("Method", run)


class FittedUse(Facts):
    """The methods of a fitted estimator; they read :attr:`fitted_` and no parameter, which may have changed since.

    Densities and bounds are in nats per row, of the data's own units (``schema_.units``). A row that is scored,
    encoded or drawn has noise of its own, made of the seed and the row: no result depends on the row's neighbours.
    """

    devices: Any = None
    shard_model: int = 1

    @shared
    def transform(
        self, X: Any, *, draw: bool = False, random_state: int | None = None, report: Progress | None = None
    ) -> NDArray[Any]:
        """Latent codes, shape (N, K): the mean of q(z|x), or with ``draw`` one draw of it.

        ``report``, here and below, is called with the rows done and N: where there is no encoder, q is searched for.
        """
        if not draw:
            return self.posterior_moments(X, report=report)[0]
        rows, schema = self._stored(X)
        key = self.fitted_.configuration.key("draw", random_state)
        return posterior_draws(self.fitted_.model, rows, schema, key, raw=self._raw(rows, schema, report))

    @shared
    def posterior_moments(self, X: Any, *, report: Progress | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and standard deviation of q(z|x), both (N, K)."""
        rows, schema = self._stored(X)
        key = self.fitted_.configuration.key("codes")
        return posterior_moments(self.fitted_.model, rows, schema, key, raw=self._raw(rows, schema, report))

    @shared
    def posterior_raw(self, X: Any, *, report: Progress | None = None) -> NDArray[Any]:
        """The raw vectors of q(z|x) of each row, (N, R), as the way of inference finds them."""
        return self._raw(*self._stored(X), report)

    def inverse_transform(self, X: Any, given: Mapping[str, Any] | None = None) -> Any:
        """Decode latent codes (N, K) into rows (N, P): the mean of p(x|z), in the units of the data.

        Of a level of a table it is the most probable one. A conditional model is ``given`` its columns' values. Here
        and below rows come as a DataFrame where ``fit`` was given one, and as (N, H, W) or (N, H, W, C) likewise.
        """
        from sklearn.utils.validation import check_array

        self._fitted()
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused
            codes = check_array(X, dtype=np.float32)
        latents = self.fitted_.configuration.latents
        if codes.shape[1] != latents:
            raise DataError(f"codes must have {latents} columns, one per latent. Got {codes.shape[1]}.")
        return self._framed(self._decoded(codes, told_rows(self.fitted_, given, len(codes))))

    @shared
    def reconstruct(
        self, X: Any, *, draw: bool = False, random_state: int | None = None, report: Progress | None = None
    ) -> Any:
        """Encode and decode: the mean of p(x|z) at the mean of q(z|x), or with ``draw`` at a draw of it.

        Of a DataFrame the same kind of frame, with its index; of images in an array of their shape.
        """
        codes = np.asarray(self.transform(X, draw=draw, random_state=random_state, report=report), np.float32)
        rows = self._decoded(codes, self._given(X) if len(self.fitted_.configuration.condition) else None)
        return rows if isinstance(X, Dataset) else self._framed(rows, X if is_frame(X) else None, shape_of(X))

    def sample(
        self,
        n_samples: int = 1,
        *,
        temperature: float = 1.0,
        draw: bool | None = None,
        given: Mapping[str, Any] | None = None,
        random_state: int | None = None,
    ) -> Any:
        """New rows from the model: z drawn from the prior, then x, shape (n_samples, P).

        Args:
            n_samples: how many.
            temperature: what the noise ε of z is multiplied by; below 1 the rows are more typical, above 1 stranger.
            draw: draw x from p(x|z) too, instead of its mean; by default where rows are a table of several kinds, for
                the most probable level in every row is no synthetic table.
            given: of a conditional model the value of each column of its condition.
            random_state: a seed for these draws; by default the one of the estimator.
        """
        self._fitted()
        count = positive_int("n_samples", n_samples, "VAE.sample")
        check_room("samples", count, self.fitted_.schema.size)
        temperature = real_number("temperature", temperature, "VAE.sample", least=0.0)
        latent_key, data_key = jax.random.split(self.fitted_.configuration.key("sample", random_state))
        told = told_rows(self.fitted_, given, count)
        batch = told_batch(self.fitted_, told)
        z = draw_prior(self.fitted_.model, latent_key, count, temperature, batch)
        if not (self.fitted_.schema.table is not None if draw is None else draw):
            return self._framed(self._decoded(np.asarray(z), told))
        drawn = self.fitted_.schema.invert(draw_data(self.fitted_.model, z, data_key, batch))
        _check_decoded(drawn, np.asarray(z))
        return self._framed(as_told(self.fitted_, drawn, told))

    @shared
    def score_samples(
        self,
        X: Any,
        *,
        samples: int | None = None,
        random_state: int | None = None,
        report: Progress | None = None,
    ) -> NDArray[Any]:
        """The K-sample bound on ln p(x) of each row, nats, shape (N,); K is ``samples``, else ``bound_samples``."""
        rows, schema = self._stored(X)
        key, raw = self.fitted_.configuration.key("score", random_state), self._raw(rows, schema, report)
        count = self._samples(samples)
        return importance_bound(self.fitted_.model, rows, schema, key, count, raw=raw, report=report)

    @shared
    def contributions(
        self,
        X: Any,
        *,
        samples: int | None = None,
        random_state: int | None = None,
        report: Progress | None = None,
    ) -> Contributions:
        r"""What each cell adds to the ELBO of its row, nats: ``cells`` (N, P) less ``kl`` (N,).

        .. math:: \mathrm{ELBO}(x) = \sum_j c_j(x) - KL(q(z|x)\|p(z)), \qquad c_j(x) = E_{q(z|x)} \ln p(x_j|z)

        A cell that is missing adds 0. Arguments as in :meth:`score_samples`.
        """
        rows, schema = self._stored(X)
        key, raw = self.fitted_.configuration.key("score", random_state), self._raw(rows, schema, report)
        return row_contributions(self.fitted_.model, rows, schema, key, self._samples(samples), raw=raw, report=report)

    @shared
    def impute(
        self,
        X: Any,
        *,
        draws: int | None = None,
        std: bool = False,
        samples: int | None = None,
        random_state: int | None = None,
        report: Progress | None = None,
    ) -> Any:
        """Rows with their missing cells filled in, shape (N, P); a cell that is there stays as it is, to the last bit.

        Of a DataFrame the same kind of frame, with its index.

        Args:
            X: rows, shape (N, P), NaN where a cell is missing.
            draws: give so many completed tables instead, shape (draws, N, P) or a list of frames: multiple imputation,
                each with cells drawn from p(x_missing|x_seen), so that an analysis of all of them knows what imputing
                leaves open.
            std: give beside the rows the posterior predictive deviation of each cell, in its units, and of a code the
                probability that another is true, (N, P): 0 where the cell is there.
            samples: K, draws of q whose weights correct for what q is not, by default ``bound_samples``.
            random_state: a seed for these draws; by default the one of the estimator.
            report: called with the rows done and N.

        Raises:
            ParameterError: ``draws`` is no positive int, or asked for together with ``std``.
        """
        if draws is not None and std:
            raise ParameterError("draws and std exclude each other: the spread of the draws is the deviation.")
        given, kept, schema = self._given(X), *self._stored(X)
        shape, holed = shape_of(X) or given.shape[1:], bool(np.isnan(given).any())
        raw: Any = self._raw(kept, schema, report) if holed else None
        key = self.fitted_.configuration.key("impute", random_state)
        of: Any = (self.fitted_.model, kept, schema, key, self._samples(samples))
        if draws is not None:
            draws = positive_int("draws", draws, "VAE.impute")
            check_room("completed tables", *kept.shape, draws)
            drawn = drawn_cells(*of, draws=draws, raw=raw, report=report) if holed else np.zeros((1, draws, 1))
            tables = [self._filled(X, given, drawn[:, draw]) for draw in range(draws)]
            return tables if is_frame(X) else np.stack(tables).reshape(draws, -1, *shape)
        found = expected_cells(*of, raw=raw, report=report) if holed else Expected(0.0, 0.0)
        whole = self._filled(X, given, found.centre)
        whole = whole if is_frame(X) else whole.reshape(-1, *shape)
        if not std:
            return whole
        scale = np.asarray(self.fitted_.schema.scale, np.float64)
        deviation = np.where(np.isnan(given), np.asarray(found.deviation, np.float64) * scale, 0.0)
        return whole, deviation.reshape(-1, *shape)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of :meth:`score_samples`, nats per row: larger is better."""
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    @shared
    def evaluate(
        self,
        X: Any,
        *,
        samples: int | None = None,
        random_state: int | None = None,
        report: Progress | None = None,
    ) -> Evaluation:
        """The ELBO of rows in its parts and their K-sample bound, nats per row; K as in :meth:`score_samples`."""
        rows, schema = self._stored(X)
        found = self._found(rows, schema, report)
        return evaluate(
            self.fitted_.model,
            rows,
            schema,
            self.fitted_.configuration.key("evaluate", random_state),
            self._samples(samples),
            raw=np.asarray(found.raw),
            beta=self.fitted_.configuration.objective_part().coefficients()["beta"],
            not_converged=int(np.sum(~found.converged)),
            report=report,
        )

    def evaluate_parts(
        self,
        parts: Iterable[tuple[int, Dataset]],
        *,
        samples: int | None = None,
        random_state: int | None = None,
    ) -> tuple[Evaluation, Dataset]:
        """The same of rows that come part by part, of which one is in memory, and some rows drawn from all of them.

        Rows that are not more than are drawn are evaluated as ever; of more :func:`reparam.evaluation.joined` tells.
        Of several processes each brings parts of its own, by their numbers among all.

        Raises:
            DataError: there are no rows.
        """
        schema, found, waiting = self.fitted_.schema, list[Evaluation](), list[Dataset]()
        own = Drawn(DRAWN_ROWS, np.empty((0, schema.size), schema.dtype))
        how: dict[str, Any] = {"samples": samples, "random_state": random_state}
        with apart():
            for number, part in parts:
                own.add(part.rows, number)
                waiting.append(part)
                if own.seen > DRAWN_ROWS:
                    found += [self.evaluate(each, **how) for each in waiting]
                    waiting = []
        drawn = own.of_all()
        if not drawn.seen:
            raise DataError("there are no rows: at least 1 is required.")
        some = Dataset(drawn.rows, schema)
        of_some = self.evaluate(some, **how)
        if drawn.seen <= DRAWN_ROWS:
            return of_some, some
        with apart():
            found += [self.evaluate(each, **how) for each in waiting]
        return joined(of_all(found), of_some), some

    @shared
    def anneal(
        self,
        X: Any,
        *,
        annealing: Annealing | None = None,
        samples: int | None = None,
        random_state: int | None = None,
        report: Progress | None = None,
    ) -> Annealed:
        """Ln p(x) of rows from below by annealed importance sampling, and of simulated rows from both sides.

        Args:
            X: rows, shape (N, P); as many are simulated.
            annealing: how carefully.
            samples: K of the bound beside it, by default ``bound_samples``.
            random_state: a seed for these draws; by default the one of the estimator.
            report: called with the rows annealed and N.
        """
        rows, schema = self._stored(X)
        return anneal(
            self.fitted_.model,
            rows,
            schema,
            self.fitted_.configuration.key("evaluate", random_state),
            Annealing() if annealing is None else annealing,
            samples=self._samples(samples),
            inference=self.fitted_.configuration.inference_part(),
            report=report,
        )

    @shared
    def gap(
        self,
        X: Any,
        *,
        family: str | None = None,
        annealing: Annealing | None = None,
        samples: int | None = None,
        raw: NDArray[Any] | None = None,
        random_state: int | None = None,
        report: Progress | None = None,
    ) -> Gap:
        """What the encoder and the family of q lose on rows, nats per row.

        Args:
            X: rows, shape (N, P).
            family: a richer family of q to optimise as well.
            annealing: how carefully to anneal for ln p(x); None leaves it out.
            samples: K of the bounds, by default ``bound_samples``.
            raw: q of each row, shape (N, R), where it is known: rows of ``row_raw_``.
            random_state: a seed for these draws; by default the one of the estimator.
            report: called with the rows whose q was optimised, and N.
        """
        rows, schema = self._stored(X)
        return measure_gap(
            self.fitted_.model,
            rows,
            schema,
            self.fitted_.configuration.key("gap", random_state),
            samples=self._samples(samples),
            raw=raw,
            inference=self.fitted_.configuration.inference_part(),
            family=family,
            annealing=annealing,
            report=report,
        )

    @property
    def row_raw_(self) -> NDArray[Any]:
        """With ``mean_field``, the raw vector of q of each row that was given to ``fit``, in their order, (N, R)."""
        if self.fitted_.state.best_raw is None:
            raise AttributeError("row_raw_ exists with inference='mean_field' only: an encoder keeps no q of any row.")
        train, held_out = map(np.asarray, self.fitted_.state.best_raw)
        raw = np.concatenate([train, held_out])
        train_rows, held_out_rows = split_rows(self.fitted_.configuration, len(raw))
        return raw if held_out_rows is None else raw[np.argsort(np.concatenate([train_rows, held_out_rows]))]

    def _filled(self, X: Any, given: NDArray[Any], values: NDArray[Any]) -> Any:
        """Rows as they were given, with the model's values in the place of what is missing."""
        rows = np.where(np.isnan(given), self.fitted_.schema.invert(values), given)
        rows = as_told(self.fitted_, rows, given)  # of a condition nothing is known but what is given
        return filled(X, rows, self.fitted_.schema) if is_frame(X) else rows

    def _stored(self, X: Any) -> tuple[NDArray[Any], Schema]:
        """Rows checked against what was fitted, as a device keeps them."""
        given = self._given(X)
        return self.fitted_.stored(given)

    def _given(self, X: Any) -> NDArray[Any]:
        """Rows checked against what was fitted, in stored units; a dataset has been conformed to it."""
        self._fitted()
        if isinstance(X, Dataset):
            return X.rows
        from sklearn.utils.validation import validate_data  # which takes a second to import

        if is_frame(X) and self.fitted_.schema.table is not None:
            validate_data(self, X, reset=False, skip_check_array=True)
            return conform_frame(X, self.fitted_.schema).rows
        if is_sparse(X):
            valid = validate_data(self, X, accept_sparse="csr", reset=False, ensure_all_finite="allow-nan")
            return SparseRows.of(valid)  # type: ignore[return-value]  # an array where it is looked at
        shape, schema = shape_of(X), self.fitted_.schema
        if shape is not None and shape != schema.event_shape and len(schema.event_shape) > 1:
            raise DataError(f"a datum of X has shape {shape}, but the model was made for shape {schema.event_shape}.")
        rows: NDArray[Any] = validate_data(self, flat(X), dtype="numeric", reset=False, ensure_all_finite="allow-nan")
        return from_array(rows, name="X", allow_missing=True).rows

    def _framed(self, rows: NDArray[Any], like: Any = None, shape: tuple[int, ...] | None = None) -> Any:
        """Rows in the like of a frame, or of that shape; by default as they were fitted."""
        like = self.frame_ if like is None else like
        if like is not None:
            return to_frame(rows, self.fitted_.schema, like)
        shape = self.shape_ if shape is None else shape
        return rows if shape is None else rows.reshape(len(rows), *shape)

    def _found(self, rows: NDArray[Any], schema: Schema, report: Progress | None) -> Found:
        """q of each row by the method that the model was trained with."""
        configuration = self.fitted_.configuration
        key, method = configuration.key("inference"), configuration.inference_part()
        found = find_rows(method, self.fitted_.model, rows, schema, key, report=report)
        _check_found(found, rows, self.fitted_.schema.columns)
        return found

    def _raw(self, rows: NDArray[Any], schema: Schema, report: Progress | None) -> NDArray[Any]:
        """The raw vectors of q of each row, with a warning of those that did not converge."""
        found = self._found(rows, schema, report)
        moving = int(np.sum(~found.converged))
        if moving:
            warnings.warn(f"q of {moving} of {len(rows)} rows had not converged.", ReparamWarning, stacklevel=3)
        return np.asarray(found.raw)

    def _samples(self, samples: int | None) -> int:
        chosen = self.fitted_.configuration.bound_samples if samples is None else samples
        return positive_int("samples", chosen, "the K-sample bound")

    def _decoded(self, codes: NDArray[Any], told: NDArray[Any] | None) -> NDArray[Any]:
        """What codes stand for in stored units; of a conditional model with rows (N, P) that tell its columns."""
        rows = self.fitted_.schema.invert(decoded(self.fitted_.model, codes, told_batch(self.fitted_, told)))
        _check_decoded(rows, codes)
        return as_told(self.fitted_, rows, told)


def _check_found(found: Found, rows: NDArray[Any], names: Sequence[str] | None) -> None:
    """Refuse rows for which an encoder gives no numbers, as it does where their own leave single precision.

    Raises:
        DataError: there is such a row.
    """
    lost = ~np.isfinite(np.asarray(found.raw)).all(axis=1)
    if lost.any():
        first = int(np.argmax(lost))
        column = int(np.nanargmax(np.abs(rows[first].astype(np.float64).ravel())))
        called = column if names is None else repr(names[column])
        raise DataError(
            f"row {first} has no q(z|x): its column {called} lies beyond what the model can be shown "
            f"({lost.sum():,} of {len(lost):,} rows). Mend or drop such rows."
        )


def _check_decoded(rows: NDArray[Any], codes: NDArray[Any]) -> None:
    """Refuse what codes stand for where it leaves the finite numbers.

    Raises:
        DataError: a row has such a value.
    """
    beyond = ~np.isfinite(rows).all(axis=1)
    if beyond.any():
        first = int(np.argmax(beyond))
        largest = float(np.abs(codes[first]).max())
        raise DataError(
            f"code {first} decodes to values beyond the numbers there are, for its largest entry is {largest:.3g} in "
            f"size ({beyond.sum():,} of {len(codes):,} codes do). Codes of data lie where the prior has its mass."
        )


def shape_of(X: Any) -> tuple[int, ...] | None:
    """The shape of one datum of an array whose rows are not flat, such as (28, 28); None of any other X.

    >>> shape_of(np.zeros((5, 28, 28))), shape_of(np.zeros((5, 784)))
    ((28, 28), None)
    """
    return tuple(X.shape[1:]) if isinstance(X, np.ndarray | jax.Array) and X.ndim > 2 else None


def flat(X: Any) -> Any:
    """The same rows as (N, P); what is flat, or no array, as it is."""
    shape = shape_of(X)
    return X if shape is None else X.reshape(len(X), math.prod(shape))
