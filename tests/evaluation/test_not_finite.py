"""What is not finite is told, left out where it can be, and never leaves as a number in JSON."""

from __future__ import annotations

import json
import math

import equinox as eqx
import jax
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from tests.evaluation.linear_gaussian import exact_model, linear_gaussian, plain_schema

from reparam.data import Schema, spread
from reparam.evaluation import evaluate
from reparam.evaluation.annealing import Annealing, anneal
from reparam.evaluation.gap import measure_gap
from reparam.evaluation.information import mutual_information
from reparam.inference import Search
from reparam.model import build_model
from reparam.plots import bound_by_samples, inference_gaps
from reparam.probability.posteriors import POSTERIORS

TRUTH = linear_gaussian()
KEY = jax.random.key(0)
FAR = np.concatenate([TRUTH.sample(4, seed=1), np.full((1, 5), 3e20, np.float32)])  # its density underflows to 0


def strict(document):
    """Through JSON that knows no NaN and no infinity."""
    return json.loads(json.dumps(document, allow_nan=False))


@pytest.fixture(scope="module")
def found():
    return evaluate(exact_model(TRUTH, "diagonal"), FAR, plain_schema(FAR), KEY, 5)


def test_a_row_without_density_makes_the_mean_minus_infinity_and_is_told(found):
    assert found.bound == found.elbo == -math.inf
    assert found.standard_error is None
    told = [text for text in found.warnings if "not finite" in text]
    assert [text.split()[0] for text in told] == ["elbo", "bound"]
    assert all("in 1 of 5 rows (row 4: -inf)" in text for text in told)
    assert found.rows_below_10_effective == 5  # 4 of five draws, 1 of none that count


def test_json_has_null_where_there_is_no_number(found):
    document = strict(found.to_json())
    assert document["bound"] is document["elbo"] is document["bound_by_samples"][0]["bound"] is None
    assert document["kl"] == pytest.approx(0.0, abs=1e-6)
    assert any("null in JSON" in text for text in document["warnings"])


def test_a_gap_and_an_annealing_with_such_a_row_are_told_and_drawn(found, tmp_path):
    model, schema = exact_model(TRUTH, "diagonal"), plain_schema(FAR)
    coarse = Annealing(chains=2, temperatures=3, leapfrog=2)
    gap = measure_gap(model, FAR, schema, KEY, samples=5, search=Search(max_steps=50), annealing=coarse)
    document = strict(gap.to_json())
    assert document["bound"]["value"] is document["inference_gap"]["value"] is None
    assert document["bound_by_samples"][0] == {"samples": 1, "bound": None}
    assert any(text.startswith("bound is not finite in 1 of 5 rows") for text in gap.warnings)
    annealed = strict(anneal(model, FAR, schema, KEY, coarse, samples=5).to_json())
    assert annealed["bound"]["value"] is None
    assert annealed["annealing"]["temperatures"] == 3
    assert annealed["simulated"]["lower"]["value"] is not None
    assert annealed["warnings"][0].startswith("bound is not finite")
    bound_by_samples(found).savefig(tmp_path / "bound.png")
    inference_gaps({"rows": gap}).savefig(tmp_path / "gap.png")


def test_rows_with_a_singular_matrix_are_left_out_of_the_information_and_counted():
    """The rest against SciPy's own densities: 4 standard errors of both."""
    family, rng = POSTERIORS["full"](2), np.random.default_rng(3)
    raw = rng.normal(size=(6, family.raw_size)).astype(np.float32)
    raw[2, 2:] = [1, 2, 2, 4]
    left = mutual_information(family, raw, KEY)
    assert left.left_out == 1

    @eqx.filter_jit
    def moments(raw):
        q = family.distribution(raw)
        return q.mean, q.covariance_matrix

    kept = map(np.asarray, moments(np.delete(raw, 2, axis=0)))
    laws = [multivariate_normal(mean, covariance) for mean, covariance in zip(*kept, strict=True)]
    terms = []
    for own in laws:
        z = own.rvs(4000, random_state=rng)
        terms.append(own.logpdf(z) - logsumexp([law.logpdf(z) for law in laws], axis=0) + math.log(5))
    assert left.value == pytest.approx(np.mean(terms), abs=4 * np.hypot(left.standard_error, np.std(terms) / 141))
    assert math.isnan(mutual_information(family, raw[2:3], KEY).value)


def test_an_evaluation_with_a_singular_row_says_so():
    """Its KL is infinite; the information of the others is not."""
    rows = np.array([[0.0], [1.0], [2.0]], np.float32)
    model = eqx.filter_jit(build_model)(rows, KEY, latent_dim=2, posterior="full", hidden=())
    layer = lambda m: (m.encoder.layers[0].weight, m.encoder.layers[0].bias)  # noqa: E731
    weight = np.zeros((1, 6), np.float32)
    weight[0, 2] = 1.0  # S = diag(x, 1): singular at x = 0
    model = eqx.tree_at(layer, model, (weight, np.array([0, 0, 0, 0, 0, 1], np.float32)))
    found = evaluate(model, rows, plain_schema(rows), KEY, 5)
    assert found.singular_rows == 1
    assert 0 <= found.mutual_information < math.log(3)
    assert any("q of 1 of 3 rows has no density" in text for text in found.warnings)
    assert strict(found.to_json())["aggregate_kl"] is None


@pytest.mark.parametrize("count", [1, 2])
def test_one_draw_of_one_row_or_two(count):
    rows = TRUTH.sample(2, seed=1)[:count]
    found = measure_gap(exact_model(TRUTH), rows, Schema("x", (5,)), KEY, samples=1, search=Search(max_steps=50))
    document = strict(found.to_json())
    assert document["bound_by_samples"] == [{"samples": 1, "bound": pytest.approx(found.bound.value)}]
    assert (document["bound"]["standard_error"] is None) == (count == 1)
    assert found.bound.value == pytest.approx(TRUTH.log_prob(rows).mean(), abs=1e-3)


def test_more_rows_than_there_are_is_all_of_them():
    assert spread(3, 10**12).tolist() == [0, 1, 2]
    assert spread(5, 2).tolist() == [0, 4]
