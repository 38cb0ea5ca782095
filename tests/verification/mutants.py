"""Every constant, operator, axis and reduction of a source changed in turn: one changed source each."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

OPERATORS = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult,),
    ast.Pow: (ast.Mult,),
}
FUNCTIONS = {
    "sum": ("mean",),
    "mean": ("sum",),
    "max": ("min", "mean"),
    "exp": ("expm1", "exp2"),
    "log": ("log2", "log1p"),
}


@dataclass(frozen=True)
class Mutant:
    """A changed source, and the change as "line before → line after"."""

    source: str
    change: str


def mutants(source: str) -> Iterator[Mutant]:
    """All single changes of the functions in ``source``; declarations stay as they are."""
    tree = ast.parse(source)
    for i, node in enumerate(_nodes(tree)):
        for field, value in _changes(node):
            changed = copy.deepcopy(tree)
            setattr(_nodes(changed)[i], field, value)
            after = ast.unparse(ast.fix_missing_locations(changed))
            yield Mutant(after, _difference(ast.unparse(tree), after))


def _nodes(tree: ast.Module) -> list[ast.AST]:
    return [node for function in tree.body if isinstance(function, ast.FunctionDef) for node in ast.walk(function)]


def _changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    """(field, new value) for every way of changing this node."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        yield from (("value", value) for value in _numbers(node.value))
    elif isinstance(node, ast.BinOp):
        yield from (("op", operator()) for operator in OPERATORS[type(node.op)])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "op", ast.UAdd()
    elif isinstance(node, ast.Attribute) and node.attr in FUNCTIONS:
        yield from (("attr", name) for name in FUNCTIONS[node.attr])
    elif isinstance(node, ast.keyword) and node.arg == "axis":
        yield "value", ast.Constant(None)


def _numbers(value: float) -> list[float]:
    others = [value + 1, -value, 2 * value] if isinstance(value, int) else [value + 1, -value, 1.1 * value, 0.0]
    return [other for other in dict.fromkeys(others) if other != value]


def _difference(before: str, after: str) -> str:
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    return next((f"{a.strip()} → {b.strip()}" for a, b in pairs if a != b), "no change")
