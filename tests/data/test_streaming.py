"""Data read part by part are the data read whole: the same rows, the same facts, each row once in every pass."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import feather, parquet

from reparam.data import Passes, Reading, Survey, inspect, load, stream, survey
from reparam.data.appending import appended
from reparam.data.dialect import recognise
from reparam.data.streaming import opening, parts, surveying
from reparam.data.streaming.cutting import row_ends
from reparam.data.streaming.digesting import Digest
from reparam.data.streaming.passes import ahead
from reparam.errors import DataError, ParameterError

ROWS, PARTS = 900, 6


def cells() -> pa.Table:
    """Numbers with gaps, counts, two kinds of text, one with line ends and quotes; a level that only the end has."""
    rng = np.random.default_rng(0)
    real = 1e5 + rng.normal(size=ROWS)
    city = np.where(np.arange(ROWS) < ROWS - 3, rng.choice(['Rome, "the city"', "Oslo\nharbour", "Bern"], ROWS), "Aa")
    return pa.table(
        {
            "real": pa.array(np.where(rng.random(ROWS) < 0.1, np.nan, real), from_pandas=True),
            "count": rng.negative_binomial(2, 0.1, ROWS),
            "city": city,
            "yes": rng.choice(["no", "yes"], ROWS),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("streams")
    table = cells()
    parquet.write_table(table, place / "t.parquet", row_group_size=ROWS // PARTS)
    feather.write_feather(table, place / "t.arrow", chunksize=ROWS // PARTS)
    arrow_csv.write_csv(table, place / "t.csv")
    np.save(place / "t.npy", np.random.default_rng(1).normal(size=(ROWS, 4)))
    np.save(place / "pixels.npy", np.random.default_rng(1).integers(0, 256, (ROWS, 6, 4), dtype=np.uint8))
    (place / "many").mkdir()
    for number in range(3):
        parquet.write_table(table.slice(number * 300, 300), place / "many" / f"{number}.parquet", row_group_size=150)
    return place


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART_BYTES", 4096)


@pytest.fixture(autouse=True)
def few_rows_judge(monkeypatch):
    """So few that the last level is none of theirs."""
    monkeypatch.setattr(opening, "JUDGED_ROWS", 200)


FILES = ("t.parquet", "t.arrow", "t.csv", "t.npy", "pixels.npy", "many")


@pytest.mark.parametrize("name", FILES)
def test_the_parts_are_the_whole(folder, name):
    whole = load(folder / ("t.parquet" if name == "many" else name))
    found = survey(stream(folder / name), 0)
    assert len(found.rows) > 3
    assert sum(found.rows) == ROWS
    rows = np.concatenate([found.stream.read(number).rows for number in range(len(found.rows))])
    np.testing.assert_array_equal(rows, whole.rows)
    schema = found.stream.schema
    assert schema.event_shape == whole.schema.event_shape
    assert schema.units == whole.schema.units
    if whole.schema.table is not None:  # of a column the reason tells of the rows that were judged
        alike = [[{**vars(c), "reason": "", "decimals": None} for c in t] for t in (schema.table, whole.schema.table)]
        assert alike[0] == alike[1]


@pytest.mark.parametrize("name", FILES)
def test_a_survey_knows_what_a_look_at_all_rows_knows(folder, name):
    found, whole = survey(stream(folder / name), 0), load(folder / ("t.parquet" if name == "many" else name))
    numbers = [place for place, column in enumerate(whole.schema.table or ()) if not column.is_coded]
    rows, chosen = whole.rows.astype(np.float64), numbers or slice(None)  # the codes of levels have no mean
    np.testing.assert_allclose(found.tally.mean[chosen], np.nanmean(rows, axis=0)[chosen], rtol=1e-13)
    np.testing.assert_allclose(found.tally.std[chosen], np.nanstd(rows, axis=0)[chosen], rtol=1e-9)
    there, seen = inspect(whole), found.summary
    assert (seen.rows, seen.missing, seen.minimum, seen.maximum) == (ROWS, there.missing, there.minimum, there.maximum)
    assert (seen.counts, seen.binary, seen.constant) == (there.counts, there.binary, there.constant)


def chunks_of(found: Survey, size: int, *place: int) -> Iterator[np.ndarray]:
    """The rows of each chunk where one process reads all."""
    return (chunk.own for chunk in Passes(found, size, lambda rows: rows).chunks(*place))


@pytest.mark.parametrize("name", ["t.csv", "pixels.npy"])
def test_each_pass_has_every_training_row_once_in_an_order_of_its_own(folder, name):
    found = survey(stream(folder / name), 3, held_out=100)
    assert len(found.held_out) == 100
    assert found.training_rows == ROWS - 100
    rows = np.concatenate([found.stream.read(number).rows for number in range(len(found.rows))])
    chunks = chunks_of(found, 128, 0, 7)
    first, second = ([next(chunks) for _ in range(7)] for _ in range(2))
    assert [len(chunk) for chunk in first] == [128] * 6 + [ROWS - 100 - 6 * 128]
    once = sorted(map(bytes, np.concatenate([*first, found.held_out])))
    assert once == sorted(map(bytes, rows)) == sorted(map(bytes, np.concatenate([*second, found.held_out])))
    assert not np.array_equal(first[0], second[0], equal_nan=True)
    assert not np.array_equal(first[0], next(chunks_of(found, 128, 0, 8)), equal_nan=True)


@pytest.mark.parametrize("start", [1, 6, 7, 10])
def test_chunks_go_on_from_any_of_them(folder, start):
    found = survey(stream(folder / "t.parquet"), 3, held_out=100)
    chunks, later = chunks_of(found, 128, 0, 7), chunks_of(found, 128, start, 7)
    expected = [next(chunks) for _ in range(12)][start:]
    for chunk in expected:
        np.testing.assert_array_equal(next(later), chunk)


def test_held_out_rows_are_a_fair_draw():
    """Of priorities by 2,000 seeds each of ten rows is held out as often as the others: χ² with 9 degrees, P < 1e-4."""
    often = np.zeros(10)
    for seed in range(2000):
        drawn = surveying.priorities(seed, 0, 10)
        often[np.argsort(drawn)[:3]] += 1
    expected = 600.0
    spread = 2000 * 0.3 * 0.7 * 10 / 9  # drawn without replacement
    assert ((often - expected) ** 2).sum() / spread < 33.7


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
def test_text_is_cut_between_rows_wherever_blocks_end(tmp_path, size):
    text = b'a,b\n1,"x\ny"\n2,"""\n"\n3,5" pipe\n\n4,"\n\n\n"\n"x"y,"\r\n"\r\n\r5,w'
    path = tmp_path / "t.csv"
    path.write_bytes(text)
    ends = list(row_ends(path, recognise(path, Reading()), size))
    assert ends[-1] == len(text)
    assert ends == sorted(set(ends))
    import csv

    whole = [row for row in csv.reader(io.StringIO(text.decode(), newline="")) if row]
    cut = [text[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
    assert [row for piece in cut for row in csv.reader(io.StringIO(piece, newline="")) if row] == whole


def test_a_file_of_one_line_without_an_end_is_a_row(tmp_path):
    (tmp_path / "t.csv").write_text("1.5,2")
    np.testing.assert_array_equal(load(tmp_path / "t.csv").rows, [[1.5, 2.0]])


def test_a_file_that_changes_or_goes_is_named(folder, tmp_path):
    path = tmp_path / "t.npy"
    np.save(path, np.zeros((2000, 4)))
    opened = stream(path)
    opened.read(0)
    np.save(path, np.ones((2000, 4)))
    os.utime(path, ns=(0, 0))
    with pytest.raises(DataError, match=r"t\.npy was written since it was opened"):
        opened.read(1)
    path.unlink()
    with pytest.raises(DataError, match=r"t\.npy is gone"):
        opened.read(1)


def test_the_digest_is_that_of_all_bytes_and_found_while_they_are_read(folder, tmp_path):
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for file in files:
        file.write_text("x\n1\n2\n" * 9)
    expected = sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    assert stream(tmp_path).sha256 == expected
    digest = Digest(stream(tmp_path).files)
    with digest.meanwhile():
        pass
    files[0].unlink()
    assert digest.value == expected  # which was found, and is not sought again
    digest = Digest(digest.files)
    with pytest.raises(DataError, match="is gone"), digest.meanwhile():
        pass
    endless = SimpleNamespace(digest=lambda into: [into.update(b"x") for _ in itertools.count()])
    with pytest.raises(KeyError), Digest([endless]).meanwhile():
        raise KeyError  # after which nobody wants it, and the thread ends


def test_a_cell_that_is_no_value_is_told_by_its_row(tmp_path):
    lines = ["a,b", *(f"{number}.5,{number % 7}.25" for number in range(2000))]
    lines[1501] = "oops,1"
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"row 1500, column 'a' holds 'oops'"):
        survey(stream(tmp_path / "t.csv"), 0)


@pytest.mark.parametrize("behind", ["2,y\n" * 60_000, '2,"y"\n' * 2_000], ids=["to the end", "to the next quote"])
def test_a_quote_that_is_open_in_a_later_part_is_told_by_its_line(tmp_path, behind):
    (tmp_path / "t.csv").write_text("a,b\n" + "2,y\n3,z\n" * 2_000 + '1,"x\n' + behind)
    with pytest.raises(DataError, match='a quote " that opens in the row of line 4002 is not closed'):
        survey(stream(tmp_path / "t.csv"), 0)


def test_a_count_that_later_rows_deny_is_told(tmp_path):
    counts = np.random.default_rng(0).negative_binomial(1, 0.05, 3000).astype(float)
    lines = ["n,k", *(f"{n:g},{'abc'[int(n) % 3]}" for n in counts), "2.5,a"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"'n' was judged a count .* fractions. Say --column n=gaussian"):
        survey(stream(tmp_path / "t.csv"), 0)
    found = survey(stream(tmp_path / "t.csv", reading=Reading(columns=(("n", "gaussian"),))), 0)
    assert found.stream.schema.table[0].upper == counts.max()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda place: place / "none.csv", "there is no file or folder"),
        (lambda place: place, "must hold files of one kind"),
        (lambda place: (place / "x.npz").write_bytes(b"PK") and place / "x.npz", "cannot be read part by part"),
        (lambda place: np.save(place / "f.npy", np.zeros((5, 4)).T) or place / "f.npy", "column after column"),
        (lambda place: (place / "e.csv").write_text("") or place / "e.csv", "holds no rows"),
        (lambda place: (place / "u.csv").write_text("a,b\n1,2\n", "utf-16") and place / "u.csv", "UTF-8 is required"),
    ],
)
def test_what_has_no_parts_is_refused(tmp_path, make, told):
    (tmp_path / "a.csv").write_text("a\n1\n")
    (tmp_path / "b.parquet").write_text("a\n1\n")
    with pytest.raises(DataError, match=told):
        survey(stream(make(tmp_path)), 0)


