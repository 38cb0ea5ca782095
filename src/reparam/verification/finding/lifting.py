"""A formula inside a longer function made a function of its own, by slicing backwards from the name it is bound to.

``z`` in the middle of a ``forward``, ``loss`` in the middle of a training loop: the statements that compute it are
kept back to where the mean, the raw scale, the data and the decoder's output are first had, and those become its
arguments.
"""

from __future__ import annotations

import ast
import builtins
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from reparam.verification.finding.words import POSITIVE, ROLES, job, role, snake

LATENT, OBSERVED = {"mean", "raw"}, {"x", "decoded"}
ELEMENTWISE = re.compile(
    r"(exp|expm1|log|log1p|sqrt|square|pow|softplus|sigmoid|relu|tanh|clamp|clip|abs|add|mul|div|neg|view|reshape|flatten"
    r"|float|double|astype|to|type|cuda|cpu|contiguous|size|shape|squeeze|unsqueeze|softmax|log_softmax|log_sigmoid|where"
    r"|clip_by_value|reduce_sum|reduce_mean|maximum|minimum|max|min|full_like|ones_like|zeros_like|Normal|rsample|round|binary_\w+|asarray|array|convert_to_tensor|cast"
    r"|repeat|expand|expand_as|unsqueeze_|mean|sum|len|int|range|permute|transpose|rearrange|Variable|detach|data|exp_|mul_|from_numpy)$"
)
"""Calls through which a mean is still a mean, and data are still data: no network among them."""
NOISE = re.compile(r"rand|normal|sample|noise|eps|reparam|make_rng|next_rng_key")


def draws(node: ast.AST | None) -> bool:
    """Whether code calls something that draws random numbers."""
    calls = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)] if node is not None else []
    return any(NOISE.search(call.attr if isinstance(call, ast.Attribute) else ast.unparse(call)) for call in calls)


DISTRIBUTION = re.compile(r"(Normal|Independent|Gaussian|Bernoulli|Laplace|Poisson|MultivariateNormal\w*|to_event)$")
"""Calls that give a distribution."""


@dataclass(frozen=True)
class Formula:
    """A name, the statements that compute it, its free names, and where it stands."""

    name: str
    statements: tuple[ast.stmt, ...]
    value: ast.expr
    free: tuple[str, ...]
    owner: str = ""
    line: int = 0

    @property
    def noisy(self) -> bool:
        """Whether randomness is drawn in it."""
        return bool(NOISE.search(self.text))

    @property
    def refined(self) -> bool:
        """Whether it goes on from an earlier value of the same name."""
        return any(self.name in _binds(statement) for statement in self.statements)

    @property
    def text(self) -> str:
        """The formula as it is written."""
        return "\n".join([*(ast.unparse(s) for s in self.statements), ast.unparse(self.value)])

    def used_as(self, name: str) -> str | None:
        """Which distribution a name is, by what is done with it: what is drawn from, or compared, or asked for x.

        >>> value = ast.parse("kl_divergence(q, p) - f.log_prob(x)", mode="eval").body
        >>> [Formula("loss", (), value, ()).used_as(name) for name in ("q", "p", "f", "x")]
        ['posterior', 'prior', 'observation', None]
        """
        for call in (n for part in (*self.statements, self.value) for n in ast.walk(part) if isinstance(n, ast.Call)):
            of, called = (call.func.value, call.func.attr) if isinstance(call.func, ast.Attribute) else (None, "")
            given = [_key(argument) for argument in call.args]
            if called == "kl_divergence" or getattr(call.func, "id", "") == "kl_divergence":
                pair = given[:2] if len(given) > 1 else [_key(of) if of else "", *given]
                if name in pair:
                    return ("posterior", "prior")[pair.index(name)]
            elif of is not None and _key(of) == name:
                if called in ("sample", "rsample", "rsample_and_log_prob", "sample_and_log_prob"):
                    return "posterior"
                if called == "log_prob" and given and role(given[0]) in ("x", "decoded"):
                    return "observation"
        return None

    def hands_data_to(self, functions: set[str]) -> bool:
        """Whether it calls one of these, or its own function for the KL, with data in the place of mean and scale."""
        inner = {s.name for s in self.statements if isinstance(s, ast.FunctionDef) and job(s.name) == "kl"}
        calls = [n for part in (*self.statements, self.value) for n in ast.walk(part) if isinstance(n, ast.Call)]
        return any(
            getattr(call.func, "id", "") in functions | inner
            and len(call.args) > 1
            and {role(_key(argument)) for argument in call.args} <= OBSERVED
            for call in calls
        )

    def gives(self, taken: set[str]) -> str | None:
        """Which distribution it makes of arguments of these roles, if its value is one."""
        call = self.value.func if isinstance(self.value, ast.Call) else None
        called = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
        if not DISTRIBUTION.match(called):
            return None
        if taken <= {"mean", "raw"} and "zeros" in self.text:
            return "prior"
        if taken == {"mean", "raw"}:
            return "posterior"
        return "observation" if taken in ({"mean"}, {"decoded"}) else None

    def code(self, file: str) -> ast.Module:
        """The formula as a module with one function ``lifted`` of its free names; dots in names become ``__``."""
        body = [copy.deepcopy(s) for s in self.statements]
        body.append(ast.copy_location(ast.Return(copy.deepcopy(self.value)), self.value))
        arguments = ", ".join(name.replace(".", "__") for name in self.free)
        shell = ast.parse(f"def lifted({arguments}): pass", file)
        function = shell.body[0]
        assert isinstance(function, ast.FunctionDef)
        function.body = [_Flat(set(self.free)).visit(s) for s in body]
        return ast.fix_missing_locations(shell)


