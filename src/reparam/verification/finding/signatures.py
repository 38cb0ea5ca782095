"""What every parameter of a function is: by its name, by how the body takes it apart, or by a sensible constant."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reparam.verification.finding.words import role, snake

CANONICAL: dict[str, tuple[str, ...]] = {
    "sample": ("mean", "raw", "eps"),
    "kl": ("mean", "raw"),
    "reconstruction_loss": ("x", "decoded"),
    "loss": ("x", "mean", "raw", "decoded"),
    "bound": ("log_w",),
    "log_q": ("z", "mean", "raw"),
}
"""Job → what the audit hands over, in this order. A function of this very name is also bound by position."""

DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "posterior": ("mean", "raw"),
    "prior": ("mean", "raw"),
    "observation": ("decoded",),
}
"""The same for what gives a distribution: q(z|x), p(z), p(x|z)."""

JOINT = ("decoded", "x", "mean", "raw", "z")
"""The usual order in ``loss_function(*args)``."""

SIZES = {"N": ("batch_size", "bs", "n", "batch"), "D": ("latent_dim", "z_dim", "latent_size", "nz", "n_z", "zdim")}
FEATURES = ("original_dim", "input_dim", "x_dim", "n_features", "input_size", "image_size", "data_dim")
LATE = ("epoch", "step", "iteration", "it", "iter", "num_iter", "global_step", "batch_idx", "optimizer_idx")


@dataclass(frozen=True)
class Argument:
    """One argument: the roles that fill it (several: a tuple, or joined along the last axis), or a constant."""

    name: str
    roles: tuple[str, ...] = ()
    constant: Any = None
    keyword: bool = False
    joined: bool = False

    def __str__(self) -> str:
        """As the account shows it."""
        return self.name


class Unbound(Exception):  # noqa: N818 - no error: this function is left out
    """A parameter that nothing is known for; the text says which."""


def bind(function: Callable[..., Any], name: str) -> tuple[Argument, ...]:
    """The arguments that a function is to be called with.

    Raises:
        Unbound: a parameter without a default has an unknown meaning.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = [inspect.Parameter("arguments", inspect.Parameter.VAR_POSITIONAL)]
    body = source_of(function)
    bound = [argument for p in parameters for argument in _argument(p, body, name, parameters)]
    unknown = [a.name for a in bound if a.constant is Unbound]
    if unknown or not any(a.roles for a in bound):
        sized = [a for a in bound if not a.roles and a.constant is not Unbound]
        positional = None if sized else _by_position(parameters, name)
        if positional is None:
            lacking = f"nothing is known of its {', '.join(unknown)}"
            prior = "takes no mean and scale, so it draws from the prior or through the model"
            raise Unbound(lacking if unknown else prior)
        return positional
    return _distinct(bound)


def _argument(
    parameter: inspect.Parameter, body: ast.FunctionDef | None, name: str, parameters: list[inspect.Parameter]
) -> list[Argument]:
    if parameter.kind is parameter.VAR_POSITIONAL:
        return _starred(parameter.name, body)
    if parameter.kind is parameter.VAR_KEYWORD:
        return _keywords(parameter.name, body)
    keyword = parameter.kind is parameter.KEYWORD_ONLY
    parts, joined = _taken_apart(parameter.name, body)
    if parts:
        return [Argument(parameter.name, parts, keyword=keyword, joined=joined)]
    kind = role(parameter.name)
    if parameter.default is not parameter.empty and kind not in ("mean", "raw", "x", "decoded", "eps", "z"):
        return []
    if kind == "eps" and parameter.default not in (parameter.empty, None):
        return []  # a number that happens to be called eps
    if kind == "weight":
        return [Argument(parameter.name, constant=1.0, keyword=keyword)]
    if kind is not None and not (kind == "x" and snake(parameter.name) == "batch" and _is_size(body, parameter.name)):
        return [Argument(parameter.name, (kind,), keyword=keyword or parameter.default is not parameter.empty)]
    return [Argument(parameter.name, constant=constant_of(parameter.name, body), keyword=keyword)]


def _is_size(body: ast.FunctionDef | None, name: str) -> bool:
    return body is not None and f"/ {name}" in ast.unparse(body)


def constant_of(name: str, body: ast.FunctionDef | None = None) -> Any:
    """A constant for a parameter that is no array, or ``Unbound``."""
    word = snake(name)
    for size, names in SIZES.items():
        if word in names:
            return size
    if word in FEATURES:
        return "P"
    known = {"device": "cpu", "training": True, "is_training": True, "train": True, "reduction": "sum"}
    if word in known:
        return known[word]
    if word in LATE:
        return 10**6
    if word in ("num_samples", "n_samples", "k", "n_sample", "l"):
        return 1
    return _compared(name, body)


