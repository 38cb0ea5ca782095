"""A fitted model ↔ a run folder: what is written, and how it is read again."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import make_dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import equinox as eqx
import jax

from reparam import runs
from reparam.data import Schema, check_cells
from reparam.documents import STRICT, Name, Whole, checked
from reparam.errors import DataError, ParameterError, ReparamWarning, RunError
from reparam.estimator.beginning import state_like
from reparam.estimator.compilation import keep_compiled
from reparam.estimator.configuration import FIELDS, Configuration
from reparam.estimator.fitting import Fitted
from reparam.estimator.use import FittedUse
from reparam.training import TrainState
from reparam.training.tensors import compare_shapes, from_tensors, not_finite, to_tensors
from reparam.version import __version__

if TYPE_CHECKING:
    from reparam.estimator.vae import VAE

TRIES = 5
BEFORE: dict[str, Any] = {"on_nonfinite": "stop", "precision": "float32", "condition": [], "network": "mlp"}
"""What settings that came later than a format were before there was a word for them: runs of then open for ever."""


def save(fitted: Fitted, path: str | Path, *, overwrite: bool, source: Mapping[str, Any]) -> Path:
    """Write a run folder.

    Raises:
        RunError: the place is taken or cannot be written.
    """
    return runs.write_run(path, as_run(fitted, source), overwrite=overwrite)


def as_run(fitted: Fitted, source: Mapping[str, Any]) -> runs.Run:
    """A fitted model as the documents and tensors of a run folder; ``source`` says where the rows came from.

    Raises:
        RunError: a name cannot be written as UTF-8, or a weight is no number.
    """
    _check_finite(fitted.model, "the weights are not written", "Train again with a lower learning rate.")
    return runs.Run(*documents(fitted, source), to_tensors(fitted.model), to_tensors(fitted.state), fitted.history)


def documents(fitted: Fitted, source: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What ``config.json`` and ``data.json`` say.

    Raises:
        RunError: a name cannot be written as UTF-8.
    """
    config = {
        "format": runs.FORMAT,
        "version": __version__,
        "parameters": fitted.configuration.to_json(),
        "handed_over": list(fitted.configuration.nameless),
        "likelihood": fitted.likelihood if isinstance(fitted.likelihood, str) else None,
        "likelihood_reason": fitted.likelihood_reason,
        "network_reason": fitted.network_reason,
        "start": fitted.start,
        "latent_path": list(fitted.latent_path),
    }
    described = {"schema": fitted.schema.to_json(), "sha256": fitted.sha256, **source}
    try:
        json.dumps((config, described), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RunError(
            f"{error.object[error.start - 20 : error.end + 20]!a}: a name that is not UTF-8 cannot be "
            "kept in a run. Rename the file or the column."
        ) from error
    return config, described


def size_of(fitted: Fitted) -> int:
    """How many bytes a run of it takes on disk, about: two checkpoints, and a third while it is written."""
    arrays = jax.tree.leaves(eqx.filter((fitted.model, fitted.state), eqx.is_inexact_array))
    return 3 * sum(int(array.nbytes) for array in arrays)


class Opened(FittedUse):
    """A run that was opened, to be used: what :class:`reparam.VAE` makes of one, without scikit-learn's second."""

    def __init__(self, fitted: Fitted, source: dict[str, Any]):
        self.fitted_, self.source_ = fitted, source


def load(path: str | Path, **parts: Any) -> VAE:
    """Open a run folder as a fitted :class:`VAE`: its newest checkpoint that is whole, with a warning if one was not.

    Args:
        path: the folder.
        parts: what was an object when the run was trained, and so could not be saved: ``encoder``, ``posterior``, …

    Raises:
        RunError: the folder is missing, damaged, or of another format.
        ParameterError: a part has to be handed over and was not, or was and had a name.
    """
    from reparam.estimator.vae import VAE

    found = opened(path, **parts)
    settings = vars(found.fitted_.configuration)
    vae = VAE(**{**settings, "hidden": found.fitted_.configuration.widths}).adopt(found.fitted_)
    vae.source_ = found.source_
    return vae


def opened(path: str | Path, **parts: Any) -> Opened:
    """As :func:`load` does, for use alone: without scikit-learn's estimator."""
    keep_compiled()
    for tries_left in reversed(range(TRIES)):
        before, faults = runs.mark(path), []
        for checkpoint in runs.checkpoints(path):
            try:
                run = _opened(path, checkpoint, parts)
            except RunError as error:
                faults.append(error)
                continue
            if faults and runs.mark(path) != before and tries_left:
                break  # a process that trains saved in the middle of this: look again
            if faults:
                told = f"{faults[0]} The checkpoint of epoch {run.n_iter_} is used instead."
                warnings.warn(told, ReparamWarning, stacklevel=3)
            return run
        if runs.mark(path) == before:
            break
    raise faults[0]


def _opened(path: str | Path, checkpoint: runs.Checkpoint, parts: Mapping[str, Any]) -> Opened:
    """A checkpoint: documents by their types, tensors by name, shape and kind before any is read."""
    config = checkpoint.config()
    data = checkpoint.data(config)
    source = checked(runs.Source, {name: value for name, value in data.items() if name != "schema"}, runs.DATA)
    if "schema" not in data:
        raise RunError(f"{checkpoint.path(runs.DATA)}: the schema is missing. The run is damaged.")
    schema = Schema.from_json(_with_missing(data["schema"]))
    check_cells(schema)
    configuration, likelihood = _configured(path, config, parts)
    shapes = checkpoint.shapes(runs.MODEL), checkpoint.shapes(runs.STATE)
    owned = {name: found.shape for name, found in shapes[1].items()}
    try:
        linear = config.start != "random"
        expected = state_like(configuration, schema, likelihood, owned, copies=_copies(owned), linear=linear)
    except IndexError:  # a network of images, which asks for height and width
        raise RunError(
            f"{path}/{runs.CONFIG}: the network {configuration.network!r} is not built for data of shape "
            f"{schema.event_shape}. The run is damaged."
        ) from None
    _check_given(expected.best_model, shapes[0], path)
    places = f"{path}/{runs.MODEL}", f"{path}/{runs.STATE}"
    for tree, found, place in zip((expected.best_model, expected), shapes, places, strict=True):
        compare_shapes(tree, found, place)
    history = with_kept(checkpoint.metrics(config))
    model = from_tensors(expected.best_model, checkpoint.tensors(runs.MODEL, config), places[0])
    state = from_tensors(expected, checkpoint.tensors(runs.STATE, config), places[1])
    _check_position(state, history, path)
    _check_finite(model, places[0])
    state = eqx.tree_at(lambda s: s.best_model, state, model)
    told, path_of_latents = (config.likelihood_reason, config.start), tuple(config.latent_path)
    kept = (history, source.sha256, path_of_latents, config.network_reason)
    fitted = Fitted(configuration, schema, likelihood, *told, state, *kept)
    return Opened(fitted, {name: value for name, value in data.items() if name != "schema"})


def _copies(owned: Mapping[str, tuple[int, ...]]) -> int:
    """How many were trained side by side: the axis that the weights in training have before those of the best ones."""
    for name, shape in owned.items():
        if name.startswith("model.") and len(shape) > len(owned.get(f"best_{name}", shape)):
            return max(shape[0], 1)  # no copy at all is damage, told when shapes are compared
    return 1


def _check_given(model: Any, found: Mapping[str, Any], path: str | Path) -> None:
    deep = model.shift is not None and len(model.shift.layers) > 1
    if deep and {name.split(".")[2] for name in found if name.startswith("shift.layers.")} == {"0"}:
        raise RunError(
            f"{path}: an earlier version wrote it, whose p(z|c) was affine in the given columns, where it is a network "
            "now. Train it again with --condition."
        )


def _check_position(state: TrainState, history: tuple[dict[str, Any], ...], path: str | Path) -> None:
    if len(history) != int(state.epoch):
        raise RunError(
            f"{path}/{runs.METRICS}: holds {len(history)} lines, but training stands after epoch "
            f"{int(state.epoch)}. The run is damaged."
        )
    if int(state.stale_epochs) < 0 or not float(state.best_bound) < math.inf:
        raise RunError(f"{path}/{runs.STATE}: the best bound, or the epochs since, cannot be. The run is damaged.")
    bounds = lambda s: (s.best_bound, s.judged)  # noqa: E731 - they may be −∞
    there = eqx.tree_at(bounds, state, (0.0, None), is_leaf=lambda leaf: leaf is None)
    _check_finite(there, f"{path}/{runs.STATE}")


def _with_missing(schema: Any) -> Any:
    """A schema's document with whether cells may be missing, which runs of before tables do not say: none may."""
    return {"missing": False, **schema} if isinstance(schema, dict) else schema


def with_kept(history: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """Each line with whether its weights were the best yet, which runs of format 1 do not say."""
    best, lines = -math.inf, []
    for line in history:
        held_out = line["validation"]
        bound = math.inf if held_out is None else held_out["bound"]
        better = held_out is None or (bound is not None and bound > best)
        best = bound if better and held_out is not None else best
        lines.append(line if "kept" in line else {**line, "kept": better})
    return tuple(lines)


def _check_finite(tree: Any, where: str, remedy: str = "The run is damaged.") -> None:
    name = not_finite(tree)
    if name is not None:
        raise RunError(f"{where}: tensor {name!r} holds NaN or infinity. {remedy}")


def _configured(path: str | Path, config: runs.Config, parts: Mapping[str, Any]) -> tuple[Configuration, Any]:
    """The settings of a run and its likelihood, with the parts that were handed over."""
    where = f"{path}/{runs.CONFIG}"
    _check_handed_over(path, config.handed_over, parts)
    parameters = vars(checked(Parameters, {**BEFORE, **config.parameters}, where))
    try:
        configuration = Configuration(**{**parameters, **parts})
    except (ParameterError, DataError) as error:
        raise RunError(f"{where}: cannot be understood ({error}). The run is damaged.") from error
    likelihood = parts.get("likelihood", config.likelihood)
    if likelihood is None:
        raise RunError(f"{where}: names no likelihood. The run is damaged.")
    return configuration, likelihood


def _plain(annotation: Any) -> Any:
    """Of the types of a setting those that JSON has; an object, saved as null, is handed over."""
    if annotation is Any:  # an optimiser's name
        return Name | None
    if get_origin(annotation) is Sequence:
        return tuple[Name, ...] if str in get_args(annotation) else tuple[int, ...]
    kinds = {str: Name, int: int, float: float, bool: bool, Sequence[int]: tuple[int, ...]}
    found = [plain for kind, plain in kinds.items() if kind in (annotation, *get_args(annotation))]
    return reduce(or_, found, None)


HINTS = get_type_hints(Configuration)
Parameters: Any = make_dataclass(
    "Parameters",
    [(name, Whole if name == "random_state" else _plain(HINTS[name])) for name in FIELDS],
    namespace={"__pydantic_config__": STRICT, "__module__": __name__},
)
"""The settings of a run as its config.json has them, by the types of :class:`Configuration`."""


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
