"""A table of several kinds with missing cells, given one of its columns: what pictures show of it."""

from __future__ import annotations

import csv
import io
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from reparam import VAE
from reparam.data import from_frame
from reparam.explorer.views.base import Look
from reparam.explorer.views.map import rows_csv
from reparam.explorer.views.snippets import snippets
from reparam.insight import Session, latents, outliers, places, selection
from reparam.insight.trick import noise, trick
from reparam.markup import number
from reparam.reports.data_views import cell, datum, given_and_found, strip
from reparam.reports.report import report

RNG = np.random.default_rng(0)
N = 60


@pytest.fixture(scope="module")
def mixed() -> Session:
    """Sex is given; height, pet and birthday are explained, and some of each are missing."""
    sex = RNG.choice(["f", "m"], N)
    frame = pd.DataFrame(
        {
            "sex": sex,
            "height": np.where(RNG.uniform(size=N) < 0.2, np.nan, RNG.normal(165 + 10 * (sex == "m"), 6)),
            "pet": np.where(RNG.uniform(size=N) < 0.2, None, RNG.choice(["cat", "dog", "none"], N)),
            "born": pd.Timestamp("1990-01-01") + pd.to_timedelta(RNG.integers(0, 9000, N), unit="D"),
        }
    )
    data = from_frame(frame)
    vae = VAE(2, hidden=(4,), epochs=1, batch_size=60, condition=("sex",), bound_samples=5, random_state=0)
    return Session(vae.fit_dataset(data), data, "people", f"{N} rows")


def test_cells_are_written_as_their_columns_have_them(mixed):
    row = int(np.flatnonzero(np.isnan(mixed.data.rows[:, 1]) & ~np.isnan(mixed.data.rows[:, 2]))[0])
    values = mixed.data.rows[row]
    written = [cell(mixed, j, value) for j, value in enumerate(values)]
    assert written[0] in ("f", "m")
    assert written[1] == "missing"
    assert written[2] in ("cat", "dog", "none")
    assert written[3].startswith(("199", "200", "201"))
    found = mixed.decode(mixed.codes.mean[row][None], row)[0]
    shown = given_and_found(mixed, values, found, ("x", "x̂"))
    assert "<td>given</td>" in shown
    assert f"<td>missing</td><td>{number(float(found[1]))}</td><td>–</td>" in shown
    assert "days</td>" in shown
    for text in (datum(mixed, values, "x"), strip(mixed, [values, found], ["x", "x̂"], "t")):
        assert written[2] in text


def test_chosen_rows_are_saved_as_their_columns_have_them(mixed):
    state = {"projection": "latents", "x": 0, "y": 1, "lasso": ((-99, -99), (99, -99), (99, 99), (-99, 99))}
    header, *rows = csv.reader(io.StringIO(rows_csv(Look(mixed, [mixed], state)).decode()))
    assert header[-4:] == ["sex", "height", "pet", "born"]
    assert len(rows) == N
    for told, values in zip(rows, mixed.data.rows, strict=True):
        sex, height, pet, born = told[-4:]
        assert sex == mixed.schema.table[0].levels[int(values[0])]
        assert (height == "") == np.isnan(values[1])
        assert not height or float(height) == values[1]
        assert (pet == "") == np.isnan(values[2])
        assert born.startswith(("199", "200", "201"))


def test_a_code_is_decoded_under_the_condition_of_a_row(mixed):
    z = np.array([[0.3, -0.4]])
    for sex in ("f", "m"):
        row = next(i for i in range(N) if cell(mixed, 0, mixed.data.rows[i, 0]) == sex)
        expected = np.asarray(mixed.vae.inverse_transform(z, given={"sex": sex}), np.float64)
        np.testing.assert_allclose(mixed.decode(z, row), expected, rtol=1e-6)
        assert cell(mixed, 0, mixed.decode(z, row)[0, 0]) == sex


def test_probabilities_of_levels_are_the_softmax_of_their_logits(mixed):
    from reparam.estimator.conditions import told_batch

    z = np.array([[0.3, -0.4], [1.5, 2.0]])
    found = mixed.level_probabilities(z, 3)
    assert sorted(found) == [2]  # what is given has no probability
    told = told_batch(mixed.vae.fitted_, mixed.data.rows[[3, 3]])
    mean = mixed.model.likelihood.expectation(mixed.model.laws(z, told))
    assert found[2].shape == (2, 3)
    np.testing.assert_allclose(found[2].sum(axis=1), 1.0, rtol=1e-5)
    assert np.isclose(np.asarray(mean)[:, :, None], found[2][:, None, :], atol=1e-5).any(axis=1).all()
    moved = latents.effects(mixed, z[0], 1, 3)
    assert 0 <= moved[2] <= 1
    assert moved[0] == pytest.approx(0.0)


