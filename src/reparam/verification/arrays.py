"""NumPy arrays into the user's framework and back.

No framework is imported here: it is looked up among the modules that the user's file has loaded already. A
:class:`Framework` knows how to make its arrays and, where it has automatic differentiation, how to ask it for the
gradient of Σ c ∘ f(arrays).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Gradient = Callable[[Callable[..., Any], list[Any], Array], "list[Array] | None"]


@dataclass(frozen=True)
class Framework:
    """A kind of array: its module's name, how to make one of a precision, and its gradient if it has one."""

    name: str
    make: Callable[[NDArray[Any], str], Any]
    gradient: Gradient | None = None
    precision: str = "float32"

    @property
    def loaded(self) -> bool:
        """Whether the user's program has imported it."""
        return self.name in sys.modules


def to_numpy(value: Any) -> Array:
    """Any framework's array as a NumPy array of doubles.

    Raises:
        TypeError: the value is not an array of numbers.
    """
    if isinstance(value, tuple | list | dict | str | bytes) or value is None:
        raise TypeError(f"a {type(value).__name__}, not an array")
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.to(sys.modules["torch"].float64) if "torch" in sys.modules else value
    return _as_doubles(value)


def _as_doubles(value: Any) -> Array:
    for convert in (np.asarray, _through_method, np.from_dlpack):
        try:
            array = np.asarray(convert(value))
            if array.dtype.kind in "biuf" or array.dtype.name == "bfloat16":
                return array.astype(np.float64)
        except Exception:
            continue
    raise TypeError(f"a {type(value).__name__}, not an array of real numbers")


def _through_method(value: Any) -> Any:
    return value.numpy()


def _make_numpy(array: NDArray[Any], precision: str) -> Any:
    return np.array(array, dtype=precision)


def _make_torch(array: NDArray[Any], precision: str) -> Any:
    torch: Any = sys.modules["torch"]
    return torch.tensor(np.array(array), dtype=getattr(torch, precision))


def _make_jax(array: NDArray[Any], precision: str) -> Any:
    jax: Any = sys.modules["jax"]
    return jax.numpy.asarray(np.asarray(array, dtype=precision))


def _make_tensorflow(array: NDArray[Any], precision: str) -> Any:
    tensorflow: Any = sys.modules["tensorflow"]
    return tensorflow.convert_to_tensor(np.asarray(array, dtype=precision))


def _gradient_torch(function: Callable[..., Any], arrays: list[Any], weights: Array) -> list[Array] | None:
    torch: Any = sys.modules["torch"]
    leaves = [array.detach().clone().requires_grad_(True) for array in arrays]
    with torch.enable_grad():
        value = function(*leaves)
        if not isinstance(value, torch.Tensor):
            return None
        if not value.requires_grad:
            return _filled([None] * len(leaves), leaves)
        total = (value.reshape(-1) * torch.as_tensor(weights.reshape(-1), dtype=value.dtype)).sum()
        return _filled(torch.autograd.grad(total, leaves, allow_unused=True), leaves)


def _gradient_jax(function: Callable[..., Any], arrays: list[Any], weights: Array) -> list[Array] | None:
    jax: Any = sys.modules["jax"]
    if not isinstance(function(*arrays), jax.Array):
        return None

    def total(*values: Any) -> Any:
        value = function(*values)
        return (value.reshape(-1) * jax.numpy.asarray(weights.reshape(-1), value.dtype)).sum()

    return _filled(jax.grad(total, argnums=tuple(range(len(arrays))))(*arrays), arrays)


def _gradient_tensorflow(function: Callable[..., Any], arrays: list[Any], weights: Array) -> list[Array] | None:
    tensorflow: Any = sys.modules["tensorflow"]
    with tensorflow.GradientTape() as tape:
        for array in arrays:
            tape.watch(array)
        value = function(*arrays)
        if not tensorflow.is_tensor(value):
            return None
        flat = tensorflow.reshape(value, [-1])
        total = tensorflow.reduce_sum(flat * tensorflow.cast(weights.reshape(-1), flat.dtype))
    return _filled(tape.gradient(total, arrays), arrays)


def _filled(gradients: Iterable[Any], arrays: list[Any]) -> list[Array]:
    """Zeros where the value is not connected to an array."""
    pairs = zip(gradients, arrays, strict=True)
    return [np.zeros(tuple(array.shape)) if gradient is None else to_numpy(gradient) for gradient, array in pairs]


FRAMEWORKS: dict[str, Framework] = {
    "torch": Framework("torch", _make_torch, _gradient_torch),
    "jax": Framework("jax", _make_jax, _gradient_jax),
    "tensorflow": Framework("tensorflow", _make_tensorflow, _gradient_tensorflow),
    "numpy": Framework("numpy", _make_numpy, precision="float64"),
}
"""In the order in which they are tried, for a file that imports several."""