def test_what_goes_wrong_in_reading_ahead_comes_out():
    def items():
        yield 1
        raise DataError("gone")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(DataError, match="gone"):
        next(found)


def test_what_grows_is_read_back_and_vanishes_if_it_fails(tmp_path):
    whole = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    with appended(tmp_path / "x.npy") as file:
        for start in range(0, 10, 4):
            file.add(whole[start : start + 4])
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), whole)
    for name, read in (("x.csv", arrow_csv.read_csv), ("x.parquet", parquet.read_table)):
        with appended(tmp_path / name) as file:
            for start in range(0, 10, 4):
                file.add(pa.table({"a": whole[start : start + 4, 0]}))
        np.testing.assert_allclose(read(tmp_path / name)["a"].to_numpy(), whole[:, 0], rtol=1e-6)

    for name in ("y.npy", "y.csv", "y.parquet"):  # a process whose parts hold no rows
        with appended(tmp_path / name):
            pass
    assert not list(tmp_path.glob("*y.*"))

    def fail() -> None:
        with appended(tmp_path / "y.csv") as file:
            file.add(pa.table({"a": [1]}))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(tmp_path.glob("*y.csv*"))
    with pytest.raises(ParameterError, match="part by part"), appended(tmp_path / "y.npz"):
        pass
