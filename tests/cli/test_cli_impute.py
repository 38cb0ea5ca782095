"""A table with gaps through train, impute and score --explain, by its files alone."""

from __future__ import annotations

import csv
import hashlib

import numpy as np
import pandas as pd
import pytest
from command_line import must, run_cli
from PIL import Image

import reparam
from reparam.estimator.use import FittedUse

HOLES = {(0, "city"), (3, "age"), (4, "city"), (7, "visits"), (9, "member")}


def cells():
    """Rows of text as a person types them: 04 for 4, one number to two places, one without any."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=60)
    rows = []
    for row, z in enumerate(codes):
        whole = {
            "age": f"{40 + 10 * z:.2f}" if row % 2 else f"{40 + 10 * z:.0f}.0",
            "city": ("Rome", "Oslo, north", "Lima")[int(z > -0.5) + int(z > 0.5)],
            "visits": f"{int(rng.poisson(np.exp(1 + 0.5 * z))):02d}",
            "member": "yes" if z > 0 else "no",
        }
        rows.append({name: "" if (row, name) in HOLES else cell for name, cell in whole.items()})
    return rows


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    source = folder / "people.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["age", "city", "visits", "member"])
        writer.writeheader()
        writer.writerows(cells())
    must("train", source, "--out", folder / "run", "--hidden", 8, "--epochs", 2, "--batch-size", 32)
    return folder / "run", source


def test_every_present_cell_is_written_as_it_was_typed(run, tmp_path):
    where, source = run
    result = must("impute", where, source, "-o", tmp_path / "whole.csv", "--samples", 50, "--json")
    assert result.document["missing"] == len(HOLES)
    given, whole = cells(), read(tmp_path / "whole.csv")
    for row, (before, after) in enumerate(zip(given, whole, strict=True)):
        for name, cell in before.items():
            assert (after[name] == cell) == ((row, name) not in HOLES), (row, name)
    assert whole[0]["city"] in ("Rome", "Oslo, north", "Lima")
    assert whole[9]["member"] in ("yes", "no")
    assert np.isfinite(float(whole[3]["age"]))
    assert float(whole[7]["visits"]) >= 0


@pytest.mark.parametrize("how", ["--in-memory", "--stream"])
def test_a_level_that_is_taken_for_missing_is_there_and_stays(run, tmp_path, how):
    where, source = run
    (tmp_path / "new.csv").write_bytes(source.read_bytes().replace(b",Rome,", b",Paris,", 1))
    chosen = ("--unknown", "missing", "--samples", 5, how)
    result = must("impute", where, tmp_path / "new.csv", "-o", tmp_path / "whole.csv", *chosen, "--json")
    assert (result.document["missing"], result.document["unknown"]) == (len(HOLES), 1)
    assert [row["city"] for row in read(tmp_path / "whole.csv")].count("Paris") == 1
    told = must("impute", where, tmp_path / "new.csv", "-o", tmp_path / "whole.csv", *chosen).out
    assert "5 cells of 60 rows filled in; 1 of levels that the model never saw left as they are" in told


def test_draws_are_tables_of_their_own_and_one_seed_makes_them_again(run, tmp_path):
    where, source = run
    for name in ("one", "two"):
        must("impute", where, source, "-o", tmp_path / f"{name}.csv", "--draws", 2, "--samples", 50, "--seed", 4)
    files = [tmp_path / f"{name}-{draw}.csv" for name in ("one", "two") for draw in (1, 2)]
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert hashes[0] == hashes[2] != hashes[1] == hashes[3]
    assert not (tmp_path / "one.csv").exists()
    for row, drawn in zip(cells(), read(files[0]), strict=True):
        assert all(drawn[name] == cell for name, cell in row.items() if cell)


def test_deviations_stand_beside(run, tmp_path):
    where, source = run
    must("impute", where, source, "-o", tmp_path / "whole.csv", "--std", "--samples", 50)
    rows = read(tmp_path / "whole.csv")
    assert list(rows[0])[4:] == ["age_std", "city_std", "visits_std", "member_std"]
    for row, cells_of in enumerate(rows):
        for name in ("age", "city", "visits", "member"):
            assert (float(cells_of[f"{name}_std"]) > 0) == ((row, name) in HOLES)
    assert 0 < float(rows[0]["city_std"]) < 1


def test_what_lacks_nothing_is_copied_at_once(run, tmp_path, monkeypatch):
    where, source = run
    lines = source.read_text(encoding="utf-8").splitlines()
    full = tmp_path / "full.csv"
    full.write_text("\n".join([lines[0], *(lines[row + 1] for row in range(10, 20))]) + "\n", encoding="utf-8")
    monkeypatch.setattr(FittedUse, "_raw", lambda *_: pytest.fail("q was asked for"))
    assert "no cell of 10 rows is missing, copied" in must("impute", where, full, "-o", tmp_path / "x.csv").out
    assert read(tmp_path / "x.csv") == read(full)
    must("impute", where, full, "-o", tmp_path / "drawn.csv", "--draws", 2)
    assert read(tmp_path / "drawn-2.csv") == read(full)
    must("impute", where, full, "-o", tmp_path / "std.csv", "--std")
    assert {row["age_std"] for row in read(tmp_path / "std.csv")} == {"0"}
    rows = np.arange(12).reshape(4, 3)
    vae = reparam.VAE(hidden=(4,), epochs=1).fit(rows)
    assert vae.impute(rows).tolist() == rows.tolist()


def test_what_is_read_is_never_written_over(run, tmp_path):
    where, source = run
    named = tmp_path / "people-1.csv"
    named.write_bytes(source.read_bytes())
    for out, more in ((named, ()), (tmp_path / "people.csv", ("--draws", 2))):
        result = run_cli("impute", where, named, "-o", out, *more)
        assert result.code == 2
        assert "is the file that is read" in result.err
        assert named.read_bytes() == source.read_bytes()


def test_a_deviation_takes_no_place_of_a_column(run, tmp_path):
    where, source = run
    header, *lines = source.read_text(encoding="utf-8").splitlines()
    wide = tmp_path / "wide.csv"
    wide.write_text("\n".join([f"{header},age_std", *(f"{line},7" for line in lines)]), encoding="utf-8")
    result = run_cli("impute", where, wide, "-o", tmp_path / "whole.csv", "--std", "--samples", 5)
    assert result.code == 2
    assert "'age_std' already" in result.err


def test_draws_and_deviations_exclude_each_other(run, tmp_path):
    result = run_cli("impute", *run, "-o", tmp_path / "x.csv", "--std", "--draws", 2)
    assert result.code == 2
    assert "exclude each other" in result.err


def test_explained_scores_sum_to_the_elbo(run, tmp_path):
    where, source = run
    out = tmp_path / "scores.csv"
    picture = must("score", where, source, "-o", out, "--explain", "--samples", 400, "--json").document["picture"]
    rows = pd.read_csv(out)
    assert list(rows) == ["score", "kl", "age", "city", "visits", "member"]
    elbo = rows[["age", "city", "visits", "member"]].sum(axis=1) - rows["kl"]
    assert np.all(elbo < rows["score"] + 0.5)  # the K-sample bound lies above the ELBO but for the noise of 400 draws
    evaluated = must("evaluate", where, source, "--samples", 400, "--json").document
    assert elbo.mean() == pytest.approx(evaluated["elbo"], abs=0.05)
    assert rows.loc[0, "city"] == 0
    with Image.open(picture) as image:
        assert min(image.size) > 200


def test_rows_of_nothing_are_told_and_score_nothing(run, tmp_path):
    """Their ln p is 0: the bound is not above, and as near as q of such a row is to the prior."""
    where, _ = run
    (tmp_path / "x.csv").write_text("age,city,visits,member\n40.0,Rome,03,yes\n,,,\n,,,\n")
    result = must("score", where, tmp_path / "x.csv", "-o", tmp_path / "s.csv", "--samples", 400)
    assert "2 of rows of nothing, whose ln p is 0" in result.out
    scores = pd.read_csv(tmp_path / "s.csv")["score"]
    assert scores[0] < -5
    assert np.all(np.abs(scores[1:]) < 0.2)
    assert "of nothing" not in must("score", where, run[1], "-o", tmp_path / "t.csv", "--samples", 4).out


def test_a_frame_is_completed_in_its_own_types(run):
    frame = pd.DataFrame(cells()).replace("", None)
    frame["age"] = pd.to_numeric(frame["age"])
    frame["city"] = frame["city"].astype("category")
    frame["visits"] = pd.to_numeric(frame["visits"]).astype("Int64")
    frame.index = [f"p{row}" for row in range(len(frame))]
    vae = reparam.VAE(hidden=(8,), epochs=2, batch_size=32, bound_samples=50).fit(frame)
    whole = vae.impute(frame)
    assert not whole.isna().any().any()
    assert whole.dtypes.equals(frame.dtypes)
    assert whole.index.equals(frame.index)
    present = frame.notna()
    assert whole.where(present).equals(frame.where(present))
    assert len(vae.impute(frame, draws=2)) == 2


def test_rows_beyond_what_the_model_can_be_shown_are_named(run, tmp_path):
    where, _ = run
    (tmp_path / "x.csv").write_text("age,city,visits,member\n40,Rome,03,yes\n1e300,Rome,03,yes\n")
    for command in ("encode", "reconstruct"):
        result = run_cli(command, where, tmp_path / "x.csv", "-o", tmp_path / "codes.npy")
        assert result.code == 2
        assert "row 1 has no q(z|x): its column 'age' lies beyond what the model can be shown (1 of 2" in result.err
    assert not (tmp_path / "codes.npy").exists()


def test_a_conditional_run_samples_what_it_is_given(run, tmp_path):
    _, source = run
    where = tmp_path / "run"
    small = ("--hidden", 8, "--epochs", 2, "--batch-size", 32)
    must("train", source, "--out", where, *small, "--condition", "city", "--condition", "member")
    given = ("--given", "city=Oslo, north", "--given", "member=no")
    must("sample", where, "-n", 7, "-o", tmp_path / "x.csv", "--draw", *given)
    rows = read(tmp_path / "x.csv")
    assert {row["city"] for row in rows} == {"Oslo, north"}
    assert {row["member"] for row in rows} == {"no"}
    assert len({row["age"] for row in rows}) > 3  # draws, held within the range of the data
    must("traverse", where, source, "-o", tmp_path / "way.csv", "--steps", 2, *given)
    assert {row["city"] for row in read(tmp_path / "way.csv")} == {"Oslo, north"}
    for options, told in (
        ((), "is to be given city, member"),
        ((*given, "--given", "city=Rome"), "--given says twice what 'city' holds"),
        (("--given", "city=\udcff", "--given", "member=no"), "an argument is no text"),
        (("--given", "city=Paris", "--given", "member=no"), "it is categorical: one of Lima"),
    ):
        refused = run_cli("sample", where, "-n", 7, "-o", tmp_path / "y.csv", *options)
        assert refused.code == 2
        assert told in refused.err
    np.save(tmp_path / "codes.npy", np.zeros((3, 2)))
    must("decode", where, tmp_path / "codes.npy", "-o", tmp_path / "decoded.csv", *given)
    assert {row["city"] for row in read(tmp_path / "decoded.csv")} == {"Oslo, north"}
    assert "(--given COLUMN=VALUE)" in run_cli("decode", where, tmp_path / "codes.npy", "-o", tmp_path / "no.csv").err
    assert "trained with --condition city member" in run_cli("plot", where).err
    must("report", where, "-o", tmp_path / "report.html")
    assert "Oslo, north" in (tmp_path / "report.html").read_text()  # each row is shown with what it holds
