"""All that pictures may ask of a run and its data, in one place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray
from numpyro.distributions import Distribution
from scipy.spatial import cKDTree

import reparam
from reparam.batch import Batch
from reparam.data import Dataset, Schema, grey_limits, is_image, spread
from reparam.estimator.conditions import as_told, told_batch
from reparam.estimator.configuration import root_key
from reparam.estimator.vae import VAE
from reparam.evaluation import importance_bound, posterior_moments
from reparam.evaluation.latents import decoded, draw_data, draw_prior
from reparam.evaluation.weights import RowBounds, row_bounds
from reparam.insight.computed import Codes, Scores, log_levels, parts, row_kl
from reparam.model import Model
from reparam.probability.divergences import has_closed_form
from reparam.probability.priors import StandardNormal

SCORED_AT_MOST = 5_000
PRIOR_DRAWS = 20_000
COUNTS = ("poisson", "negative_binomial", "zero_inflated_negative_binomial")
DEAD_KL = 0.01
KEPT = 8


@dataclass
class Session:
    """A run and rows to look at; what costs time is computed once and kept. Safe for threads.

    Args:
        vae: a fitted model.
        data: rows, conformed to it.
        name: what the run is called.
        source: what the rows are.
        given: of a conditional model the value of each column of its condition, for draws of p(z|c) and decoding.
    """

    vae: VAE
    data: Dataset
    name: str = "run"
    source: str = "data"
    given: Mapping[str, Any] | None = None
    lock: Any = field(default_factory=threading.RLock, repr=False)
    kept: dict[Any, Any] = field(default_factory=dict, repr=False)
    keeping: Any = field(default_factory=threading.RLock, repr=False)

    # ---- what is known

    @property
    def model(self) -> Model:
        """p(x, z) and the family of q."""
        return self.vae.model_

    @property
    def schema(self) -> Schema:
        """What a row means."""
        return self.vae.schema_

    @property
    def rows(self) -> int:
        """N."""
        return len(self.data.rows)

    @property
    def latents(self) -> int:
        """K."""
        return self.vae.fitted_.configuration.latents

    @property
    def explaining(self) -> int:
        """How many of them explain x, and have a μ and a σ of the encoder's own: all but those of upper layers."""
        return self.vae.fitted_.configuration.layers[0]

    @property
    def history(self) -> list[dict[str, Any]]:
        """One mapping per epoch."""
        return list(self.vae.history_)

    @property
    def parameters(self) -> dict[str, Any]:
        """Every setting, the likelihood that was chosen among them."""
        return {**self.vae.get_params(deep=False), "likelihood": self.vae.likelihood_}

    @cached_property
    def kind(self) -> str:
        """How a datum is shown: ``image``, ``counts`` or ``table``."""
        if is_image(self.schema.event_shape):
            return "image"
        return "counts" if self.model.likelihood.name in COUNTS else "table"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """A name for each of the P features."""
        if self.schema.columns is not None:
            return self.schema.columns
        if self.kind == "image":
            return tuple(f"pixel {', '.join(map(str, place))}" for place in np.ndindex(self.schema.event_shape))
        return tuple(f"feature {index}" for index in range(self.schema.size))

    @cached_property
    def limits(self) -> tuple[float, float]:
        """The stored values that an image shows black and white."""
        known = grey_limits(self.schema)
        return known if known is not None else (float(np.nanmin(self.data.rows)), float(np.nanmax(self.data.rows)))

    @cached_property
    def labels(self) -> NDArray[Any] | None:
        """One label for each row, or None."""
        return None if self.data.labels is None else np.asarray(self.data.labels)

    @cached_property
    def any_q(self) -> Distribution:
        """Q of the first row, which knows what is the same for all: the family, how much noise it takes."""
        return self.q(self.raw(0))

    @cached_property
    def noise_size(self) -> int:
        """How many numbers ε has: K, or more where the family takes more."""
        return int(reparam.draw_noise(self.any_q, jax.random.key(0)).shape[-1])

    @cached_property
    def closed_kl(self) -> bool:
        """Whether KL(q‖p) has a closed form."""
        return has_closed_form(self.any_q, self.model.prior_distribution(self.datum(0)))

    # ---- one datum

    def take(self, numbers: Any) -> Dataset:
        """Some rows, as a dataset."""
        return self.data.take(np.asarray(numbers, np.intp))

    def datum(self, row: int) -> Batch:
        """A row as the model sees it, without a leading axis."""
        rows, schema = self.vae.fitted_.stored(self.take([row]).rows)
        one: Batch = jax.tree.map(lambda leaf: leaf[0], Batch.of_rows(jnp.asarray(rows), schema))
        return replace(one, x=jnp.asarray(one.x, float))

    def level_probabilities(self, z: NDArray[Any], like: int = 0) -> dict[int, NDArray[np.float64]]:
        """P(x_j = l|z) of every coded column j that is explained, (M, L_j), at codes (M, K); as :meth:`decode` says."""
        explained = ((j, c) for j, c in enumerate(self.schema.table or ()) if c.name not in self.condition)
        coded = {j: len(column.levels or ()) for j, column in explained if column.is_coded}
        if not coded:
            return {}
        told = told_batch(self.vae.fitted_, self.told(np.full(len(z), like)))
        levels = jnp.arange(max(coded.values()), dtype=float)[:, None, None]
        found = np.exp(log_levels(self.model, jnp.asarray(z, float), levels, told))
        return {j: np.asarray(found[:count, :, j].T, np.float64) for j, count in coded.items()}

    def sample(self, count: int, *, draw: bool = False) -> NDArray[Any]:
        """New rows, (count, P): means of p(x|z) or draws of it; a conditional model is given what its rows hold."""
        if not self.condition:
            return np.asarray(self.vae.sample(count, draw=draw))
        fitted, (z_key, x_key) = self.vae.fitted_, jax.random.split(self.seed_key(0))
        told = self.told(np.resize(spread(self.rows, count), count))
        batch = told_batch(fitted, told)
        z = draw_prior(fitted.model, z_key, count, given=batch)
        values = draw_data(fitted.model, z, x_key, batch) if draw else decoded(fitted.model, z, batch)
        return as_told(fitted, self.schema.invert(values), told)

    @property
    def condition(self) -> tuple[str, ...]:
        """The columns that the model is given and does not explain."""
        return tuple(self.vae.fitted_.configuration.condition)

    def told(self, numbers: NDArray[np.intp]) -> NDArray[Any] | None:
        """Of a conditional model the rows of these numbers, which tell it its columns; of any other None."""
        return self.data.rows[numbers] if self.condition else None

    def log_volumes(self, row: int) -> NDArray[np.float64]:
        """What ln p of each cell that was seen exceeds ln p in units by, nats, (P,)."""
        return np.where(np.isnan(self.data.rows[row]), 0.0, self.schema.log_volumes)

    def raw(self, row: int) -> Array:
        """The raw vector of q(z|x) of a row, (R,), found as the model was trained."""
        return jnp.asarray(self.raw_of([row])[0])

    def raw_of(self, numbers: Any) -> NDArray[Any]:
        """The same of some rows, (M, R); where there is no encoder q was searched for all rows, once."""
        if self.vae.inference == "amortized":
            return self.vae.posterior_raw(self.take(numbers))
        found: NDArray[Any] = self._once("_raws")[np.asarray(numbers, np.intp)]
        return found

    def score(self, numbers: Any) -> NDArray[np.float64]:
        """The K-sample bound of some rows, nats, (M,), as :meth:`reparam.VAE.score_samples` gives it."""
        fitted = self.vae.fitted_
        rows, schema = fitted.stored(self.take(numbers).rows)
        key, samples = fitted.configuration.key("score"), int(self.vae.bound_samples)
        found = importance_bound(fitted.model, rows, schema, key, samples, raw=self.raw_of(numbers))
        return np.asarray(found, np.float64)

    def q(self, raw: Array) -> Distribution:
        """Q of a raw vector."""
        return self.model.family.distribution(raw)

    def decode(self, z: NDArray[Any], like: int = 0) -> NDArray[Any]:
        """The mean of p(x|z) of codes (M, K) in stored units, (M, P); a table's coded cells as their likeliest levels.

        A conditional model is given what the row ``like`` holds; for any other that row means nothing.
        """
        told = self.told(np.full(len(z), like))
        model = self.vae.fitted_.model
        centres = decoded(model, np.asarray(z, np.float32), told_batch(self.vae.fitted_, told))
        return as_told(self.vae.fitted_, self.schema.invert(centres), told)

    @cached_property
    def latent_marks(self) -> tuple[str, ...]:
        """How encode's columns end, one for each latent: its number, or layer and number where there are several."""
        layers = self.model.prior.layers
        if len(layers) == 1:
            return tuple(map(str, range(self.latents)))
        return tuple(f"z{layer + 1}_{k}" for layer, size in enumerate(layers) for k in range(size))

    @cached_property
    def latent_names(self) -> tuple[str, ...]:
        """What each latent is called."""
        return tuple(mark if mark.startswith("z") else f"latent {mark}" for mark in self.latent_marks)

    @cached_property
    def standard_prior(self) -> bool:
        """Whether p(z) is N(0, I)."""
        return isinstance(self.model.prior, StandardNormal) and not self.condition

    def followed(self, z: NDArray[np.float64], latent: int) -> NDArray[np.float64]:
        """Codes (M, K) in which the layers below a latent's own follow it, each at its mean."""
        prior = self.model.prior
        layer = int(np.searchsorted(np.cumsum(prior.layers), latent, side="right")) + 1
        return z if layer == 1 else np.asarray(prior.settled(jnp.asarray(z, float), layer), np.float64)

    def seed_key(self, seed: int) -> PRNGKeyArray:
        """The noise of a seed that a reader chose."""
        return root_key(seed)

    # ---- all of them, once

    def _told_batch(self, part: slice) -> Batch | None:
        return told_batch(self.vae.fitted_, self.data.rows[part] if self.condition else None)

    def _once(self, name: str) -> Any:
        """What a cached property holds; only its first computation waits for the lock."""
        if name not in self.__dict__:
            with self.lock:
                return getattr(self, name)
        return self.__dict__[name]

    def keep(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """What was computed for a key; of the last few keys only, since each may hold a number for every row."""
        found = self.kept.get(key)
        if found is not None:
            return found
        with self.keeping:  # another lock than that of codes and scores: a projection may take minutes
            found = self.kept[key] if key in self.kept else compute()
            while len(self.kept) >= KEPT and key not in self.kept:
                self.kept.pop(next(iter(self.kept)))
            self.kept[key] = found
            return found

    @cached_property
    def _raws(self) -> NDArray[Any]:
        return self.vae.posterior_raw(self.data)

    @property
    def codes(self) -> Codes:
        """Where the rows lie."""
        found: Codes = self._once("_codes")
        return found

    @cached_property
    def _codes(self) -> Codes:
        raw, fitted = self.raw_of(np.arange(self.rows)), self.vae.fitted_
        mean, std = posterior_moments(
            fitted.model, *fitted.stored(self.data.rows), fitted.configuration.key("codes"), raw=raw
        )
        found = [row_kl(self.model, jnp.asarray(raw[part]), self._told_batch(part)) for part in parts(self.rows)]
        total = np.concatenate([np.asarray(kl) for kl, _ in found])
        terms = None if found[0][1] is None else np.concatenate([np.asarray(terms) for _, terms in found])
        return Codes(np.asarray(mean, np.float32), np.asarray(std, np.float32), total, terms)

    @property
    def scores(self) -> Scores:
        """The K-sample bound of rows, K being the run's ``bound_samples``."""
        found: Scores = self._once("_scores")
        return found

    @cached_property
    def _scores(self) -> Scores:
        numbers = spread(self.rows, SCORED_AT_MOST)
        return Scores(numbers, self.score(numbers))

    @property
    def tree(self) -> cKDTree:
        """The codes of all rows, to be searched for neighbours in all K latents."""
        return self._once("_tree")

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.codes.mean, balanced_tree=False, compact_nodes=False)

    @cached_property
    def prior_draws(self) -> NDArray[np.float64]:
        """Draws of p(z), shape (M, K), from which its quantiles are read; of p(z|c) with the rows' own conditions."""
        key, fitted = jax.random.key(0), self.vae.fitted_
        if not self.condition:
            return np.asarray(self.model.prior_distribution().sample(key, (PRIOR_DRAWS,)), np.float64)
        told = self.told(np.resize(spread(self.rows, PRIOR_DRAWS), PRIOR_DRAWS))
        return np.asarray(draw_prior(self.model, key, PRIOR_DRAWS, given=told_batch(fitted, told)), np.float64)

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The latents, the most used first: by KL, or by the variance of their codes where no KL is known."""
        return np.argsort(-self.use, kind="stable")

    @cached_property
    def use(self) -> NDArray[np.float64]:
        """What each latent carries: its mean KL in nats, or else the variance of its codes, (K,)."""
        codes = self.codes
        if codes.kl_per_latent is not None:
            return np.asarray(codes.kl_per_latent.mean(axis=0, dtype=np.float64))
        return np.asarray(codes.mean.var(axis=0, dtype=np.float64))

    @cached_property
    def dead(self) -> NDArray[np.bool_]:
        """Which latents carry nothing."""
        return np.asarray(self.use < DEAD_KL)

    def bounds(self, numbers: NDArray[np.intp], seed: int, samples: int) -> RowBounds:
        """Reconstruction, KL and K-sample bound of each of these rows."""
        chosen = self.take(numbers)
        rows, schema = self.vae.fitted_.stored(chosen.rows)
        return row_bounds(self.model, rows, schema, self.seed_key(seed), samples, raw=self.raw_of(numbers))

    def gap(self, row: int) -> Mapping[str, float]:
        """What the encoder loses on one row, and what its family loses, nats."""
        found = self.vae.gap(self.take([row]))
        names = ("amortized_elbo", "local_elbo", "log_prob", "amortization_gap", "approximation_gap", "inference_gap")
        return {name: float(getattr(found, name).value) for name in names}
