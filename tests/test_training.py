from __future__ import annotations

import json
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reparam.data import Schema
from reparam.errors import TrainingError
from reparam.estimator.fitting import history_line
from reparam.model import build_model
from reparam.networks import MLP, paced
from reparam.networks.images import ImageEncoder
from reparam.networks.layers import Linear, Residual
from reparam.objectives import ELBO
from reparam.training import Recipe, Rows, Settings, Task, fit, initial_state
from reparam.training.epoch import evaluate_epoch, train_epoch
from reparam.training.metrics import reduce_sums
from reparam.training.order import padded_batches, random_order
from reparam.training.pace import AVERAGES, OPTIMIZERS, SCHEDULES, Clock, Exponential, Optimizer, averaged
from reparam.training.packing import packing

ROWS, SIZE = 50, 6
SCHEMA = Schema("rows", (SIZE,), "float32")
X = np.random.default_rng(0).normal(size=(ROWS, SIZE)).astype(np.float32)
fresh_model = eqx.filter_jit(build_model)


def small_model(key: int = 0, **parameters):
    return fresh_model(jnp.asarray(X), jax.random.key(key), **{"latent_dim": 2, "hidden": (8,), **parameters})


def task(epochs: int = 1, rate: float = 1e-3, *, rows=X, held_out=None, objective=None, patience=0, **recipe) -> Task:
    return Task(
        rows=Rows(jnp.asarray(rows), SCHEMA),
        held_out=None if held_out is None else Rows(jnp.asarray(held_out), SCHEMA),
        objective=ELBO() if objective is None else objective,
        recipe=Recipe(16, **recipe),
        settings=Settings(epochs, rate, patience),
    )


def begun(of: Task, key: int = 4, **parameters):
    return initial_state(small_model(**parameters), jax.random.key(key), of.recipe)


def newest(of: Task, **parameters):
    """The state after the last epoch."""
    *_, last = fit(begun(of, **parameters), of)
    return last.state


