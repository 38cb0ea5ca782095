r"""Annealed importance sampling with Hamiltonian Monte Carlo: ln p(x) from below, and on simulated data from above.

Chains run from a Gaussian with the moments of q(z|x) to the posterior through
:math:`f_t \propto q_0(z)^{1-\beta_t}\, p(x, z)^{\beta_t}`. The closer q₀, the fewer temperatures are needed. Step sizes
are found by pilot chains of their own and then held, so that every transition leaves its f_t invariant and the weights
stay unbiased.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from reparam.batch import Batch
from reparam.data import Schema
from reparam.evaluation.latents import draw_data, draw_prior, moments
from reparam.evaluation.local import find_rows
from reparam.evaluation.results import Estimate, mean_of, not_finite, plain
from reparam.evaluation.rows import Progress, map_rows, row_keys, row_numbers, rows_of_draws
from reparam.evaluation.weights import encoded, importance_bound, less
from reparam.inference import AMORTIZED, Inference
from reparam.model import Model

TARGET_ACCEPTANCE = 0.65  # Neal (2011), Section 5.4.4.3
ADAPTATION = 0.2
FIRST_STEP = 0.3
SCHEDULE_SPREAD = 4.0

LogDensity = Callable[[Array], Array]


@dataclass(frozen=True)
class Annealing:
    """How carefully to anneal: chains per datum, temperatures, leapfrog steps per transition."""

    chains: int = 8
    temperatures: int = 200
    leapfrog: int = 8
    pilots: int = 2


class Sandwich(NamedTuple):
    """Bounds on the mean ln p(x) of simulated data, nats per datum: the truth lies between them in expectation."""

    lower: Estimate
    upper: Estimate
    width: Estimate


@dataclass(frozen=True)
class Annealed:
    """What annealing says of ``rows`` rows and of as many that the model draws itself; nats per datum.

    ``bound`` is a lower bound on ln p(x) of the rows, and ``importance_bound`` the K-sample bound of the same rows. How
    far they may lie below is seen on simulated data, where the same procedure gives ``simulated.lower`` and, from exact
    draws of the posterior, ``simulated.upper``.
    """

    rows: int
    annealing: Annealing
    bound: Estimate
    importance_bound: Estimate
    samples: int
    simulated: Sandwich
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values; what is not finite is None, and ``warnings`` says why."""
        return dict(plain(self))


def anneal(
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    annealing: Annealing,
    *,
    samples: int,
    inference: Inference = AMORTIZED,
    report: Progress | None = None,
) -> Annealed:
    """Bound ln p(x) of rows from below, and of as many simulated rows from both sides.

    Args:
        model: p(x, z) and the family of q.
        rows: as stored, shape (N, P).
        schema: how stored rows become the model's values.
        key: the noise.
        annealing: how carefully.
        samples: K of the bound beside it.
        inference: how the model finds q, by default with its encoder.
        report: called with the rows done and N, twice from the start.
    """
    found_key, plain_key, bound_key, simulated_key = jax.random.split(key, 4)
    raw = np.asarray(find_rows(inference, model, rows, schema, found_key).raw)
    by_draws = importance_bound(model, rows, schema, plain_key, samples, raw=raw)
    bound = annealed_bound(model, rows, schema, bound_key, annealing, raw=raw, report=report)
    simulated = bidirectional_bounds(
        model, simulated_key, len(rows), annealing, inference=inference, unit=schema.on_device.unit, report=report
    )
    told = not_finite(bound=bound, importance_bound=by_draws)
    return Annealed(len(rows), annealing, mean_of(bound), mean_of(by_draws), samples, simulated, told)


def annealed_bound(
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    annealing: Annealing,
    *,
    raw: NDArray[Any] | None = None,
    report: Progress | None = None,
) -> NDArray[Any]:
    r"""A stochastic lower bound on ln p(x) of each row, :math:`\ln\frac1C\sum_c w_c`, by annealed importance sampling.

    Args:
        model: p(x, z) and the family of q.
        rows: as stored, shape (N, P).
        schema: how stored rows become the model's values.
        key: the noise; each row has its own.
        annealing: how carefully.
        raw: q of each row, whose moments are where chains start, shape (N, R); by default the encoder's.
        report: called with the rows done and N.

    Returns:
        Nats, shape (N,).

    Source: Neal (2001), Equation 11; Wu, Burda, Salakhutdinov & Grosse (2017), Section 3.
    """
    raw = encoded(model, rows, schema) if raw is None else raw

    def bound(rows: Array, raw: Array, numbers: Array) -> Array:
        return _forward(model, rows, raw, row_keys(key, numbers), schema=schema, annealing=annealing)

    chunk = rows_of_draws(model, annealing.chains)
    bounds = map_rows(bound, rows, raw, row_numbers(rows), chunk=chunk, report=report)
    return less(np.asarray(bounds), schema.log_volume_of(rows))


