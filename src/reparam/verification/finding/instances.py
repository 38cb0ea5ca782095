"""Objects of the user's classes, made with guessed arguments where that goes, else bare."""

from __future__ import annotations

import inspect
import re
import sys
from types import ModuleType
from typing import Any

import numpy as np

from reparam.verification.finding.words import snake

GUESSES: tuple[tuple[str, Any], ...] = (
    (r"(in_|image_|img_|input_|n_|num_)?channels?(_num)?$|^nc$|^in_ch\w*$|^channel_num$", 3),
    (
        r"(latent|z|nz|code|embedding|bottleneck)(_?(dims?|size|features|vars?|variable_size|n))?$|^n_?z$|^dim_?z$|^nlatent\w*$",
        4,
    ),
    (r"(input|x|in|data|image|img|output|out|feature\w*|original)_?(dims?|size|features|n)?$|^din$|^dout$", 784),
    (r"(image|img|input|output|x|data)_?(shape|size)$", (1, 28, 28)),
    (r"(num_|n_)?(classes|labels)$", 10),
    (r"\w*layer\w*(sizes?|dims?)$|^(hidden_dims|layers|units)$", (784, 8)),
    (r"hidden\w*|\w*_?(dims?|size|units|channels|width|features|depth)|dmid|h_dim", 8),
    (r"batch_?size|bs", 8),
    (r"device", "cpu"),
    (r"beta\w*|gamma|alpha|\w*weight|\w*rate|lr", 1.0),
)


class Bare:
    """What a method finds as ``self`` where its class could not be made: the class's own attributes, and keys."""

    def __init__(self, owner: type):
        self.__dict__["_owner"] = owner

    def __getattr__(self, name: str) -> Any:
        found = inspect.getattr_static(self._owner, name)
        return found.__get__(self, self._owner) if hasattr(found, "__get__") else found

    def make_rng(self, name: str = "params") -> Any:
        """Flax's way of asking for a key: another one at every call, the same again where noise is held."""
        jax = sys.modules["jax"]
        return jax.random.PRNGKey(np.random.randint(2**31))


def class_of(method: Any) -> type | None:
    """The class whose method it is, also where its object could not be made."""
    owner = getattr(method, "__self__", None)
    return None if owner is None else getattr(owner, "__dict__", {}).get("_owner", type(owner))


def instance_of(owner: type) -> Any:
    """An object of the class: made without arguments, with guessed ones, or bare with its constructor's defaults."""
    if any(base.__module__.startswith("flax.linen") for base in owner.__mro__):
        return _bare(owner)  # it gives random keys only while it is applied
    for arguments in ({}, _guessed(owner, required_only=True), _guessed(owner, required_only=False)):
        try:
            made = owner(**arguments)
        except (Exception, SystemExit):
            continue
        return made
    return _bare(owner)


def _guessed(owner: type, required_only: bool) -> dict[str, Any]:
    try:
        parameters = list(inspect.signature(owner).parameters.values())
    except (TypeError, ValueError):
        return {}
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return {p.name: _guess(p) for p in named if p.default is p.empty or not required_only}


def _guess(parameter: inspect.Parameter) -> Any:
    word = snake(parameter.name)
    if word == "rngs" and "flax.nnx" in sys.modules:
        return sys.modules["flax.nnx"].Rngs(0)
    if word in ("key", "rng") and "jax" in sys.modules:
        return sys.modules["jax"].random.PRNGKey(0)
    if parameter.default is not parameter.empty:
        return parameter.default
    for pattern, value in GUESSES:
        if re.match(pattern + "$", word):
            return list(value) if isinstance(value, tuple) and "int" not in str(parameter.annotation) else value
    return {"bool": False, "float": 1.0, "str": "", bool: False, float: 1.0, str: ""}.get(parameter.annotation, 4)


def _bare(owner: type) -> Any:
    """No constructor run; what it would have stored of its defaults is there."""
    torch = sys.modules.get("torch")
    defaults = {name: value for name, value in _guessed(owner, required_only=False).items() if name != "self"}
    if torch is not None and isinstance(getattr(torch, "nn", None), ModuleType) and issubclass(owner, torch.nn.Module):
        made: Any = object.__new__(owner)
        torch.nn.Module.__init__(made)
    else:
        made = Bare(owner)
    for name, value in defaults.items():
        made.__dict__.setdefault(name, value)
    return made
