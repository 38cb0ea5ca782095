"""Where a run's data came from, so that they can be read again."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

from annotated_types import MaxLen

from reparam.data import NAMES, Column, Dataset, Judgement, Reading, Schema, Survey, conform, load, stream
from reparam.data.images import pictured_bytes
from reparam.data.places import place_of
from reparam.data.streaming.opening import is_folder_of_tables, is_streamed
from reparam.documents import STRICT, Text, checked
from reparam.errors import DataError, ParameterError, RunError
from reparam.estimator import Configuration
from reparam.estimator.fitting import check_support
from reparam.estimator.memory import free_memory
from reparam.estimator.seeing import Data, judgement_of, rows_in, sha256, split_rows, survey
from reparam.estimator.use import FittedUse
from reparam.location import is_uri

READING = (
    *("labels", "index", "no_header", "missing", "delimiter", "quote", "column", "drop"),
    *("shape", "channels_first", "resize", "crop", "gray", "skip_broken"),
)
"""The options that say how DATA are read."""
LARGE_SHARE = 0.2
"""Of free memory: a table in memory, its rows, and what training holds of them are several times its files."""


def reading_of(settings: Mapping[str, Any]) -> Reading:
    """What options say of DATA; other settings are passed over.

    Raises:
        ParameterError: ``--column`` is not NAME=KIND, a column is named twice, or no picture has that shape.

    >>> reading_of({"column": ["age=gaussian"], "drop": ["id"], "epochs": 5}).asked
    {'age': 'gaussian'}
    """
    said = {
        name: settings[name] for name in ("labels", "index", "delimiter", "quote") if settings.get(name) is not None
    }
    if said.get("delimiter") in ("\\t", "tab"):
        said["delimiter"] = "\t"
    return Reading(
        **said,
        header=False if settings.get("no_header") else None,
        missing=tuple(settings.get("missing") or ()),
        columns=tuple(_kind(text) for text in settings.get("column") or ()),
        drop=tuple(settings.get("drop") or ()),
        shape=_lengths("shape", settings.get("shape")),
        resize=_both(_lengths("resize", settings.get("resize"))),
        channels_first=bool(settings.get("channels_first")),
        crop=bool(settings.get("crop")),
        gray=bool(settings.get("gray")),
        skip_broken=bool(settings.get("skip_broken")),
    )


def _lengths(name: str, text: str | None) -> tuple[int, ...] | None:
    """Lengths of sides.

    Raises:
        ParameterError: they are no whole numbers.
    """
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise ParameterError(f"--{name} must be whole numbers such as 64 or 28,28. Got {text[:40]!r} instead.")
    return tuple(map(int, words))


def _both(lengths: tuple[int, ...] | None) -> Any:
    """One side for both."""
    return lengths * 2 if lengths is not None and len(lengths) == 1 else lengths


def _kind(text: str) -> tuple[str, str]:
    name, equals, kind = text.rpartition("=")
    if not (equals and name and kind):
        raise ParameterError(
            f"--column must be NAME=KIND, such as age=gaussian or zip=categorical. Got {text!r} instead."
        )
    return name, kind


@dataclass(frozen=True)
class Source:
    """DATA as the user named it, and how it is read.

    Args:
        data: a path or a name.
        reading: how it is read.
        judged: what its table was found to be when it was first read; columns that the schema holds stand there.
        streamed: whether it is read part by part.
    """

    data: str
    reading: Reading = field(default_factory=Reading)
    judged: Judgement | None = None
    streamed: bool = False

    def survey(self, configuration: Configuration, schema: Schema | None = None, *, report: Any = None) -> Survey:
        """Read it part by part: what it holds by a schema that is known, or as it is found to be."""
        opened = stream(self.data, reading=self.reading, schema=schema)
        if schema is not None:
            opened = replace(opened, judgement=self._judged_as(schema))
        return survey(opened, configuration, known=schema is not None, report=report)

    def load(self) -> Dataset:
        """Read it."""
        return load(self.data, reading=self.reading)

    def load_as(self, schema: Schema) -> Dataset:
        """Read it again as a run knows it: the columns of its table are what they were judged to be then."""
        if schema.table is None:
            return replace(self.load(), schema=schema)
        dataset = conform(self.data, schema, reading=replace(self.reading, columns=(), drop=()))
        return replace(dataset, judgement=self._judged_as(schema))

    def _judged_as(self, schema: Schema) -> Judgement | None:
        """What the table was found to be, with the columns of a schema."""
        if schema.table is None:
            return self.judged
        columns = sorted((*schema.table, *(schema.beside or ())), key=lambda column: column.place)
        return Judgement(tuple(columns), () if self.judged is None else self.judged.remarks)

    def to_json(self, data: Data) -> dict[str, Any]:
        """What ``data.json`` says: enough to read the same rows again, and what was made of its columns."""
        as_it_is = self.data in NAMES or is_uri(self.data)
        place = self.data if as_it_is else os.path.abspath(os.path.expanduser(self.data))
        said = {"labels": None, **self.reading.to_json(), **({"streamed": True} if self.streamed else {})}
        return {"data": place, **said, "rows": rows_in(data), **_judged(judgement_of(data))}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Source:
        """The source that ``to_json`` described.

        Raises:
            RunError: none was, because the run was saved from Python.
        """
        if document.get("data") is None:
            raise RunError("the run does not say where its data came from, for it was saved from Python.")
        streamed = document.get("streamed") is True
        return cls(document["data"], Reading.from_json(document), _judgement(document.get("judgement")), streamed)


def is_large(data: str, reading: Reading | None = None) -> bool:
    """Whether DATA are better read part by part: a folder of tables, or more than a share of free memory."""
    if data in NAMES:
        return False
    place, free = place_of(data), free_memory()
    most = math.inf if free is None else free * LARGE_SHARE
    if is_streamed(place) and place.is_file():
        return place.stat().st_size > most
    return is_folder_of_tables(place) or pictured_bytes(data, reading or Reading()) > most


def _judged(judgement: Judgement | None) -> dict[str, Any]:
    """The judgement of a table that its schema does not hold."""
    if judgement is None:
        return {}
    columns = [column.to_json() for column in judgement.columns] if judgement.plain else None
    return {"judgement": {"plain": judgement.plain, "remarks": list(judgement.remarks), "columns": columns}}


@dataclass(frozen=True)
class Judged:
    """``judgement`` of ``data.json``."""

    plain: Text
    remarks: Annotated[tuple[Text, ...], MaxLen(10_000)]
    columns: tuple[Any, ...] | None = None

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT


def _judgement(document: Any) -> Judgement | None:
    """What :func:`_judged` told.

    Raises:
        RunError: it told something else.
    """
    if document is None:
        return None
    told = checked(Judged, document, "the judgement of data.json")
    return Judgement(tuple(map(Column.from_json, told.columns or ())), told.remarks, told.plain)


def given_data(
    vae: FittedUse, data: str, *, labels: str | None = None, index: str | None = None, unknown: str = "refuse"
) -> Dataset:
    """DATA for a run, read as the run's own were: the same header, delimiter, quotes and words for what is missing.

    Raises:
        DataError: they cannot be read, or have other columns, another shape, or cells that their columns cannot hold.
    """
    reading = replace(read_as(vae), labels=labels, index=index)
    return conform(data, vae.schema_, reading=reading, unknown=unknown)


def read_as(vae: FittedUse) -> Reading:
    """How further data are read: as the run's own were, all columns of them."""
    own = Reading.from_json(vae.source_) if "data" in vae.source_ else Reading()
    return replace(own, labels=None, index=None, columns=(), drop=())