def test_kl_of_rows_is_that_of_the_prior_given_their_condition(mixed):
    """KL of diagonal normals in closed form, by NumPy, from the moments of both."""
    row = 5
    q, p = mixed.q(mixed.raw(row)), mixed.model.prior_distribution(mixed.datum(row))
    (a, s), (b, t) = ((np.asarray(d.mean, np.float64), np.sqrt(np.asarray(d.variance, np.float64))) for d in (q, p))
    expected = np.sum(np.log(t / s) + (s**2 + (a - b) ** 2) / (2 * t**2) - 0.5)
    assert mixed.codes.kl[row] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert mixed.scores.values[row] == pytest.approx(mixed.vae.score_samples(mixed.take([row]))[0], rel=1e-5)


def test_the_code_of_the_trick_computes_its_numbers(mixed):
    told = trick(mixed, 4, noise(mixed, 0), draws=20, seed=0)
    lines = snippets(mixed, told, 0)
    scope = {"rows": mixed.data.rows, "known": mixed.vae}
    exec(lines["setting"].replace("reparam.load('people')", "known"), scope)
    expected = {
        "likelihood": told.passage.log_likelihood,
        "prior": told.passage.log_prior,
        "kl": told.kl,
        "elbo": told.elbo,
        "bound": told.bound_by_draws[-1],
    }
    exec(lines["z"], scope)
    np.testing.assert_allclose(np.asarray(scope["x_hat"][0], np.float64), told.reconstruction, rtol=1e-5)
    for name, value in expected.items():
        exec(lines[name], scope)
        assert float(scope["value"]) == pytest.approx(float(value), rel=1e-4, abs=1e-4), name


def test_levels_of_chosen_rows_are_compared_by_their_shares(mixed):
    chosen = np.flatnonzero(mixed.data.rows[:, 0] == 1.0)
    found = {one.column: one for one in selection.differences(mixed, chosen)}
    assert (found["sex = m"].chosen, found["sex = m"].rest) == (1.0, 0.0)
    (pet,) = (one for name, one in found.items() if name.startswith("pet = "))
    code = mixed.schema.table[2].levels.index(pet.column.removeprefix("pet = "))
    for part, share in ((chosen, pet.chosen), (np.setdiff1d(np.arange(N), chosen), pet.rest)):
        cells = mixed.data.rows[part, 2]
        assert share == pytest.approx(np.mean(cells[~np.isnan(cells)] == code))


def test_a_map_is_coloured_by_levels_and_none(mixed):
    colours = places.colouring(mixed, "pet")
    assert colours.classes == mixed.schema.table[2].levels
    np.testing.assert_array_equal(colours.values, np.nan_to_num(mixed.data.rows[:, 2], nan=-1.0))
    none = places.Colouring(np.array([-1, -1, 2], np.float32), ("a", "b", "c"), "x", (0, 1))
    assert places._of_cells(none.values, np.array([0, 0, 0]), 1, none).tolist() == [-1.0]


def test_a_report_tells_levels_and_what_is_explained_least(mixed):
    text = report(mixed)
    assert "<td>cat</td>" in text
    assert "explained least" in text
    worst = outliers.ranked(mixed, 1)[0].row
    parts = outliers.contributions(mixed, [worst])[0]
    j = int(np.argmin(parts))
    shown = f"{mixed.columns[j]} {cell(mixed, j, mixed.data.rows[worst, j])} ({number(float(parts[j]), 3)})"
    assert shown in text


def test_the_largest_counts_are_shown_whatever_type_they_are_stored_in():
    """Of an unsigned type −5 is 65,531."""
    counts = np.array([0, 5, 0, 9, 1], np.uint16)
    genes = SimpleNamespace(kind="counts", columns=tuple("abcde"), schema=SimpleNamespace(size=5, table=None))
    shown = given_and_found(genes, counts, counts.astype(np.float32), ("x", "x̂"))
    assert re.findall(r'<th scope="row">(\w)</th>', shown) == ["d", "b", "e", "a", "c"]
