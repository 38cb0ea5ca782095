"""``--engine spark``: Spark divides the parts of DATA among its tasks; each reads its own, and writes a file.

A task has parts that stand together, so that rows keep their order. Spark runs where its own settings say
(``spark-submit``, ``SPARK_CONF_DIR``), and otherwise on this machine; it needs Java.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from reparam.cli.engines import Order, Worker, failed
from reparam.data import stream
from reparam.data.appending import appended
from reparam.errors import DataError

TASKS_PER_CORE = 4


def written(order: Order, data: str, place: Path) -> dict[str, Any]:
    """Let tasks write what they make of their parts; how many rows, and their mean score.

    Raises:
        DataError: DATA has no parts or rows, Spark does not start, or a task failed.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    parts = len(_source(Worker(order), data).parts)
    try:
        named = SparkSession.builder.appName(f"reparam {order.what}")
        session = named.config("spark.ui.showConsoleProgress", "false").getOrCreate()
        session.sparkContext.setLogLevel("OFF")  # a failure is told below
        tasks = min(parts, TASKS_PER_CORE * session.sparkContext.defaultParallelism)
        numbers = session.range(0, parts, 1, tasks)
        each = numbers.mapInArrow(_task(order, data, place), "rows long, total double").collect()
    except (PySparkException, RuntimeError) as error:
        raise failed("spark", error) from error
    rows = sum(task["rows"] for task in each)
    if not rows:
        raise DataError(f"{data} holds no rows; at least one is required.")
    return {"rows": rows, **({"bound": sum(task["total"] for task in each) / rows} if order.what == "score" else {})}


def _task(order: Order, data: str, place: Path) -> Callable[[Iterator[Any]], Iterator[Any]]:
    return partial(_written_parts, order=order, data=data, place=place)


def _written_parts(batches: Iterator[Any], order: Order, data: str, place: Path) -> Iterator[Any]:
    """Write a file of each lot of parts, by their numbers; how many rows it has, and the sum of their scores."""
    worker = _worker(order.run, order.what, tuple(order.how.items()), order.index, order.unknown)
    source = _source(worker, data)
    for batch in batches:
        numbers, rows, total = batch.column(0).to_pylist(), 0, 0.0
        with appended(place / f"part-{numbers[0]:05d}.parquet") as file:
            for number in numbers:
                found = source.part(number, whole=True)
                table = worker.made(found)
                file.add(table)
                rows += table.num_rows
                total += sum(table["score"].to_pylist()) if order.what == "score" else 0.0
        yield pa.RecordBatch.from_pydict({"rows": [rows], "total": [total]})


@cache
def _worker(run: str, what: str, how: tuple[tuple[str, Any], ...], index: str | None, unknown: str) -> Worker:
    """One for all lots that this process is given."""
    return Worker(Order(run, what, dict(how), index, unknown))


def _source(worker: Worker, data: str) -> Any:
    return stream(data, reading=worker.reading, schema=worker.vae.schema_, in_order=True)
