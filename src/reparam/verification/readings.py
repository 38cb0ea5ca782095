"""How a function's names are read: whether its scale is raw, σ or σ², and which of x and y is the data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from reparam.verification.finding.calling import Call
from reparam.verification.finding.words import POSITIVE, snake
from reparam.verification.functions import Function, UserError
from reparam.verification.randomness import fixed_noise

Namespaces = tuple[dict[str, Any], ...]


def is_turned(function: Function) -> bool:
    """Whether the y of a loss of (x, y) is the data: a log-likelihood is curved in the parameter, not in the data."""

    def bend(place: int) -> float:
        arrays, values = [np.full_like(array, 0.3) for array in function.examples()], []
        for value in (0.4, 0.6, 0.8):
            arrays[place] = np.full_like(arrays[place], value)
            values.append(float(function(*arrays).mean()))
        return float(abs(values[0] - 2.0 * values[1] + values[2]) / (np.ptp(values) + 1e-12))

    roles = function.call.roles
    return bend(roles.index("decoded")) < 1e-3 and bend(roles.index("x")) > 1e-2


def meaning(kind: str, call: Call) -> str:
    """A role in words, for the account."""
    words = {"mean": "the mean", "x": "the data", "decoded": "the decoder's output"}
    return words.get(kind) or {"std": "σ", "variance": "σ²"}.get(call.coordinate, "the raw scale")


def coordinate(function: Function, others: list[Call], namespaces: Namespaces, renamed: set[tuple[str, str]]) -> str:
    """Whether the function takes a number of any sign for the scale, or σ, or σ²: by what it does at −1, 1, 2 and 4.

    A sampler that is given σ is odd in it (even, where it squares it) and grows with it; a KL of σ
    is even or not a number at −1. What a network gives to both under one name is the same number for both, and so
    is what one function returns as σ and another takes for log σ² (``renamed``).
    """
    call = function.call
    if "raw" not in call.takes or not POSITIVE.match(snake(call.named("raw"))):
        return "raw"
    same = [other for other in others if other.named("raw") == call.named("raw")]
    if call.is_formula and any(other.coordinate == "raw" for other in same):
        return "raw"
    if any(other.coordinate == "raw" and (call.named("raw"), other.named("raw")) in renamed for other in others):
        return "raw"
    by_name = (
        "variance" if "var" in snake(call.named("raw")) or snake(call.named("raw")).endswith(("2", "sq")) else "std"
    )
    if "z" in call.takes:
        return by_name
    function.call = replace(call, coordinate="raw")
    try:
        one, two, four = (_at(function, raw, namespaces) for raw in (1.0, 2.0, 4.0))
    except UserError:
        return by_name
    try:
        minus = _at(function, -1.0, namespaces)
    except UserError:  # it refuses what is no σ
        minus = np.nan
    if call.job == "sample":
        if np.isfinite(minus) and not np.isclose(abs(minus), abs(one), rtol=1e-3):
            return "raw"
        return "variance" if np.isclose(four / one, 2.0, rtol=1e-3) else "std"
    if np.isfinite(minus) and not np.isclose(minus, one, rtol=1e-4, atol=1e-6):
        return "raw"
    ratio = (four - one) / (two - one) if two != one else np.nan
    return "variance" if abs(ratio - 5.26) < abs(ratio - 7.57) else "std"


def _at(function: Function, raw: float, namespaces: Namespaces) -> float:
    arrays = function.examples()
    arrays[function.call.roles.index("raw")] = np.full_like(arrays[function.call.roles.index("raw")], raw)
    arrays[function.call.roles.index("mean")] = np.zeros_like(arrays[function.call.roles.index("mean")])
    with fixed_noise(namespaces):
        return float(function(*arrays).ravel()[0])
