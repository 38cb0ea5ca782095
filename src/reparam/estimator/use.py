"""What a fitted model is for: codes, reconstructions, samples, bounds, gaps."""

from __future__ import annotations

import warnings
from typing import Any

import equinox as eqx
import jax
import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from reparam.data import Dataset, Schema, from_array
from reparam.errors import DataError, ReparamWarning
from reparam.estimator.fitting import Fitted, split_rows
from reparam.evaluation import Evaluation, draw_prior, evaluate, importance_bound, posterior_moments
from reparam.evaluation.annealing import Annealed, Annealing, anneal
from reparam.evaluation.gap import Gap, measure_gap
from reparam.evaluation.latents import draw_data, posterior_draws
from reparam.evaluation.local import find_rows
from reparam.evaluation.rows import Progress, map_rows
from reparam.inference import Found
from reparam.model import Model
from reparam.specification import positive_int, real_number


class FittedUse(TransformerMixin):
    """The methods of a fitted estimator; they read :attr:`fitted_` and no parameter, which may have changed since.

    Densities and bounds are in nats per row, of the data's own units (``schema_.units``). A row that is scored,
    encoded or drawn has noise of its own, made of the seed and the row: no result depends on the row's neighbours.
    """

    fitted_: Fitted

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

    def posterior_moments(self, X: Any, *, report: Progress | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and standard deviation of q(z|x), both (N, K)."""
        rows, schema = self._stored(X)
        key = self.fitted_.configuration.key("codes")
        return posterior_moments(self.fitted_.model, rows, schema, key, raw=self._raw(rows, schema, report))

    def posterior_raw(self, X: Any, *, report: Progress | None = None) -> NDArray[Any]:
        """The raw vectors of q(z|x) of each row, (N, R), as the way of inference finds them."""
        return self._raw(*self._stored(X), report)

    def inverse_transform(self, X: Any) -> NDArray[Any]:
        """Decode latent codes (N, K) into rows (N, P): the mean of p(x|z), in the units of the data."""
        check_is_fitted(self, "fitted_")
        codes = check_array(X, dtype=np.float32)
        latents = self.fitted_.configuration.latents
        if codes.shape[1] != latents:
            raise DataError(f"codes must have {latents} columns, one per latent. Got {codes.shape[1]}.")
        return self._decoded(codes)

    def reconstruct(
        self, X: Any, *, draw: bool = False, random_state: int | None = None, report: Progress | None = None
    ) -> NDArray[Any]:
        """Encode and decode: the mean of p(x|z) at the mean of q(z|x), or with ``draw`` at a draw of it."""
        codes = self.transform(X, draw=draw, random_state=random_state, report=report)
        return self.inverse_transform(np.asarray(codes))

    def sample(
        self, n_samples: int = 1, *, temperature: float = 1.0, draw: bool = False, random_state: int | None = None
    ) -> NDArray[Any]:
        """New rows from the model: z drawn from the prior, then the mean of p(x|z), shape (n_samples, P).

        Args:
            n_samples: how many.
            temperature: what the noise ε of z is multiplied by; below 1 the rows are more typical, above 1 stranger.
            draw: draw x from p(x|z) too, instead of its mean.
            random_state: a seed for these draws; by default the one of the estimator.
        """
        check_is_fitted(self, "fitted_")
        count = positive_int("n_samples", n_samples, "VAE.sample")
        temperature = real_number("temperature", temperature, "VAE.sample", least=0.0)
        latent_key, data_key = jax.random.split(self.fitted_.configuration.key("sample", random_state))
        z = draw_prior(self.fitted_.model, latent_key, count, temperature)
        if not draw:
            return self._decoded(np.asarray(z))
        return self.fitted_.schema.invert(draw_data(self.fitted_.model, z, data_key))

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

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of :meth:`score_samples`, nats per row: larger is better."""
        return float(np.mean(self.score_samples(X), dtype=np.float64))

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

    def _stored(self, X: Any) -> tuple[NDArray[Any], Schema]:
        """Rows checked against what was fitted, as a device keeps them; a dataset has been conformed to it."""
        check_is_fitted(self, "fitted_")
        if isinstance(X, Dataset):
            return self.fitted_.stored(X.rows)
        rows: NDArray[Any] = validate_data(self, X, dtype="numeric", reset=False)
        return self.fitted_.stored(from_array(rows, name="X").rows)

    def _found(self, rows: NDArray[Any], schema: Schema, report: Progress | None) -> Found:
        """q of each row by the method that the model was trained with."""
        configuration = self.fitted_.configuration
        key, method = configuration.key("inference"), configuration.inference_part()
        return find_rows(method, self.fitted_.model, rows, schema, key, report=report)

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

    def _decoded(self, codes: NDArray[Any]) -> NDArray[Any]:
        means = map_rows(lambda z: _decode_mean(self.fitted_.model, z), codes)
        return self.fitted_.schema.invert(np.asarray(means))


@eqx.filter_jit
def _decode_mean(model: Model, z: jax.Array) -> jax.Array:
    mean: jax.Array = model.decode(z).mean
    return mean
