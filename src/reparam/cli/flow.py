"""Data larger than memory, in and out: each part is read, used and written before the next is read.

Several processes have each a range of the parts, and write a file each in a folder, in the order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.cli.engines import new_folder
from reparam.cli.options import parts_done
from reparam.cli.sources import is_large, read_as
from reparam.data import Dataset, stream
from reparam.data.appending import appended, check_appended, of_arrays, of_rows
from reparam.data.arrays import Raw
from reparam.data.completion import completed, holes
from reparam.data.sheets import Sheet
from reparam.data.streaming import Stream
from reparam.data.streaming.drawing import Drawn
from reparam.devices.processes import every, first
from reparam.devices.shares import Share
from reparam.devices.use import apart, in_use
from reparam.errors import DataError, ParameterError
from reparam.estimator.fitting import check_support
from reparam.estimator.use import FittedUse


@dataclass(frozen=True)
class Flow:
    """Rows for a run that come part by part, and the file to which what is made of them is added.

    Args:
        vae: the run.
        source: the parts.
        file: what grows; None where there are fewer parts than processes, and this has none.
        range: the first and the end of the parts that are this process's own.
        ending: of the file.
        index_name: what the names of rows are called.
        unknown: what becomes of a level that the model never saw.
    """

    vae: FittedUse
    source: Stream
    file: Any
    range: tuple[int, int]
    ending: str
    index_name: str
    unknown: str

    def parts(self, *, supported: bool = False) -> Iterator[tuple[Sheet | Raw, Dataset]]:
        """Each part as it is written, and its rows; ``supported``: which all must have a density.

        Raises:
            DataError: a part cannot be read, or has a cell that is no value of its column.
        """
        own = range(*self.range)
        found = parts_of(self.vae, self.source, own, unknown=self.unknown, supported=supported)
        return ((part, dataset) for _, part, dataset in found)

    def add_arrays(self, arrays: Mapping[str, NDArray[Any]], dataset: Dataset) -> None:
        """Write arrays of a part's rows."""
        self.file.add(of_arrays(arrays, self.ending, dataset.index, self.index_name))

    def add_rows(self, rows: NDArray[Any], dataset: Dataset) -> None:
        """Write rows in stored units that were made of a part's."""
        self.file.add(of_rows(rows, self.vae.schema_, self.ending, dataset.index, self.index_name))

    def add_completed(
        self, found: Sheet | Raw, rows: NDArray[Any], beside: Mapping[str, NDArray[Any]], dataset: Dataset
    ) -> int:
        """Write a part again with its missing cells from rows; of a table every other cell is what it was.

        Returns:
            How many cells were filled in.
        """
        if not isinstance(found, Sheet) or self.ending == ".npy":
            self.file.add(np.concatenate([rows, *(column[:, None] for column in beside.values())], axis=1))
            return int(np.isnan(dataset.rows).sum())
        import pyarrow as pa

        if found.is_text and hasattr(self.file, "delimiter"):
            self.file.delimiter = found.delimiter
        self.file.add(pa.table(completed(found, rows, self.vae.schema_, beside)))
        return holes(found, self.vae.schema_)


def parts_of(
    vae: FittedUse, source: Stream, numbers: range, *, unknown: str = "refuse", supported: bool = False
) -> Iterator[tuple[int, Sheet | Raw, Dataset]]:
    """Each of some parts of a stream: its number, as it is written, and its rows, which must have a density if asked.

    Raises:
        DataError: a part cannot be read, or has a cell that is no value of its column; or there are no rows.
    """
    report, before = parts_done("read"), 0
    for done, number in enumerate(numbers, 1):
        found = source.part(number, before=before, whole=True)
        dataset = source.rows(found, unknown=unknown, whole=True)
        if len(dataset.rows):
            if supported:
                check_support(vae.fitted_, dataset.rows)
            yield number, found, dataset
        before += len(dataset.rows)
        report(done, len(numbers))
    if not before and len(numbers) == len(source.parts):
        raise DataError(f"{source.name} holds no rows; at least one is required.")
    source.tell_broken(before)


def rows_of(vae: FittedUse, data: str) -> Iterator[tuple[int, Dataset]]:
    """The rows of DATA part by part, by the number of the part, each with a density; of several processes their own."""
    source = stream(data, reading=read_as(vae), schema=vae.schema_, in_order=True)
    own = range(*in_use().share.range(len(source.parts)))
    return ((number, dataset) for number, _, dataset in parts_of(vae, source, own, supported=True))


def drawn_from(vae: FittedUse, data: str, most: int) -> tuple[Dataset, str]:
    """At most so many rows of DATA, drawn from all of them in one pass, and what they are."""
    own = Drawn(most, np.empty((0, vae.schema_.size), vae.schema_.dtype))
    for number, dataset in rows_of(vae, data):
        own.add(dataset.rows, number)
    drawn = own.of_all()
    return Dataset(drawn.rows, vae.schema_), f"{len(drawn.rows):,} rows drawn from the {drawn.seen:,} of {data}"


@contextmanager
def flow(vae: FittedUse, data: str, out: Path, *, index: str | None, unknown: str) -> Iterator[Flow]:
    """Open DATA and the file that is written; the file appears when all parts are done."""
    check_appended(out)
    reading, ending = replace(read_as(vae), index=index), out.suffix.lower()
    source = stream(data, reading=reading, schema=vae.schema_, in_order=True)
    with apart() as this:
        own = this.range(len(source.parts))
        place = out if this.count == 1 else _part(out, this)
        with appended(place) if own[0] < own[1] else nullcontext() as file:
            yield Flow(vae, source, file, own, ending, index or "index", unknown)


def _part(out: Path, this: Share) -> Path:
    """The file of one of several processes, in a folder that has the name of the whole."""
    if this.leads:
        new_folder(out.expanduser())
    first(None)  # nobody writes before
    return out / f"part-{this.index:05d}{out.suffix}"


def of_all(sums: Mapping[str, float]) -> dict[str, float]:
    """Sums by name over all processes, of which some may have none."""
    total: dict[str, float] = {}
    for _, document in every({}, dict(sums)):
        for name, number in document.items():
            total[name] = total.get(name, 0) + number
    return total


def flows(data: str | None, streamed: bool | None, **excluded: Any) -> bool:
    """Whether DATA are read part by part: because the user says so, or because they are large.

    Args:
        data: what the user named, or None for the run's own rows.
        streamed: what the user said, or None.
        excluded: options that need all rows at once, by name.

    Raises:
        ParameterError: the user asked for both.
    """
    if data is None or not first(is_large(data) if streamed is None else streamed):
        return False
    for name, value in excluded.items():
        if value:
            raise ParameterError(f"--{name} needs all rows at once: leave it out, or say --in-memory.")
    return True


Make = Callable[[Dataset], Mapping[str, NDArray[Any]]]


def write_arrays(vae: FittedUse, data: str, out: Path, make: Make, **how: Any) -> tuple[int, dict[str, float]]:
    """Write what is made of every part, and give the number of rows and the sum of each array of one number a row."""
    supported = how.pop("supported", False)
    sums: dict[str, float] = {"rows": 0}
    with flow(vae, data, out, **how) as through:
        for _, dataset in through.parts(supported=supported):
            arrays = make(dataset)
            through.add_arrays(arrays, dataset)
            sums["rows"] += len(dataset.rows)
            for name, array in arrays.items():
                if array.ndim == 1:
                    sums[name] = sums.get(name, 0.0) + float(np.sum(array, dtype=np.float64))
    sums = of_all(sums)
    return int(sums.pop("rows")), sums