def test_an_optimizers_first_step_is_optaxs():
    """One epoch in one batch is one step: weights move by optax's update of the same gradient."""
    one = task(rate=0.1)
    state = begun(one)
    everything = Recipe(ROWS)
    moved, _, _ = train_epoch(
        state,
        jnp.asarray(X),
        jax.random.key(1),
        jnp.float32(0.1),
        one.clock(0),
        objective=ELBO(),
        schema=SCHEMA,
        recipe=everything,
    )
    steps = [np.abs(np.asarray(a - b)) for a, b in zip(*map(jax.tree.leaves, (moved.model, state.model)), strict=True)]
    largest = max(step.max() for step in steps)
    assert largest == pytest.approx(0.1, rel=1e-4)  # Adam's first step has the size of the rate


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_an_optimizer_by_name_moves_few_weights_as_one_vector_and_as_the_same_object_moves_the_model(name):
    """But for last digits; the state is laid out alike, moments and means of weights with it."""
    chosen = (Optimizer(name, clip_norm=1.0), Optimizer(OPTIMIZERS[name](), clip_norm=1.0))
    named, own = (newest(task(3, optimizer=optimizer, averaging=Exponential(0.9))) for optimizer in chosen)
    assert jax.tree.structure(named.moments) == jax.tree.structure(own.moments)
    for part in ("model", "moments", "average"):
        for a, b in zip(*(jax.tree.leaves(getattr(state, part)) for state in (named, own)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_vector_of_updates_keeps_the_pace_of_wide_affine_paths():
    keys = jax.random.split(jax.random.key(0))
    network = ImageEncoder((16, 16), 256, 2, channels=16, depth=1, activation="gelu", key=keys[0])
    updates = eqx.filter(Residual(Linear(256, 2, keys[1]), network), eqx.is_inexact_array)
    held, slower = packing(updates, Optimizer()), paced(updates)
    assert held.pack(updates).ndim == 1
    np.testing.assert_array_equal(slower.linear.weight, 0.5 * updates.linear.weight)
    of_vector = held.unpack(held.paced(held.pack(updates)))
    for a, b in zip(jax.tree.leaves(of_vector), jax.tree.leaves(slower), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_clipped_gradient_has_the_norm_it_is_clipped_to():
    gradient = {"a": jnp.full(3, 4.0), "b": jnp.full(1, 2.0)}
    transformation = Optimizer("sgd", clip_norm=0.5).transformation
    updates, _ = transformation.update(gradient, transformation.init(gradient), gradient)
    assert float(optax.tree.norm(updates)) == pytest.approx(0.5, rel=1e-5)


def factors(name: str, *arguments: float, steps: int = 100) -> np.ndarray:
    schedule = SCHEDULES[name](*arguments)
    return np.array([float(schedule.factor(Clock(jnp.asarray(i), 10, jnp.asarray(steps)))) for i in range(steps)])


def test_schedules_are_optaxs():
    np.testing.assert_allclose(factors("cosine"), optax.cosine_decay_schedule(1.0, 100)(np.arange(100)), atol=1e-6)
    ours, theirs = factors("cosine", 20, 0.1), optax.warmup_cosine_decay_schedule(0.0, 1.0, 20, 100, 0.1)
    np.testing.assert_allclose(ours[20:], [theirs(i) for i in range(20, 100)], atol=1e-6)
    np.testing.assert_allclose(ours[:20], np.arange(1, 21) / 20, atol=1e-6)  # ours counts the first step as taken
    np.testing.assert_allclose(factors("linear"), optax.linear_schedule(1.0, 0.0, 100)(np.arange(100)), atol=1e-6)
    assert np.array_equal(factors("constant"), np.ones(100))
    rise = np.minimum(np.arange(1, 101) / 30, 1.0)  # 500 steps, but at most three epochs of ten
    np.testing.assert_allclose(factors("constant", 500, 3), rise, rtol=1e-6)


def test_stages_change_at_their_epochs():
    found = factors("stages", 2, 1.0, 3, 0.5, 1, 0.25)
    np.testing.assert_array_equal(found, np.repeat([1.0, 0.5, 0.25], [20, 30, 50]))


def test_an_average_of_the_last_epochs_is_the_mean_of_their_weights():
    weights = np.random.default_rng(0).normal(size=40)
    tail, forgetting = AVERAGES["last"](2), AVERAGES["ema"](0.9)
    mean = ema = jnp.asarray(weights[0])
    for i, weight in enumerate(weights):
        clock = Clock(jnp.asarray(i), 10, jnp.asarray(40))
        mean = averaged(mean, jnp.asarray(weight), tail.coefficient(clock))
        ema = averaged(ema, jnp.asarray(weight), forgetting.coefficient(clock))
    assert float(mean) == pytest.approx(weights[-20:].mean(), abs=1e-6)
    recent = 0.9 ** np.arange(31)
    expected = (recent[:30] * 0.1) @ weights[:9:-1] + recent[30] * weights[:10].mean()  # a plain mean of the first ten
    assert float(ema) == pytest.approx(expected, abs=1e-5)


def test_averaged_weights_are_the_ones_that_are_used():
    plain, meaned = newest(task(3)), newest(task(3, averaging=AVERAGES["last"](2)))
    for a, b in zip(*map(jax.tree.leaves, (plain.model, meaned.model)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)  # two programs, compiled apart
    assert meaned.best_model.encoder.layers[0].weight is not meaned.model.encoder.layers[0].weight
    assert np.abs(meaned.best_model.encoder.layers[0].weight - meaned.model.encoder.layers[0].weight).max() > 0


@pytest.mark.parametrize(("count", "batch_size"), [(50, 16), (48, 16), (5, 5), (3, 2)])
def test_every_row_is_visited_once(count, batch_size):
    batches, weights = padded_batches(jnp.arange(count), batch_size)
    assert batches.shape == weights.shape == (-(-count // batch_size), batch_size)
    assert sorted(np.asarray(batches)[np.asarray(weights) == 1].tolist()) == list(range(count))
    assert set(np.unique(weights)) <= {0.0, 1.0}


def test_the_order_is_a_uniform_permutation():
    orders = np.asarray(jax.vmap(lambda key: random_order(key, 4))(jax.random.split(jax.random.key(0), 4800)))
    assert (np.sort(orders, axis=1) == np.arange(4)).all()
    _, counts = np.unique(orders, axis=0, return_counts=True)
    chi_square = np.sum((counts - 200) ** 2 / 200)
    assert len(counts) == 24
    assert chi_square < 56.0  # χ² of 23 degrees of freedom: false alarm 1.5e-4, fixed key


def measured(model, rows, key, batch_size):
    how = {"objective": ELBO(), "schema": SCHEMA, "recipe": Recipe(batch_size)}
    return reduce_sums(evaluate_epoch(model, None, jnp.asarray(rows), key, **how)[1])


def test_sums_are_exact_whatever_the_batch_size():
    model = small_model()
    metrics = [measured(model, X, jax.random.key(1), batch_size) for batch_size in (7, 16, 50)]
    assert len({round(m.kl, 5) for m in metrics}) == 1
    for m in metrics:
        assert abs(m.bound - (m.reconstruction - m.kl)) < 1e-4
        assert abs(sum(m.kl_per_dimension) - m.kl) < 1e-4


def test_the_bound_is_the_elbo_by_hand():
    model, key = small_model(), jax.random.key(2)
    terms = eqx.filter_jit(ELBO(400))(model, jnp.asarray(X), key)
    q = eqx.filter_jit(model.encode)(jnp.asarray(X))
    mean, std = np.asarray(q.loc, np.float64), np.asarray(q.scale, np.float64)
    kl = 0.5 * np.sum(std**2 + mean**2 - 1 - 2 * np.log(std), axis=1)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-4)
    z = mean + std * np.random.default_rng(3).normal(size=(400, ROWS, 2))
    location = np.asarray(eqx.filter_jit(model.decoder)(jnp.asarray(z, jnp.float32)), np.float64)
    sigma = np.exp(float(model.likelihood.log_scale))
    log_prob = np.sum(-0.5 * ((X - location) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi), axis=-1)
    error = 5 * np.sqrt(2) * log_prob.std(axis=0) / np.sqrt(400)  # both sides are Monte Carlo; fixed keys
    np.testing.assert_array_less(np.abs(np.asarray(terms.reconstruction) - log_prob.mean(axis=0)), error)


def test_training_is_deterministic_and_counts_its_epochs():
    three = task(3, held_out=X[:9])
    one, two = (list(fit(begun(three), three)) for _ in range(2))
    assert [record.epoch for record in one] == [1, 2, 3]
    assert one[-1].training == two[-1].training
    assert one[-1].validation == two[-1].validation
    for a, b in zip(jax.tree.leaves(one[-1].state), jax.tree.leaves(two[-1].state), strict=True):
        if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            assert np.array_equal(a, b)


def test_one_compiled_epoch_serves_every_rate_length_unit_and_beta():
    def compiled(of: Task) -> int:
        next(fit(begun(of), of))
        return train_epoch._cached._cache_size()

    before = compiled(task(1, 1e-3))
    other = task(7, 2e-3, objective=ELBO(beta=0.5))
    shifted = Schema("rows", (SIZE,), "float32", None, tuple(X.mean(0).tolist()), tuple(X.std(0).tolist()))
    assert compiled(other) == before
    first = compiled(Task(Rows(jnp.asarray(X), shifted), None, other.objective, other.recipe, other.settings))
    again = Schema("rows", (SIZE,), "float32", None, tuple(X.std(0).tolist()), tuple((1 + X.std(0)).tolist()))
    assert compiled(Task(Rows(jnp.asarray(X), again), None, other.objective, other.recipe, other.settings)) == first


def test_divergence_is_told_with_a_remedy():
    huge = task(2, 1e30, rows=X * 1e25)
    with pytest.raises(TrainingError, match="epoch 1.*learning rate"):
        list(fit(begun(huge), huge))


def test_a_weight_that_is_not_finite_after_the_last_step_is_told():
    """One batch: the bound is that of the weights before the step, and finite; the step leaves the numbers."""
    of = task(1, 1e38, rows=X[:16], optimizer=Optimizer("sgd"))
    state = begun(of, likelihood="gaussian:fixed:0.01")
    with pytest.raises(TrainingError, match="a weight is not finite"):
        list(fit(state, of))


def test_a_validation_bound_that_is_never_finite_is_told():
    of = task(2, held_out=np.full_like(X[:4], 1e30))
    with pytest.raises(TrainingError, match="held-out rows was not finite in any of 2 epochs"):
        list(fit(begun(of), of))


def test_an_epoch_that_is_not_finite_is_null_in_its_line():
    record = next(fit(begun(task()), task()))
    broken = replace(record, validation=replace(record.training, bound=-np.inf, kl=np.nan))
    line = history_line(broken)
    assert (line["validation"]["bound"], line["validation"]["kl"]) == (None, None)
    assert line["bound"] == record.training.bound
    json.dumps(line, allow_nan=False)


def test_the_optimal_noise_is_that_of_the_weights_that_are_kept():
    """σ² = mean (x − μ)² over the rows, by the final decoder; one epoch late it was 0.315 where 0.271 is right."""
    of = task(4, 0.02)
    state = newest(of, likelihood="gaussian:optimal")
    x = jnp.asarray(X)
    z = state.best_model.encode(x).sample(jax.random.key(0), (400,))
    error = jnp.sqrt(jnp.mean((x - state.best_model.decoder(z)) ** 2))
    assert float(jnp.exp(state.best_model.likelihood.log_scale)) == pytest.approx(float(error), rel=0.02)


def test_beta_changes_the_surrogate_and_leaves_the_bound_alone():
    model, key = small_model(), jax.random.key(6)
    plain, weighted = ELBO()(model, jnp.asarray(X), key), ELBO(beta=4.0)(model, jnp.asarray(X), key)
    np.testing.assert_array_equal(plain.bound, weighted.bound)
    np.testing.assert_allclose(weighted.surrogate, weighted.reconstruction - 4.0 * weighted.kl, rtol=1e-5)


def test_networks_mirror_and_may_be_linear():
    model = small_model(hidden=(12, 7))
    widths = [layer.weight.shape for layer in model.encoder.layers] + [
        layer.weight.shape for layer in model.decoder.layers
    ]
    assert widths == [(6, 12), (12, 7), (7, 4), (2, 7), (7, 12), (12, 6)]
    linear = MLP((3, 2), "relu", jax.random.key(0))
    x = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_allclose(linear(x) - linear(0 * x), -(linear(-x) - linear(0 * x)), atol=1e-6)


def test_training_starts_at_the_datas_mean_and_spread():
    data = X * np.array([1, 2, 3, 4, 5, 6]) + 10
    model = build_model(
        jnp.asarray(data), jax.random.key(0), latent_dim=2, hidden=(8,), likelihood="gaussian:per_dimension"
    )
    np.testing.assert_allclose(model.decoder.layers[-1].bias, data.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(np.exp(model.likelihood.log_scale), data.std(axis=0), rtol=1e-5)


def test_a_full_posterior_starts_at_the_identity_for_every_row():
    """Random matrices would lie on all sides of the singular ones, near which gradients have no bound."""
    q = small_model(posterior="full").encode(jnp.asarray(X))
    np.testing.assert_array_equal(q.matrix, np.broadcast_to(np.eye(2), (ROWS, 2, 2)))
    assert np.std(np.asarray(q.loc), axis=0).min() > 0.1


def test_a_row_whose_q_is_singular_is_left_out_and_counted():
    """Row 0 alone has S = 0: its bound is −∞, and everything else is what it is without it."""
    model = small_model(posterior="full", hidden=(), likelihood="gaussian:fixed:1.0")
    rows = np.concatenate([np.zeros((1, SIZE)), np.ones((120, SIZE))]).astype(np.float32)
    weight = jnp.zeros((SIZE, 6)).at[0, 2].set(1.0).at[0, 5].set(1.0)
    bias = jnp.zeros(6)
    model = eqx.tree_at(lambda m: (m.encoder.layers[0].weight, m.encoder.layers[0].bias), model, (weight, bias))

    def metrics(rows):
        return measured(model, rows, jax.random.key(0), len(rows))

    with_row, without = metrics(rows), metrics(rows[1:])
    assert (with_row.without_density, without.without_density) == (1, 0)
    assert with_row.kl == pytest.approx(without.kl, rel=1e-5)
    assert with_row.bound == pytest.approx(without.bound, abs=1.0)  # other noise; with row 0 it would be −∞
    assert metrics(rows[:20]).bound == -np.inf  # one in twenty is no accident
