"""How a process ends when another is lost: with one line.

JAX's service of heartbeats runs in C++. When it finds that a process is silent, or that the first one is gone, it says
so at length on standard error, and aborts. What it says goes through a pipe here: its first word of a loss ends the
process before that.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from typing import NoReturn

from reparam.devices.processes import share
from reparam.storage import remove_unfinished

STDERR, UNUSABLE = 2, 2
OF_THE_SERVICE = re.compile(rb"[IWEF]\d{4} .*(coordination|distributed service|distributed runtime)")
_only_once = threading.Lock()
_out = STDERR


def listen() -> None:
    """From now on standard error of everything below Python goes through a pipe, Python's own straight on."""
    global _out
    sys.stderr.flush()
    _out, (hears, speaks) = os.dup(STDERR), os.pipe()
    os.dup2(speaks, STDERR)
    os.close(speaks)
    encoding = getattr(sys.stderr, "encoding", "utf-8")
    sys.stderr = os.fdopen(_out, "w", buffering=1, encoding=encoding, errors=sys.stderr.errors)
    threading.Thread(target=_pass_on, args=(hears,), daemon=True).start()


def end() -> NoReturn:
    """Say that a process is lost, and end at once: JAX would wait for the others."""
    if not _only_once.acquire(blocking=False):
        threading.Event().wait()  # for the end, which another thread has begun
    this = share()
    line = (
        f"reparam: process {this.index} of {this.count}: another process was lost, so all end. Start all of them "
        "again; a training goes on with --resume.\n"
    )
    os.write(_out, line.encode())
    remove_unfinished()
    os._exit(UNUSABLE)


def _pass_on(hears: int) -> None:
    """Copy what is said, until it tells of a loss."""
    with os.fdopen(hears, "rb", buffering=0) as heard:
        rest = b""
        while block := heard.read(1 << 16):
            *whole, rest = (rest + block).split(b"\n")
            for said in whole:
                if not OF_THE_SERVICE.match(said):
                    os.write(_out, said + b"\n")
                elif said[:1] in b"EF":
                    end()
