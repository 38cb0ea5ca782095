"""Commands in processes of their own that begin at once: forked from one that has imported all and computed nothing.

Run as a program it is that process: it reads orders, one a line, and answers each with the child's number and then with
its exit code. What a user's process does before it imports, and while, is for real processes to show.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any


@dataclass
class Child:
    """A command that runs; its streams go to files."""

    number: int
    answers: IO[bytes]
    out: Path
    err: Path
    code: int | None = None

    def ended(self) -> bool:
        """Whether it has ended."""
        return self.code is not None or bool(select.select([self.answers], [], [], 0)[0])

    def signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        os.kill(self.number, number)

    def wait(self) -> int:
        """Its exit code, −9 where it was killed."""
        if self.code is None:
            self.code = int(self.answers.readline())
        return self.code


class Forge:
    """Begins commands, one at a time."""

    def __init__(self, server: subprocess.Popen[bytes], folder: Path):
        self.server, self.folder, self.children = server, folder, list[Child]()

    def start(self, *arguments: object, killed_at_read: int = 0) -> Child:
        """Begin ``reparam ARGUMENTS``, which kills itself when it is to read so many parts of a stream to train on."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        out, err = (self.folder / f"{len(self.children)}.{stream}" for stream in ("out", "err"))
        for stream in (out, err):
            stream.touch()
        order = {"arguments": list(map(str, arguments)), "out": str(out), "err": str(err), "kill": killed_at_read}
        self.server.stdin.write(json.dumps(order).encode() + b"\n")
        self.children.append(Child(int(self.server.stdout.readline()), self.server.stdout, out, err))
        return self.children[-1]


@contextmanager
def forge(folder: Path, *, part_bytes: int = 2048) -> Iterator[Forge]:
    """A process to fork from; ``part_bytes`` of a stream are a part of it, and a chunk."""
    folder.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, __file__, str(part_bytes)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as server:
        found = Forge(server, folder)
        try:
            yield found
        finally:
            for child in found.children[-1:]:
                if not child.ended():
                    child.signal(signal.SIGKILL)
                child.wait()


def _serve(part_bytes: int) -> None:
    import jax  # noqa: F401 - imported before the fork, and not begun

    import reparam.cli.sources
    import reparam.cli.training  # noqa: F401
    from reparam.data.streaming import parts, passes

    parts.PART_BYTES = passes.CHUNK_BYTES = part_bytes
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(order)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(order: dict[str, Any]) -> None:
    for number, path in ((1, order["out"]), (2, order["err"])):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell in the background has its children ignore
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and nohup
    if order["kill"]:
        _kill_at_read(order["kill"])
    sys.argv = ["reparam", *order["arguments"]]
    from reparam.__main__ import main

    main()


def _kill_at_read(number: int) -> None:
    from reparam.data.streaming.surveying import Survey

    read, left = Survey.read, iter(range(number - 1))

    def read_or_die(survey: Survey, part: int) -> Any:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(survey, part)

    Survey.read = read_or_die  # type: ignore[method-assign]


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
