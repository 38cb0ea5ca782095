"""Missing cells in a linear-Gaussian model, whose every answer is a marginal or a conditional of one Gaussian."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear_gaussian import LATENTS, SIGMA, SIZE, exact_model, linear_gaussian
from scipy.stats import multivariate_normal, norm

import reparam
from reparam.batch import Batch
from reparam.data import from_array
from reparam.evaluation.contributions import row_contributions
from reparam.evaluation.imputation import drawn_cells, expected_cells
from reparam.evaluation.weights import row_bounds
from reparam.objectives import ELBO, IWAE

TRUTH = linear_gaussian(3)
MODEL = exact_model(TRUTH)
KEY = jax.random.key(5)


def with_gaps(rows, share, seed):
    """Rows in double precision, cells hidden at random, one left in each row at least."""
    rng = np.random.default_rng(seed)
    hidden = rng.random(rows.shape) < share
    hidden[np.arange(len(rows)), rng.integers(rows.shape[1], size=len(rows))] = False
    return np.where(hidden, np.nan, rows.astype(np.float64))


ROWS = with_gaps(TRUTH.sample(12, seed=7), 0.4, 8)
DATA = from_array(ROWS, allow_missing=True)
SCHEMA = DATA.schema.of(ROWS).on_device
COVARIANCE = TRUTH.weight.T @ TRUTH.weight + SIGMA**2 * np.eye(SIZE)


def exact_posterior(row):
    """Mean and covariance of z given what was seen of a row."""
    seen = ~np.isnan(row)
    weight = TRUTH.weight[:, seen]
    covariance = np.linalg.inv(np.eye(LATENTS) + weight @ weight.T / SIGMA**2)
    return covariance @ weight @ (row[seen] - TRUTH.centre[seen]) / SIGMA**2, covariance


def exact_raw(rows):
    """The raw vectors of a ``full`` q that is p(z|what was seen)."""
    found = [exact_posterior(row) for row in rows]
    return np.array([np.concatenate([m, np.linalg.cholesky(c).ravel()]) for m, c in found], np.float32)


def log_evidence(row):
    seen = ~np.isnan(row)
    return multivariate_normal(TRUTH.centre[seen], COVARIANCE[np.ix_(seen, seen)]).logpdf(row[seen])


def conditional(row):
    """Mean and covariance of the missing cells given the others: the textbook formula, not by way of z."""
    seen = ~np.isnan(row)
    gain = np.linalg.solve(COVARIANCE[np.ix_(seen, seen)], COVARIANCE[np.ix_(seen, ~seen)]).T
    mean = TRUTH.centre[~seen] + gain @ (row[seen] - TRUTH.centre[seen])
    return mean, COVARIANCE[np.ix_(~seen, ~seen)] - gain @ COVARIANCE[np.ix_(seen, ~seen)]


def stored():
    return SCHEMA.stored(ROWS), SCHEMA


EVIDENCE = np.array([log_evidence(row) for row in ROWS])
RAW = exact_raw(ROWS)


def test_the_bound_under_the_exact_posterior_is_the_evidence_of_what_was_seen():
    rows, schema = stored()
    found = row_bounds(MODEL, rows, schema, KEY, 3, raw=RAW)
    np.testing.assert_allclose(found.bound, EVIDENCE, atol=2e-4)


@pytest.mark.parametrize("objective", [ELBO(2, "monte_carlo"), IWAE(3)], ids=["elbo", "iwae"])
def test_training_sees_the_same_bound(objective):
    rows, schema = stored()
    batch = Batch.of_rows(jnp.asarray(rows), schema)
    terms = eqx.filter_jit(objective)(MODEL, batch, KEY, q=MODEL.posterior.distribution(jnp.asarray(RAW)))
    np.testing.assert_allclose(terms.bound, EVIDENCE, atol=2e-4)


def test_the_bound_under_another_q_rises_to_the_evidence():
    """q = N(0, I), 100,000 draws; six standard errors of the mean weight: one false alarm in 10⁷ seeds over 12 rows."""
    rows, schema = stored()
    plain = np.tile(np.concatenate([np.zeros(LATENTS), np.eye(LATENTS).ravel()]).astype(np.float32), (len(rows), 1))
    found = row_bounds(MODEL, rows, schema, KEY, 100_000, raw=plain)
    error = 6.0 / np.sqrt(found.effective_samples)
    assert np.all(np.abs(found.bound - EVIDENCE) < error + 1e-3)
    assert np.all(found.growth[:, 0] < EVIDENCE)


def test_what_stands_in_a_missing_cell_never_reaches_bound_or_gradient():
    rows, schema = stored()
    batch = Batch.of_rows(jnp.asarray(rows), schema)
    other = eqx.tree_at(lambda b: b.x, batch, jnp.where(batch.observed, batch.x, 1e30))
    q = MODEL.posterior.distribution(jnp.asarray(RAW))

    @eqx.filter_jit
    def both(batch):
        return eqx.filter_value_and_grad(lambda m: ELBO()(m, batch, KEY, q=q).surrogate.sum())(MODEL)

    for one, two in zip(jax.tree.leaves(both(batch)), jax.tree.leaves(both(other)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_nothing_missing_is_nothing_compiled():
    whole = np.ones((2, SIZE), np.float32)
    schema = from_array(whole).schema.of(whole)
    assert not schema.missing
    assert Batch.of_rows(jnp.asarray(whole), schema).observed is None
    plain, batched = (
        str(jax.make_jaxpr(lambda x, of=of: ELBO()(MODEL, of(x), KEY).bound)(whole)) for of in (jnp.asarray, Batch)
    )
    assert plain == batched


def test_imputed_cells_are_the_conditional_mean_and_deviation():
    """20,000 draws, equal weights; six standard errors of each mean: one false alarm in 10⁷ seeds."""
    rows, schema = stored()
    count = 20_000
    found = expected_cells(MODEL, rows, schema, KEY, count, raw=RAW)
    for row, centre, deviation in zip(ROWS, found.centre, found.deviation, strict=True):
        gone = np.isnan(row)
        if gone.any():
            mean, covariance = conditional(row)
            spread = np.sqrt(np.diag(covariance))
            assert np.all(np.abs(centre[gone] - mean) < 6 * spread / np.sqrt(count))
            np.testing.assert_allclose(deviation[gone], spread, rtol=6 / np.sqrt(count))


def test_weights_mend_a_proposal_that_is_not_the_posterior():
    """q = N(0, I); 200,000 draws, of which ever more than 500 count: six standard errors of each mean."""
    rows, schema = stored()
    plain = np.tile(np.concatenate([np.zeros(LATENTS), np.eye(LATENTS).ravel()]).astype(np.float32), (len(rows), 1))
    found = expected_cells(MODEL, rows, schema, KEY, 200_000, raw=plain)
    for row, centre in zip(ROWS, found.centre, strict=True):
        gone = np.isnan(row)
        if gone.any():
            mean, covariance = conditional(row)
            assert np.all(np.abs(centre[gone] - mean) < 6 * np.sqrt(np.diag(covariance) / 500))


def test_draws_have_the_conditional_covariance():
    """40,000 draws for each row by as many draws of z; six standard errors, √((c_ii c_jj + c_ij²)/n), of each entry."""
    count = 40_000
    chosen = np.flatnonzero(np.isnan(ROWS).sum(axis=1) >= 2)[:2]
    rows = SCHEMA.stored(ROWS[chosen])
    drawn = drawn_cells(MODEL, rows, SCHEMA, KEY, count, draws=count, raw=RAW[chosen])
    for row, cells in zip(ROWS[chosen], drawn, strict=True):
        gone = np.isnan(row)
        mean, covariance = conditional(row)
        variances = np.diag(covariance)
        error = np.sqrt((np.outer(variances, variances) + covariance**2) / count)
        # resampling with replacement shares draws of z: two draws for each on average, so at most twice the variance
        assert np.all(np.abs(np.cov(cells[:, gone].T) - covariance) < 6 * np.sqrt(2) * error)
        assert np.all(np.abs(cells[:, gone].mean(axis=0) - mean) < 6 * np.sqrt(2 * variances / count))


def test_contributions_are_the_expected_log_density_of_each_cell():
    r"""E_q ln N(x_j; w_j z + c_j, σ²) is a closed form of q's moments; 20,000 draws, six standard errors."""
    rows, schema = stored()
    count = 20_000
    found = row_contributions(MODEL, rows, schema, KEY, count, raw=RAW)
    for row, cells, kl in zip(ROWS, found.cells, found.kl, strict=True):
        mean, covariance = exact_posterior(row)
        error = row - TRUTH.centre - mean @ TRUTH.weight
        spread = np.einsum("kp,kl,lp->p", TRUTH.weight, covariance, TRUTH.weight)
        exact = np.nan_to_num(norm.logpdf(error, scale=SIGMA) - 0.5 * spread / SIGMA**2)
        noise = np.sqrt(2 * spread**2 + 4 * np.nan_to_num(error) ** 2 * spread) / (2 * SIGMA**2)
        assert np.all(np.abs(cells - exact) <= 6 * noise / np.sqrt(count) + 1e-4)
        assert cells[np.isnan(row)].tolist() == [0.0] * int(np.isnan(row).sum())
        divergence = 0.5 * (np.trace(covariance) + mean @ mean - LATENTS - np.linalg.slogdet(covariance)[1])
        assert kl == pytest.approx(divergence, abs=1e-4)
        assert cells.sum() - kl == pytest.approx(log_evidence(row), abs=6 * noise.sum() / np.sqrt(count) + 1e-3)


