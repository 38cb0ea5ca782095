"""Figures show the numbers they are given, and touch nothing global."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from reparam import VAE, plots
from reparam.cli import pictures
from reparam.data import Dataset, Schema
from reparam.plots.style import CLASSES, fitted


def history(latents: int, *, validation: bool = True) -> list[dict]:
    lines = []
    for epoch in range(1, 11):
        parts = [epoch / 10 * (index + 1) for index in range(latents)]
        means = {"bound": -100.0 / epoch, "reconstruction": sum(parts) - 100.0 / epoch, "kl": sum(parts)}
        means |= {"kl_per_dimension": parts or None, "active_units": latents}
        held_out = {**means, "bound": -100.0 / epoch - (epoch - 6) ** 2}
        lines.append({"epoch": epoch, **means, "validation": held_out if validation else None, "kept": epoch <= 7})
    return lines


def curves(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): np.asarray(line.get_ydata()) for line in axes.lines}


def test_training_curves_show_bound_reconstruction_and_divergence():
    told = history(3)
    bound, reconstruction, divergence = plots.training_curves(told).axes
    np.testing.assert_array_equal(curves(bound)["training"], [line["bound"] for line in told])
    np.testing.assert_array_equal(curves(bound)["held out"], [line["validation"]["bound"] for line in told])
    np.testing.assert_array_equal(curves(reconstruction)["training"], [line["reconstruction"] for line in told])
    assert set(curves(divergence)) == {"sum", "latent 0", "latent 1", "latent 2"}
    assert [axes.get_ylabel() for axes in (bound, reconstruction, divergence)] == ["nats per datum"] * 3


@pytest.mark.parametrize("which", [slice(1, 2), slice(None)], ids=["one", "every"])
def test_training_curves_leave_out_what_was_not_finite(which):
    """An infinite figure is null in a line of metrics."""
    told = history(3)
    for line in told[which]:
        for where in (line, line["validation"]):
            where |= {"bound": None, "reconstruction": None, "kl": None, "kl_per_dimension": [None] * 3}
    figure = plots.training_curves(told)
    assert all(np.isfinite(axes.get_ylim()).all() for axes in figure.axes)


def test_training_curves_mark_the_epoch_that_is_kept():
    told = history(2)
    best = max(told, key=lambda line: line["validation"]["bound"])
    kept = next(line for line in plots.training_curves(told).axes[0].lines if line.get_label().startswith("kept"))
    assert (kept.get_xdata()[0], kept.get_ydata()[0]) == (best["epoch"], best["validation"]["bound"])


def test_many_latents_are_a_map_with_the_most_used_on_top():
    figure = plots.training_curves(history(12))
    image = figure.axes[2].images[0].get_array()
    assert image.shape == (12, 10)
    np.testing.assert_allclose(image[:, -1], np.arange(12, 0, -1))


@pytest.mark.parametrize("latents", [0, 1])
def test_training_curves_do_without_validation_and_without_parts(latents):
    figure = plots.training_curves(history(latents, validation=False))
    assert set(curves(figure.axes[0])) == {"training"}
    assert "sum" in curves(figure.axes[2])


def test_a_mosaic_places_images_row_by_row_with_white_between():
    images = np.arange(3.0).repeat(4).reshape(3, 2, 2)
    expected = [
        [0.0, 0.0, 1, 0.5, 0.5, 1],
        [0.0, 0.0, 1, 0.5, 0.5, 1],
        [1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1],
    ]
    np.testing.assert_array_equal(plots.mosaic(images, (0.0, 2.0), 2), expected)
    assert plots.mosaic(np.zeros((3, 2, 2, 3)), (0.0, 1.0), 2).shape == (6, 6, 3)
    assert plots.mosaic(np.zeros((3, 2, 2, 1)), (0.0, 1.0), 2).shape == (6, 6)


def test_reconstructions_stand_under_their_inputs():
    inputs, outputs = np.zeros((5, 2, 2)), np.full((5, 2, 2), 0.5)
    figure = plots.reconstructions(inputs, outputs, title="x", limits=(0.0, 1.0), across=3)
    assert len(figure.axes) == 2
    first = figure.axes[0].images[0].get_array()
    assert first[0, 0] == 0.0
    assert first[3, 0] == 0.5


def test_the_decoded_grid_tells_the_coordinates():
    values = (np.array([-1.0, 0.0, 1.0]), np.array([-2.0, 0.0, 2.0]))
    axes = plots.decoded_grid(np.zeros((9, 2, 2)), values, title="x").axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["−1.0", "0.0", "1.0"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["2.0", "0.0", "−2.0"]  # from the top
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("latent 0", "latent 1")


def test_each_class_has_a_colour_and_a_name():
    codes = np.random.default_rng(0).normal(size=(30, 2))
    labels = np.array(["cat", "dog", "owl"])[np.arange(30) % 3]
    axes = plots.latent_space(codes, labels, names=["latent 0", "latent 7"], title="x").axes[0]
    assert axes.get_ylabel() == "latent 7"
    assert {text.get_text() for text in axes.texts} == {"cat", "dog", "owl"}
    shown = [np.asarray(points.get_offsets()) for points in axes.collections]
    np.testing.assert_array_equal(shown[1], codes[labels == "dog"])
    assert len({to_hex(points.get_facecolor()[0]) for points in axes.collections}) == 3


@pytest.mark.parametrize("labels", [None, np.arange(30), np.arange(30).astype(str)])
def test_other_labels_are_a_scale_of_colours_or_none(labels):
    figure = plots.latent_space(np.zeros((30, 2)), labels, names=["a", "b"], title="x")
    is_scale = labels is not None and labels.dtype.kind == "i"
    assert len(figure.axes) == (2 if is_scale else 1)


def test_one_latent_is_a_histogram():
    axes = plots.latent_space(np.linspace(-1, 1, 50)[:, None], names=["latent 0"], title="x").axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == 50


def test_tables_have_a_panel_for_each_column():
    rng = np.random.default_rng(0)
    data, samples = rng.normal(size=(40, 5)), rng.normal(size=(30, 5))
    names = list("abcde")
    assert [axes.get_title() for axes in plots.marginals(data, samples, names).axes] == names
    assert [axes.get_title() for axes in plots.agreement(data, data, names).axes] == names


def test_a_column_that_the_rows_to_be_drawn_all_miss_is_left_out(monkeypatch):
    """Of many rows some are drawn, and a rare cell is in none of them."""
    monkeypatch.setattr(pictures, "TABLE_ROWS", 2)
    rows = np.array([[0.0, np.nan], [1.0, 5.0], [2.0, 6.0], [3.0, np.nan]])
    schema = Schema("x", (2,), "float64", ("often", "rare"), missing=True)
    vae = SimpleNamespace(schema_=schema, sample=lambda n, draw: rows[:n], reconstruct=lambda data: data.rows)
    figures = pictures._from_data(vae, Dataset(rows, schema), Dataset(rows, schema))
    assert [[axes.get_title() for axes in figure.axes] for figure in figures.values()] == [["often"], ["often"]]


def test_cells_that_are_present_are_drawn_and_levels_by_their_names():
    levels = tuple(f"level {number}" for number in range(9))
    data = np.array([[1.0, 8, np.nan], [np.nan, 8, 0], [3.0, 0, 1], [2.0, np.nan, 1]])
    samples = np.array([[1.0, 8, 1], [2.0, 8, 0]])
    number, many, two = plots.marginals(data, samples, list("abc"), [None, levels, ("no", "yes")]).axes
    assert sum(bar.get_width() * bar.get_height() for bar in number.patches[:30]) == pytest.approx(1)
    names = [[label.get_text() for label in axes.get_yticklabels()] for axes in (many, two)]
    assert names[0][:2] == ["level 8", "level 0"]
    assert names[0][-1] == "3 others"
    assert names[1] == ["no", "yes"]
    np.testing.assert_allclose([bar.get_width() for bar in two.patches], [1 / 3, 2 / 3, 1 / 2, 1 / 2])
    found = np.array([[1.0, 8, 0], [1.0, 8, 0], [3.0, 8, 1], [2.0, 0, 0]])
    number, many, two = plots.agreement(data, found, list("abc"), [None, levels, ("no", "yes")]).axes
    np.testing.assert_array_equal(number.collections[0].get_offsets(), [[1, 1], [3, 3], [2, 2]])
    np.testing.assert_allclose(two.images[0].get_array(), [[1, 0.5], [0, 0.5]])  # of two that are yes one is right
    assert many.images[0].get_array()[0, 0] == 1


def test_colours_of_classes_differ():
    assert len(set(CLASSES)) == len(CLASSES) == 10


def test_nothing_global_is_touched():
    code = """