class _Flat(ast.NodeTransformer):
    """``self.mu`` as the argument ``self__mu`` where it is one."""

    def __init__(self, names: set[str]):
        self.names = names

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        key = _key(node)
        if key in self.names:
            return ast.copy_location(ast.Name(key.replace(".", "__"), node.ctx), node)
        return self.generic_visit(node)


@dataclass(frozen=True)
class _Step:
    """A statement of a function, the names that it binds, and the branches that it stands in."""

    node: ast.stmt
    binds: frozenset[str]
    branches: tuple[tuple[int, bool], ...] = ()


@dataclass
class Body:
    """The statements of one function (or of a module), enclosing functions first."""

    steps: list[_Step]
    owner: str = ""
    first: int = 0
    targets: list[tuple[str, ast.expr, int]] = field(default_factory=list)

    def formula(self, name: str, value: ast.expr, position: int, sampling: bool, shallow: bool = False) -> Formula:
        """Slice backwards from ``value``, the right-hand side at ``position``; ``shallow``: not behind the scale."""
        slicer = _Slice(self.steps, self.first, sampling, shallow)
        slicer.need(value, position)
        statements = tuple(self.steps[i].node for i in sorted(slicer.kept))
        return Formula(name, statements, value, tuple(slicer.free), self.owner, value.lineno)


class _Slice:
    def __init__(self, steps: list[_Step], first: int, sampling: bool, shallow: bool):
        self.steps, self.first, self.sampling, self.shallow = steps, first, sampling, shallow
        self.kept: set[int] = set()
        self.free: list[str] = []

    def need(self, value: ast.AST, position: int) -> None:
        """Everything that ``value`` loads, as it stands before ``position``."""
        for name in loads(value):
            found = self._definition(name, position)
            if found is not None and self._goes_through(name, found):
                if found not in self.kept:
                    self.kept.add(found)
                    self.need(self.steps[found].node, found)
            elif name not in self.free and name not in vars(builtins):
                self.free.append(name)
        for key in {_key(n) for n in ast.walk(value) if isinstance(n, ast.Attribute)} - {*loads(value)}:
            here = self._definition(key, position) if key.startswith("self.") else None
            if here is None or here < self.first or here in self.kept or _from_network(self.steps[here].node):
                continue
            self.kept.add(here)  # a counter, a rising capacity
            self.need(self.steps[here].node, here)

    def _definition(self, name: str, position: int) -> int | None:
        here = dict(self.steps[position].branches) if position < len(self.steps) else {}
        for i in range(position - 1, -1, -1):
            step = self.steps[i]
            if name in step.binds and all(
                here.get(at, taken) == taken and (taken or at in here) for at, taken in step.branches
            ):
                return i
        return None

    def _goes_through(self, name: str, i: int) -> bool:
        """Whether a name is looked behind: plain names always, those of a role only within their own side."""
        kind, node = role(name), self.steps[i].node
        if isinstance(node, ast.FunctionDef | ast.Import | ast.ImportFrom):
            return True
        if kind in ("kl", "reconstruction", "weight", "eps", None) or (kind == "z" and self.sampling):
            return kind is not None or not _from_network(node)
        if kind not in LATENT | OBSERVED or (self.shallow and kind == "raw" and not draws(node)):
            return False
        side = LATENT if kind in LATENT else OBSERVED
        return self._within(node, side, i)

    def _within(self, node: ast.AST, side: set[str], i: int) -> bool:
        """Whether all that a definition uses is of one side, through nothing but elementwise calls."""
        if not isinstance(node, ast.Assign | ast.AugAssign) or _from_network(node) or _from_outside(node):
            return False
        names = [name for name in loads(node) if name not in vars(builtins)]
        roles = [role(name) for name in names if self._definition(name, i) is not None or role(name)]
        kinds = {kind for kind in roles if kind not in ("weight", "eps", "key", None)}
        tuple_target = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple)
        unknown = [name for name in names if role(name) is None and self._definition(name, i) is not None]
        return bool(kinds) and kinds <= side and not unknown and not tuple_target and "self" not in names


