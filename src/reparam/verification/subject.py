"""The user's code as the audit sees it: five optional functions on NumPy arrays, and the declarations beside them."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from reparam.errors import DataError, ParameterError
from reparam.verification.arrays import FRAMEWORKS, Array, Framework, to_numpy
from reparam.verification.loading import describe

CALLABLES = ("sample", "kl", "reconstruction_loss", "loss", "bound")
NO_REFUSAL = (LookupError, NameError, ArithmeticError, AssertionError, ImportError, OSError)
"""Exceptions that are the code's own and not due to the kind of array."""

Namespaces = tuple[dict[str, Any], ...]
ARGUMENTS = {"sample": 3, "kl": 2, "reconstruction_loss": 2, "loss": 4, "bound": 1}
DECLARATIONS = ("FRAMEWORK", "SCALE", "LIKELIHOOD", "REDUCTION", "BETA", "LATENT_DIM", "DATA", "SAMPLE_AXIS")


class UserError(Exception):
    """The user's own function raised, or returned what its interface does not allow."""

    def __init__(self, name: str, text: str):
        super().__init__(text)
        self.name = name


@dataclass
class Function:
    """One of the user's callables, taking and giving NumPy arrays.

    The first call settles which framework's arrays it takes: the first of ``frameworks`` that it does not refuse.
    """

    name: str
    target: Callable[..., Any]
    frameworks: tuple[Framework, ...]
    kind: tuple[Framework, str] | None = field(default=None, init=False)

    @property
    def file(self) -> str:
        """The file that the function stands in, for pointing at its lines."""
        code = getattr(inspect.unwrap(self.target), "__code__", None)
        return code.co_filename if code else ""

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """Its positional parameters; empty where Python cannot tell."""
        try:
            parameters = inspect.signature(self.target).parameters.values()
        except (TypeError, ValueError):
            return []
        return [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]

    def __call__(self, *arrays: NDArray[Any], precision: str | None = None, **options: Any) -> Array:
        """Call it and convert what comes back; UserError where it raises or returns no array."""
        framework, usual = self.kind or self._settle(arrays, options)
        made = [framework.make(array, precision or usual) for array in arrays]
        try:
            value = self._run(made, options)
        except (Exception, SystemExit) as error:
            raise UserError(self.name, f"{self.name} raised {describe(error, self.file)}") from error
        return self._converted(value)

    def gradient(self, arrays: list[NDArray[Any]], weights: Array) -> list[Array] | None:
        """The framework's gradient of Σ weights ∘ f(arrays), or None where its values carry none."""
        framework, precision = self.kind or self._settle(tuple(arrays), {})
        if framework.gradient is None:
            return None
        made = [framework.make(array, precision) for array in arrays]
        try:
            with _silence():
                return framework.gradient(self.target, made, weights)
        except Exception:  # an array that leaves the framework raises whatever its framework raises
            return None

    def _run(self, made: list[Any], options: dict[str, Any]) -> Any:
        with _silence():
            return self.target(*made, **options)

    def _settle(self, arrays: tuple[NDArray[Any], ...], options: dict[str, Any]) -> tuple[Framework, str]:
        """Try the kinds of array in turn; where all are refused, the first stays and tells its exception."""
        kinds = [(f, p) for f in self.frameworks for p in (f.precision, _other_precision(f.precision))]
        for framework, precision in kinds:
            try:
                self._run([framework.make(array, precision) for array in arrays], options)
            except (*NO_REFUSAL, SystemExit):
                break
            except Exception:
                continue
            self.kind = framework, precision
            return self.kind
        return kinds[0]

    def _converted(self, value: Any) -> Array:
        try:
            return to_numpy(value)
        except TypeError as error:
            raise UserError(self.name, f"{self.name} returned {error}") from error


def _other_precision(precision: str) -> str:
    return "float64" if precision == "float32" else "float32"


