"""Bytes led by coverage into the readers of data: run as a program, with atheris.

    python tests/data/guided.py NAMES CORPUS [options of libFuzzer]

An input's first byte says which of the comma-separated file names the rest is read under.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["reparam.data"]):
    from reparam.data import load

from reparam.errors import DataError, ParameterError

if __name__ == "__main__":
    names, *arguments = sys.argv[1:]
    endings = names.split(",")
    folder = tempfile.TemporaryDirectory()

    def one(content: bytes) -> None:
        if not content:
            return
        path = Path(folder.name, endings[content[0] % len(endings)])
        path.write_bytes(content[1:])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with suppress(DataError, ParameterError):
                load(path)

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()
