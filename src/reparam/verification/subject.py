"""What is audited: the functions that were found and work, how each name is read, and the declarations."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import numpy as np

from reparam.errors import DataError
from reparam.verification.arrays import FRAMEWORKS, Framework, module_of, row_sums, to_numpy
from reparam.verification.declarations import DataTroubleError, Declarations, declarations
from reparam.verification.finding.calling import Call, Layout
from reparam.verification.finding.search import Found, found_in
from reparam.verification.finding.signatures import CANONICAL, Argument
from reparam.verification.finding.sizes import layouts
from reparam.verification.finding.words import POSITIVE, snake
from reparam.verification.functions import Function
from reparam.verification.randomness import fixed_noise
from reparam.verification.readings import Namespaces, coordinate, is_turned, meaning


class NothingFoundError(DataError):
    """A file in which nothing is called like a part of a variational autoencoder."""


@dataclass
class Subject:
    """The functions by job, what is declared, the sizes, and the account of how it was all found."""

    functions: dict[str, Function]
    declared: Declarations
    layout: Layout
    namespaces: Namespaces
    account: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def has(self, job: str) -> bool:
        """Whether a function for this job was found."""
        return job in self.functions

    @property
    def is_joint(self) -> bool:
        """Whether there is a loss that takes the mean or the scale, as its KL must."""
        return self.has("loss") and bool({"mean", "raw", "z", "posterior"} & self.functions["loss"].call.takes)

    @contextmanager
    def with_beta(self, value: float) -> Iterator[None]:
        """Set ``BETA`` to another value wherever the user's functions can see it by that name."""
        before = [names.get("BETA", self) for names in self.namespaces]
        for names in self.namespaces:
            names["BETA"] = value
        try:
            yield
        finally:
            for names, old in zip(self.namespaces, before, strict=True):
                names["BETA"] = old
                if old is self:  # it had none
                    del names["BETA"]

    def weights(self) -> dict[str, float]:
        """Numbers that the user calls a weight: attributes and globals named beta, weight, gamma and so on."""
        from reparam.verification.finding.words import ROLES

        named = [(name, value) for names in self.namespaces for name, value in list(names.items())]
        numbers = [(n, v) for n, v in named if isinstance(v, int | float) and not isinstance(v, bool)]
        return {name: float(value) for name, value in numbers if ROLES["weight"].match(snake(name))}


def subject_of(
    holder: Any,
    module: ModuleType | None = None,
    tree: ast.Module | None = None,
    demand: Callable[[Iterable[str]], None] = lambda names: None,
    flags: Mapping[str, Any] | None = None,
) -> Subject:
    """Find, bind and try the functions of a module, class, instance or namespace.

    Raises:
        DataError: nothing that an audit could use is there.
        ParameterError: a declaration has a value that it cannot have.
    """
    module = module if module is not None else (holder if isinstance(holder, ModuleType) else None)
    tree = tree if tree is not None else _tree_of(module)
    found = found_in(holder, module, tree, demand)
    if not found.candidates:
        raise NothingFoundError(_nothing(holder, found))
    source = ast.unparse(tree) if tree is not None else ""
    declared = declarations([holder, module], _text_of(module), flags)
    demand(_global_names(found))
    spaces = tuple({id(names): names for names in _namespaces(holder, found, module)}.values())
    subject = Subject({}, declared, _first_layout(declared), spaces, left_out=list(found.left_out))
    _settle(subject, found, _frameworks(declared, holder, found, spaces), source)
    return subject


def _text_of(module: ModuleType | None) -> str:
    try:
        with open(str(getattr(module, "__file__", ""))) as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""


def _tree_of(module: ModuleType | None) -> ast.Module | None:
    try:
        return ast.parse(_text_of(module)) if module is not None else None
    except SyntaxError:
        return None


def _first_layout(declared: Declarations) -> Layout:
    try:
        data = declared.shaped_data()
    except DataTroubleError:  # told by likelihood-support
        data = None
    dim = declared.latent_dim or 4
    shape = (6,) if data is None else (int(np.prod(data.shape[1:])),)
    taken = {dim, 2 * dim, shape[0], 2 * shape[0]}
    return Layout(next(n for n in (5, 7, 9, 11, 13) if n not in taken), dim, shape)


