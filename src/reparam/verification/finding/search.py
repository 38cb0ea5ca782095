"""The user's functions found by convention: of a module, a class or an object, and formulas inside longer functions."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from reparam.verification.finding.calling import Call
from reparam.verification.finding.instances import instance_of
from reparam.verification.finding.lifting import Formula, bodies, draws, renamed
from reparam.verification.finding.signatures import (
    CANONICAL,
    DISTRIBUTIONS,
    Argument,
    Unbound,
    bind,
    constant_of,
    source_of,
)
from reparam.verification.finding.words import BOUND_NAMES, POSITIVE, ROLES, job, role, snake

LIFTED_NAMES: dict[str, str] = {"z": "sample", "kl": "kl", "reconstruction": "reconstruction_loss"}


@dataclass
class Found:
    """Candidates per job, best first, and what was left out and why.

    ``demand``: makes skipped top-level names of the module, where a function needs them.
    """

    demand: Callable[[Iterable[str]], None]
    candidates: dict[str, list[Call]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    renamed: set[tuple[str, str]] = field(default_factory=set)

    def add(self, call: Call) -> None:
        """Keep a candidate, the best first."""
        kept = self.candidates.setdefault(call.job, [])
        kept.append(call)
        kept.sort(key=lambda one: -one.rank)

    def add_if(self, call: Call | None, bonus: int) -> None:
        """The same for a formula, if it is one."""
        if call is not None:
            call.rank += bonus
            self.add(call)


def found_in(
    holder: Any, module: ModuleType | None, tree: ast.Module | None, demand: Callable[[Iterable[str]], None]
) -> Found:
    """Everything that may be part of a variational autoencoder: of ``holder`` first, then of ``module``."""
    found = Found(demand)
    own = isinstance(holder, ModuleType)
    if not own:
        _of_holder(holder, found, bonus=100)
    if module is not None and (own or not _enough(found)):
        _of_module(module, found, classes=own)
        found.renamed = renamed(tree) if tree is not None else set()
        for other, source in ((module, tree), *_siblings(module)):
            if source is not None and not _enough(found):
                _formulas(source, _Place(other, holder, found), bonus=0 if other is module else -5)
    _prefer_one_class(found)
    return found


def _enough(found: Found) -> bool:
    """Whether a sampler and a loss were found as functions; then nothing is lifted."""
    sampler = found.candidates.get("sample", [])
    direct = bool(sampler) and not POSITIVE.match(snake(sampler[0].named("raw")))
    return direct and "loss" in found.candidates


def _of_module(module: ModuleType, found: Found, classes: bool) -> None:
    theirs = {module.__name__, *(other.__name__ for other in _sibling_modules(module))}
    for name, value in list(vars(module).items()):
        if name.startswith("__") or getattr(value, "__module__", None) not in theirs:
            continue
        if inspect.isclass(value) and classes:
            _of_class(value, found, bonus=0 if value.__module__ == module.__name__ else -5)
        elif callable(value) and not inspect.isclass(value):
            _candidate(name, value, found, "", 2 if value.__module__ == module.__name__ else -3)


def _of_class(owner: type, found: Found, bonus: int) -> None:
    callable_ = hasattr(owner, "call") or hasattr(owner, "forward") or "__call__" in vars(owner)
    if _names(owner) or (callable_ and job(owner.__name__)):
        _of_holder(_made(owner, found), found, bonus, owner)


def _of_holder(holder: Any, found: Found, bonus: int, owner: type | None = None) -> None:
    """The methods of an object, or the functions of a namespace; an object of a class that is given."""
    if inspect.isclass(holder):
        holder, owner = _static_or_made(holder, found), holder
    title = owner.__name__ if owner is not None else ""
    for name in _names(holder if owner is None else owner):
        value = _attribute(holder, name)
        if callable(value) and not inspect.isclass(value) and not _of_a_framework(value):
            _candidate(name, value, found, title, bonus + 1)
    if owner is not None and job(owner.__name__):
        for name in ("call", "forward", "__call__"):
            if name in vars(owner):
                _candidate(owner.__name__, getattr(holder, name), found, "", bonus + 1)
                break


def _of_a_framework(value: Any) -> bool:
    """Whether a method is inherited from the framework's own class."""
    root = str(getattr(value, "__module__", "")).partition(".")[0]
    return isinstance(value, ModuleType) or root in ("torch", "keras", "tensorflow", "flax", "haiku", "equinox")


