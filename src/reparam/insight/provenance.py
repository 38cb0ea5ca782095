"""How a run can be made again: its command, and the versions of what computed it."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sklearn.base import clone

from reparam.estimator.vae import VAE
from reparam.insight.session import Session

PACKAGES = ("reparam", "jax", "jaxlib", "equinox", "numpyro", "optax", "flowjax", "numpy", "scipy", "scikit-learn")
OWN_NAMES = {"random_state": "seed"}
ONLY_IN_PYTHON = ("early_stopping", "encoder", "decoder", "warm_start", "verbose")


def settings_apart(vae: VAE) -> dict[str, Any]:
    """The settings that are not the estimator's defaults."""
    own, defaults = vae.get_params(deep=False), VAE().get_params(deep=False)
    return {name: value for name, value in own.items() if _listed(value) != _listed(defaults[name])}


def command(session: Session) -> str:
    """The command that trains the run, or the lines of Python where it was saved from Python.

    Every setting is written that differs from the estimator's default, and the fraction that is held out, whose default
    on the command line is another.
    """
    vae, source = session.vae, getattr(session.vae, "source_", {})
    if "data" not in source:
        given = ", ".join(f"{name}={value!r}" for name, value in settings_apart(clone(vae)).items())
        lines = ("import reparam", f"vae = reparam.VAE({given}).fit(X)", f"vae.save({session.name!r})")
        return "\n".join(lines)
    words = ["reparam", "train", str(source["data"]), "--out", session.name]
    for name, value in settings_apart(vae).items():
        if name == "condition":
            words += [word for column in value for word in ("--condition", column)]
        elif name not in (*ONLY_IN_PYTHON, "validation_fraction"):
            words += [f"--{OWN_NAMES.get(name, name).replace('_', '-')}", _written(name, value)]
    if not vae.early_stopping or vae.validation_fraction != 0.1:
        words += ["--validation-fraction", f"{vae.validation_fraction if vae.early_stopping else 0:g}"]
    return shlex.join([*words, *_reading(source)])


def _reading(source: Mapping[str, Any]) -> list[str]:
    """How DATA were read, as options."""
    single = [(f"--{name}", source.get(name)) for name in ("labels", "index", "delimiter", "quote")]
    single += [(f"--{name}", ",".join(map(str, source.get(name) or ()))) for name in ("shape", "resize")]
    flags = ("channels_first", "crop", "gray", "skip_broken")
    said = [f"--{name.replace('_', '-')}" for name in flags if source.get(name)]
    said += ["--stream"] if source.get("streamed") else []
    several = [("--missing", text) for text in source.get("missing") or ()]
    several += [("--column", f"{name}={kind}") for name, kind in source.get("columns") or ()]
    several += [("--drop", name) for name in source.get("drop") or ()]
    words = [word for flag, value in (*single, *several) if value for word in (flag, str(value))]
    return [*words, *said, *(("--no-header",) if source.get("header") is False else ())]


def fingerprint(session: Session) -> str:
    """SHA-256 of the rows that the run was trained on."""
    return session.vae.fitted_.sha256


def versions() -> dict[str, str]:
    """What is installed here, by name."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _written(name: str, value: Any) -> str:
    if name == "hidden" and not isinstance(value, str):
        return ",".join(map(str, value)) or "none"
    return str(value)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value