def _settle(subject: Subject, found: Found, frameworks: tuple[Framework, ...], source: str) -> None:
    """For each job the first candidate that works, all at sizes on which they agree."""
    first = subject.layout
    for job in ("loss", "reconstruction_loss", "kl", "sample", "bound"):
        inside = job in ("kl", "reconstruction_loss") and subject.is_joint  # its terms are had by splitting it
        calls = [call for call in found.candidates.get(job, []) if not (inside and call.is_formula)]
        calls = [whole for call in calls if (whole := _with_terms(call, found)) is not None]
        if job == "kl" and not inside:
            calls += [_divergence_from(density) for density in found.candidates.get("log_q", [])]
        if job == "sample" and any(f.call.coordinate != "raw" for f in subject.functions.values()):
            calls.sort(key=lambda call: not POSITIVE.match(snake(call.named("raw"))))  # as the KL: σ itself
        tried = [Function(job, call, frameworks) for call in calls]
        for function in tried:
            options = layouts(first, function.call, source, free_shape=subject.layout.shape == first.shape)
            if subject.layout != first:
                options.insert(0, subject.layout)
            with fixed_noise(subject.namespaces):
                works = function.settled(options)
            if works:
                _adopt(subject, job, function, found.renamed)
                break
        else:
            if tried and not tried[0].call.is_formula:
                subject.functions[job] = tried[0]  # its exception is told
                subject.account.append(f"{job}: {tried[0].call.title}, which could not be called")
    if not subject.functions:
        raise DataError(f"nothing that was found could be called: {'; '.join(found.left_out) or 'formulas only'}.")


def _with_terms(call: Call, found: Found) -> Call | None:
    """A formula of a kl or a reconstruction that is had elsewhere, with what gives it; None where nothing does."""
    terms = dict(call.terms)
    for kind, job in (("kl", "kl"), ("reconstruction", "reconstruction_loss")):
        if kind in call.takes:
            others = sorted(found.candidates.get(job, []), key=lambda other: other.owner != call.owner)
            if not others:
                return None
            terms[kind] = others[0]
    return replace(call, terms=terms)


def _divergence_from(density: Call) -> Call:
    """log q(z) − log p(z) averaged over z, of a function that gives log q(z); its ½·ln 2π is in both or in neither."""

    def per_latent(z: Any, mean: Any, raw: Any) -> float:
        return float(to_numpy(row_sums(density(z, mean, raw), z)).mean()) / int(z.shape[-1])

    def kl(z: Any, mean: Any, raw: Any) -> Any:
        nothing, one = 0.0 * z, 0.0 * z + 1.0
        top = per_latent(nothing, nothing, one)
        precision = 2.0 * (top - per_latent(one, nothing, one))
        constant = 0.5 * np.log(2.0 * np.pi) if 0.5 * np.log(precision) - top > 0.5 else 0.0
        return row_sums(density(z, mean, raw), z) + row_sums(0.5 * z * z, z) + constant * int(z.shape[-1])

    return replace(
        density, job="kl", target=kl, arguments=tuple(Argument(density.named(r), (r,)) for r in ("z", "mean", "raw"))
    )


def _adopt(subject: Subject, job: str, function: Function, renamed: set[tuple[str, str]]) -> None:
    """Take a function in, with the sizes at which it works and the reading of its raw number."""
    if job in ("loss", "reconstruction_loss"):
        subject.layout = function.call.layout
    if job == "reconstruction_loss" and snake(function.call.named("decoded")) == "y" and is_turned(function):
        swapped = {"x": "decoded", "decoded": "x"}
        turned = (replace(a, roles=tuple(swapped.get(r, r) for r in a.roles)) for a in function.call.arguments)
        function.call = replace(function.call, arguments=tuple(turned))
    if job == "loss" or "z" not in function.call.takes or not function.call.is_formula:
        others = [one.call for one in subject.functions.values()]
        function.call = replace(function.call, coordinate=coordinate(function, others, subject.namespaces, renamed))
    subject.functions[job] = function
    names = {kind: function.call.named(kind) for kind in ("mean", "raw", "x", "decoded") if kind in function.call.takes}
    read = ", ".join(f"{name} as {meaning(kind, function.call)}" for kind, name in names.items() if name != kind)
    asked = f"; asked in batches of {function.only}" if function.only else ""
    subject.account.append(f"{job}: {function.call.title}" + (f"; reads {read}" if read else "") + asked)