# ---- by way of training


def em(x, latents, steps=2000):
    """Maximum likelihood of x = Wz + b + σe where cells are missing, by EM (Tipping & Bishop 1999, Appendix B; Ilin &
    Raiko 2010, Section 3): W (P, K), b, σ² and the mean ln p(x_obs)."""
    seen, filled = ~np.isnan(x), np.nan_to_num(x)
    rng = np.random.default_rng(0)
    w, b, variance = rng.normal(size=(x.shape[1], latents)), np.nanmean(x, axis=0), np.nanvar(x)
    for _ in range(steps):
        inverse = np.linalg.inv(variance * np.eye(latents) + np.einsum("np,pk,pl->nkl", seen, w, w))
        mean = np.einsum("nkl,pl,np->nk", inverse, w, seen * (filled - b))
        second = np.einsum("nk,nl->nkl", mean, mean) + variance * inverse
        # b and W together: regress on (z, 1)
        wide = np.concatenate([mean, np.ones((len(x), 1))], axis=1)
        square = np.zeros((len(x), latents + 1, latents + 1))
        square[:, :latents, :latents], square[:, latents, :], square[:, :, latents] = second, wide, wide
        left = np.einsum("np,nkl->pkl", seen, square)
        both = np.linalg.solve(left, np.einsum("np,nk->pk", seen * filled, wide)[..., None])[..., 0]
        w, b = both[:, :latents], both[:, latents]
        residual = filled**2 - 2 * filled * (wide @ both.T) + np.einsum("pk,nkl,pl->np", both, square, both)
        variance = np.sum(seen * residual) / seen.sum()
    covariance = w @ w.T + variance * np.eye(x.shape[1])
    return np.mean(
        [multivariate_normal(b[s], covariance[np.ix_(s, s)]).logpdf(row[s]) for row, s in zip(x, seen, strict=True)]
    )


