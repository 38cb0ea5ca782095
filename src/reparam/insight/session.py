"""All that pictures may ask of a run and its data, in one place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import equinox as eqx
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
from reparam.errors import NoClosedFormError
from reparam.estimator.conditions import told_batch, told_rows
from reparam.estimator.configuration import root_key
from reparam.estimator.vae import VAE
from reparam.evaluation.weights import RowBounds, row_bounds
from reparam.model import Model
from reparam.objectives import kl_per_dimension
from reparam.probability.conditional import conditional_kl
from reparam.probability.distributions.chain import Chain

ROWS_AT_ONCE = 65_536
SCORED_AT_MOST = 5_000
PRIOR_DRAWS = 20_000
COUNTS = ("poisson", "negative_binomial", "zero_inflated_negative_binomial")
DEAD_KL = 0.01
KL_DRAWS = 64
KEPT = 8


@dataclass(frozen=True)
class Codes:
    """Where the rows lie: mean and deviation of q(z|x), (N, K), and the KL of each row, (N,), and latent, (N, K)."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    kl: NDArray[np.float32]
    kl_per_latent: NDArray[np.float32] | None


@dataclass(frozen=True)
class Scores:
    """The K-sample bound of some rows, nats: of all, or of so many as are scored at once, evenly spread."""

    numbers: NDArray[np.intp]
    values: NDArray[np.float64]

    def of_all(self, rows: int) -> NDArray[np.float64]:
        """A value for each of N rows, NaN where none was scored."""
        values = np.full(rows, np.nan)
        values[self.numbers] = self.values
        return values


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
    def noise_size(self) -> int:
        """How many numbers ε has: K, or more where the family takes more."""
        return int(reparam.draw_noise(self.q(self.raw(0)), jax.random.key(0)).shape[-1])

    # ---- one datum

    def take(self, numbers: Any) -> Dataset:
        """Some rows, as a dataset."""
        return self.data.take(np.asarray(numbers, np.intp))

    def datum(self, row: int) -> Batch:
        """A row as the model sees it, without a leading axis."""
        rows, schema = self.vae.fitted_.stored(self.take([row]).rows)
        one: Batch = jax.tree.map(lambda leaf: leaf[0], Batch.of_rows(jnp.asarray(rows), schema))
        return replace(one, x=jnp.asarray(one.x, float))

    def log_volumes(self, row: int) -> NDArray[np.float64]:
        """What ln p of each cell that was seen exceeds ln p in units by, nats, (P,)."""
        return np.where(np.isnan(self.data.rows[row]), 0.0, self.schema.log_volumes)

    def raw(self, row: int) -> Array:
        """The raw vector of q(z|x) of a row, (R,), found as the model was trained."""
        return jnp.asarray(self.vae.posterior_raw(self.take([row]))[0])

    def q(self, raw: Array) -> Distribution:
        """Q of a raw vector."""
        return self.model.family.distribution(raw)

    def decode(self, z: NDArray[Any]) -> NDArray[np.float32]:
        """The mean of p(x|z) of codes (M, K) in stored units, (M, P)."""
        return np.asarray(self.vae.inverse_transform(np.asarray(z, np.float32), self.given), np.float32)

    def latent_name(self, latent: int) -> str:
        """What a latent is called: by its number, or where there are several layers as encode names its columns."""
        layers = self.model.prior.layers
        layer = int(np.searchsorted(np.cumsum(layers), latent, side="right"))
        return f"latent {latent}" if len(layers) == 1 else f"z{layer + 1}_{latent - sum(layers[:layer])}"

    def followed(self, z: NDArray[np.float64], latent: int) -> NDArray[np.float64]:
        """Codes (M, K) in which the layers below a latent's own follow it, each at its mean."""
        prior = self.model.prior
        layer = int(np.searchsorted(np.cumsum(prior.layers), latent, side="right")) + 1
        return z if layer == 1 else np.asarray(prior.settled(jnp.asarray(z, float), layer), np.float64)

    def seed_key(self, seed: int) -> PRNGKeyArray:
        """The noise of a seed that a reader chose."""
        return root_key(seed)

    # ---- all of them, once

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

    @property
    def codes(self) -> Codes:
        """Where the rows lie."""
        found: Codes = self._once("_codes")
        return found

    @cached_property
    def _codes(self) -> Codes:
        mean, std = self.vae.posterior_moments(self.data)
        raw = self.vae.posterior_raw(self.data)
        parts = [
            _row_kl(self.model, jnp.asarray(part), batch)
            for part, batch in zip(_parts(raw), self._conditions(), strict=True)
        ]
        total = np.concatenate([np.asarray(kl) for kl, _ in parts])
        terms = None if parts[0][1] is None else np.concatenate([np.asarray(terms) for _, terms in parts])
        return Codes(np.asarray(mean, np.float32), np.asarray(std, np.float32), total, terms)

    def _conditions(self) -> Iterator[Batch | None]:
        """The rows of each part, where the prior hangs on what they hold."""
        for part in _parts(self.data.rows):
            if self.model.shift is None:
                yield None
            else:
                rows, schema = self.vae.fitted_.stored(part)
                yield Batch.of_rows(jnp.asarray(rows), schema)

    @property
    def scores(self) -> Scores:
        """The K-sample bound of rows, K being the run's ``bound_samples``."""
        found: Scores = self._once("_scores")
        return found

    @cached_property
    def _scores(self) -> Scores:
        numbers = spread(self.rows, SCORED_AT_MOST)
        return Scores(numbers, np.asarray(self.vae.score_samples(self.take(numbers)), np.float64))

    @property
    def tree(self) -> cKDTree:
        """The codes of all rows, to be searched for neighbours in all K latents."""
        return self._once("_tree")

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.codes.mean, balanced_tree=False, compact_nodes=False)

    @cached_property
    def prior_draws(self) -> NDArray[np.float64]:
        """Draws of p(z), or p(z|c) of what is given, shape (M, K), from which its quantiles are read."""
        told = told_batch(self.vae.fitted_, told_rows(self.vae.fitted_, self.given, 1))
        p = self.model.prior_distribution(told)
        drawn = p.sample(jax.random.key(0), (PRIOR_DRAWS,))
        return np.asarray(drawn, np.float64).reshape(PRIOR_DRAWS, -1)

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
        raw = self.vae.posterior_raw(chosen)
        return row_bounds(self.model, rows, schema, self.seed_key(seed), samples, raw=raw)

    def gap(self, row: int) -> Mapping[str, float]:
        """What the encoder loses on one row, and what its family loses, nats."""
        found = self.vae.gap(self.take([row]))
        names = ("amortized_elbo", "local_elbo", "log_prob", "amortization_gap", "approximation_gap", "inference_gap")
        return {name: float(getattr(found, name).value) for name in names}


def _parts(rows: NDArray[Any]) -> list[NDArray[Any]]:
    return [rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE)]


@eqx.filter_jit
def _row_kl(model: Model, raw: Array, batch: Batch | None) -> tuple[Array, Array | None]:
    """KL(q‖p) of rows, exact or NaN, and its terms where there are such; of several layers both by draws."""
    q, p = model.family.distribution(raw), model.prior_distribution(batch)
    if isinstance(q, Chain):
        keys, none = jax.random.split(jax.random.key(0), KL_DRAWS), jnp.zeros((len(raw), *q.event_shape))
        parts = jax.lax.fori_loop(0, KL_DRAWS, lambda k, sums: sums + conditional_kl(q, p, q.sample(keys[k])), none)
        parts = parts / KL_DRAWS
        return jnp.sum(parts, axis=-1), parts
    try:
        total = reparam.kl_divergence(q, p)
    except NoClosedFormError:
        total = jnp.full(len(raw), jnp.nan)
    return total, kl_per_dimension(q, p)
