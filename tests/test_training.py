from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reparam.data import Schema
from reparam.errors import TrainingError
from reparam.model import build_model
from reparam.networks import MLP
from reparam.objectives import ELBO
from reparam.training import Settings, fit, initial_state
from reparam.training.adam import Adam
from reparam.training.epoch import evaluate_epoch, padded_batches, random_order
from reparam.training.metrics import reduce_sums

ROWS, SIZE = 50, 6
SCHEMA = Schema("rows", (SIZE,), "float32")
X = np.random.default_rng(0).normal(size=(ROWS, SIZE)).astype(np.float32)


def small_model(key: int = 0, **parameters):
    return build_model(jnp.asarray(X), jax.random.key(key), **{"latent_dim": 2, "hidden": (8,), **parameters})


@pytest.mark.parametrize("epsilon", [1e-8, 1e-4])
def test_adam_is_optaxs(epsilon):
    weights = {"a": jnp.asarray(X), "b": jnp.ones(3)}
    ours, theirs = Adam(epsilon=epsilon), optax.adam(1e-2, eps=epsilon)
    moments, state, mine, other = ours.start(weights), theirs.init(weights), weights, weights
    for step in range(20):
        gradient = jax.tree.map(lambda w, step=step: jnp.sin(3 * w + step) * 10.0 ** (step % 5 - 2), weights)
        mine, moments = ours.step(mine, gradient, moments, 1e-2)
        updates, state = theirs.update(gradient, state, other)
        other = optax.apply_updates(other, updates)
    for name in weights:
        np.testing.assert_allclose(mine[name], other[name], rtol=2e-5, atol=2e-6)


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


def test_sums_are_exact_whatever_the_batch_size():
    model = small_model()
    metrics = [
        reduce_sums(
            evaluate_epoch(
                model, jnp.asarray(X), jax.random.key(1), objective=ELBO(), schema=SCHEMA, batch_size=batch_size
            )
        )
        for batch_size in (7, 16, 50)
    ]
    assert len({round(m.kl, 5) for m in metrics}) == 1
    for m in metrics:
        assert abs(m.bound - (m.reconstruction - m.kl)) < 1e-4
        assert abs(sum(m.kl_per_dimension) - m.kl) < 1e-4


def test_the_bound_is_the_elbo_by_hand():
    model, key = small_model(), jax.random.key(2)
    terms = ELBO(400)(model, jnp.asarray(X), key)
    q = model.encode(jnp.asarray(X))
    mean, std = np.asarray(q.loc, np.float64), np.asarray(q.scale, np.float64)
    kl = 0.5 * np.sum(std**2 + mean**2 - 1 - 2 * np.log(std), axis=1)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-4)
    z = mean + std * np.random.default_rng(3).normal(size=(400, ROWS, 2))
    location = np.asarray(model.decoder(jnp.asarray(z, jnp.float32)), np.float64)
    sigma = np.exp(float(model.likelihood.log_scale))
    log_prob = np.sum(-0.5 * ((X - location) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi), axis=-1)
    error = 5 * np.sqrt(2) * log_prob.std(axis=0) / np.sqrt(400)  # both sides are Monte Carlo; fixed keys
    np.testing.assert_array_less(np.abs(np.asarray(terms.reconstruction) - log_prob.mean(axis=0)), error)


def test_training_is_deterministic_and_counts_its_epochs():
    def run():
        state = initial_state(small_model(), jax.random.key(4))
        return list(
            fit(state, jnp.asarray(X), SCHEMA, ELBO(), Settings(3, 16, 1e-3), validation_rows=jnp.asarray(X[:9]))
        )

    one, two = run(), run()
    assert [record.epoch for record in one] == [1, 2, 3]
    assert one[-1].training == two[-1].training
    assert one[-1].validation == two[-1].validation
    for a, b in zip(jax.tree.leaves(one[-1].state), jax.tree.leaves(two[-1].state), strict=True):
        if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            assert np.array_equal(a, b)


def test_one_compiled_epoch_serves_every_learning_rate():
    from reparam.training.epoch import train_epoch

    def run(rate: float) -> int:
        state = initial_state(small_model(), jax.random.key(4))
        next(fit(state, jnp.asarray(X), SCHEMA, ELBO(), Settings(1, 16, rate)))
        return train_epoch._cached._cache_size()

    assert run(1e-3) == run(2e-3)


def test_divergence_is_told_with_a_remedy():
    state = initial_state(small_model(), jax.random.key(5))
    with pytest.raises(TrainingError, match="epoch 1.*learning rate"):
        list(fit(state, jnp.asarray(X) * 1e25, SCHEMA, ELBO(), Settings(2, 16, 1e30)))


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
    key, objective = jax.random.key(0), ELBO()

    def metrics(rows):
        sums = evaluate_epoch(model, jnp.asarray(rows), key, objective=objective, schema=SCHEMA, batch_size=len(rows))
        return reduce_sums(sums)

    with_row, without = metrics(rows), metrics(rows[1:])
    assert (with_row.without_density, without.without_density) == (1, 0)
    assert with_row.kl == pytest.approx(without.kl, rel=1e-5)
    assert with_row.bound == pytest.approx(without.bound, abs=1.0)  # other noise; with row 0 it would be −∞
    assert metrics(rows[:20]).bound == -np.inf  # one in twenty is no accident
