"""A fitted model ↔ a run folder: what is written, and how it is read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx

from reparam import runs
from reparam.data import Schema
from reparam.errors import DataError, ParameterError, RunError
from reparam.estimator.beginning import state_like
from reparam.estimator.compilation import keep_compiled
from reparam.estimator.configuration import Configuration
from reparam.estimator.fitting import Fitted
from reparam.training.tensors import from_tensors, to_tensors
from reparam.version import __version__

if TYPE_CHECKING:
    from reparam.estimator.vae import VAE


def save(fitted: Fitted, path: str | Path, *, overwrite: bool, source: Mapping[str, Any]) -> Path:
    """Write a run folder.

    Raises:
        RunError: the place is taken or cannot be written.
    """
    nameless = fitted.configuration.nameless
    config = {
        "format": runs.FORMAT,
        "version": __version__,
        "parameters": fitted.configuration.to_json(),
        "handed_over": list(nameless),
        "likelihood": fitted.likelihood if isinstance(fitted.likelihood, str) else None,
        "likelihood_reason": fitted.likelihood_reason,
        "start": fitted.start,
        "latent_path": list(fitted.latent_path),
    }
    described = {"schema": fitted.schema.to_json(), "sha256": fitted.sha256, **source}
    tensors = to_tensors(fitted.model), to_tensors(fitted.state)
    return runs.write_run(path, runs.Run(config, described, *tensors, fitted.history), overwrite=overwrite)


def load(path: str | Path, **parts: Any) -> VAE:
    """Open a run folder as a fitted :class:`VAE`.

    Args:
        path: the folder.
        parts: what was an object when the run was trained, and so could not be saved: ``encoder``, ``posterior``, …

    Raises:
        RunError: the folder is missing, damaged, or of another format.
        ParameterError: a part has to be handed over and was not, or was and had a name.
    """
    from reparam.estimator.vae import VAE

    keep_compiled()
    run = runs.read_run(path)
    configuration, schema, likelihood = _described(path, run, parts)
    linear = run.config["start"] != "random"
    skeleton = state_like(configuration, schema, likelihood, run.state, linear=linear)
    state = from_tensors(skeleton, run.state, f"{path}/{runs.STATE}")
    if len(run.metrics) != int(state.epoch):
        raise RunError(
            f"{path}/{runs.METRICS}: holds {len(run.metrics)} lines, but training stands after epoch "
            f"{int(state.epoch)}. The run is damaged."
        )
    model = from_tensors(skeleton.best_model, run.model, f"{path}/{runs.MODEL}")
    state = eqx.tree_at(lambda s: s.best_model, state, model)
    history = tuple(dict(line) for line in run.metrics)
    reason, start = str(run.config["likelihood_reason"]), str(run.config["start"])
    told = history, str(run.data["sha256"]), tuple(run.config["latent_path"])
    fitted = Fitted(configuration, schema, likelihood, reason, start, state, *told)
    vae = VAE(**{**vars(configuration), "hidden": tuple(configuration.hidden)}).adopt(fitted)
    vae.source_ = {name: value for name, value in run.data.items() if name != "schema"}
    return vae


def _described(path: str | Path, run: runs.Run, parts: Mapping[str, Any]) -> tuple[Configuration, Schema, Any]:
    """What the documents of a run say, with the parts that were handed over."""
    if "schema" not in run.data or "sha256" not in run.data:
        raise RunError(f"{path}/{runs.DATA}: the schema is missing. The run is damaged.")
    schema = Schema.from_json(run.data["schema"])
    try:
        parameters, needed = dict(run.config["parameters"]), tuple(run.config["handed_over"])
        _check_handed_over(path, needed, parts)
        parameters["hidden"] = tuple(parameters["hidden"])
        parameters["condition"] = tuple(parameters["condition"])
        known = {field.name for field in fields(Configuration)}
        if set(parameters) != known:
            raise ParameterError(f"parameters {sorted(set(parameters) ^ known)} are missing or unknown")
        configuration = Configuration(**{**parameters, **parts})
        likelihood = parts.get("likelihood", run.config["likelihood"])
        _ = run.config["likelihood_reason"], run.config["start"], run.config["latent_path"]
    except (KeyError, TypeError, ParameterError, DataError) as error:
        if isinstance(error, HandOverError):
            raise
        raise RunError(f"{path}/{runs.CONFIG}: cannot be understood ({error}). The run is damaged.") from error
    return configuration, schema, likelihood


class HandOverError(ParameterError):
    """A run whose parts were objects needs them again."""


def _check_handed_over(path: str | Path, needed: tuple[str, ...], parts: Mapping[str, Any]) -> None:
    missing, superfluous = sorted(set(needed) - set(parts)), sorted(set(parts) - set(needed))
    if missing:
        raise HandOverError(
            f"{path}: {', '.join(missing)} had no name when the run was trained, so only weights were saved. Hand the "
            f"same over: reparam.load({str(path)!r}, {', '.join(f'{name}=…' for name in missing)})."
        )
    if superfluous:
        raise HandOverError(f"{path}: {', '.join(superfluous)} was saved by name and cannot be handed over.")
