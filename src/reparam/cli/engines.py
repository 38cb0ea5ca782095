"""``--engine``: rows of files through a run, by the workers of a cluster that somebody else runs, into Parquet files.

An engine divides the rows among workers, each of which opens the run once and keeps what it compiled, and lets them
write a folder of Parquet files, in whose names' order the rows keep theirs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeGuard

from reparam.errors import DataError, ParameterError

ENGINES = {"ray": "Ray", "spark": "Spark"}
"""Those that there are, and how they are called; each is a module beside this, and an extra."""
PACKAGES = {"ray": "ray", "spark": "pyspark"}
OWN_ERROR = re.compile(r"reparam\.errors\.\w+: (.*)$", re.MULTILINE)

Write = Callable[["Order", str, Path], dict[str, Any]]
"""What an engine does: an order for the rows of DATA, by its absolute path, and the folder to write → a document."""


@dataclass(frozen=True)
class Order:
    """What workers are to make of rows.

    Args:
        run: the run, at a place that every worker sees.
        what: ``encode``, ``score`` or ``impute``.
        how: options of that, by the names of the estimator's methods.
        index: the column that names the rows.
        unknown: what becomes of a level that the model never saw.
    """

    run: str
    what: str
    how: Mapping[str, Any]
    index: str | None = None
    unknown: str = "refuse"


class Worker:
    """A run that was opened once, and what it makes of tables."""

    def __init__(self, order: Order):
        from reparam.estimator.keeping import opened

        self.order, self.vae = order, opened(order.run)

    @cached_property
    def reading(self) -> Any:
        """How rows are read: as the run's own were."""
        from reparam.cli.sources import read_as

        return replace(read_as(self.vae), index=self.order.index)

    @cached_property
    def rows(self) -> Any:
        """What takes a table for rows of the run."""
        from reparam.data.streaming import Stream

        return Stream("the rows", (), self.vae.schema_, self.reading)

    def __call__(self, table: Any) -> Any:
        """The Arrow table that is made of one."""
        from reparam.data.tables import typed_sheet, valid

        return self.made(typed_sheet("the rows", valid(table)))

    def made(self, found: Any) -> Any:
        """The same of a part as a stream reads it.

        Raises:
            DataError: it has a cell that is no value of its column.
        """
        from reparam.data.appending import of_arrays
        from reparam.estimator.fitting import check_support

        dataset = self.rows.rows(found, unknown=self.order.unknown, whole=True)
        if self.order.what != "encode":
            check_support(self.vae.fitted_, dataset.rows)
        if self.order.what == "impute":
            return self._imputed(found, dataset)
        make = {"encode": self._codes, "score": self._scores}[self.order.what]
        return of_arrays(make(dataset), ".parquet", dataset.index, self.order.index or "index")

    def _codes(self, dataset: Any) -> dict[str, Any]:
        from reparam.cli.encode import by_layer

        layers = self.vae.fitted_.configuration.layers
        if self.order.how["draw"]:
            return by_layer({"z": self.vae.transform(dataset, **self.order.how)}, layers)
        return by_layer(dict(zip(("mean", "std"), self.vae.posterior_moments(dataset), strict=True)), layers)

    def _scores(self, dataset: Any) -> dict[str, Any]:
        return {"score": self.vae.score_samples(dataset, **self.order.how)}

    def _imputed(self, sheet: Any, dataset: Any) -> Any:
        import pyarrow as pa

        from reparam.data.completion import completed

        return pa.table(completed(sheet, self.vae.impute(dataset, **self.order.how), self.vae.schema_, {}))


def by_engine(engine: str, order: Order, data: str, out: Path) -> dict[str, Any]:
    """Let the workers of an engine write a folder of Parquet files; how many rows, and their mean score.

    Raises:
        ParameterError: the engine is not installed, or OUT is not named as Parquet.
        DataError: the rows cannot be read, or have cells that their columns cannot hold.
    """
    if out.suffix.lower() != ".parquet":
        raise ParameterError(
            f"--engine {engine} writes a folder of Parquet files: -o must end in .parquet. Got {str(out)!r}."
        )
    if find_spec(PACKAGES[engine]) is None:
        raise ParameterError(f"--engine {engine} needs {ENGINES[engine]}: pip install 'reparam[{engine}]'.")
    written: Write = import_module(f"reparam.cli.{engine}").written
    place = out.expanduser().absolute()
    new_folder(place)
    with redirect_stdout(sys.stderr):  # engines speak where only an answer may stand
        return written(order, str(Path(data).expanduser().absolute()), place)


def new_folder(place: Path) -> None:
    """A folder for files of parts.

    Raises:
        ParameterError: something stands there.
    """
    try:
        place.mkdir()
    except FileExistsError as error:
        raise ParameterError(
            f"{place} is there, and a folder of parts is to be written: choose another place."
        ) from error


def check_engine(engine: str | None, **refused: Any) -> TypeGuard[str]:
    """Whether an engine is to do the work; ``refused``: options that it has no part for, by name.

    Raises:
        ParameterError: there is no such engine, or one of these options is given.
    """
    if engine is None:
        return False
    if engine not in ENGINES:
        raise ParameterError(
            f"--engine must be one of {', '.join(ENGINES)}; without it the work is done here. Got {engine!r} instead."
        )
    for name, value in refused.items():
        if value:
            raise ParameterError(f"--{name} cannot be had with --engine {engine}: leave one of them out.")
    return True


def failed(engine: str, error: BaseException) -> DataError:
    r"""What a worker said of its rows, if it did, and not where in the engine it said so.

    >>> failed("ray", RuntimeError("Traceback\n  …\nreparam.errors.DataError: row 3 holds 'x'.\n\nUDF failed."))
    DataError("Ray: row 3 holds 'x'.")
    """
    own = OWN_ERROR.findall(str(error))
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return DataError(f"{ENGINES[engine]}: {own[-1] if own else lines[-1]}")