def bidirectional_bounds(
    model: Model,
    key: PRNGKeyArray,
    count: int,
    annealing: Annealing,
    *,
    inference: Inference = AMORTIZED,
    unit: float | tuple[float, ...] = 1.0,
    report: Progress | None = None,
) -> Sandwich:
    """Bounds from below and above on ln p(x) of data that the model itself draws (bidirectional Monte Carlo).

    A datum drawn with its code z comes with one exact draw of p(z|x). Annealing from there back to q₀ makes unbiased
    weights of 1/p(x), hence an upper bound. The width of the sandwich says how good the lower bound is on such data.

    Args:
        model: p(x, z) and the family of q.
        key: the data and the noise.
        count: how many data.
        annealing: how carefully.
        inference: how the model finds q, which gives q₀; by default with its encoder.
        unit: what one unit of the densities is in what the model sees, one number or one for each feature.
        report: called with the data annealed from below and ``count``.

    Source: Grosse, Ghahramani & Adams (2015), Section 3.
    """
    prior_key, data_key, found_key, below_key, above_key = jax.random.split(key, 5)
    z = draw_prior(model, prior_key, count)
    x = draw_data(model, z, data_key)
    schema = Schema("simulated", x.shape[1:], unit=unit)
    raw = np.asarray(find_rows(inference, model, x, schema, found_key).raw)
    lower = annealed_bound(model, x, schema, below_key, annealing, raw=raw, report=report)

    def bound(rows: Array, raw: Array, z: Array, numbers: Array) -> Array:
        return _backward(model, Batch.of_rows(rows, schema), raw, z, row_keys(above_key, numbers), annealing=annealing)

    bounds = map_rows(bound, x, raw, z, row_numbers(x), chunk=rows_of_draws(model, annealing.chains))
    upper = np.asarray(bounds) - schema.log_volume
    return Sandwich(mean_of(lower), mean_of(upper), mean_of(upper - lower))


class Path(NamedTuple):
    """The bridge of one datum in coordinates u = (z − m)/s, where q₀ is N(0, I)."""

    loc: Array  # (K,) m
    scale: Array  # (K,) s
    log_joint: LogDensity  # z (K,) → ln p(x, z)

    def log_ratio(self, u: Array) -> Array:
        """Ln p(x, z) − ln q₀(z)."""
        log_volume = jnp.sum(jnp.log(self.scale))
        return self.log_joint(self.loc + self.scale * u) + log_volume - _log_normal(u)

    def log_density(self, u: Array, temperature: Array) -> Array:
        """Ln f_t(u) = ln N(u) + β_t (ln p(x, z) − ln q₀(z))."""
        return _log_normal(u) + temperature * self.log_ratio(u)


def temperatures(count: int) -> Array:
    """β_0 = 0 < β_1 < … < β_T = 1, by a sigmoid: dense at both ends."""
    logits = jnp.linspace(-SCHEDULE_SPREAD, SCHEDULE_SPREAD, count + 1)
    sigmoid = jax.nn.sigmoid(logits)
    return (sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])


@eqx.filter_jit
def _forward(
    model: Model, rows: Array, raw: Array, keys: PRNGKeyArray, *, schema: Schema, annealing: Annealing
) -> Array:
    batch = Batch.of_rows(rows, schema)

    def of_row(datum: Batch, loc: Array, scale: Array, key: PRNGKeyArray) -> Array:
        path = _path(model, datum, loc, scale)
        pilot_key, start_key, key = jax.random.split(key, 3)
        steps = _step_sizes(path, pilot_key, annealing)
        u = jax.random.normal(start_key, (annealing.chains, len(loc)))
        return _mean_weight(_anneal(path, u, key, steps, annealing))

    bounds: Array = jax.vmap(of_row)(batch, *moments(model.family, raw, keys), keys)
    return bounds


@eqx.filter_jit
def _backward(model: Model, batch: Batch, raw: Array, z: Array, keys: PRNGKeyArray, *, annealing: Annealing) -> Array:
    def of_row(datum: Batch, z: Array, loc: Array, scale: Array, key: PRNGKeyArray) -> Array:
        path = _path(model, datum, loc, scale)
        pilot_key, key = jax.random.split(key)
        steps = _step_sizes(path, pilot_key, annealing)
        u = jnp.tile((z - loc) / scale, (annealing.chains, 1)).astype(float)  # as the noise is
        return -_mean_weight(_anneal_back(path, u, key, steps, annealing))

    bounds: Array = jax.vmap(of_row)(batch, z, *moments(model.family, raw, keys), keys)
    return bounds