def _from_outside(node: ast.AST) -> bool:
    """Whether it takes something out of a dict by its name, as ``batch["image"]``, or makes a tensor of an array."""
    if any(isinstance(n, ast.Attribute) and n.attr == "from_numpy" for n in ast.walk(node)):
        return True
    keys = [n.slice for n in ast.walk(node) if isinstance(n, ast.Subscript)]
    return any(isinstance(key, ast.Constant) and isinstance(key.value, str) for key in keys)


def _from_network(node: ast.AST) -> bool:
    """Whether a statement calls anything that is not elementwise, a random draw or a loss: a network."""
    for call in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
        called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        known = ELEMENTWISE.match(called) or NOISE.search(called) or ROLES["kl"].match(snake(called))
        if not (
            known or ROLES["reconstruction"].match(snake(called)) or "loss" in snake(called) or "log" in snake(called)
        ):
            return isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
    return False


def _key(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.value.id in ("self", "cls"):
            return f"self.{node.attr}"
        if role(node.attr) in LATENT and re.search(r"_|^mu$|^logvar$", node.attr):  # kept by a model for its loss
            return f"{node.value.id}.{node.attr}"
        if role(node.value.id) == role(node.attr) == "x" and node.attr not in ("data", "real"):  # a field of a batch
            return f"{node.value.id}.{node.attr}"
    return ""


def loads(node: ast.AST) -> list[str]:
    """Names that a statement or expression reads, ``self.mu`` among them where it is no call; in order, once."""
    bound = _bound_inside(node)
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        parts = [node.value] if node.value else []
        parts += [node.target] if isinstance(node, ast.AugAssign) else []
        return list(dict.fromkeys(name for part in parts for name in loads(part)))
    found = [name for name in _walk(node) if name not in bound]
    return list(dict.fromkeys(found))


def _walk(node: ast.AST) -> Iterator[str]:
    called = node.func if isinstance(node, ast.Call) else None
    if (
        isinstance(node, ast.Attribute)
        and _key(node)
        and role(node.attr) in LATENT | OBSERVED | {"kl", "reconstruction", "key", "z"}
    ):
        yield _key(node)
        return
    if isinstance(node, ast.Name):
        yield node.id
    for child in ast.iter_child_nodes(node):
        if child is called and isinstance(child, ast.Attribute) and _key(child):
            yield "self"
        elif isinstance(child, ast.arg) or (isinstance(node, ast.FunctionDef) and child in node.decorator_list):
            continue
        else:
            yield from _walk(child)


def _bound_inside(node: ast.AST) -> set[str]:
    """Names that belong to functions, lambdas and comprehensions inside."""
    inner = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.Lambda | ast.comprehension)]
    bound: set[str] = set()
    for each in inner:
        if isinstance(each, ast.comprehension):
            bound |= {n.id for n in ast.walk(each.target) if isinstance(n, ast.Name)}
            continue
        arguments = each.args
        bound |= {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
        bound |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a}
        if isinstance(each, ast.FunctionDef):
            bound |= {
                n.id for s in each.body for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
    return bound


def renamed(tree: ast.AST) -> set[tuple[str, str]]:
    """Pairs of (σ by the name under which a function returns it, the log σ or log σ² that a caller takes it for).

    >>> source = "def encode(x): return mean, sigma, z" + chr(10) + "z_mean, z_log_var, z = encode(x)"
    >>> renamed(ast.parse(source))
    {('sigma', 'z_log_var')}
    """
    nodes = list(ast.walk(tree))
    returned = [_by_role(node.value) for node in nodes if isinstance(node, ast.Return)]
    taken = [_by_role(n.targets[0]) for n in nodes if isinstance(n, ast.Assign) and isinstance(n.value, ast.Call)]
    pairs = {
        (a[1], b[1]) for a in returned for b in taken if a and b and a[0] == b[0] and not POSITIVE.match(snake(b[1]))
    }
    logs = {b for a, b in pairs if not POSITIVE.match(snake(a))}  # another function returns what they are
    return {(a, b) for a, b in pairs if b not in logs}


def _by_role(value: ast.AST | None) -> tuple[list[str | None], str] | None:
    """The roles of a tuple's names, and the name of the scale among them."""
    names = [_key(one) for one in value.elts] if isinstance(value, ast.Tuple) else []
    roles = [role(name) for name in names]
    return (roles, names[roles.index("raw")]) if {"mean", "raw"} <= {*roles} else None


def bodies(tree: ast.AST, owner: str = "", outer: tuple[_Step, ...] = ()) -> Iterator[Body]:
    """Every function body of a tree, and the tree's own statements, with what encloses them."""
    steps = list(outer) + list(_steps(getattr(tree, "body", [])))
    if isinstance(tree, ast.FunctionDef):
        yield Body(steps, owner, len(outer), list(_targets(tree, steps, len(outer))))
    elif isinstance(tree, ast.Module):
        yield Body(steps, "", 0, list(_targets(tree, steps, 0)))
    for node in _inner(getattr(tree, "body", [])):
        name = f"{owner}.{node.name}" if owner else node.name
        inner_outer = tuple(steps) if isinstance(tree, ast.FunctionDef) else ()
        yield from bodies(node, name, inner_outer)


def _inner(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement
        else:
            for name in ("body", "orelse", "finalbody"):
                yield from _inner(getattr(statement, name, []) or [])


def _steps(body: list[ast.stmt], branches: tuple[tuple[int, bool], ...] = ()) -> Iterator[_Step]:
    for statement in body:
        if isinstance(statement, ast.If):
            yield from _steps(statement.body, (*branches, (id(statement), True)))
            yield from _steps(statement.orelse, (*branches, (id(statement), False)))
        elif isinstance(statement, ast.For | ast.While | ast.With | ast.Try):
            yield from _steps(statement.body, branches)
        else:
            yield _Step(statement, frozenset(_binds(statement)), branches)


def _binds(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef):
        yield statement.name
    targets = getattr(statement, "targets", [getattr(statement, "target", None)])
    for target in targets:
        for node in ast.walk(target) if target is not None else ():
            if _key(node) and not (isinstance(node, ast.Name) and node.id == "self"):
                yield _key(node)


def _targets(tree: ast.FunctionDef | ast.Module, steps: list[_Step], first: int) -> Iterator[tuple[str, ast.expr, int]]:
    """(name, value, position) of every single assignment and return."""
    for i, step in enumerate(steps[first:], start=first):
        node = step.node
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and _key(node.targets[0]):
            yield _key(node.targets[0]), node.value, i
        elif isinstance(node, ast.Return) and node.value is not None and isinstance(tree, ast.FunctionDef):
            yield f"{tree.name}()", node.value, i
        elif isinstance(node, ast.AugAssign) and _key(node.target) and isinstance(node.op, ast.Add):
            total = ast.BinOp(ast.copy_location(_loaded(node.target), node), ast.Add(), node.value)
            yield _key(node.target), ast.copy_location(total, node), i


def _loaded(target: ast.expr) -> ast.expr:
    loaded = copy.deepcopy(target)
    setattr(loaded, "ctx", ast.Load())  # noqa: B010 - expr itself has no ctx
    return loaded