@contextmanager
def _silence() -> Iterator[None]:
    """No floating-point warnings from the user's code: the checks look at the numbers themselves."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class Subject:
    """The functions that were found, the declarations, and the global names that the functions can see."""

    functions: dict[str, Function]
    scale: str | None
    likelihood: str | None
    reduction: Literal["mean", "sum"] | None
    beta: float | None
    latent_dim: int | None
    data: Any
    sample_axis: int
    namespaces: Namespaces

    def data_array(self) -> Array | None:
        """``DATA`` as an (N, P) array: called if it is a function, flattened if it has more axes."""
        if self.data is None:
            return None
        try:
            value = self.data() if callable(self.data) else self.data
            array = to_numpy(np.asarray(value) if isinstance(value, list | tuple) else value)
        except Exception as error:
            raise UserError("DATA", f"DATA gave {describe(error)}") from error
        if array.size == 0:
            raise UserError("DATA", "DATA is empty")
        return array.reshape(len(array), -1) if array.ndim > 1 else array.reshape(-1, 1)

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


def subject_of(namespace: Any, module: ModuleType | None = None) -> Subject:
    """Find the callables and declarations of a module, class, instance or namespace; declarations also in ``module``.

    Raises:
        DataError: none of the callables is there, or a class cannot be made without arguments.
        ParameterError: a declaration has a value that it cannot have.
    """
    holder = _instance(namespace)
    targets = {name: found for name in CALLABLES if callable(found := _found(holder, name))}
    if not targets:
        raise DataError(f"{_called(namespace)} defines none of {', '.join(CALLABLES)}. {_hint(namespace)}")
    declared = {name: _declaration(name, (holder, namespace, module)) for name in DECLARATIONS}
    namespaces = tuple(_namespaces(holder, targets.values(), module))
    frameworks = _frameworks(declared["FRAMEWORK"], holder, targets.values(), namespaces)
    return Subject(
        functions={name: Function(name, target, frameworks) for name, target in targets.items()},
        scale=_name("SCALE", declared["SCALE"]),
        likelihood=_name("LIKELIHOOD", declared["LIKELIHOOD"]),
        reduction=_reduction(declared["REDUCTION"]),
        beta=_beta(declared["BETA"]),
        latent_dim=_whole("LATENT_DIM", declared["LATENT_DIM"]),
        data=declared["DATA"],
        sample_axis=_axis(declared["SAMPLE_AXIS"]),
        namespaces=namespaces,
    )


def _instance(namespace: Any) -> Any:
    """An instance of a class that is made without arguments; the class itself where its functions are static."""
    if not inspect.isclass(namespace):
        return namespace
    found = [name for name in CALLABLES if hasattr(namespace, name)]
    if found and not any(_needs_self(namespace, name) for name in found):
        return namespace
    try:
        return namespace()
    except Exception as error:
        file = inspect.getsourcefile(namespace) or ""
        raise DataError(
            f"class {namespace.__name__} cannot be made without arguments: {describe(error, file)}. "
            "Give its parameters defaults, or name an instance of it instead."
        ) from error


def _needs_self(owner: type, name: str) -> bool:
    """Whether the class's function is a method: its first parameter is ``self``, or it has one more than it takes."""
    function = inspect.getattr_static(owner, name)
    if isinstance(function, staticmethod | classmethod):
        return False
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return True
    required = [
        p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return bool(parameters) and (parameters[0].name == "self" or len(required) == ARGUMENTS.get(name, 9) + 1)


def _called(namespace: Any) -> str:
    file = getattr(namespace, "__file__", None)
    return str(file or getattr(namespace, "__name__", None) or f"this {type(namespace).__name__}")


def _hint(namespace: Any) -> str:
    classes = [
        name
        for name, value in (vars(namespace).items() if isinstance(namespace, ModuleType) else ())
        if inspect.isclass(value) and any(hasattr(value, callable_) for callable_ in CALLABLES)
    ]
    if classes:
        return f"The class {classes[0]} does: verify FILE.py:{classes[0]}."
    return "Define at least one of them at the top of the file, or name the class that has it: FILE.py:NAME."


def _declaration(name: str, holders: tuple[Any, ...]) -> Any:
    found = (_found(holder, name) for holder in holders if holder is not None)
    return next((value for value in found if value is not None), None)


def _found(holder: Any, name: str) -> Any:
    """The attribute, or None; a property may raise anything."""
    try:
        return getattr(holder, name, None)
    except Exception as error:
        raise DataError(f"{_called(holder)}: reading {name} raised {describe(error)}. Mend it.") from error


def _namespaces(holder: Any, targets: Any, module: ModuleType | None) -> Iterator[dict[str, Any]]:
    for target in targets:
        function = inspect.unwrap(target)
        yield getattr(function, "__globals__", {})
    yield getattr(holder, "__dict__", {}) if not inspect.isclass(holder) else dict(vars(holder))
    yield vars(module) if module is not None else {}


def _frameworks(declared: Any, holder: Any, targets: Any, namespaces: Namespaces) -> tuple[Framework, ...]:
    """The declared framework, then those that the file itself imports, then NumPy, then others that are loaded."""
    imported = _imported_roots(holder, targets, namespaces)
    names = [name for name in FRAMEWORKS if name in imported and name != "numpy"]
    names += ["numpy", *FRAMEWORKS]
    if declared is not None:
        names.insert(0, _declared_framework(declared))
    return tuple(FRAMEWORKS[name] for name in dict.fromkeys(names) if FRAMEWORKS[name].loaded)


def _declared_framework(declared: Any) -> str:
    name = {"pytorch": "torch", "tf": "tensorflow", "np": "numpy"}.get(str(declared).lower(), str(declared).lower())
    if name not in FRAMEWORKS:
        raise ParameterError(f"FRAMEWORK must be one of {', '.join(FRAMEWORKS)}. Got {declared!r} instead.")
    if not FRAMEWORKS[name].loaded:
        raise ParameterError(f"FRAMEWORK = {declared!r}, but the file never imports {name}. Import it in the file.")
    return name


def _imported_roots(holder: Any, targets: Any, namespaces: Namespaces) -> set[str]:
    """Where the file's own names, and the modules that its functions import, come from: first parts of the names."""
    values = [value for names in namespaces for value in list(names.values())]
    modules = [v.__name__ if isinstance(v, ModuleType) else getattr(v, "__module__", None) for v in values]
    modules += [cls.__module__ for cls in type(holder).__mro__]
    for target in targets:
        modules += list(getattr(getattr(inspect.unwrap(target), "__code__", None), "co_names", ()))
        modules.append(type(target).__module__)
    return {name.split(".")[0].removesuffix("lib") for name in modules if isinstance(name, str)} & {*sys.modules}


def _name(declaration: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value.replace("-", "_").lower() if value else None
    raise ParameterError(f"{declaration} must be a name. Got {value!r} instead.")


def _reduction(value: Any) -> Literal["mean", "sum"] | None:
    if value in (None, "mean", "sum"):
        return cast(Literal["mean", "sum"] | None, value)
    raise ParameterError(f'REDUCTION must be "mean" or "sum" (over the batch). Got {value!r} instead.')


def _beta(value: Any) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"BETA must be a number. Got {value!r} instead.") from error


def _whole(declaration: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        if int(value) == value and value >= 1:
            return int(value)
    except (TypeError, ValueError):
        pass
    raise ParameterError(f"{declaration} must be an int in [1, inf). Got {value!r} instead.")


def _axis(value: Any) -> int:
    if value is None:
        return -1
    if value in (0, 1, -1, -2) and not isinstance(value, bool):
        return 0 if value in (0, -2) else -1
    raise ParameterError(f"SAMPLE_AXIS must be 0 or 1 (or -1): log_w has two axes. Got {value!r} instead.")
