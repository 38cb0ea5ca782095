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
    for convert in (np.asarray, _through_method, _through_value, np.from_dlpack):
        try:
            array = np.asarray(convert(value))
            if array.dtype.kind in "biuf" or array.dtype.name == "bfloat16":
                return array.astype(np.float64)
        except Exception:
            continue
    raise TypeError(f"a {type(value).__name__}, not an array of real numbers")


def _through_method(value: Any) -> Any:
    return value.numpy()


def _through_value(value: Any) -> Any:
    return value.value


def module_of(value: Any) -> Any:
    """The module whose ``exp`` and ``log1p`` take this array."""
    root = type(value).__module__.partition(".")[0]
    name = {"torch": "torch", "jax": "jax.numpy", "jaxlib": "jax.numpy", "tensorflow": "tensorflow"}.get(root, "numpy")
    return sys.modules[name].math if name == "tensorflow" else sys.modules[name]


def reshaped(value: Any, shape: tuple[int, ...]) -> Any:
    """The array in another shape, in its own framework."""
    if tuple(value.shape) == shape:
        return value
    if type(value).__module__.startswith("tensorflow"):
        return sys.modules["tensorflow"].reshape(value, shape)
    return value.reshape(shape)


def row_sums(value: Any, like: Any) -> Any:
    """One number per datum, in the array's own framework, of one per datum or one per element of ``like``."""
    if tuple(value.shape) == tuple(like.shape):
        return (
            sys.modules["tensorflow"].reduce_sum(value, -1)
            if "tensorflow" in module_of(value).__name__
            else value.sum(-1)
        )
    return reshaped(value, (like.shape[0],)) if value.shape else value


def joined(values: list[Any]) -> Any:
    """The arrays joined along their last axis, in their own framework."""
    module = module_of(values[0])
    if module.__name__ == "torch":
        return module.cat(values, -1)
    if "tensorflow" in module.__name__:
        return sys.modules["tensorflow"].concat(values, -1)
    return module.concatenate(values, -1)


def _make_numpy(array: NDArray[Any], precision: str) -> Any:
    return np.array(array, dtype=precision)


def _make_torch(array: NDArray[Any], precision: str) -> Any:
    torch: Any = sys.modules["torch"]
    return torch.tensor(np.array(array), dtype=getattr(torch, precision))


def _make_jax(array: NDArray[Any], precision: str) -> Any:
    jax: Any = sys.modules["jax"]
    precision = precision if jax.config.jax_enable_x64 or precision != "float64" else "float32"
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

    def total(*values: Any) -> Any:  # called once: a generator of the user's own would go on
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
    "torch": Framework("torch", _make_torch, _gradient_torch, precision="float64"),
    "jax": Framework("jax", _make_jax, _gradient_jax),
    "tensorflow": Framework("tensorflow", _make_tensorflow, _gradient_tensorflow),
    "numpy": Framework("numpy", _make_numpy, precision="float64"),
}
"""In the order in which they are tried, for a file that imports several."""
