"""The user's functions on NumPy arrays: which framework they take, at which sizes, and what they raise."""

from __future__ import annotations

import ast
import copy
import inspect
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reparam.verification.arrays import Array, Framework, to_numpy
from reparam.verification.finding.calling import Call, Layout
from reparam.verification.finding.instances import class_of
from reparam.verification.finding.signatures import source_of
from reparam.verification.finding.sizes import written_batches
from reparam.verification.finding.words import POSITIVE, snake
from reparam.verification.loading import describe

NO_REFUSAL = (LookupError, NameError, ArithmeticError, AssertionError, ImportError, OSError)
"""Exceptions that are the code's own and not due to the kind of array."""


class UserError(Exception):
    """The user's own function raised, or returned what its job does not allow."""

    def __init__(self, name: str, text: str):
        super().__init__(text)
        self.name = name


class Numeric(Protocol):
    """NumPy arrays in, one NumPy array out: a user's function, or a part of one."""

    name: str

    def __call__(self, *arrays: NDArray[Any], precision: str | None = None) -> Array:
        """The value."""
        ...


@dataclass
class Part:
    """A function made of another one, such as the KL inside a joint loss."""

    name: str
    value: Callable[..., Array]

    def __call__(self, *arrays: NDArray[Any], precision: str | None = None) -> Array:
        """The value."""
        return self.value(*arrays)