def _compared(name: str, body: ast.FunctionDef | None) -> Any:
    """The first literal that the body compares the parameter with."""
    for node in ast.walk(body) if body is not None else ():
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id == name:
            literal = node.comparators[0]
            if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
                return literal.value
    return Unbound


def _starred(name: str, body: ast.FunctionDef | None) -> list[Argument]:
    """What ``*args`` holds, by the names that the body gives to ``args[0]``, ``args[1]`` and so on."""
    found: dict[int, str] = {}
    for target, index in _indexed(name, body):
        if isinstance(index, int):
            found[index] = target
    if not found:
        return []
    roles = [role(found.get(i, "")) or JOINT[min(i, len(JOINT) - 1)] for i in range(max(found) + 1)]
    return [Argument(found.get(i, f"{name}[{i}]"), (kind,)) for i, kind in enumerate(roles)]


def _keywords(name: str, body: ast.FunctionDef | None) -> list[Argument]:
    """What the body takes out of ``**kwargs`` by name."""
    arguments = []
    for node in ast.walk(body) if body is not None else ():
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == name:
            key = getattr(node.slice, "value", None)
            if isinstance(key, str) and role(key) == "weight":
                arguments.append(Argument(key, constant=1.0, keyword=True))
    return list({argument.name: argument for argument in arguments}.values())


def _indexed(name: str, body: ast.FunctionDef | None) -> list[tuple[str, Any]]:
    """(target, index) of every ``target = name[index]``, and of ``a, b = name``."""
    found: list[tuple[str, Any]] = []
    for node in ast.walk(body) if body is not None else ():
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Name) and value.id == name:
            found += [(getattr(e, "id", ""), i) for i, e in enumerate(target.elts)]
        if isinstance(value, ast.Subscript) and isinstance(value.value, ast.Name) and value.value.id == name:
            found.append((getattr(target, "id", ""), getattr(value.slice, "value", None)))
    return found


def _taken_apart(name: str, body: ast.FunctionDef | None) -> tuple[tuple[str, ...], bool]:
    """The roles inside a parameter that the body unpacks, and whether they are joined in one array."""
    unpacked = sorted((i, target) for target, i in _indexed(name, body) if isinstance(i, int))
    roles = tuple(role(target) or "" for _, target in unpacked)
    if roles and all(roles) and {"mean", "raw"} <= set(roles):
        return roles, False
    for node in ast.walk(body) if body is not None else ():
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func)
            split = called.endswith(("chunk", "split")) and name in ast.unparse(node.value).replace(
                called, called + " "
            )
            parts = tuple(role(getattr(e, "id", "")) or "" for e in node.targets[0].elts)
            if split and set(parts) == {"mean", "raw"}:
                return parts, True
    return (), False


def _by_position(parameters: list[inspect.Parameter], name: str) -> tuple[Argument, ...] | None:
    """The canonical arguments of a function that bears a canonical name, where their number fits."""
    roles = CANONICAL.get(name)
    if roles is None:
        return None
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) and not plain:
        return tuple(Argument(kind, (kind,)) for kind in roles)
    required = [p for p in plain if p.default is p.empty]
    fits = len(required) <= len(roles) <= len(plain) or (name == "sample" and len(required) in (2, 3))
    if not fits:
        return None
    count = len(required) if name == "sample" else len(roles)
    return tuple(
        Argument(p.name, (("key",) if kind == "eps" and role(p.name) == "key" else (kind,)))
        for p, kind in zip(plain[:count], roles, strict=False)
    )


def _distinct(arguments: list[Argument]) -> tuple[Argument, ...]:
    """Of two arguments with one role, the one named later is the other side's: ``(y, x)``, ``(output, input)``."""
    taken: set[str] = set()
    result = []
    for argument in arguments:
        if len(argument.roles) == 1 and argument.roles[0] in taken:
            other = {"x": "decoded", "decoded": "x"}.get(argument.roles[0])
            if other is None or other in taken:
                if argument.keyword:
                    continue
                raise Unbound(f"two of its arguments are the {argument.roles[0]}")
            argument = Argument(argument.name, (other,), keyword=argument.keyword)  # noqa: PLW2901
        taken |= set(argument.roles)
        result.append(argument)
    return tuple(result)


def source_of(function: Callable[..., Any]) -> ast.FunctionDef | None:
    """The function's own syntax tree, or None where there is no source."""
    lifted = getattr(function, "syntax", None)
    if isinstance(lifted, ast.FunctionDef):
        return lifted
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError, IndentationError, ValueError):
        return None
    return next((node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)), None)
