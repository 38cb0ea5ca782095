"""Settings of a training run: flags over a TOML file over what the estimator takes by default."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from reparam.cli.options import check_folder
from reparam.errors import ParameterError, UnknownNameError
from reparam.estimator.configuration import AUTO, MAY_BE_AUTO
from reparam.specification import requirement, shown
from reparam.storage import whole_file

WHOLE_OR_WORD = (*MAY_BE_AUTO, "devices", "processes")
SEQUENCES = ("hidden", "latent_dim")
MOST_SETTINGS = 1_000_000


def read_config(path: Path, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a TOML file; names may be written with hyphens or underscores.

    Args:
        path: the file.
        kinds: the known settings, and the annotation of each.

    Raises:
        ParameterError: the file is missing or no TOML, a setting is unknown, or of another type.
    """
    try:
        with path.expanduser().open(encoding="utf-8") as file:
            text = file.read(MOST_SETTINGS + 1)
        if len(text) > MOST_SETTINGS:
            raise ParameterError(f"{path} is no file of settings: it holds more than {MOST_SETTINGS:,} characters.")
        document = tomllib.loads(text)
    except OSError as error:
        raise ParameterError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} is not TOML: {error}.") from error
    settings: dict[str, Any] = {}
    for written, value in document.items():
        name = written.replace("-", "_")
        if name not in kinds:
            raise ParameterError(f"{path}: {UnknownNameError('setting', name, kinds)}")
        if name in settings:
            raise ParameterError(f"{path}: {name!r} is said twice, with a hyphen and without. Say it once.")
        _check_kind(path, name, value, kinds[name])
        settings[name] = value
    return settings


def check_config_place(path: Path) -> None:
    """Refuse a place for settings that is no TOML file's: what else stands there would be replaced.

    Raises:
        ParameterError: the ending is not .toml.
        DataError: its folder is missing, or nothing may be written there.
    """
    if path.suffix.lower() != ".toml":
        raise ParameterError(f"--save-config must end in .toml, for it is TOML. Got {shown(str(path))}.")
    check_folder(path.expanduser())


def write_config(path: Path, settings: Mapping[str, Any]) -> None:
    """Write settings as TOML that :func:`read_config` reads.

    Raises:
        ParameterError: the file cannot be written.
    """
    written = [
        (name, json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")) for name, value in settings.items()
    ]
    try:
        text = "".join(f"{name} = {value}\n" for name, value in written).encode()
    except UnicodeEncodeError as error:
        raise ParameterError(f"{path} cannot be written: TOML is UTF-8, and a value is not.") from error
    try:
        with whole_file(path.expanduser()) as file:
            file.write(text)
    except OSError as error:
        raise ParameterError(f"{path} cannot be written: {error.strerror}.") from error


def _check_kind(path: Path, name: str, value: Any, annotation: Any) -> None:
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    items = [item for kind in kinds if get_origin(kind) is list for item in get_args(kind)]
    kinds = [get_origin(kind) or kind for kind in kinds]
    allowed = (*kinds, int) if float in kinds else tuple(kinds)
    if (name in SEQUENCES and isinstance(value, list)) or (name in WHOLE_OR_WORD and type(value) is int):
        return
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in kinds):
        required = "int or 'auto'" if name in MAY_BE_AUTO else " or ".join(kind.__name__ for kind in kinds)
        raise ParameterError(f"{path}: {name!r} must be {required}. Got {shown(value)} instead.")
    if items and not all(isinstance(item, tuple(items)) for item in value):
        raise ParameterError(f"{path}: {name!r} must be a list of {items[0].__name__}. Got {shown(value)} instead.")


def parameters(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by the names and types that the estimator uses: only those that were given."""
    given = {name: _canonical(value) if isinstance(value, str) else value for name, value in settings.items()}
    if "hidden" in given:
        given["hidden"] = widths(settings["hidden"])
    if "latent_dim" in given:
        given["latent_dim"] = layers(settings["latent_dim"])
    if isinstance(given.get("epochs"), str):
        given["epochs"] = whole_or_auto("epochs", settings["epochs"])
    if "seed" in given:
        given["random_state"] = given.pop("seed")
    if "validation_fraction" in given:
        given["early_stopping"] = given["validation_fraction"] != 0
        if not given["early_stopping"]:
            del given["validation_fraction"]
    return given


def whole_or_auto(name: str, value: str) -> int | str:
    """A count, or ``auto``, which leaves it to the data.

    Raises:
        ParameterError: it is neither.

    >>> whole_or_auto("latent_dim", "8"), whole_or_auto("epochs", "auto")
    (8, 'auto')
    """
    if value == AUTO:
        return value
    try:
        return int(value)
    except ValueError:
        raise ParameterError(requirement(name, "VAE", "an int in [1, inf), or auto", value)) from None


def layers(latents: str | int | list[int]) -> int | str | tuple[int, ...]:
    """The latents: a number, ``auto``, or one number for each layer, ``32,16``.

    Raises:
        ParameterError: it is none of these.

    >>> layers("8"), layers("auto"), layers("32,16")
    (8, 'auto', (32, 16))
    """
    if isinstance(latents, int | list):
        return latents if isinstance(latents, int) else tuple(latents)
    if "," not in latents:
        return whole_or_auto("latent_dim", latents)
    try:
        return tuple(int(size) for size in latents.split(","))
    except ValueError:
        required = "an int in [1, inf), one for each layer such as 32,16, or auto"
        raise ParameterError(requirement("latent_dim", "VAE", required, latents)) from None


def widths(hidden: str | list[int]) -> tuple[int, ...] | str:
    """The widths of hidden layers: ``400``, ``200,200``, ``none`` or nothing for a linear model, ``auto``.

    Raises:
        ParameterError: these are no whole numbers.

    >>> widths("200,200"), widths("none")
    ((200, 200), ())
    """
    if isinstance(hidden, list):
        return tuple(hidden)
    if hidden.strip().lower() in ("", "none"):
        return ()
    if hidden == AUTO:
        return hidden
    try:
        return tuple(int(width) for width in hidden.split(","))
    except ValueError:
        raise ParameterError(
            "The 'hidden' parameter of VAE must be widths such as 400 or 200,200, auto, or none for a linear model. "
            f"Got {hidden!r} instead."
        ) from None


def _canonical(text: str) -> str:
    """Hyphens of a name as underscores; what stands behind a colon is left alone."""
    name, colon, arguments = text.partition(":")
    return name.replace("-", "_") + colon + arguments
