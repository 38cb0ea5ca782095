"""The scikit-learn face: one estimator, every part by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from reparam import runs
from reparam.data import Dataset, Schema, Summary, from_array, inspect, split
from reparam.errors import DataError, ParameterError, ReparamWarning
from reparam.estimator.likelihood import choose_likelihood
from reparam.evaluation import Evaluation, draw_prior, evaluate, importance_bound, posterior_moments
from reparam.evaluation.annealing import Annealed, Annealing, anneal
from reparam.evaluation.gap import Gap, measure_gap
from reparam.evaluation.latents import posterior_draws
from reparam.evaluation.local import find_rows
from reparam.evaluation.rows import Progress, map_rows
from reparam.inference import INFERENCE, Found, Inference, MeanField
from reparam.model import Model, build_model
from reparam.objectives import Objective, build_objective
from reparam.specification import build, positive_int, real_number, requirement
from reparam.training import Record, Settings, TrainState, fit, initial_state
from reparam.training.collapse import collapse_warning
from reparam.training.mean_field import fit_mean_field
from reparam.training.state import MeanFieldState, State, initial_mean_field_state
from reparam.training.tensors import to_tensors
from reparam.version import __version__

Report = Callable[[Record], None]


class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A variational autoencoder as a scikit-learn transformer: rows in, latent codes out.

    Args:
        latent_dim: K, the number of latents.
        posterior: family of q(z|x): ``diagonal``, ``full``, ``cholesky``, ``low_rank:2``, ``flow``.
        scale: coordinates of its standard deviation: ``log_variance``, ``log_std``, ``softplus``, …
        prior: p(z): ``standard_normal``, ``gaussian_mixture:10``, ``vamp:50``, ``flow``.
        likelihood: p(x|z): ``bernoulli``, ``gaussian``, …; ``auto`` looks at the data and says in ``likelihood_`` and
            ``likelihood_reason_`` what it chose and why.
        objective: what is maximised: ``elbo``, or ``elbo:5`` for five draws; ``iwae:50``, ``free_bits:0.5``, ``mmd``, …
        estimator: of its gradient: ``pathwise``, ``stl``, ``dreg``, ``score_function``, ``vimco``.
        beta: coefficient of the divergence in the surrogate, None for the objective's own: 1, of ``beta_tcvae`` 6; the
            reported bound is the ELBO all the same.
        warmup: of that weight: ``none``, ``linear:10`` over ten epochs, ``cyclic:10``, ``linear:500,steps``.
        inference: how q is found: ``amortized``, by an encoder; ``mean_field:5``, a free q for each row, five steps of
            it at each visit and no encoder; ``semi_amortized:5``, an encoder and five steps from where it points.
        hidden: widths of the encoder's hidden layers, reversed in the decoder; ``()`` is a linear model.
        activation: ``relu``, ``tanh``, …
        epochs: passes over the data, at most.
        batch_size: rows per step.
        learning_rate: step size of Adam.
        early_stopping: hold out ``validation_fraction`` of the rows, stop when their bound has not risen for
            ``patience`` epochs, and keep the best weights. Otherwise every row is trained on.
        validation_fraction: in (0, 1).
        patience: epochs.
        bound_samples: K of the K-sample bound in ``score_samples``.
        random_state: the one seed of everything.

    A row that is scored, encoded or drawn has noise of its own, made of the seed and the row: no result depends on
    the row's neighbours. uint8 values are read as pixels, x/255; the densities are those of the model's units.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(64, 5))
    >>> vae = VAE(latent_dim=2, hidden=(8,), epochs=2).fit(X)
    >>> vae.transform(X).shape, vae.sample(3).shape, vae.score_samples(X).shape
    ((64, 2), (3, 5), (64,))
    """

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        posterior: str = "diagonal",
        scale: str = "log_variance",
        prior: str = "standard_normal",
        likelihood: str = "auto",
        objective: str = "elbo",
        estimator: str = "pathwise",
        beta: float | None = None,
        warmup: str = "none",
        inference: str = "amortized",
        hidden: Sequence[int] = (400,),
        activation: str = "relu",
        epochs: int = 50,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        bound_samples: int = 100,
        random_state: int | np.random.RandomState | None = 0,
    ):
        self.latent_dim = latent_dim
        self.posterior = posterior
        self.scale = scale
        self.prior = prior
        self.likelihood = likelihood
        self.objective = objective
        self.estimator = estimator
        self.beta = beta
        self.warmup = warmup
        self.inference = inference
        self.hidden = hidden
        self.activation = activation
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.bound_samples = bound_samples
        self.random_state = random_state

    # ---- training

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on the rows of X, shape (N, P); y is ignored."""
        rows = validate_data(self, X, dtype="numeric", ensure_min_samples=2)
        return self.fit_dataset(from_array(rows, name="X"))

    def fit_dataset(self, data: Dataset, *, report: Report | None = None, resume: bool = False) -> Self:
        """Train on a dataset with a schema, as the command line does.

        Args:
            data: from :func:`reparam.data.load` or :func:`reparam.data.from_array`.
            report: called with the record of every epoch.
            resume: go on from where an earlier fit of the same data and settings stopped.

        An interrupt (Ctrl-C) ends training; what was trained is kept and ``interrupted_`` is True.

        Raises:
            ParameterError: a setting lies outside its domain, or two disagree.
            DataError: the data cannot be used.
            TrainingError: the bound left the finite numbers.
        """
        if not resume:
            self.prepare(data)
        train_rows, validation_rows = self._split(data.rows)
        state, history = self.state_, list(self.history_)
        self.interrupted_, warned = False, False
        try:
            for record in self._epochs(state, train_rows, validation_rows):
                history.append(_history_line(record))
                self._finish(record.state, history)
                warned = warned or self._warn_of_collapse(record, history)
                if report is not None:
                    report(record)
        except KeyboardInterrupt:
            self.interrupted_ = True
        return self

    def _epochs(self, state: State, train_rows: NDArray[Any], validation_rows: NDArray[Any] | None) -> Iterator[Record]:
        settings = Settings(
            self.epochs, self.batch_size, self.learning_rate, self.patience if self.early_stopping else 0
        )
        rows = jnp.asarray(train_rows), self.schema_, self._objective(), settings
        held_out = None if validation_rows is None else jnp.asarray(validation_rows)
        inference = self._inference()
        if isinstance(state, TrainState):
            return fit(state, *rows, validation_rows=held_out, inference=inference)
        if not isinstance(inference, MeanField):
            raise ParameterError(f"a model trained with 'mean_field' cannot go on with inference={self.inference!r}.")
        return fit_mean_field(state, *rows, inference=inference, validation_rows=held_out)

    def _warn_of_collapse(self, record: Record, history: list[dict[str, Any]]) -> bool:
        """Whether all latents are dead, and a warning if so."""
        before = [line["kl"] for line in history[:-1]]
        text = collapse_warning(record.training, before, last=record.epoch == self.epochs)
        if text is not None:
            warnings.warn(f"epoch {record.epoch}: {text}", ReparamWarning, stacklevel=3)
        return text is not None

    def prepare(self, data: Dataset) -> Self:
        """Choose what is to be chosen and build the untrained model: ``fit_dataset(data, resume=True)`` trains it.

        Raises:
            ParameterError: a setting lies outside its domain, or two disagree.
            DataError: the data cannot be used.
        """
        self.check_parameters()
        if len(data.rows) < 2:
            raise DataError(f"{data.schema.name} has 1 row: at least 2 are required to train.")
        self.schema_, self.seed_ = data.schema, self._seed()
        train_rows, _ = self._split(data.rows)
        self.n_features_in_ = data.schema.size
        summary = inspect(data)
        if summary.constant:
            warnings.warn(_told_constant(summary), ReparamWarning, stacklevel=2)
        self.likelihood_, self.likelihood_reason_ = choose_likelihood(self.likelihood, summary)
        model_key, train_key = jax.random.split(jax.random.key(self.seed_))
        model = self._build(jnp.asarray(data.schema.apply(train_rows)), model_key)
        model.likelihood.check(data.schema.apply(data.rows))
        self._finish(self._initial_state(model, train_key, data.rows), [])
        return self

    def _initial_state(self, model: Model, key: jax.Array, rows: NDArray[Any]) -> State:
        if not isinstance(self._inference(), MeanField):
            return initial_state(model, key)
        train_rows, validation_rows = self._split(rows)
        return initial_mean_field_state(
            model, key, len(train_rows), 0 if validation_rows is None else len(validation_rows)
        )

    def _empty_state(self, model: Model, tensors: Mapping[str, NDArray[Any]]) -> State:
        """A state of the shape of saved tensors, which alone know how many rows have a q of their own."""
        key = jax.random.key(0)
        if not isinstance(self._inference(), MeanField):
            return initial_state(model, key)
        counts = (len(tensors.get(f"{part}.raw", ())) for part in ("local", "held_out"))
        return initial_mean_field_state(model, key, *counts)

    def _build(self, x: jax.Array, key: jax.Array) -> Model:
        model = build_model(
            x,
            key,
            latent_dim=self.latent_dim,
            posterior=self.posterior,
            scale=self.scale,
            prior=self.prior,
            likelihood=self.likelihood_,
            hidden=tuple(self.hidden),
            activation=self.activation,
        )
        return self._inference().prepare(model)

    def _finish(self, state: State, history: list[dict[str, Any]]) -> None:
        self.state_, self.model_, self.history_ = state, state.best_model, history
        self.n_iter_ = int(state.epoch)
        self._n_features_out = self.latent_dim

    def _split(self, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        if not self.early_stopping:
            return rows, None
        train, validation = split(len(rows), self.validation_fraction, self.seed_)
        return rows[train], rows[validation]

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))

    def _inference(self) -> Inference:
        inference: Inference = build("inference", INFERENCE, self.inference)
        return inference

    def _objective(self) -> Objective:
        return build_objective(self.objective, estimator=self.estimator, beta=self.beta, warmup=self.warmup)

    def check_parameters(self) -> None:
        """Refuse settings outside their domains, before any data are read.

        Raises:
            ParameterError: names the parameter, what is required, and what came.
        """
        for name in ("latent_dim", "epochs", "batch_size", "patience", "bound_samples"):
            positive_int(name, getattr(self, name), "VAE")
        real_number("learning_rate", self.learning_rate, "VAE", above=0.0)
        if self.beta is not None:
            real_number("beta", self.beta, "VAE", least=0.0)
        if self.early_stopping and not 0 < real_number("validation_fraction", self.validation_fraction, "VAE") < 1:
            raise ParameterError(requirement("validation_fraction", "VAE", "in (0, 1)", self.validation_fraction))
        if not isinstance(self.hidden, Sequence | np.ndarray) or isinstance(self.hidden, str):
            raise ParameterError(requirement("hidden", "VAE", "a sequence of ints in [1, inf)", self.hidden))
        for width in self.hidden:
            positive_int("hidden", width, "VAE")
        model = build_model(  # every part refuses here what it would refuse later
            jnp.zeros((2, 2)),
            jax.random.key(0),
            latent_dim=int(self.latent_dim),
            posterior=self.posterior,
            scale=self.scale,
            prior=self.prior,
            likelihood="gaussian" if self.likelihood == "auto" else self.likelihood,
            hidden=(),
            activation=self.activation,
        )
        self._inference().prepare(model)
        self._objective()

    # ---- use

    def transform(
        self, X: Any, *, draw: bool = False, random_state: int | None = None, report: Progress | None = None
    ) -> NDArray[Any]:
        """Latent codes, shape (N, K): the mean of q(z|x), or with ``draw`` one draw of it.

        ``report``, here and below, is called with the rows done and N: where there is no encoder, q is searched for.
        """
        rows = self._rows(X)
        if draw:
            key = self._key("draw", random_state)
            return posterior_draws(self.model_, rows, self.schema_, key, raw=self._raw(rows, report))
        return self._moments(rows, report)[0]

    def posterior_moments(self, X: Any, *, report: Progress | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and standard deviation of q(z|x), both (N, K)."""
        return self._moments(self._rows(X), report)

    def inverse_transform(self, X: Any) -> NDArray[Any]:
        """Decode latent codes (N, K) into rows (N, P): the mean of p(x|z), in the units of the data."""
        check_is_fitted(self, "model_")
        codes = check_array(X, dtype=np.float32)
        if codes.shape[1] != self.latent_dim:
            raise DataError(f"codes must have {self.latent_dim} columns, one per latent. Got {codes.shape[1]}.")
        return np.asarray(map_rows(self._decoded, codes))

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
        check_is_fitted(self, "model_")
        count = positive_int("n_samples", n_samples, "VAE.sample")
        temperature = real_number("temperature", temperature, "VAE.sample", least=0.0)
        latent_key, data_key = jax.random.split(self._key("sample", random_state))
        z = draw_prior(self.model_, latent_key, count, temperature)
        if not draw:
            return np.asarray(map_rows(self._decoded, z))
        return np.asarray(self.schema_.invert(self.model_.decode(z).sample(data_key)))

    def score_samples(self, X: Any, *, random_state: int | None = None, report: Progress | None = None) -> NDArray[Any]:
        """The K-sample bound on ln p(x) of each row, nats, shape (N,); K is ``bound_samples``."""
        rows = self._rows(X)
        key, raw = self._key("score", random_state), self._raw(rows, report)
        return importance_bound(self.model_, rows, self.schema_, key, self.bound_samples, raw=raw, report=report)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of :meth:`score_samples`, nats per row: larger is better."""
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    def evaluate(self, X: Any, *, random_state: int | None = None, report: Progress | None = None) -> Evaluation:
        """The ELBO of rows in its parts and their K-sample bound, nats per row; K is ``bound_samples``."""
        rows = self._rows(X)
        found = self._found(rows, report)
        return evaluate(
            self.model_,
            rows,
            self.schema_,
            self._key("evaluate", random_state),
            self.bound_samples,
            raw=np.asarray(found.raw),
            beta=1.0 if self.beta is None else self.beta,
            not_converged=int(np.sum(~found.converged)),
            report=report,
        )

    def anneal(
        self,
        X: Any,
        *,
        annealing: Annealing | None = None,
        random_state: int | None = None,
        report: Progress | None = None,
    ) -> Annealed:
        """Ln p(x) of rows from below by annealed importance sampling, and of simulated rows from both sides.

        Args:
            X: rows, shape (N, P); as many are simulated.
            annealing: how carefully.
            random_state: a seed for these draws; by default the one of the estimator.
            report: called with the rows annealed and N.
        """
        rows, key = self._rows(X), self._key("anneal", random_state)
        return anneal(
            self.model_,
            rows,
            self.schema_,
            key,
            Annealing() if annealing is None else annealing,
            samples=self.bound_samples,
            inference=self._inference(),
            report=report,
        )

    def gap(
        self,
        X: Any,
        *,
        family: str | None = None,
        annealing: Annealing | None = None,
        raw: NDArray[Any] | None = None,
        random_state: int | None = None,
        report: Progress | None = None,
    ) -> Gap:
        """What the encoder and the family of q lose on rows, nats per row; K of the bounds is ``bound_samples``.

        Args:
            X: rows, shape (N, P).
            family: a richer family of q to optimise as well.
            annealing: how carefully to anneal for ln p(x); None leaves it out.
            raw: q of each row, shape (N, R), where it is known: rows of ``row_raw_``.
            random_state: a seed for these draws; by default the one of the estimator.
            report: called with the rows whose q was optimised, and N.
        """
        return measure_gap(
            self.model_,
            self._rows(X),
            self.schema_,
            self._key("gap", random_state),
            samples=self.bound_samples,
            raw=raw,
            inference=self._inference(),
            family=family,
            annealing=annealing,
            report=report,
        )

    @property
    def row_raw_(self) -> NDArray[Any]:
        """With ``mean_field``, the raw vector of q of each row that was given to ``fit``, in their order, (N, R)."""
        if not isinstance(self.state_, MeanFieldState):
            raise AttributeError("row_raw_ exists with inference='mean_field' only: an encoder keeps no q of any row.")
        train, held_out = map(np.asarray, self.state_.best_raw)
        raw = np.concatenate([train, held_out])
        if len(held_out):
            numbers = np.concatenate(split(len(raw), self.validation_fraction, self.seed_))
            raw = raw[np.argsort(numbers)]
        return raw

    def _rows(self, X: Any) -> NDArray[Any]:
        """Rows as stored, checked against what was fitted; a dataset has been conformed to it."""
        check_is_fitted(self, "model_")
        if isinstance(X, Dataset):
            return X.rows
        rows: NDArray[Any] = validate_data(self, X, dtype="numeric", reset=False)
        return from_array(rows, name="X").rows

    def _moments(self, rows: NDArray[Any], report: Progress | None) -> tuple[NDArray[Any], NDArray[Any]]:
        return posterior_moments(self.model_, rows, self.schema_, self._key("moments"), raw=self._raw(rows, report))

    def _found(self, rows: NDArray[Any], report: Progress | None) -> Found:
        """q of each row by the method that the model was trained with."""
        return find_rows(self._inference(), self.model_, rows, self.schema_, self._key("inference"), report=report)

    def _raw(self, rows: NDArray[Any], report: Progress | None) -> NDArray[Any]:
        """The raw vectors of q of each row, with a warning of those that did not converge."""
        found = self._found(rows, report)
        moving = int(np.sum(~found.converged))
        if moving:
            warnings.warn(f"q of {moving} of {len(rows)} rows had not converged.", ReparamWarning, stacklevel=3)
        return np.asarray(found.raw)

    def _decoded(self, z: jax.Array) -> jax.Array:
        return _decode_mean(self.model_, z, self.schema_)

    def _key(self, purpose: str, seed: int | None = None) -> jax.Array:
        """A key for one purpose, so that no two results share noise."""
        return jax.random.fold_in(jax.random.key(self.seed_ if seed is None else seed), PURPOSES.index(purpose))

    # ---- keeping

    def save(self, path: str | Path, *, overwrite: bool = False, data: dict[str, Any] | None = None) -> Path:
        """Write a run folder; :func:`reparam.load` opens it again, and executes no code.

        Args:
            path: the folder; one that holds something else is refused.
            overwrite: replace a run that is there.
            data: what else ``data.json`` should say of the source.

        Raises:
            RunError: the place is taken or cannot be written.
        """
        check_is_fitted(self, "model_")
        parameters = {**self.get_params(deep=False), "hidden": [int(width) for width in self.hidden]}
        parameters["random_state"] = self.seed_
        config = {
            "format": runs.FORMAT,
            "version": __version__,
            "parameters": {name: _plain(value) for name, value in parameters.items()},
            "likelihood": self.likelihood_,
            "likelihood_reason": self.likelihood_reason_,
        }
        names = getattr(self, "feature_names_in_", None)
        described = {
            "schema": self.schema_.to_json(),
            "feature_names": None if names is None else list(names),
            **(data or {}),
        }
        run = runs.Run(config, described, to_tensors(self.model_), to_tensors(self.state_), tuple(self.history_))
        return runs.write_run(path, run, overwrite=overwrite)

    def __sklearn_is_fitted__(self) -> bool:
        """Fitted once a model stands and is trained."""
        return hasattr(self, "state_")

    def __sklearn_tags__(self) -> Any:
        """Codes are single precision whatever the input."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


PURPOSES = ("moments", "draw", "sample", "score", "evaluate", "inference", "gap", "anneal")


def _told_constant(summary: Summary) -> str:
    shown = ", ".join(summary.constant[:5]) + (", …" if len(summary.constant) > 5 else "")
    return f"{summary.name}: {len(summary.constant)} of {len(summary.columns)} columns are constant ({shown})."


@eqx.filter_jit
def _decode_mean(model: Model, z: jax.Array, schema: Schema) -> jax.Array:
    mean: jax.Array = schema.invert(model.decode(z).mean)
    return mean


def _history_line(record: Record) -> dict[str, Any]:
    validation = record.validation
    return {
        "epoch": record.epoch,
        **record.training.to_json(),
        "weights": dict(record.weights),
        "validation": None if validation is None else validation.to_json(),
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