def _path(model: Model, datum: Batch, loc: Array, scale: Array) -> Path:
    p = model.prior_distribution(datum)
    return Path(loc, scale, lambda z: jnp.asarray(model.log_likelihood(z, datum) + p.log_prob(z)))


def _anneal(path: Path, u: Array, key: PRNGKeyArray, step_sizes: Array, annealing: Annealing) -> Array:
    """Ln of the weights of chains u (C, K) run from q₀ to the posterior, shape (C,)."""
    betas = temperatures(annealing.temperatures)

    def transition(u: Array, at: tuple[Array, Array, Array, PRNGKeyArray]) -> tuple[Array, Array]:
        before, beta, step_size, key = at
        gained = (beta - before) * jax.vmap(path.log_ratio)(u)
        return _hamiltonian(path, u, beta, step_size, key, leapfrog=annealing.leapfrog)[0], gained

    keys = jax.random.split(key, annealing.temperatures)
    _, gained = jax.lax.scan(transition, u, (betas[:-1], betas[1:], step_sizes, keys))
    return jnp.sum(gained, axis=0)


def _anneal_back(path: Path, u: Array, key: PRNGKeyArray, step_sizes: Array, annealing: Annealing) -> Array:
    """Ln of the weights of chains u (C, K), exact draws of the posterior, run back to q₀, shape (C,)."""
    betas = temperatures(annealing.temperatures)

    def transition(u: Array, at: tuple[Array, Array, Array, PRNGKeyArray]) -> tuple[Array, Array]:
        before, beta, step_size, key = at
        u = _hamiltonian(path, u, beta, step_size, key, leapfrog=annealing.leapfrog)[0]
        return u, (before - beta) * jax.vmap(path.log_ratio)(u)

    keys = jax.random.split(key, annealing.temperatures)
    _, gained = jax.lax.scan(transition, u, (betas[:-1], betas[1:], step_sizes, keys), reverse=True)
    return jnp.sum(gained, axis=0)


def _step_sizes(path: Path, key: PRNGKeyArray, annealing: Annealing) -> Array:
    """A step size for each temperature, (T,), by chains that adapt theirs towards the target acceptance."""
    start_key, key = jax.random.split(key)
    u = jax.random.normal(start_key, (annealing.pilots, len(path.loc)))

    def transition(carry: tuple[Array, Array], at: tuple[Array, PRNGKeyArray]) -> tuple[tuple[Array, Array], Array]:
        u, step_size = carry
        beta, key = at
        u, acceptance = _hamiltonian(path, u, beta, step_size, key, leapfrog=annealing.leapfrog)
        adapted = step_size * jnp.exp(ADAPTATION * (jnp.mean(acceptance) - TARGET_ACCEPTANCE))
        return (u, adapted), step_size

    betas, keys = temperatures(annealing.temperatures)[1:], jax.random.split(key, annealing.temperatures)
    _, step_sizes = jax.lax.scan(transition, (u, jnp.full((), FIRST_STEP, u.dtype)), (betas, keys))
    return step_sizes


def _hamiltonian(
    path: Path, u: Array, beta: Array, step_size: Array, key: PRNGKeyArray, *, leapfrog: int
) -> tuple[Array, Array]:
    """One transition of chains u (C, K) that leaves f_t invariant, and its acceptance probabilities (C,)."""
    momentum_key, accept_key = jax.random.split(key)
    momentum = jax.random.normal(momentum_key, u.shape)
    slope = jax.vmap(jax.value_and_grad(lambda u: path.log_density(u, beta)))

    def step(carry: tuple[Array, Array, Array, Array], nothing: None) -> tuple[tuple[Array, Array, Array, Array], None]:
        u, momentum, _, gradient = carry
        momentum = momentum + 0.5 * step_size * gradient
        u = u + step_size * momentum
        value, gradient = slope(u)
        return (u, momentum + 0.5 * step_size * gradient, value, gradient), None

    value, gradient = slope(u)
    (proposed, last_momentum, last_value, _), _ = jax.lax.scan(
        step, (u, momentum, value, gradient), None, length=leapfrog
    )
    log_ratio = last_value - value + _log_normal(last_momentum) - _log_normal(momentum)
    acceptance = jnp.where(jnp.isfinite(log_ratio), jnp.exp(jnp.minimum(log_ratio, 0.0)), 0.0)
    accepted = jax.random.uniform(accept_key, acceptance.shape) < acceptance
    return jnp.where(accepted[:, None], proposed, u), acceptance


def _mean_weight(log_weights: Array) -> Array:
    return logsumexp(log_weights) - jnp.log(log_weights.shape[0])


def _log_normal(u: Array) -> Array:
    return -0.5 * jnp.sum(u**2, axis=-1) - 0.5 * u.shape[-1] * jnp.log(2 * jnp.pi)
