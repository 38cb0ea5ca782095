"""The command line, driven in this process."""

from __future__ import annotations

import inspect
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import pytest

from reparam.cli import main
from reparam.cli.train import NOT_SETTINGS, train

SMALL = ("--hidden", "8", "--batch-size", "32", "--epochs", "2")


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def run_cli(*arguments: object) -> Result:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return Result(int(end.value.code or 0), out.getvalue(), err.getvalue())


def must(*arguments: object) -> Result:
    result = run_cli(*arguments)
    assert result.code == 0, result.err
    return result


def train_settings() -> list[str]:
    """What a file of settings may say."""
    return [name for name in inspect.signature(train).parameters if name not in NOT_SETTINGS]