def _names(holder: Any) -> list[str]:
    """Attributes that are called like a job, or take a mean and a scale whatever they are called."""
    names = [name for name in dict.fromkeys([*getattr(holder, "__dict__", {}), *dir(holder)]) if name[:2] != "__"]
    return [name for name in names if job(name) or name in CANONICAL or _takes_latents(holder, name)]


def _takes_latents(holder: Any, name: str) -> bool:
    function = inspect.getattr_static(holder, name, None)
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and {"mean", "raw"} <= {role(n) for n in code.co_varnames[: code.co_argcount]}


def _attribute(holder: Any, name: str) -> Any:
    try:
        return getattr(holder, name, None)
    except Exception:
        return None


def _static_or_made(owner: type, found: Found) -> Any:
    """The class itself where its functions need no object."""
    names = _names(owner)
    if names and all(_is_plain(owner, name) for name in names):
        return owner
    return _made(owner, found)


def _is_plain(owner: type, name: str) -> bool:
    """Whether a class's function is no method: static, or without ``self`` and with as many arguments as it needs."""
    function = inspect.getattr_static(owner, name)
    if isinstance(function, staticmethod | classmethod) or not callable(function):
        return True
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return True
    return bool(parameters) and parameters[0].name != "self" and len(parameters) == len(CANONICAL.get(name, ())) != 0


def _candidate(name: str, function: Callable[..., Any], found: Found, owner: str, rank: int) -> None:
    """Enter a function whose name says a job and whose arguments fit one."""
    title = f"{owner}.{name}" if owner else name
    if _makes_a_function(source_of(function)):
        return
    try:
        arguments = bind(function, name)
    except Unbound as reason:
        if job(name) or name in CANONICAL:
            found.left_out.append(f"{title}: {reason}")
        return
    roles = {kind for a in arguments for kind in a.roles}
    kind = _job_of(name, roles)
    if kind == "log_q":  # log N(x; mean, σ²) is asked at z
        arguments = tuple(Argument(a.name, ("z",)) if a.roles == ("x",) else a for a in arguments)
    if kind is None and job(name) is None and {"mean", "raw"} <= roles <= {"mean", "raw", "eps", "key"}:
        kind, rank = ("sample" if draws(source_of(function)) or "eps" in roles else None), rank - 20
    if kind is None:
        if job(name) == "sample":
            found.left_out.append(f"{title}: takes no mean and scale, so it draws from the prior or through the model")
        return
    shown = f"{title}({', '.join(map(str, arguments))})"
    rank += 60 if name in CANONICAL else 10
    if kind == "sample" and POSITIVE.match(snake(next(a.name for a in arguments if "raw" in a.roles))):
        rank -= 12  # how σ is made of the network's output is seen in a formula, not here
    negated = kind in ("loss", "reconstruction_loss") and bool(BOUND_NAMES.search(snake(name)))
    negated = negated or (kind == "kl" and snake(name).startswith(("minus_", "neg")))
    found.add(Call(kind, shown, function, arguments, rank=rank, owner=owner, negated=negated))
    if kind == "sample" and [a.name for a in arguments] == list(CANONICAL["sample"]):  # it may be a wrapper's *args
        found.add(Call(kind, shown, function, arguments[:2], rank=rank - 1, owner=owner))


def _makes_a_function(body: ast.FunctionDef | None) -> bool:
    """Whether it returns a function that it defines, whose formulas are found by themselves."""
    inner = {node.name for node in body.body if isinstance(node, ast.FunctionDef)} if body is not None else set()
    return body is not None and any(
        isinstance(node, ast.Return) and getattr(node.value, "id", "") in inner for node in body.body
    )


def _job_of(name: str, roles: set[str]) -> str | None:
    """What a function is for: its name says a family, its arguments have the last word."""
    family = "loss" if name == "reconstruction_loss" else job(name)
    if "log_w" in roles and family in ("bound", None, "loss") and roles == {"log_w"}:
        return "bound" if family == "bound" else None
    if family == "log_q":
        return "log_q" if roles in ({"z", "mean", "raw"}, {"x", "mean", "raw"}) else None
    if {"mean", "raw"} <= roles:
        if "decoded" in roles:
            return "loss" if family == "loss" else None
        if family == "sample":
            return "sample" if roles <= {"mean", "raw", "eps", "key"} else None
        return "kl" if family in ("kl", "loss") and "x" not in roles else None
    return "reconstruction_loss" if family == "loss" and {"x", "decoded"} <= roles and "mean" not in roles else None