import sys, matplotlib, numpy as np
from reparam import VAE, plots
from reparam.cli import pictures
from reparam.data import Dataset, Schema
from reparam.plots.style import CLASSES
settings = lambda: {name: dict.__getitem__(matplotlib.rcParams, name) for name in matplotlib.rcParams.keys()}
before = settings()
plots.image_grid(np.zeros((4, 2, 2)), title="x").savefig("/dev/null", format="png")
assert settings() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_bound_is_drawn_against_k_and_latents_by_use():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3))
    found = VAE(2, hidden=(), likelihood="gaussian", epochs=1, bound_samples=10).fit(x).evaluate(x)
    bound, latents = plots.bound_by_samples(found, title="x").axes
    np.testing.assert_array_equal(curves(bound)["K-sample bound"], [value for _, value in found.bound_by_samples])
    np.testing.assert_array_equal(curves(bound)["ELBO"], [found.elbo] * 2)
    assert [label.get_text() for label in bound.get_xticklabels()] == ["1", "5", "10"]
    heights = [bar.get_height() for bar in latents.patches]
    assert heights == sorted(found.kl_per_dimension, reverse=True)


@pytest.mark.parametrize(("count", "told"), [(25, 25), (100, 0)])
def test_many_classes_of_text_have_a_colour_each_and_names_or_a_note(count, told):
    labels = np.array([f"class {number:03d}" for number in np.arange(400) % count])
    codes = np.random.default_rng(0).normal(size=(400, 2))
    figure = plots.latent_space(codes, labels, names=["a", "b"], title="t")
    (axes,) = figure.axes
    colours = {tuple(points.get_facecolor()[0]) for points in axes.collections}
    assert len(colours) == count
    assert len(axes.texts) == told
    assert told or axes.get_title() == "100 classes, coloured in their order"


