"""What pictures show, against SciPy, scikit-learn, NumPy and matplotlib."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.path import Path
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from small_table import table_session

from reparam.data import spread
from reparam.errors import DataError, ParameterError
from reparam.insight import latents, outliers, places, selection
from reparam.insight.comparison import compare
from reparam.insight.provenance import command

RNG = np.random.default_rng(0)


def test_the_lasso_is_matplotlibs_path():
    points = RNG.uniform(-1, 1, size=(3000, 2)).astype(np.float32)
    angles, radii = np.linspace(0, 6, 11), np.array([1, 0.4] * 5 + [1])
    star = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=-1)
    expected = np.flatnonzero(Path(star).contains_points(points))
    np.testing.assert_array_equal(selection.inside_polygon(points, star), expected)


def test_dense_cells_are_a_histogram(session, monkeypatch):
    monkeypatch.setattr(places, "POINTS_AT_MOST", 50)
    monkeypatch.setattr(places, "CELLS_ACROSS", 7)
    plane = places.plane(session, "latents", 0, 1)
    box = plane.box
    found = places.marks(plane, places.colouring(session, "a"), box)
    x, y = plane.places.T
    counts, xs, ys = np.histogram2d(x, y, bins=7, range=[box[:2], box[2:]])
    sums, _, _ = np.histogram2d(x, y, bins=[xs, ys], weights=session.data.rows[:, 0])
    column, row = ((found.places - [box[0], box[2]]) / found.cell).astype(int).T
    assert found.inside == counts.sum()
    assert len(found.values) == np.count_nonzero(counts)
    np.testing.assert_allclose(found.values, (sums / np.maximum(counts, 1))[column, row], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.weights, np.log1p(counts[column, row]) / np.log1p(counts.max()), rtol=1e-5)


def test_a_cell_of_classes_has_the_commonest():
    colours = places.Colouring(np.array([0, 2, 2, 1, 1, 1], np.float32), ("a", "b", "c"), "label", (0, 1))
    cells = places._of_cells(colours.values, np.array([0, 0, 0, 1, 1, 1]), 2, colours)
    assert cells.tolist() == [2.0, 1.0]


def test_main_directions_are_those_of_pca(session):
    plane = places.plane(session, "linear", 0, 1)
    pca = PCA(2).fit(session.codes.mean)
    np.testing.assert_allclose(np.abs(plane.places), np.abs(pca.transform(session.codes.mean)), atol=1e-4)
    np.testing.assert_allclose(plane.codes(plane.places[:5], session), session.codes.mean[:5], atol=1e-4)


def test_umap_that_is_not_installed_is_told(session, monkeypatch):
    monkeypatch.setattr(places, "has_umap", lambda: False)
    with pytest.raises(ParameterError, match=r"reparam\[explore\]"):
        places.plane(session, "umap", 0, 1)


def test_chosen_rows_differ_by_pooled_deviations(session):
    chosen = np.arange(0, 200, 7)
    inside = session.data.rows[chosen]
    rest = np.delete(session.data.rows, chosen, axis=0)
    found = {one.column: one.effect for one in selection.differences(session, chosen)}
    expected = (inside.mean(0) - rest.mean(0)) / np.sqrt((inside.var(0) + rest.var(0)) / 2)
    np.testing.assert_allclose([found[name] for name in "abcd"], expected, rtol=1e-5)


def test_label_shares_count(session):
    chosen = np.arange(50)
    shares = {label: (inside, total) for label, inside, total in selection.label_shares(session, chosen)}
    for label in range(3):
        assert shares[str(label)] == (np.sum(session.labels[:50] == label), np.sum(session.labels == label))


def test_the_share_between_labels_is_that_of_an_analysis_of_variance(session):
    """η² = F (k − 1) / (F (k − 1) + n − k)."""
    _, share = latents.label_share(session)
    for k, column in enumerate(session.codes.mean.T.astype(np.float64)):
        f = stats.f_oneway(*(column[session.labels == label] for label in range(3))).statistic
        assert share[k] == pytest.approx(2 * f / (2 * f + 197), rel=1e-6)


def test_a_number_as_label_is_correlated():
    values, labels = RNG.normal(size=(100, 2)), RNG.normal(size=100)
    np.testing.assert_allclose(
        latents._correlation(values, labels), [np.corrcoef(column, labels)[0, 1] for column in values.T]
    )


def test_quantiles_are_those_of_the_normal(session):
    """20,000 draws: the error of a 10 % quantile is 0.012, four of them are allowed."""
    found = latents.quantiles(session, (0.1, 0.5, 0.9))
    np.testing.assert_allclose(found, np.tile(stats.norm.ppf([0.1, 0.5, 0.9]), (2, 1)), atol=0.05)


def test_neighbours_are_those_of_scikit_learn(session):
    codes = session.codes.mean
    distances, found = NearestNeighbors(n_neighbors=6).fit(codes).kneighbors(codes[[17]])
    assert [row for row, _ in outliers.neighbours(session, 17, 5)] == found[0, 1:].tolist()
    np.testing.assert_allclose([d for _, d in outliers.neighbours(session, 17, 5)], distances[0, 1:], rtol=1e-5)


def test_worst_and_best_rows_are_ranked_by_score(session):
    scores = session.vae.score_samples(session.data)
    assert [one.row for one in outliers.ranked(session, 5)] == np.argsort(scores, kind="stable")[:5].tolist()
    assert outliers.ranked(session, 1, best=True)[0].score == pytest.approx(scores.max())


def test_contributions_are_normal_log_densities_of_each_feature(session, monkeypatch):
    """With q's deviation at zero every draw is μ, so the mean over draws is ln N(x_j; m_j, s) by SciPy, in units."""
    raw = np.array(session.raw(3))
    raw[2:] = -60.0
    monkeypatch.setattr(session.vae, "posterior_raw", lambda data: np.repeat(raw[None], len(data.rows), axis=0))
    p = session.model.decode(raw[:2]).base_dist
    mean = session.schema.invert(np.asarray(p.mean))
    std = np.sqrt(np.asarray(p.variance)) * np.asarray(session.schema.scale)
    expected = stats.norm.logpdf(session.data.rows[3], mean, std)
    np.testing.assert_allclose(outliers.contributions(session, [3])[0], expected, rtol=1e-4, atol=1e-4)


