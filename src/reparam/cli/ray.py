"""``--engine ray``: Ray Data reads Parquet, divides and writes.

Without a cluster (``RAY_ADDRESS``, or where the program is started) Ray runs on this machine.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from reparam.cli.engines import Order, Worker, failed

ROWS_AT_ONCE = 16_384


def written(order: Order, data: str, place: Path) -> dict[str, Any]:
    """Let actors write what they make of the rows; how many rows, and their mean score.

    Raises:
        DataError: a worker failed.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    workers = max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)
    try:
        made = ray.data.read_parquet(data).map_batches(
            Worker,
            fn_constructor_args=(order,),
            batch_format="pyarrow",
            batch_size=ROWS_AT_ONCE,
            compute=ActorPoolStrategy(min_size=1, max_size=workers),
        )
        made.write_parquet(str(place))
        found = ray.data.read_parquet(str(place))
        mean = {"bound": found.mean("score")} if order.what == "score" else {}
        return {"rows": found.count(), **mean}
    except ray.exceptions.RayError as error:
        raise failed("ray", error) from error