@dataclass
class Function:
    """One of the user's functions. The first call settles which framework's arrays it takes."""

    name: str
    call: Call
    frameworks: tuple[Framework, ...]
    kind: tuple[Framework, str] | None = field(default=None, init=False)
    only: int = field(default=0, init=False)
    summed: bool = field(default=False, init=False)

    @property
    def file(self) -> str:
        """The file that the function stands in, for pointing at its lines."""
        code = getattr(inspect.unwrap(self.call.target), "__code__", None)
        return code.co_filename if code else ""

    def __call__(self, *arrays: NDArray[Any], precision: str | None = None) -> Array:
        """Call it and convert what comes back; UserError where it raises or returns no array."""
        if self.only and len(arrays[0]) != self.only:
            return self._datum_by_datum(arrays, precision)
        framework, usual = self.kind or self._settle(arrays)
        try:
            value = self._run([framework.make(array, precision or usual) for array in arrays])
        except (Exception, SystemExit) as error:
            raise UserError(self.name, f"{self.name} raised {describe(error, self.file)}") from error
        try:
            return to_numpy(value)
        except TypeError as error:
            raise UserError(self.name, f"{self.name} returned {error}") from error

    def _datum_by_datum(self, arrays: tuple[NDArray[Any], ...], precision: str | None) -> Array:
        """What a function of one batch size gives for another: each datum fills a batch, whose share is its own."""
        alone = [
            self(*(np.repeat(a[i : i + 1], self.only, axis=0) for a in arrays), precision=precision)
            for i in range(len(arrays[0]))
        ]
        if alone[0].size > 1:
            return np.stack([value[0] for value in alone])
        values = np.array([float(value.ravel()[0]) for value in alone])
        return np.asarray(values.sum() / self.only if self.summed else values.mean())

    def _settle_batch(self) -> None:
        """Whether it takes, or is written for, one batch size, and then whether it sums over it: by how steep it is."""
        arrays, layout = self.examples(), self.call.layout
        try:
            self(*(array[:1] for array in arrays))
            self.only = layout.count if layout.count in written_batches(self.call) else 0
        except UserError:
            self.only = layout.count
        if not self.only:
            return
        role, size = ("mean", layout.latent_dim) if "mean" in self.call.roles else ("decoded", layout.features)
        place = self.call.roles.index(role)
        low, high = ([*arrays[:place], 0.0 * arrays[place] + one, *arrays[place + 1 :]] for one in (0.5, 0.9))
        rise = abs(float(np.mean(self(*high) - self(*low)))) / 0.3 + 1e-30  # of one element, roughly
        shares = {1: False, size: False, layout.count: True, layout.count * size: True}
        self.summed = shares[min(shares, key=lambda share: abs(np.log(rise / share)))]

    def gradient(self, arrays: list[NDArray[Any]], weights: Array) -> list[Array] | None:
        """The framework's gradient of Σ weights ∘ f(arrays), or None where its values carry none."""
        framework, precision = self.kind or self._settle(tuple(arrays))
        if framework.gradient is None:
            return None
        made = [framework.make(array, precision) for array in arrays]
        try:
            with _silence():
                return framework.gradient(self.call, made, weights)
        except Exception:  # an array that leaves the framework raises whatever its framework raises
            return None

    def _run(self, made: list[Any]) -> Any:
        """A call, after which the counters of the function's object stand as before."""
        state = getattr(getattr(self.call.target, "__self__", None), "__dict__", {})
        counters = {name: value for name, value in state.items() if isinstance(value, int | float)}
        try:
            with _silence():
                return self.call(*made)
        finally:
            state |= counters

    def _settle(self, arrays: tuple[NDArray[Any], ...]) -> tuple[Framework, str]:
        """Try the kinds of array in turn; where all are refused, the first stays and tells its exception."""
        kinds = [(f, p) for f in self.frameworks for p in (f.precision, _other_precision(f.precision))]
        for framework, precision in kinds:
            try:
                value = self._run([framework.make(array, precision) for array in arrays])
                if type(value).__module__ == "builtins" and isinstance(value, list | tuple | str | dict):
                    continue
            except (*NO_REFUSAL, SystemExit):
                break
            except Exception:
                continue
            self.kind = framework, precision
            return self.kind
        return kinds[0]

    def settled(self, layouts: list[Layout]) -> bool:
        """Whether it works at one of these sizes, which it then keeps; one where the data do not mix goes first."""
        first: tuple[Call, tuple[Framework, str] | None] | None = None
        ways, owner = self._ways(), getattr(self.call.target, "__self__", None)
        of_one = self._is_of_one()
        for layout in layouts:
            if first is not None and len(layout.shape) < 3:  # it may be images whose axes were taken for one another
                continue
            for way in ways:
                self.call, self.kind = replace(self.call, layout=layout, **way), None
                if not self._works():
                    continue
                if not (way["between"] or of_one) or not self._mixes():
                    self._settle_batch()
                    return True
                first = first or (self.call, self.kind)
                if not of_one:
                    ways = [way]
                    break
        if first is not None:
            self.call, self.kind = first
            self._settle_batch()
            return True
        if getattr(owner, "training", False) is True:  # where it takes a list of outputs, in evaluation it takes one
            own: Any = copy.copy(owner)
            own.training = False
            self.call = replace(self.call, target=types.MethodType(self.call.target.__func__, own))  # type: ignore[attr-defined]
            return self.settled(layouts)
        self.call = replace(self.call, layout=layouts[0], **self._ways()[0])
        self.kind = None
        return False

    def _is_of_one(self) -> bool:
        """Whether it is a method of a single datum, as Equinox's are: one that keeps the first axis has a batch."""
        bases = getattr(class_of(self.call.target), "__mro__", ())
        body = source_of(self.call.target)
        keeps = body is not None and re.search(r"axis=\(?-?[1-9]", ast.unparse(body))
        return not keeps and any(base.__module__.startswith("equinox") for base in bases)

    def _ways(self) -> list[dict[str, Any]]:
        """A batch at once, with an axis between, row by row; inside a Haiku transform if need be."""
        plain: dict[str, Any] = {"rowwise": False, "between": False, "transformed": False, "coordinate": "raw"}
        ways = [plain]
        if self.call.job in ("sample", "loss"):
            ways.append({**plain, "between": True})
        if self.call.job != "bound":
            ways.append({**plain, "rowwise": True})
        if "haiku" in sys.modules:
            ways += [{**way, "transformed": True} for way in ways]
        if "raw" in self.call.takes and POSITIVE.match(snake(self.call.named("raw"))):
            ways += [{**way, "coordinate": "std"} for way in ways]  # it may refuse what is no σ
        return ways

    def _works(self) -> bool:
        try:
            value = self(*self.examples())
        except UserError:
            return False
        n, d = self.call.layout.count, self.call.layout.latent_dim
        if self.call.job == "sample":
            return value.shape == (n, d)
        return value.size in (1, n, n * d, d, n * self.call.layout.features) or self._is_of_any_size()

    def _is_of_any_size(self) -> bool:
        """Whether what it returns tells nothing of whether it was called as it should be."""
        return self.call.job in ("bound", "log_q") or (self.call.job == "loss" and self.call.takes == {"x", "decoded"})

    def _mixes(self) -> bool:
        """Whether a loss of a batch is neither the mean nor the sum of its data's, which a call gives again."""
        if self.call.job != "loss":
            return False
        arrays = self.examples()
        try:
            whole, again = self(*arrays), self(*arrays)
            alone = np.array([self(*(array[i : i + 1] for array in arrays)).sum() for i in range(len(arrays[0]))])
        except UserError:  # it takes one batch size
            return False
        return (
            whole.size == 1
            and bool(whole == again)
            and not np.isclose(whole, [alone.mean(), alone.sum()], rtol=1e-5).any()
        )

    def examples(self) -> list[Array]:
        """Ordinary arguments at its sizes."""
        layout, rng = self.call.layout, np.random.default_rng(0)
        latents, features = (layout.count, layout.latent_dim), (layout.count, layout.features)
        arrays = {kind: rng.uniform(-1.0, 1.0, latents) for kind in ("mean", "raw", "eps", "z")}
        x = rng.integers(0, 2, features).astype(float)
        arrays |= {"x": x, "decoded": rng.uniform(0.1, 0.9, features), "log_w": rng.normal(size=(layout.count, 8))}
        return [arrays[kind] for kind in self.call.roles]


def _other_precision(precision: str) -> str:
    return "float64" if precision == "float32" else "float32"


@contextmanager
def _silence() -> Iterator[None]:
    """No floating-point warnings from the user's code: the checks look at the numbers themselves."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), _on_cpu():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _on_cpu() -> Iterator[None]:
    """``tensor.cuda()`` leaves a tensor where it is on a machine without CUDA."""
    torch: Any = sys.modules.get("torch")
    if not hasattr(torch, "Tensor") or torch.cuda.is_available():
        yield
        return
    original = torch.Tensor.cuda
    torch.Tensor.cuda = lambda self, *arguments, **options: self
    try:
        yield
    finally:
        torch.Tensor.cuda = original