def _namespaces(holder: Any, found: Found, module: ModuleType | None) -> Iterator[dict[str, Any]]:
    for calls in found.candidates.values():
        for call in calls:
            function = inspect.unwrap(call.target)
            yield getattr(function, "__globals__", {})
            owner = getattr(function, "__self__", None)
            yield getattr(owner, "__dict__", {}) if owner is not None and not inspect.isclass(owner) else {}
    yield getattr(holder, "__dict__", {}) if not inspect.isclass(holder) else dict(vars(holder))
    yield vars(module) if module is not None else {}


def _global_names(found: Found) -> set[str]:
    names: set[str] = set()
    for calls in found.candidates.values():
        for call in calls:
            code = getattr(inspect.unwrap(call.target), "__code__", None)
            names |= set(getattr(code, "co_names", ()))
    return names


def _frameworks(declared: Declarations, holder: Any, found: Found, namespaces: Namespaces) -> tuple[Framework, ...]:
    """The declared framework, then those that the file itself imports, then NumPy, then others that are loaded."""
    targets = [call.target for calls in found.candidates.values() for call in calls]
    imported = _imported_roots(holder, targets, namespaces)
    names = [name for name in FRAMEWORKS if name in imported and name != "numpy"]
    names += ["numpy", *FRAMEWORKS]
    if declared.framework is not None:
        names.insert(0, declared.framework)
    return tuple(FRAMEWORKS[name] for name in dict.fromkeys(names) if FRAMEWORKS[name].loaded)


def _imported_roots(holder: Any, targets: list[Any], namespaces: Namespaces) -> set[str]:
    """Where the file's own names, and the modules that its functions import, come from: first parts of the names."""
    import sys

    values = [value for names in namespaces for value in list(names.values())]
    modules = [v.__name__ if isinstance(v, ModuleType) else getattr(v, "__module__", None) for v in values]
    modules += [cls.__module__ for cls in type(holder).__mro__]
    for target in targets:
        modules += list(getattr(getattr(inspect.unwrap(target), "__code__", None), "co_names", ()))
        modules.append(type(target).__module__)
    roots = {name.split(".")[0].removesuffix("lib") for name in modules if isinstance(name, str)}
    if roots & {"keras"} and "keras" in sys.modules:
        roots.add(str(sys.modules["keras"].backend.backend()))
    return (roots | ({"jax"} if roots & {"flax", "haiku", "equinox"} else set())) & {*sys.modules}


def _nothing(holder: Any, found: Found) -> str:
    file = getattr(holder, "__file__", None)
    called = str(file or getattr(holder, "__name__", None) or f"this {type(holder).__name__}")
    left = f" Left out: {'; '.join(found.left_out)}." if found.left_out else ""
    return (
        f"{called} defines none of {', '.join(list(CANONICAL)[:5])}, nor anything else that is called like a part of a "
        f"variational autoencoder.{left} Give functions their usual names, or name what has them: FILE.py:NAME."
    )


def standard_deviation(name: str) -> Callable[[Any], Any]:
    """σ(raw) of a named scale in the arrays' own framework, for drawing the z that a function is given."""
    formulas: dict[str, Callable[[Any], Any]] = {
        "log_std": lambda raw: module_of(raw).exp(raw),
        "softplus": lambda raw: module_of(raw).log1p(module_of(raw).exp(raw)),
        "log_precision": lambda raw: module_of(raw).exp(-0.5 * raw),
    }
    return formulas.get(name, lambda raw: module_of(raw).exp(0.5 * raw))
