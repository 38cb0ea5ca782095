"""The sizes that code asks for: batch, latents and the shape of a datum, from its own literals."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from reparam.verification.finding.calling import Call, Layout
from reparam.verification.finding.instances import class_of
from reparam.verification.finding.signatures import FEATURES, source_of
from reparam.verification.finding.words import snake

IMAGES = (
    (1, 28, 28),
    (28, 28, 1),
    (28, 28),
    (3, 32, 32),
    (3, 64, 64),
    (1, 64, 64),
    (1, 32, 32),
    (64, 64, 3),
    (32, 32, 3),
)
BATCHES = ("batch_size", "bs", "batch", "mb_size", "bsize", "minibatch_size")
MOST = 40
"""Combinations that are tried."""


def layouts(first: Layout, call: Call, source: str, free_shape: bool) -> list[Layout]:
    """Sizes to try, the likeliest first: as declared, then with the shapes, batches and latents of the code."""
    counts = [*dict.fromkeys([*written_batches(call), first.count, *_sizes(call, BATCHES)])]
    numbers = [n for n in numbers_of(call) if n not in counts]
    shapes = [first.shape]
    if free_shape and {"x", "decoded"} & call.takes:
        images: tuple[tuple[int, ...], ...] = IMAGES if len(first.shape) == 1 and first.shape[0] in (6, 784) else ()
        imported = set(re.findall(r"^\s*(?:import|from) (\w+)", source, re.MULTILINE))
        last = bool(imported & {"keras", "tensorflow", "jax", "flax"}) and "equinox" not in imported
        shapes = [(n,) for n in _sizes(call, FEATURES)] + shapes + [(n,) for n in numbers if n >= 8]
        ordered = sorted(images, key=lambda shape: (shape[-1] in (1, 3)) != last)
        shapes = [*ordered, *shapes] if _convolves(call) else [*shapes, *ordered]
    dims = [first.latent_dim, *_sizes(call, ("latent_dim", "z_dim", "nz", "latent_size", "z_size", "n_latent", "zdim"))]
    dims += [n for n in numbers if 2 <= n <= 256]
    options = [replace(first, shape=shapes[0], count=count) for count in counts]
    options += [replace(first, shape=shape) for shape in shapes]
    options += [replace(first, latent_dim=dim) for dim in dims]
    options += [Layout(count, dim, shape) for count in counts for dim in dims[:3] for shape in shapes]
    return list(dict.fromkeys(options))[:MOST]


def written_batches(call: Call) -> list[int]:
    """The batch sizes that the code divides by, by their names."""
    body = source_of(call.target)
    divisions = [n for n in ast.walk(body) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div)] if body else []
    words = {snake(ast.unparse(division.right)) for division in divisions}
    return list(_sizes(call, tuple(words.intersection(BATCHES))))


def _convolves(call: Call) -> bool:
    """Whether its class is of images: a sum over channels and a mean over pixels are told apart on images alone."""
    owner = class_of(call.target)
    try:
        return owner is not None and bool(re.search(r"Conv\w*2[dD]\b", inspect.getsource(owner)))
    except (OSError, TypeError):
        return False


def numbers_of(call: Call) -> list[int]:
    """Whole numbers written in the function, products of them, and those among the names that it reads."""
    body = source_of(call.target)
    found: dict[int, None] = {}
    for node in ast.walk(body) if body is not None else ():
        value = _value(node)
        if value is not None and 2 <= value <= 20000:
            found[value] = None
    for value in _read(call).values():
        if 2 <= value <= 20000:
            found[value] = None
    return list(found)


def _value(node: ast.AST) -> int | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        left, right = _value(node.left), _value(node.right)
        return left * right if left is not None and right is not None else None
    return None


def _read(call: Call) -> dict[str, int]:
    """Integers among the globals that the function reads, the attributes of its object, and what it binds itself."""
    function = inspect.unwrap(call.target)
    names = set(getattr(getattr(function, "__code__", None), "co_names", ()))
    scope, owner = getattr(function, "__globals__", {}), getattr(function, "__self__", None)
    read: dict[str, Any] = {name: scope[name] for name in names if name in scope}
    read |= {name: getattr(owner, name, None) for name in names if name not in read}
    for node in ast.walk(body) if (body := source_of(call.target)) is not None else ():
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            read |= {target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)}
    return {name: value for name, value in read.items() if isinstance(value, int) and not isinstance(value, bool)}


def _sizes(call: Call, words: tuple[str, ...]) -> Iterator[int]:
    for name, value in _read(call).items():
        if snake(name) in words and value >= 1:
            yield value
