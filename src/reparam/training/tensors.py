"""A PyTree as named tensors, and back: what a file of weights holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from reparam.errors import RunError

Tree = TypeVar("Tree")


def to_tensors(tree: Any) -> dict[str, NDArray[Any]]:
    """Every array of a PyTree under its path, such as ``encoder.layers.0.weight``.

    >>> to_tensors({"b": [jnp.ones(2)], "name": "kept elsewhere"})
    {'b.0': array([1., 1.], dtype=float32)}
    """
    return {_name(path): _plain(leaf) for path, leaf in _array_leaves(tree)}


def from_tensors(skeleton: Tree, tensors: Mapping[str, NDArray[Any]], source: str) -> Tree:
    """The skeleton, of arrays or of their shapes alone, with its arrays taken from ``tensors``.

    Floating-point tensors of either precision are taken into that of the skeleton.

    Raises:
        RunError: as :func:`compare_shapes`.
    """
    compare_shapes(skeleton, tensors, source)
    restored: Tree = jax.tree_util.tree_map_with_path(
        lambda path, leaf: _restored(leaf, tensors[_name(path)]) if _is_array(leaf) else leaf,
        skeleton,
    )
    return restored


def compare_shapes(skeleton: Any, found: Mapping[str, Any], source: str) -> None:
    """Hold tensors, or what the head of a file says of them, against the arrays of a skeleton.

    Raises:
        RunError: a tensor is missing, left over, or of another shape or type; the text names ``source`` and it.
    """
    expected = {_name(path): leaf for path, leaf in _array_leaves(skeleton)}
    for name in sorted(set(expected) ^ set(found)):
        fault = "is missing" if name in expected else "belongs to no part of this model"
        raise RunError(f"{source}: tensor {name!r} {fault}. The file and config.json are not of one run.")
    for name, leaf in expected.items():
        required, tensor = jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf, found[name]
        alike = required.dtype == tensor.dtype or {required.dtype.kind, tensor.dtype.kind} == {"f"}
        if required.shape != tensor.shape or not alike:
            raise RunError(
                f"{source}: tensor {name!r} must have shape {required.shape} and type {required.dtype}. "
                f"Got {tensor.shape} and {tensor.dtype}: the file and config.json are not of one run."
            )


def not_finite(tree: Any) -> str | None:
    """The first array of a PyTree that holds NaN or infinity, by its path.

    >>> not_finite({"a": jnp.ones(2), "b": [jnp.array([1.0, jnp.nan])]})
    'b.0'
    """
    floating = [(path, leaf) for path, leaf in _array_leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return next((_name(path) for path, leaf in floating if not np.isfinite(np.asarray(leaf)).all()), None)


def _array_leaves(tree: Any) -> list[tuple[Any, Any]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(path, leaf) for path, leaf in leaves if _is_array(leaf)]


def _is_array(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> NDArray[Any]:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _restored(leaf: Any, tensor: NDArray[Any]) -> Any:
    required = jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
    array = jnp.asarray(tensor, required.dtype)
    return jax.random.wrap_key_data(array) if _is_key(leaf) else array