def _formulas(tree: ast.Module, place: _Place, bonus: int) -> None:
    """Enter the formulas of a file: assignments to z, kl, a reconstruction or a loss, and what functions return."""
    chosen = "" if isinstance(place.holder, ModuleType) else _class_name(place.holder)
    targets = [
        (body, *target)
        for body in bodies(tree)
        if body.owner.startswith(f"{chosen}." * bool(chosen))
        for target in body.targets
    ]
    for body, name, value, position in targets:
        formula = body.formula(name, value, position, sampling=False)
        if formula.gives({"mean", "raw"}):
            place.found.add_if(place.lifted(formula, "distribution"), bonus)
    for body, name, value, position in targets:
        kind = _formula_job(name)
        for shallow in (False, True)[: (kind is not None) + (kind == "sample")]:
            formula = body.formula(name, value, position, kind == "sample", shallow)
            place.found.add_if(place.lifted(formula, str(kind)), bonus)


def _class_name(holder: Any) -> str:
    return holder.__name__ if inspect.isclass(holder) else type(holder).__name__


def _formula_job(name: str) -> str | None:
    word = snake(name.removesuffix("()"))
    if ROLES["reconstruction"].match(word):
        return "reconstruction_loss"
    if name.endswith("()"):
        return kind if (kind := job(word)) in ("sample", "loss", "kl") else None
    kind = role(name)
    if kind in LIFTED_NAMES:
        return LIFTED_NAMES[kind]
    return "loss" if job(name) == "loss" or word in ("total", "cost") else None


@dataclass
class _Place:
    """Where formulas stand, and what was found there before them."""

    module: ModuleType
    holder: Any
    found: Found

    def lifted(self, formula: Formula, kind: str) -> Call | None:
        """The formula as a candidate, where its free names are roles, the object itself, or known to the module."""
        self.found.demand(formula.free)
        taken: dict[str, str] = {}
        free, arguments, bindings, terms = [], [], {}, {}
        for name in formula.free:
            argument = self._argument(name, formula, taken)
            if name == "self":
                bindings["self"] = _self(formula.owner, self)
                if bindings["self"] is None:
                    return None
            elif argument is not None:
                free.append(name)
                arguments.append(argument)
                taken |= dict.fromkeys(argument.roles, name)
            elif role(name) == "weight" and not hasattr(self.module, name):
                bindings[name] = 1.0
            elif not hasattr(self.module, name):
                return None
        for made in set(taken) & {*DISTRIBUTIONS}:
            if not self.found.candidates.get(made):
                return None
            terms[made] = self.found.candidates[made][0]
        roles = set(taken) - set(terms) | {kind for term in terms.values() for kind in term.takes}
        job_found = formula.gives(roles) if kind == "distribution" else self._fits(kind, roles, formula)
        if job_found is None or (kind == "sample" and not self._is_noisy(formula)):
            return None
        if job_found == "observation":
            arguments = [Argument(a.name, ("decoded",)) for a in arguments]
        function = _compiled(formula, self.module, bindings, free)
        title = f"{formula.name} in {formula.owner or 'the file'}, line {formula.line} ({', '.join(free)})"
        signed = BOUND_NAMES.search(snake(formula.name.removesuffix("()")))
        negated = job_found in ("loss", "reconstruction_loss") and bool(signed)
        rank = (1 if "self" in bindings else 2) + (2 if formula.name.endswith("()") else 0) + formula.refined
        if kind == "sample" and not terms and POSITIVE.match(snake(taken["raw"])):
            rank -= 12
        owner = formula.owner.partition(".")[0]
        return Call(job_found, title, function, tuple(arguments), terms=terms, rank=rank, negated=negated, owner=owner)

    def _argument(self, name: str, formula: Formula, taken: dict[str, str]) -> Argument | None:
        """What a free name is: a distribution, by its use; a role, by its name; or a number that is known."""
        if isinstance(getattr(self.module, name, None), ModuleType | types.FunctionType | type):
            return None
        known = ("mean", "raw", "x", "decoded", "z", "eps", "key", "kl", "reconstruction")
        meaning = formula.used_as(name) if name != "self" else None
        meaning = meaning or ("key" if snake(name).endswith("rngs") else role(name))
        if meaning in (*known, *DISTRIBUTIONS) and meaning not in taken:
            return Argument(name, (meaning,))
        constant = constant_of(name)
        return None if constant is Unbound or hasattr(self.module, name) else Argument(name, constant=constant)

    def _fits(self, kind: str, roles: set[str], formula: Formula) -> str | None:
        names = {getattr(call.target, "__name__", "") for call in self.found.candidates.get("kl", [])}
        if kind == "loss" and roles == {"x", "decoded"} and formula.hands_data_to(names):
            return "loss"
        return _formula_fits(kind, roles, formula)

    def _is_noisy(self, formula: Formula) -> bool:
        """Whether it draws, or calls what was found to draw."""
        samplers = {getattr(call.target, "__name__", "") for call in self.found.candidates.get("sample", [])}
        return formula.noisy or bool(samplers & set(re.findall(r"\w+", formula.text)))


