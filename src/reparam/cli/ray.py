"""``--engine ray``: rows of Parquet files through a run, by the workers of a Ray cluster, into Parquet files.

Ray Data reads, divides and writes; each worker opens the run once and keeps what it compiled. Without a cluster
(``RAY_ADDRESS``, or where the program is started) Ray runs on this machine.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reparam.errors import DataError, ParameterError

ROWS_AT_ONCE = 16_384
OWN_ERROR = re.compile(r"^reparam\.errors\.\w+: (.*)$", re.MULTILINE)


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
        from reparam.cli.sources import read_as
        from reparam.data.streaming import Stream
        from reparam.estimator.keeping import opened

        self.order, self.vae = order, opened(order.run)
        self.rows = Stream("the rows", (), self.vae.schema_, replace(read_as(self.vae), index=order.index))

    def __call__(self, table: Any) -> Any:
        """The table that is made of one."""
        from reparam.data.appending import of_arrays
        from reparam.data.tables import typed_sheet, valid
        from reparam.estimator.fitting import check_support

        sheet = typed_sheet("the rows", valid(table))
        dataset = self.rows.rows(sheet, unknown=self.order.unknown, whole=True)
        if self.order.what != "encode":
            check_support(self.vae.fitted_, dataset.rows)
        if self.order.what == "impute":
            return self._imputed(sheet, dataset)
        make = {"encode": self._codes, "score": self._scores}[self.order.what]
        return of_arrays(make(dataset), ".parquet", dataset.index, self.order.index or "index")

    def _codes(self, dataset: Any) -> dict[str, Any]:
        if self.order.how["draw"]:
            return {"z": self.vae.transform(dataset, **self.order.how)}
        return dict(zip(("mean", "std"), self.vae.posterior_moments(dataset), strict=True))

    def _scores(self, dataset: Any) -> dict[str, Any]:
        return {"score": self.vae.score_samples(dataset, **self.order.how)}

    def _imputed(self, sheet: Any, dataset: Any) -> Any:
        import pyarrow as pa

        from reparam.data.completion import completed

        return pa.table(completed(sheet, self.vae.impute(dataset, **self.order.how), self.vae.schema_, {}))


def by_ray(order: Order, data: str, out: Path) -> dict[str, Any]:
    """Let workers write a folder of Parquet files, in the order of the rows; how many rows, and their mean score.

    Raises:
        ParameterError: Ray is not installed, or OUT is not named as Parquet.
        DataError: the rows cannot be read, or have cells that their columns cannot hold.
    """
    if out.suffix.lower() != ".parquet":
        raise ParameterError(
            f"--engine ray writes a folder of Parquet files: -o must end in .parquet. Got {str(out)!r}."
        )
    try:
        import ray
        from ray.data import DataContext
    except ImportError as error:
        raise ParameterError("--engine ray needs Ray: pip install 'reparam[ray]'.") from error
    place = str(out.expanduser().absolute())
    with redirect_stdout(sys.stderr):  # Ray speaks where only an answer may stand
        return _written(ray, DataContext.get_current(), order, str(Path(data).expanduser().absolute()), place)


def _written(ray: Any, context: Any, order: Order, data: str, place: str) -> dict[str, Any]:
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    workers = max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)
    try:
        made = ray.data.read_parquet(data).map_batches(
            Worker,
            fn_constructor_args=(order,),
            batch_format="pyarrow",
            batch_size=ROWS_AT_ONCE,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
        )
        made.write_parquet(place)
        written = ray.data.read_parquet(place)
        mean = {"bound": written.mean("score")} if order.what == "score" else {}
        return {"rows": written.count(), **mean}
    except ray.exceptions.RayError as error:
        raise DataError(f"Ray: {_reason(error)}") from error


def check_engine(engine: str | None, **refused: Any) -> bool:
    """Whether Ray is to do the work; ``refused``: options that it has no part for, by name.

    Raises:
        ParameterError: another engine is meant, or one of these options.
    """
    if engine is None:
        return False
    if engine != "ray":
        raise ParameterError(f"--engine must be ray; without it the work is done here. Got {engine!r} instead.")
    for name, value in refused.items():
        if value:
            raise ParameterError(f"--{name} cannot be had with --engine ray: leave one of them out.")
    return True


def _reason(error: BaseException) -> str:
    r"""What a worker said of its rows, if it did, and not where in Ray it said so.

    >>> _reason(RuntimeError("Traceback\n  …\nreparam.errors.DataError: row 3 holds 'x'.\n\nUDF failed."))
    "row 3 holds 'x'."
    """
    own = OWN_ERROR.findall(str(error))
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return own[-1] if own else lines[-1]
