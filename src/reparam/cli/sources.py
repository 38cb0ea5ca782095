"""Where a run's data came from, so that they can be read again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reparam.data import NAMES, Dataset, conform, load
from reparam.errors import DataError, RunError
from reparam.estimator import VAE
from reparam.estimator.fitting import check_support, sha256, split_rows


@dataclass(frozen=True)
class Source:
    """DATA as the user named it, and how it is read."""

    data: str
    labels: str | None = None

    def load(self) -> Dataset:
        """Read it."""
        return load(self.data, labels=self.labels)

    def to_json(self, dataset: Dataset) -> dict[str, Any]:
        """What ``data.json`` says: enough to read the same rows again."""
        data = self.data if self.data in NAMES else os.path.abspath(os.path.expanduser(self.data))
        return {**vars(self), "data": data, "rows": len(dataset.rows)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Source:
        """The source that ``to_json`` described.

        Raises:
            RunError: none was, because the run was saved from Python.
        """
        if "data" not in document:
            raise RunError("the run does not say where its data came from, for it was saved from Python.")
        return cls(document["data"], document.get("labels"))


def own_data(vae: VAE) -> Dataset:
    """The rows that a run was trained and validated on, read again from its source.

    Raises:
        DataError: the source is unknown, gone, or no longer what it was.
    """
    try:
        source = Source.from_json(vae.source_)
        dataset = source.load()
    except (DataError, RunError) as error:
        raise DataError(f"the run's own data cannot be read: {error} Give DATA.") from error
    if sha256(dataset) != vae.fitted_.sha256:
        raise DataError(f"{source.data} is no longer what the run was trained on: its values differ. Give DATA.")
    return replace(dataset, schema=vae.schema_)


def rows_for(vae: VAE, data: str | None, *, supported: bool = False) -> tuple[Dataset, str]:
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
    dataset = conform(data, vae.schema_)
    if supported:
        check_support(vae.fitted_, dataset.rows)
    return dataset, f"{len(dataset.rows):,} rows of {data}"


def held_out(vae: VAE, own: Dataset) -> Dataset:
    """Of a run's own rows those that it held out, or all of them where it held none out."""
    _, chosen = split_rows(vae.fitted_.configuration, len(own.rows))
    return own if chosen is None else own.take(chosen)