def _formula_fits(kind: str, taken: set[str], formula: Formula) -> str | None:
    if kind == "sample":
        return "sample" if {"mean", "raw"} <= taken <= {"mean", "raw", "eps", "key"} else None
    if kind == "kl":
        return "kl" if {"mean", "raw"} <= taken <= {"mean", "raw", "z"} else None
    if {"mean", "raw", "x", "decoded"} <= taken or ("kl" in taken and {"x", "decoded"} <= taken):
        return "loss"
    if {"x", "decoded"} == taken and kind == "reconstruction_loss":
        return "reconstruction_loss"
    return "kl" if {"mean", "raw"} == taken and "kl" in snake(formula.name) else None


def _compiled(formula: Formula, module: ModuleType, bindings: dict[str, Any], free: list[str]) -> Callable[..., Any]:
    file = getattr(module, "__file__", None) or "lifted"
    names = {name: value for name, value in bindings.items() if name != "self"}
    scope = {**vars(module), **names}
    order = [*(["self"] if "self" in bindings else []), *free]
    code = Formula(formula.name, formula.statements, formula.value, tuple(order), formula.owner, formula.line).code(
        file
    )
    exec(compile(code, file, "exec"), scope)
    function: Any = scope["lifted"]
    function.syntax = code.body[0]
    if "self" not in bindings:
        return function  # type: ignore[no-any-return]
    return types.MethodType(function, bindings["self"])


def _self(owner: str, place: _Place) -> Any:
    """The object that a method's formula calls ``self``."""
    if not isinstance(place.holder, ModuleType) and not inspect.isclass(place.holder):
        return place.holder
    value: Any = place.module
    for part in owner.split(".")[:-1]:
        value = getattr(value, part, None)
        if inspect.isclass(value):  # what follows are its methods, and functions inside of them
            return _made(value, place.found)
    return None


def _made(owner: type, found: Found) -> Any:
    """An object of the class, the names that its constructor reads made first."""
    for function in filter(inspect.isfunction, vars(owner).values()):
        if function.__name__ == "__init__" or job(function.__name__):
            found.demand(function.__code__.co_names)
    return instance_of(owner)


def _sibling_modules(module: ModuleType) -> Iterator[ModuleType]:
    """Modules of the file's own folder that it has imported."""
    file = getattr(module, "__file__", None)
    folder = str(Path(file).resolve().parent) if file else None
    for other in list(sys.modules.values()):
        place = getattr(other, "__file__", None)
        if folder and place and other is not module and str(place).startswith(folder) and "site-packages" not in place:
            yield other


def _siblings(module: ModuleType) -> Iterator[tuple[ModuleType, ast.Module | None]]:
    imported = {getattr(value, "__module__", None) for value in vars(module).values()}
    imported |= {value.__name__ for value in vars(module).values() if isinstance(value, ModuleType)}
    for other in _sibling_modules(module):
        if other.__name__ in imported and other.__file__:
            try:
                yield other, ast.parse(Path(other.__file__).read_text(encoding="utf-8"))
            except (OSError, SyntaxError, UnicodeDecodeError):
                continue


def _prefer_one_class(found: Found) -> None:
    """Of several classes the one with most of the jobs comes first; what it lacks comes from the others."""
    owners = [call.owner for calls in found.candidates.values() for call in calls if call.owner]
    if not owners:
        return
    jobs = {owner: len({c.job for cs in found.candidates.values() for c in cs if c.owner == owner}) for owner in owners}
    favourite = max(dict.fromkeys(owners), key=lambda owner: jobs[owner])
    for calls in found.candidates.values():
        calls.sort(key=lambda call: -call.rank - (1 if call.owner == favourite else 0))