def own_data(vae: FittedUse) -> Dataset:
    """The rows that a run was trained and validated on, read again from its source; of a stream the held-out ones.

    Raises:
        DataError: the source is unknown, gone, or no longer what it was.
    """
    try:
        source = Source.from_json(vae.source_)
        if source.streamed:
            found = source.survey(vae.fitted_.configuration, vae.schema_)
            dataset, digest = found.dataset(found.held_out), sha256(found)
        else:
            dataset = source.load_as(vae.schema_)
            digest = sha256(dataset)
    except (DataError, RunError) as error:
        raise DataError(f"the run's own data cannot be read: {error} Give DATA.") from error
    if digest != vae.fitted_.sha256:
        raise DataError(f"{source.data} is no longer what the run was trained on: its values differ. Give DATA.")
    return dataset


def rows_for(
    vae: FittedUse, data: str | None, *, supported: bool = False, index: str | None = None, unknown: str = "refuse"
) -> tuple[Dataset, str]:
    """The rows a command is about, and what they are: DATA, or the rows that the run held out, or all of its own.

    Raises:
        DataError: they cannot be read, have another shape, or, where they are to be ``supported``, have no density.
    """
    if data is None:
        own = own_data(vae)
        chosen = held_out(vae, own)
        which = (
            "that the run held out"
            if vae.fitted_.configuration.early_stopping
            else "of the run itself, which held none out"
        )
        return chosen, f"the {len(chosen.rows):,} rows of {own.schema.name} {which}"
    dataset = given_data(vae, data, index=index, unknown=unknown)
    if supported:
        check_support(vae.fitted_, dataset.rows)
    return dataset, f"{len(dataset.rows):,} rows of {data}"


def held_out(vae: FittedUse, own: Dataset) -> Dataset:
    """Of a run's own rows those that it held out, or all of them where it held none out."""
    if vae.source_.get("streamed"):
        return own
    _, chosen = split_rows(vae.fitted_.configuration, len(own.rows))
    return own if chosen is None else own.take(chosen)
