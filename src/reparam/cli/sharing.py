"""The options by which a command is shared among devices and processes, and what they set up."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import wraps
from typing import Annotated, Any

import typer

from reparam.devices.shares import launched
from reparam.errors import ParameterError, ReparamError

Count = Annotated[
    str | None,
    typer.Option(
        "--devices", metavar="all|N", envvar="REPARAM_DEVICES", help="Devices that share the work. [default: 1]"
    ),
]
Coordinator = Annotated[
    str | None,
    typer.Option(
        "--coordinator", metavar="HOST:PORT", envvar="REPARAM_COORDINATOR", help="Of several processes the first."
    ),
]
Processes = Annotated[
    str | None,
    typer.Option(
        "--processes",
        metavar="N|auto",
        envvar="REPARAM_PROCESSES",
        help="How many processes share the work; auto asks the launcher, as under Slurm and Open MPI without it.",
    ),
]
ProcessId = Annotated[
    int | None,
    typer.Option("--process-id", min=0, metavar="I", envvar="REPARAM_PROCESS_ID", help="Which this is, from 0."),
]
OPTIONS = {"devices": Count, "coordinator": Coordinator, "processes": Processes, "process_id": ProcessId}
SHARING = (*OPTIONS, "shard_model")
"""What :func:`sharing` takes, by name: no settings of a model, for results do not depend on them."""


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the options of this module, run by the devices and processes that they name."""
    signature = inspect.signature(command, eval_str=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    more = [inspect.Parameter(name, kind, default=None, annotation=option) for name, option in OPTIONS.items()]

    @wraps(command)
    def run(*arguments: Any, **named: Any) -> Any:
        with sharing(**{name: named.pop(name) for name in OPTIONS}):
            return command(*arguments, **named)

    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *more]
    )
    return run


@contextmanager
def sharing(
    devices: str | int | None = None,
    coordinator: str | None = None,
    processes: str | int | None = None,
    process_id: int | None = None,
    shard_model: int | None = None,
) -> Iterator[None]:
    """Meet the other processes, and share the block among their devices; the first process alone speaks.

    Raises:
        ParameterError: there are no such devices, or the options do not say enough.
        ProcessError: the processes did not meet. Where one is lost later, the process ends here.
    """
    asked = (devices, coordinator, processes, process_id, shard_model)
    if launched() is None and all(option is None for option in asked):  # what is not shared need not wait for JAX
        yield
        return
    from reparam.devices import losing
    from reparam.devices.mesh import devices as found
    from reparam.devices.processes import is_of_messages, join
    from reparam.devices.use import using

    this = join(coordinator, _number(processes), process_id)
    with ExitStack() as stack:
        stack.enter_context(using(found(devices, shard_model or 1)))
        if this.count > 1:
            losing.listen()
        if not this.leads:
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        try:
            yield
        except ReparamError as error:
            if this.count > 1:
                error.args = (f"process {this.index} of {this.count}: {error}",)
            raise
        except (RuntimeError, ValueError) as error:
            if this.count == 1 or not is_of_messages(error):
                raise
            losing.end()


def is_shared() -> bool:
    """Whether this is one of several processes."""
    if "jax" not in sys.modules:
        return False
    from reparam.devices.processes import share

    return share().count > 1


def _number(processes: str | int | None) -> int | str | None:
    """How many processes there are.

    Raises:
        ParameterError: that is no number.
    """
    if processes is None or isinstance(processes, int) or processes == "auto":
        return processes
    if not (re.fullmatch(r"[0-9]{1,18}", processes) and int(processes) > 0):
        raise ParameterError(f"--processes must be a number of processes, or auto. Got {processes[:200]!r} instead.")
    return int(processes)
