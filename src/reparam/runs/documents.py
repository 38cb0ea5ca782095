"""The documents of a run folder as types: whatever a file says is held against these before anything uses it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval, MaxLen

from reparam.documents import STRICT, Count, Name, Number, Text

FORMAT = 3
"""What this version writes; it reads every format since 1, which had no checksums, and 2, which had no seals."""

Each = Annotated[tuple[Number, ...], MaxLen(100_000)]


@dataclass(frozen=True)
class Sum:
    """What a file was when it was written."""

    bytes: Annotated[int, Interval(ge=0)]
    sha256: Annotated[str, MaxLen(64)]

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT


@dataclass(frozen=True)
class Config:
    """``config.json``. The parameters are checked where they are known."""

    format: Literal[1, 2, 3]
    version: Name
    parameters: Annotated[dict[Name, Any], MaxLen(1000)]
    handed_over: Annotated[tuple[Name, ...], MaxLen(100)]
    likelihood: Text | None
    likelihood_reason: Text
    start: Text
    network_reason: Text = ""
    latent_path: Annotated[tuple[dict[Name, bool | Number], ...], MaxLen(1000)] = ()
    files: dict[Name, Sum] = field(default_factory=dict)
    seals: dict[Name, Annotated[str, MaxLen(64)]] = field(default_factory=dict)

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT


@dataclass(frozen=True)
class Source:
    """``data.json`` but for its schema, which the data know, and for how DATA are read, which the command line does."""

    sha256: Annotated[str, MaxLen(64)]
    data: Text | None = None
    rows: Count | None = None

    __pydantic_config__: ClassVar[dict[str, Any]] = {**STRICT, "extra": "ignore"}


@dataclass(frozen=True, kw_only=True)
class Means:
    """What an epoch was on rows, by the names that pictures and summaries read."""

    bound: Number
    reconstruction: Number
    kl: Number
    kl_per_dimension: Each | None = None
    kl_per_layer: Each | None = None
    active_units: Number | None = None
    without_density: Number | None = None
    skipped: Number | None = None

    __pydantic_config__: ClassVar[dict[str, Any]] = {**STRICT, "extra": "ignore"}


@dataclass(frozen=True, kw_only=True)
class Line(Means):
    """One line of ``metrics.jsonl``: an epoch, and what it was in training and on rows held out."""

    epoch: Count
    coefficients: Annotated[dict[Name, Number], MaxLen(1000)]
    validation: Means | None
    kept: bool = False

    __pydantic_config__: ClassVar[dict[str, Any]] = {**STRICT, "extra": "ignore"}
