"""A table as people have it, through the command line."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import SMALL, must, run_cli

from reparam.data import kinds

RNG = np.random.default_rng(0)
N = 120


def people() -> list[dict[str, str]]:
    """Keys, counts, text, dates, yes and no, prices with decimal commas, free text, holes."""
    rows = []
    for n in range(N):
        age = int(RNG.integers(18, 80))
        rows.append(
            {
                "id": f"k{n:03d}",
                "age": str(age) if n % 9 else "",
                "price": f"{age * 1.5 + RNG.normal():.2f}".replace(".", ","),
                "city": ["Bern", "Oslo", "Rome"][age % 3] if n % 7 else "?",
                "member": "yes" if age > 50 else "no",
                "since": f"2024-{1 + n % 12:02d}-{1 + n % 28:02d}",
                "note": f'row {n}; "quoted" and of many words',
            }
        )
    return rows


ROWS = people()
FILE = [list(ROWS[0]), *(list(row.values()) for row in ROWS)]


def write(path: Path, lines: list[list[str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=";", lineterminator="\n").writerows(lines)
    return path


def read(path: Path, delimiter: str = ";") -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


@pytest.fixture(scope="module")
def people_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tables") / "people.csv", FILE)


@pytest.fixture(scope="module")
def run(people_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "people"
    told = must("train", people_csv, "--out", folder, *SMALL).err
    assert "categorical (categorical): city" in told
    assert "left out: id, identifier (120 different texts in 120 cells)" in told
    assert "missing: 32 cells (5.3%), in age, city" in told
    return folder


def test_inspect_tells_every_column_and_why(people_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    told = must("inspect", people_csv).out
    for words in (
        ("id", "identifier", "left out", "120 different texts in 120 cells"),
        ("age", "count", "18 … 79", "14 (11.7%)", "negative_binomial"),
        ("price", "real", "gaussian", "shifted and scaled", "fractions"),
        ("city", "categorical", "3: Bern, Oslo, Rome", "18 (15.0%)", "one of 3"),
        ("member", "binary", "no or yes", "bernoulli"),
        ("since", "date", "2024-01-01 … 2024-12-28"),
    ):
        (line,) = [line for line in told.splitlines() if line.split()[:1] == [words[0]]]
        assert all(word in line for word in words), line


def test_inspect_as_json_has_the_figures_and_the_judgement_of_each_column(people_csv: Path) -> None:
    document = must("inspect", people_csv, "--json", "--column", "age=gaussian", "--drop", "note").document
    columns = {column["name"]: column for column in document["columns"]}
    assert list(columns) == ["id", "age", "price", "city", "member", "since"]
    assert (columns["age"]["kind"], columns["age"]["reason"]) == ("real", "chosen by the user")
    ages = [int(row["age"]) for row in ROWS if row["age"]]
    assert columns["age"]["mean"] == pytest.approx(np.mean(ages))
    assert columns["age"]["missing"] == N - len(ages)
    assert columns["city"]["levels"] == ["Bern", "Oslo", "Rome"]
    assert columns["city"]["coding"] == "one of 3"
    assert document["likelihood"] == "table"


def test_inspect_writes_a_page_with_a_picture_of_each_column(people_csv: Path, tmp_path: Path) -> None:
    must("inspect", people_csv, "-o", tmp_path / "people.html")
    page = (tmp_path / "people.html").read_text()
    assert page.count("how the values of ") == 5
    assert "<title>Oslo: " in page
    assert "share of cells that are missing" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "-o must end in .html" in run_cli("inspect", people_csv, "-o", tmp_path / "people.pdf").err


def test_the_report_of_a_run_shows_each_column_as_it_was_judged(run: Path, tmp_path: Path) -> None:
    must("report", run, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("how the values of ") == 5
    assert "120 different texts in 120 cells" in page


def test_inspect_writes_a_page_of_images_too(tmp_path: Path) -> None:
    must("inspect", "digits", "-o", tmp_path / "digits.html")
    assert "8 × 8" in (tmp_path / "digits.html").read_text()


def test_the_judgement_is_kept_with_the_run(run: Path) -> None:
    document = json.loads((run / "data.json").read_text())
    kinds = {column["name"]: column["kind"] for column in document["schema"]["table"]}
    assert kinds == {"age": "count", "price": "real", "city": "categorical", "member": "binary", "since": "date"}
    assert [column["name"] for column in document["schema"]["beside"]] == ["id", "note"]
    assert all(column["reason"] for column in document["schema"]["table"])


def test_a_run_reads_its_data_by_its_own_judgement(
    run: Path, people_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "run")
    monkeypatch.setattr(kinds, "ROWS_PER_LEVEL", 10**9)  # a later version may judge otherwise
    monkeypatch.setattr(kinds, "LARGEST_COUNT", 0)
    must("evaluate", tmp_path / "run", "--samples", 2)
    told = must("train", people_csv, "--out", tmp_path / "run", "--resume", "--epochs", 3).err
    assert "count (negative_binomial): age" in told


def test_samples_are_rows_as_the_data_have_them(run: Path, tmp_path: Path) -> None:
    must("sample", run, "-n", 50, "--draw", "-o", tmp_path / "new.csv")
    rows = read(tmp_path / "new.csv")
    assert len(rows) == 50
    assert list(rows[0]) == ["age", "price", "city", "member", "since"]
    assert {row["city"] for row in rows} <= {"Bern", "Oslo", "Rome"}
    assert {row["member"] for row in rows} <= {"yes", "no"}
    assert all(18 <= int(row["age"]) <= 79 for row in rows)
    assert all("2024-01-01" <= row["since"] <= "2024-12-28" for row in rows)
    prices = [row["price"] for row in ROWS]
    low, high = (end(float(price.replace(",", ".")) for price in prices) for end in (min, max))
    assert all(low <= float(row["price"].replace(",", ".")) <= high for row in rows)


@pytest.mark.parametrize("command", ["encode", "score", "reconstruct"])
def test_rows_keep_their_names(run: Path, people_csv: Path, tmp_path: Path, command: str) -> None:
    must(
        command, run, people_csv, "--index", "id", "-o", tmp_path / "out.csv", *["--samples", 2] * (command == "score")
    )
    rows = read(tmp_path / "out.csv", ";" if command == "reconstruct" else ",")
    assert [row["id"] for row in rows] == [row["id"] for row in ROWS]
    assert "unknown column 'key'" in run_cli(command, run, people_csv, "--index", "key", "-o", tmp_path / "o.csv").err


def test_a_new_level_is_refused_with_its_line_or_missing(run: Path, tmp_path: Path) -> None:
    strange = [line.copy() for line in FILE]
    strange[5][3] = "Ur"
    path = write(tmp_path / "strange.csv", strange)
    refused = run_cli("encode", run, path, "-o", tmp_path / "z.csv")
    assert refused.code == 2
    assert "line 6, column 'city' holds 'Ur', which is none of the 3 levels" in refused.err
    must("encode", run, path, "--unknown", "missing", "-o", tmp_path / "z.csv")
    holed = [line.copy() for line in strange]
    holed[5][3] = ""
    must("encode", run, write(tmp_path / "holed.csv", holed), "-o", tmp_path / "y.csv")
    assert (tmp_path / "z.csv").read_text() == (tmp_path / "y.csv").read_text()


def test_a_file_is_read_as_the_run_s_own_was(tmp_path: Path) -> None:
    lines = [f"'a, {n % 2}' -9 {n % 5}.5" if n % 4 else f"'b' {n % 7}.25 1.5" for n in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    reading = ("--no-header", "--missing", "-9", "--delimiter", " ", "--quote", "'", "--column", "column_2=student-t")
    must("train", tmp_path / "t.csv", "--out", tmp_path / "run", *SMALL, *reading)
    must("reconstruct", tmp_path / "run", tmp_path / "t.csv", "-o", tmp_path / "r.csv")
    assert len(read(tmp_path / "r.csv", ",")) == 40
    source = json.loads((tmp_path / "run" / "data.json").read_text())
    assert (source["missing"], source["delimiter"], source["quote"], source["header"]) == (["-9"], " ", "'", False)
    refused = run_cli("train", tmp_path / "t.csv", "--out", tmp_path / "run", "--resume", "--quote", '"')
    assert "--resume cannot change how" in refused.err
    assert "leave out --quote" in refused.err
    must("evaluate", tmp_path / "run", "--samples", 2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--column", "age"), "--column must be NAME=KIND, such as age=gaussian"),
        (("--column", "agee=real"), "unknown column 'agee'. Did you mean 'age'"),
        (("--column", "age=gausian"), "unknown kind of the column 'age' 'gausian'. Did you mean 'gaussian'"),
        (("--column", "city=real"), "line 3, column 'city' holds 'Bern', which is not a number"),
        (("--drop", "agee"), "unknown column 'agee'. Did you mean 'age'"),
        (("--drop", "age", "--column", "age=real"), "'age' is named twice"),
        (("--delimiter", "::"), "'--delimiter' option must be one character of ASCII"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    people_csv: Path, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    result = run_cli("train", people_csv, "--out", tmp_path / "run", *arguments)
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert told in line
    assert not (tmp_path / "run").exists()


def test_codes_of_single_cells_are_written_beside_them(trained: Path, tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    rows = RNG.normal(size=(80, 6))
    np.save(tmp_path / "x.npy", rows)
    must("encode", trained, tmp_path / "x.npy", "-o", tmp_path / "z.h5ad")
    must("encode", trained, tmp_path / "x.npy", "-o", tmp_path / "z.npz")
    with np.load(tmp_path / "z.npz") as codes:
        np.testing.assert_array_equal(anndata.read_h5ad(tmp_path / "z.h5ad").obsm["X_reparam"], codes["mean"])
    assert "Known: .npy, .npz, .csv, .parquet, .png," in run_cli("sample", trained, "-o", tmp_path / "s.h5ad").err


def test_how_deep_a_cell_was_counted_may_be_a_latent(tmp_path: Path) -> None:
    """Saved, opened and used by every command; cells are drawn as deep as they are, which means alone would not be."""
    anndata = pytest.importorskip("anndata")
    depth = np.exp(RNG.normal(5.0, 1.0, size=(60, 1)))
    pd.DataFrame(RNG.poisson(depth / 6.0, (60, 6)), columns=list("abcdef")).to_csv(tmp_path / "x.csv", index=False)
    run, wanted = tmp_path / "run", ("--likelihood", "negative_binomial:latent", "--epochs", 1, "--hidden", 4)
    must("train", tmp_path / "x.csv", "--out", run, *wanted)
    told = json.loads(must("evaluate", run, "--json").out)
    assert told["kl"] > 0.5  # a depth that varies threefold costs that much to tell
    must("encode", run, tmp_path / "x.csv", "-o", tmp_path / "z.csv")
    must("encode", run, tmp_path / "x.csv", "-o", tmp_path / "z.h5ad")
    codes = pd.read_csv(tmp_path / "z.csv")
    kept = anndata.read_h5ad(tmp_path / "z.h5ad").obsm["X_reparam"]
    np.testing.assert_allclose(kept, codes[["mean_0"]], rtol=1e-5)
    sums = pd.read_csv(tmp_path / "x.csv").sum(axis=1)
    assert np.corrcoef(codes["mean_1"], np.log(sums))[0, 1] > 0.9
    must("sample", run, "-n", 200, "-o", tmp_path / "new.csv")
    made = np.log(pd.read_csv(tmp_path / "new.csv").sum(axis=1))
    assert 0.7 < made.std() < 1.4


def test_the_batch_of_cells_may_be_a_condition(tmp_path: Path) -> None:
    """From the file of cells to codes in a copy of it and to cells of one batch; the run is opened by what it says."""
    anndata = pytest.importorskip("anndata")
    rng = np.random.default_rng(0)
    rows, genes = (
        pd.Index(np.array([f"{of}{n}" for n in range(many)], object), dtype=object)
        for of, many in (("c", 60), ("g", 6))
    )
    batch = pd.Categorical.from_codes([0, 1] * 30, pd.Index(np.array(["a", "b"], object), dtype=object))
    obs = pd.DataFrame({"batch": batch}, index=rows)
    cells = anndata.AnnData(X=rng.poisson(3.0, (60, 6)).astype("f4"), obs=obs, var=pd.DataFrame(index=genes))
    cells.write_h5ad(tmp_path / "x.h5ad")
    run = tmp_path / "run"
    must("train", tmp_path / "x.h5ad", "--out", run, "--condition", "batch", "--epochs", 1, "--hidden", 4)
    must("encode", run, tmp_path / "x.h5ad", "-o", tmp_path / "z.h5ad")
    assert anndata.read_h5ad(tmp_path / "z.h5ad").obsm["X_reparam"].shape == (60, 2)
    must("sample", run, "-n", 5, "--given", "batch=b", "-o", tmp_path / "new.csv")
    made = pd.read_csv(tmp_path / "new.csv")
    assert made["batch"].tolist() == ["b"] * 5
    assert made[[f"g{n}" for n in range(6)]].to_numpy().dtype.kind == "i"