def test_a_gain_has_the_error_of_the_paired_difference(session, other):
    found = compare([session, other], samples=15, seed=3)
    first, second = (run.bounds(np.arange(200), 3, 15) for run in (session, other))
    gain = found.runs[1].differences["bound"]
    difference = np.asarray(second.bound, np.float64) - np.asarray(first.bound, np.float64)
    assert gain.value == pytest.approx(difference.mean())
    assert gain.standard_error == pytest.approx(stats.sem(difference))
    assert found.differing == ("random_state", "scale")
    assert found.runs[0].differences is None
    document = found.to_json()
    assert document["runs"][1]["differences"]["elbo"]["standard_error"] > 0


def test_densities_in_other_units_are_not_subtracted(session):
    from dataclasses import replace

    scaled = table_session(2)
    scaled.vae.adopt(replace(scaled.vae.fitted_, schema=replace(scaled.schema, unit=2.0, units="x/2")))
    found = compare([session, scaled], samples=5)
    assert found.runs[1].differences is None
    assert "densities are of x/2" in found.notes[0]


def test_rows_of_another_shape_are_refused(session):
    small = table_session(3)
    small.data = small.data.take(np.arange(10))
    with pytest.raises(DataError, match="only runs of the same data"):
        compare([session, small], samples=5)


def test_the_command_names_every_setting_that_is_no_default(session):
    lines = command(session).splitlines()
    assert lines[1] == "vae = reparam.VAE(batch_size=50, bound_samples=10, epochs=3, hidden=(8,)).fit(X)"
    assert lines[2] == "vae.save('run0')"


def test_rows_are_evenly_spread():
    assert spread(10, 4).tolist() == [0, 3, 6, 9]
    assert spread(3, 10).tolist() == [0, 1, 2]