def test_training_with_gaps_reaches_the_maximum_that_em_finds():
    """The mean bound of the trained linear model against the likelihood's maximum, nats per row, within 0.05."""
    x = with_gaps(TRUTH.sample(200, seed=11), 0.25, 12) * 3.0 + 7.0
    settings = {"posterior": "full", "inference": "mean_field:5,0.02", "likelihood": "gaussian", "hidden": ()}
    pace = {"epochs": 400, "batch_size": 100, "learning_rate": 0.02, "schedule": "cosine", "estimator": "stl"}
    vae = reparam.VAE(2, **settings, **pace).fit(x)
    assert vae.evaluate(x, samples=200).bound == pytest.approx(em(x, 2), abs=0.05)


@pytest.fixture(scope="module")
def amortized():
    """A short training on rows with gaps, by an encoder that sees them."""
    x = with_gaps(TRUTH.sample(200, seed=13), 0.3, 14)
    return x, reparam.VAE(2, hidden=(16,), epochs=3, batch_size=50).fit(x)


def test_a_score_is_of_the_cells_that_were_seen_in_their_own_units(amortized):
    """The same data in thousandths: ln p falls by ln 1000 for every cell that is there."""
    x, vae = amortized
    again = reparam.VAE(2, hidden=(16,), epochs=3, batch_size=50).fit(x * 1000.0)
    seen = (~np.isnan(x)).sum(axis=1)
    np.testing.assert_allclose(again.score_samples(x * 1000.0), vae.score_samples(x) - seen * np.log(1000.0), atol=0.15)
    gap = vae.history_[-1]["bound"] - again.history_[-1]["bound"]
    assert gap == pytest.approx(np.mean(seen) * np.log(1000.0), abs=0.02)


def test_present_cells_keep_every_bit(amortized):
    x, vae = amortized
    seen = ~np.isnan(x)
    filled, std = vae.impute(x, std=True)
    tables = vae.impute(x, draws=3)
    assert filled.dtype == x.dtype
    assert not np.isnan(filled).any()
    assert filled[seen].tobytes() == x[seen].tobytes()
    assert tables.shape == (3, *x.shape)
    assert tables[:, seen].tobytes() == np.stack([x[seen]] * 3).tobytes()
    assert np.all((std > 0) == ~seen)
    assert len(np.unique(tables[:, ~seen], axis=0)) == 3


def test_a_saved_run_scores_rows_with_gaps_alike(amortized, tmp_path):
    x, vae = amortized
    again = reparam.load(vae.save(tmp_path / "run"))
    np.testing.assert_array_equal(again.score_samples(x[:20]), vae.score_samples(x[:20]))
