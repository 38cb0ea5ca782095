"""Files whose bytes were changed, cut or put together by chance: one DataError, or data; never anything else."""

from __future__ import annotations

import gzip
import resource
import struct
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import feather, parquet

from fuzzing import CASES, MEMORY_BYTES, SECONDS, TooSlowError, limits
from reparam.data import Dataset, load, stream
from reparam.data.images import quiet
from reparam.data.streaming import STREAMED
from reparam.errors import DataError, ParameterError

LIMIT_BEFORE = resource.getrlimit(resource.RLIMIT_AS)[0]
ROWS = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small whole file of every kind."""
    folder = tmp_path_factory.mktemp("whole")
    np.save(folder / "x.npy", ROWS)
    np.savez_compressed(folder / "x.npz", x=ROWS)
    (folder / "x.csv").write_text("a,b,c\n" + "\n".join(",".join(map(str, row)) for row in ROWS.tolist()) + "\n")
    table = pa.table({name: ROWS[:, place] for place, name in enumerate("abc")})
    parquet.write_table(table, folder / "x.parquet")
    feather.write_feather(table, folder / "x.feather")
    pixels = struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 4, 4) + bytes(range(32))
    (folder / "x-idx3-ubyte").write_bytes(pixels)
    (folder / "x-idx3-ubyte.gz").write_bytes(gzip.compress(pixels))
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5)
    for name in ("x.png", "x.jpg", "x.webp", "x.tif", "x.bmp"):
        picture.save(folder / name)
    picture.quantize(4).save(folder / "palette.png")
    picture.save(folder / "packed.tif", compression="tiff_lzw")
    picture.save(folder / "frames.png", save_all=True, append_images=[picture])
    cells = [{"bytes": (folder / name).read_bytes(), "path": None} for name in ("x.png", "x.jpg")]
    parquet.write_table(pa.table({"image": cells, "label": [0, 1]}), folder / "pictures.parquet")
    entries = "".join(f"{row + 1} {row % 3 + 1} {row}\n" for row in range(12))
    (folder / "x.mtx").write_text(f"%%MatrixMarket matrix coordinate integer general\n12 3 12\n{entries}")
    with suppress(ImportError):
        import anndata

        names = [pd.DataFrame(index=pd.Index(list("abcdefghijkl")[:count], dtype=object)) for count in ROWS.shape]
        anndata.AnnData(np.abs(ROWS), *names).write_h5ad(folder / "x.h5ad")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=CASES, deadline=None)
@given(st.data())
def test_no_bytes_do_more_than_be_refused(originals, tmp_path_factory, data):
    name = data.draw(st.sampled_from(sorted(originals)))
    content = bytearray(originals[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]
    path: Path = tmp_path_factory.mktemp("bytes") / name
    path.write_bytes(content)
    readers = [load, streamed] if path.suffix in STREAMED else [load]
    with limits(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = ""
        try:
            rows = np.asarray(data.draw(st.sampled_from(readers))(path).rows)
            assert rows.dtype.kind != "f" or not np.isinf(rows).any()  # NaN is a cell that was not seen
        except (DataError, ParameterError) as error:
            told = str(error)
    assert len(told) < 3000
    path.unlink()


def streamed(path: Path) -> Dataset:
    """The rows of a file that is read part by part: the last part of them."""
    opened, before = stream(path), 0
    for number in range(len(opened.parts)):
        found = opened.read(number, before=before, whole=True)
        before += len(found.rows)
    return found


def test_a_length_of_gigabytes_is_not_believed(originals, tmp_path):
    """Found by Hypothesis: a part of a PNG says that 1.09 GB follow, and the file ends before."""
    content = bytearray(originals["frames.png"])
    content[91] = 65
    (tmp_path / "x.png").write_bytes(content[:209])
    with limits(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert load(tmp_path / "x.png").schema.event_shape == (4, 4, 3)


@pytest.mark.parametrize("at", [2, 20, 40])
def test_a_damaged_picture_is_told_by_us_alone(originals, tmp_path, capfd, at):
    """libtiff prints by itself, past Python's streams: not here, and afterwards as before."""
    content = bytearray(originals["packed.tif"])
    content[8:at] = b"\xff" * (at - 8)
    (tmp_path / "x.tif").write_bytes(content)
    with suppress(DataError):
        load(tmp_path / "x.tif")
    assert capfd.readouterr() == ("", "")
    assert quiet.silence.inside == 0
    with suppress(OSError), Image.open(tmp_path / "x.tif") as picture:
        picture.load()
    assert (capfd.readouterr().err != "") == (at > 8)


def test_no_bytes_that_coverage_leads_to_do_more_than_be_refused(originals, tmp_path):
    """The same, by atheris, which looks which lines of our readers a byte reaches; its limits are libFuzzer's."""
    pytest.importorskip("atheris", reason="atheris, which follows coverage, is not installed")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    names = sorted(originals)
    for place, name in enumerate(names):
        (corpus / name).write_bytes(bytes([place]) + originals[name])
    options = [f"-runs={CASES}", "-seed=1", f"-timeout={SECONDS}", "-rss_limit_mb=4096"]
    options += [f"-artifact_prefix={tmp_path}/"]
    program = [sys.executable, Path(__file__).with_name("guided.py"), ",".join(names), corpus, *options]
    answered = subprocess.run([*map(str, program)], capture_output=True, text=True, check=False)
    found = [path.read_bytes() for path in tmp_path.glob("*-*")]
    assert answered.returncode == 0, (answered.stderr[-3000:], found)


def test_numbers_of_several_points_are_text(tmp_path):
    """Found by atheris: versions and addresses read as numbers of thousands, and are none."""
    path = tmp_path / "x.csv"
    path.write_text("version,x\n1.2.3,1\n10.0.0.1,2\n1.2.3,3\n2.5,4\n")
    assert load(path).judgement.columns[0].kind == "categorical"


def test_a_case_that_takes_too_much_is_found():
    with pytest.raises(MemoryError), limits():
        np.ones(2 * MEMORY_BYTES, np.uint8)
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    assert soft == LIMIT_BEFORE
    with pytest.raises(TooSlowError), limits(seconds=0.05):
        _work_for_ever()


def _work_for_ever() -> None:
    while True:
        pass


def test_a_table_that_says_more_of_its_cells_than_there_is_is_refused(originals, tmp_path):
    """The head of an Arrow file is damaged, byte after byte: what it says of buffers is looked at before their use."""
    whole, path = originals["x.feather"], tmp_path / "x.feather"
    refused = 0
    for at in range(900, len(whole) - 6, 2):
        path.write_bytes(whole[:at] + b"\x02" + whole[at + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                load(path)
            except (DataError, ParameterError):
                refused += 1
    assert refused > 5


@pytest.mark.parametrize("end", ["12 3 11z", "8 2 7\x109 3 8", "10 1 9é11 2", "12 3 11"])
def test_a_matrix_without_a_last_newline_ends_where_it_ends(tmp_path, end):
    """SciPy read past the end of such a file, and the process died."""
    path = tmp_path / "x.mtx"
    lines = "".join(f"{row + 1} {row % 3 + 1} {row}\n" for row in range(11))
    path.write_text(f"%%MatrixMarket matrix coordinate integer general\n12 3 12\n{lines}{end}")
    with suppress(DataError):
        assert load(path).rows.shape == (12, 3)