LONG = "a_rather_long_name_of_a_table_as_people_have_them_2024-11-03_final_version_2.csv"


@pytest.mark.parametrize("name", ["x", LONG, f"Posterior means of 5,000 rows of {LONG}, the most active", "W" * 3000])
@pytest.mark.parametrize("panels", [1, 4])
def test_titles_of_any_length_lie_within_their_picture(name, panels):
    """Their boxes as drawn: of the figure's title within the figure, of the panels' apart from each other."""
    names = [f"{name}_{number}" for number in range(panels)]
    figure = plots.marginals(np.zeros((4, panels)), np.ones((4, panels)), names)
    figure.suptitle(fitted(name, figure.get_figwidth(), 13, 3), fontsize=13)
    figure.canvas.draw()
    whole = figure.bbox
    title = figure._suptitle.get_window_extent()
    assert whole.x0 <= title.x0 < title.x1 <= whole.x1
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert all(before.x1 < after.x0 for before, after in pairwise(boxes))
    assert len({axes.get_title() for axes in figure.axes}) == panels


def test_a_negative_gap_hangs_below_zero_and_nothing_hides_it():
    def estimate(value):
        return SimpleNamespace(value=value, standard_error=0.1)

    growth = ((1, -2.0), (2, -1.0))
    gap = SimpleNamespace(
        amortization_gap=estimate(-0.4), approximation_gap=estimate(1.0), inference_gap=estimate(0.6),
        bound_by_samples=growth, local_bound_by_samples=growth, annealed_bound=None, log_prob=estimate(-1.0),
    )  # fmt: skip
    bars = plots.inference_gaps({"training": gap}).axes[0]
    amortisation, approximation = bars.patches
    assert (amortisation.get_y() + amortisation.get_height(), amortisation.get_y()) == (-0.4, 0.0)
    assert (approximation.get_y(), approximation.get_height()) == (0.0, 1.0)
    assert curves(bars)["together"] == [0.6]
