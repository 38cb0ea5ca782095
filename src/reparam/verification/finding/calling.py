"""A user's function called the audit's way: canonical arrays in, one array of the user's framework out."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from reparam.verification.arrays import joined, module_of, reshaped
from reparam.verification.finding.signatures import CANONICAL, DISTRIBUTIONS, Argument, source_of
from reparam.verification.finding.words import ROLES, role, snake
from reparam.verification.randomness import SEED


@dataclass(frozen=True)
class Layout:
    """The sizes that the code asks for: N data, D latents, and the shape of one datum."""

    count: int = 5
    latent_dim: int = 4
    shape: tuple[int, ...] = (6,)

    @property
    def features(self) -> int:
        """P."""
        size = 1
        for one in self.shape:
            size *= one
        return size

    def size(self, name: str) -> int:
        """N, D or P by letter."""
        return {"N": self.count, "D": self.latent_dim, "P": self.features}[name]


@dataclass
class Call:
    """One of the user's functions: what it is for, how it is called, and which part of its value is taken.

    ``coordinate``: whether the function wants the raw number itself (``raw``), or exp(raw/2) (``std``), or exp(raw)
    (``variance``). ``draw``: z for a function that is given one, at ε = ±1, whose two values are averaged: exact for
    Gaussian log-densities, which are quadratic in ε. ``terms``: what gives arguments that are themselves made of the
    audit's arrays, such as a distribution. ``rowwise``: the function takes one datum at a time; ``between``: it wants
    an axis of samples between data and latents; ``transformed``: it runs inside of a Haiku transform.
    """

    job: str
    title: str
    target: Callable[..., Any]
    arguments: tuple[Argument, ...]
    layout: Layout = field(default_factory=Layout)
    coordinate: str = "raw"
    spread: Callable[[Any], Any] | None = None
    terms: dict[str, Call] = field(default_factory=dict)
    rowwise: bool = False
    between: bool = False
    transformed: bool = False
    negated: bool = False
    seed: int = SEED
    rank: int = 0
    owner: str = ""

    @property
    def is_formula(self) -> bool:
        """Whether it was lifted out of a longer function."""
        return hasattr(self.target, "syntax")

    @property
    def filled(self) -> tuple[Argument, ...]:
        """Its arguments and those of its terms."""
        return (*self.arguments, *(argument for term in self.terms.values() for argument in term.filled))

    @property
    def takes(self) -> set[str]:
        """The roles of its arguments."""
        return {kind for argument in self.filled for kind in argument.roles}

    @property
    def roles(self) -> tuple[str, ...]:
        """What the audit hands over, in order."""
        given = {**CANONICAL, **DISTRIBUTIONS}[self.job]
        return given if self.job != "sample" or "eps" in self.takes else given[:2]

    def named(self, kind: str) -> str:
        """What the user calls a role."""
        return next((a.name for a in self.filled if kind in a.roles), kind)

    def __call__(self, *arrays: Any) -> Any:
        """The value for canonical arrays, averaged over z = mean ± σ where the function is given a z."""
        given = dict(zip(self.roles, arrays, strict=False))
        if "z" not in self.takes or self.job == "log_q":
            return self._signed(self._once(given))
        std = (self.spread or _half_exponential)(given["raw"])
        eps = std / std
        values = [self._once({**given, "z": given["mean"] + s * std, "eps": s * eps}) for s in (1.0, -1.0)]
        return self._signed(0.5 * (values[0] + values[1]))

    def _signed(self, value: Any) -> Any:
        return -value if self.negated else value

    def _once(self, given: dict[str, Any]) -> Any:
        if self.rowwise:
            rows = [
                self._plain({kind: array[i] for kind, array in given.items()}) for i in range(len(given[self.roles[0]]))
            ]
            return module_of(rows[0]).stack(rows)
        return self._plain(given)

    def _plain(self, given: dict[str, Any]) -> Any:
        if self.between:
            given = {kind: a if kind == "x" else _with_samples(a) for kind, a in given.items()}
        first = next(iter(given.values()))
        terms = {kind: self._term(call, given) for kind, call in self.terms.items()}
        values = {kind: self._prepared(kind, array) for kind, array in given.items()} | terms
        arguments, options = [], {}
        for argument in self.arguments:
            value = self._value(argument, values, first)
            if argument.keyword:
                options[argument.name] = value
            else:
                arguments.append(value)
        target = _in_transform(self.target, self.seed) if self.transformed else self.target
        value = self._picked(target(*arguments, **options), tuple(getattr(first, "shape", ())))
        return reshaped(value, (first.shape[0], first.shape[2])) if self.between and self.job == "sample" else value

    def _term(self, call: Call, given: dict[str, Any]) -> Any:
        same = replace(call, layout=self.layout, coordinate=self.coordinate, seed=self.seed)
        return same._plain({kind: array for kind, array in given.items() if kind in same.takes or kind in same.roles})

    def _prepared(self, kind: str, array: Any) -> Any:
        if kind in ("x", "decoded"):
            shape, times = list(self.layout.shape), array.shape[-1] // self.layout.features
            shape[shape.index(max(shape))] *= times  # more pixels, not more channels
            return reshaped(array, (*array.shape[:-1], *shape))
        if kind == "raw" and self.coordinate != "raw":
            half = _half_exponential(array)
            return half if self.coordinate == "std" else half * half
        return array

    def _value(self, argument: Argument, values: dict[str, Any], first: Any) -> Any:
        if argument.joined:
            return joined([values[kind] for kind in argument.roles])
        if len(argument.roles) > 1:
            return [values.get(kind) for kind in argument.roles]
        if argument.roles == ("key",):
            return self._key(argument.name, first)
        if argument.roles:
            return values[argument.roles[0]]
        constant = argument.constant
        return self.layout.size(constant) if constant in ("N", "D", "P") else constant

    def _key(self, name: str, array: Any) -> Any:
        """What a function that takes its randomness as an argument asks for."""
        flax = sys.modules.get("flax.nnx")
        if snake(name).endswith("rngs") and flax is not None:
            return flax.Rngs(self.seed)
        library = module_of(array).__name__
        if library == "torch":
            return sys.modules["torch"].Generator().manual_seed(self.seed)
        if library == "jax.numpy":
            return sys.modules["jax"].random.PRNGKey(self.seed)
        import numpy as np

        old = snake(name).endswith(("rs", "random_state"))
        return np.random.RandomState(self.seed) if old else np.random.default_rng(self.seed)

    def _picked(self, value: Any, shape: tuple[int, ...]) -> Any:
        """The part of a tuple, dict or record that the job is about."""
        if self.job in DISTRIBUTIONS:
            return value
        value = getattr(value, "_asdict", lambda: value)()
        if hasattr(value, "__dataclass_fields__") and not hasattr(value, "shape"):
            value = {name: getattr(value, name) for name in value.__dataclass_fields__}
        if isinstance(value, dict):
            return _entry(value, self.job)
        if not isinstance(value, tuple | list) or not value:
            return value
        if self.job == "sample":
            return next((v for v in value if tuple(getattr(v, "shape", ())) == shape), value[0])
        place = _index_of(self.target, self.job, len(value))
        return value[place] if place >= 0 else value[0] + value[1]


def _entry(value: dict[str, Any], job: str) -> Any:
    """The entry of a dict whose key names the job; for a loss ``loss`` itself first."""
    wanted = {"loss": ("loss", "total_loss", "elbo", "vae_loss"), "sample": ("z", "latent", "sample")}.get(job, ())
    for key in wanted:
        if key in value:
            return value[key]
    kind = "kl" if job == "kl" else "reconstruction"
    return next((v for key, v in value.items() if ROLES[kind].match(snake(str(key)))), next(iter(value.values())))


def _index_of(target: Callable[..., Any], job: str, count: int) -> int:
    """Which of the returned values it is, by the names in the return statement, else the first; −1: two terms."""
    body = source_of(target)
    for node in ast.walk(body) if body is not None else ():
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == count:
            words = [ast.unparse(e) for e in node.value.elts]
            for i, word in enumerate(words):
                if _is_named(word, job):
                    return i
            kinds = [_kind(word) for word in words]
            if job == "loss" and sorted(map(str, kinds)) == ["kl", "reconstruction"]:
                return -1
    return 0


def _kind(word: str) -> str | None:
    """The term that an expression such as ``kld * 0.1`` is of."""
    return next((kind for part in re.findall(r"\w+", word) if (kind := role(part)) in ("kl", "reconstruction")), None)


def _is_named(word: str, job: str) -> bool:
    if job == "kl":
        return role(word) == "kl"
    if job == "reconstruction_loss":
        return role(word) == "reconstruction"
    total = "loss" in word.lower() or "elbo" in word.lower() or "+" in word
    return total and role(word) not in ("kl", "reconstruction")


def _with_samples(array: Any) -> Any:
    """An array with an axis of samples: the one that it has, or one of length 1."""
    return array if len(array.shape) == 3 else reshaped(array, (array.shape[0], 1, array.shape[1]))


def _half_exponential(raw: Any) -> Any:
    return module_of(raw).exp(0.5 * raw)


def _in_transform(target: Callable[..., Any], seed: int) -> Callable[..., Any]:
    """A Haiku function outside of a transform, inside of one."""
    haiku, jax = sys.modules["haiku"], sys.modules["jax"]

    def run(*arguments: Any, **options: Any) -> Any:
        pure = haiku.transform(lambda: target(*arguments, **options))
        key = jax.random.PRNGKey(seed)
        return pure.apply(pure.init(key), key)

    return run
