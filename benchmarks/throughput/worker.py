"""One contender in a process of its own: it trains an epoch whenever it is told to, and says how long that took.

The first epoch compiles; it is told apart. Standard input has one line for each epoch, standard output one JSON line.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable

from benchmarks.throughput.configurations import CONFIGURATIONS
from benchmarks.throughput.contenders import CONTENDERS, Epoch


def timed(epoch: Epoch) -> dict[str, float]:
    started, used = time.perf_counter(), time.process_time()
    loss = epoch()
    return {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - used, "loss": loss}


def serve(start: Callable[[], Epoch]) -> None:
    """Work once, and again for each line of standard input; each time a line of JSON says how long that took."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    with contextlib.redirect_stdout(sys.stderr):  # what libraries print is no answer
        epoch = start()
        print(json.dumps(timed(epoch)), file=answers)
        for _ in sys.stdin:
            print(json.dumps(timed(epoch)), file=answers)


def main() -> None:
    contender, configuration = sys.argv[1:]
    serve(lambda: CONTENDERS[contender].start(CONFIGURATIONS[configuration]))


if __name__ == "__main__":
    main()
