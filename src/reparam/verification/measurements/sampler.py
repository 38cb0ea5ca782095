"""What a sampler does: z = μ + σ(raw)·ε or not, and which σ(·)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy import stats

from reparam.verification.arrays import Array
from reparam.verification.measurements.terms import BATCH, close
from reparam.verification.oracle import CORE, Recognition, exact_noise, recognise
from reparam.verification.randomness import CRITICAL, LEVEL, SEED, fixed_noise
from reparam.verification.subject import Function, Subject, UserError

RAW = np.array([-6.0, -4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 6.0])
"""Raw numbers at which σ(·) is measured; they contain those of the core."""

DRAWS = 60_000
"""How many numbers a sampler with noise of its own draws per measurement."""

KEY_NAMES = ("key", "rng", "rng_key", "prng_key", "seed", "generator")
NOISE_NAMES = ("eps", "epsilon", "noise", "e", "u")


@dataclass
class Sampler:
    """The user's ``sample`` with its noise handed over (``given``), drawn from a key, or drawn by itself."""

    function: Function
    subject: Subject
    latent_dim: int

    @property
    def noise(self) -> Literal["given", "key", "own"]:
        """Where its noise comes from, by the third parameter of its signature."""
        parameters = self.function.parameters
        if not parameters:  # a wrapper hides them
            return "given" if self._takes_noise else "own"
        if len(parameters) < 3:
            return "own"
        third = parameters[2]
        if third.name.lower() in KEY_NAMES:
            return "key"
        optional = third.default is not third.empty and third.default is not None
        return "own" if optional and third.name.lower() not in NOISE_NAMES else "given"

    @cached_property
    def _takes_noise(self) -> bool:
        zeros = np.zeros((2, self.latent_dim))
        try:
            self.function(zeros, zeros, zeros)
        except UserError:
            return False
        return True

    def with_noise(self, mean: Array, raw: Array, eps: Array, precision: str | None = None) -> Array:
        """z for the given noise."""
        return self._shaped(self.function(mean, raw, eps, precision=precision), mean)

    def std(self, raw: Array) -> Array:
        """σ(raw) for given noise: z at mean 0 and ε = 1."""
        grid = np.repeat(np.resize(raw, BATCH)[:, None], self.latent_dim, axis=1)
        return self.with_noise(np.zeros_like(grid), grid, np.ones_like(grid))[: len(raw), 0]

    def draw(self, mean: Array, raw: Array, seed: int = SEED, precision: str | None = None) -> Array:
        """z for exact noise where it can be handed over, else for noise of its own, seeded where that can be."""
        if self.noise == "given":
            return self.with_noise(mean, raw, self.exact(len(mean)), precision)
        with fixed_noise(self.subject.namespaces, seed):
            return self.draw_on(mean, raw, seed, precision)

    def draw_on(self, mean: Array, raw: Array, seed: int, precision: str | None = None) -> Array:
        """z for noise of its own, its generators left as they stand."""
        return self._shaped(self.function(mean, raw, precision=precision, **self.options(seed)), mean)

    def options(self, seed: int) -> dict[str, Any]:
        """The key or generator that the sampler asks for."""
        return {self.function.parameters[2].name: self._key(seed)} if self.noise == "key" else {}

    def _key(self, seed: int) -> Any:
        kind = self.function.kind[0].name if self.function.kind else self.function.frameworks[0].name
        if self.function.parameters[2].name.lower() == "seed":
            return seed
        if kind == "jax":
            return sys.modules["jax"].random.PRNGKey(seed)
        if kind == "torch":
            return sys.modules["torch"].Generator().manual_seed(seed)
        return np.random.default_rng(seed)

    def exact(self, count: int) -> Array:
        """Noise of mean 0 and variance 1 exactly, in every latent another order."""
        eps, rng = exact_noise(count), np.random.default_rng(SEED)
        return np.stack([rng.permutation(eps) for _ in range(self.latent_dim)], axis=1)

    @property
    def rows(self) -> int:
        """How many data one measurement draws: few where the noise is exact."""
        return BATCH if self.noise == "given" else max(DRAWS // self.latent_dim, 500)

    def constant(self, mean: float, raw: float, count: int) -> tuple[Array, Array]:
        """Arrays of one mean and one raw number."""
        shape = (count, self.latent_dim)
        return np.full(shape, mean), np.full(shape, raw)

    def _shaped(self, z: Array, mean: Array) -> Array:
        if z.shape != mean.shape:
            raise UserError(
                "sample", f"sample returned shape {z.shape} for mean of shape {mean.shape}; required the same"
            )
        return z


@dataclass(frozen=True)
class Trouble:
    """Why z is not μ + σ(raw)·ε, and how to mend it."""

    measured: str
    fix: str


@dataclass(frozen=True)
class SamplerMeasurement:
    """σ(·) on :data:`RAW` with the standard error of its logarithm, or the trouble that kept it from being measured."""

    sampler: Sampler
    std: Array = field(default_factory=lambda: np.ones(len(RAW)))
    error: float = 0.0
    comparisons: int = 0
    trouble: Trouble | None = None

    @property
    def log_std(self) -> Array:
        """Ln σ on :data:`RAW`."""
        return np.log(self.std)

    @property
    def recognition(self) -> Recognition:
        """Which σ(·) it is."""
        core = np.isin(RAW, CORE)
        return recognise(RAW[core], self.log_std[core])

    def std_at(self, raw: Array) -> Array:
        """σ at raw numbers among :data:`RAW`."""
        return np.asarray(self.std[np.searchsorted(RAW, raw)])


def measure_sampler(function: Function, subject: Subject, latent_dim: int) -> SamplerMeasurement:
    """Measure σ(·), exactly where noise can be handed over and statistically where the sampler draws its own."""
    sampler = Sampler(function, subject, latent_dim)
    return _measure_exactly(sampler) if sampler.noise == "given" else _measure_draws(sampler)


# Noise handed over: everything is exact.


def _measure_exactly(sampler: Sampler) -> SamplerMeasurement:
    std = sampler.std(RAW)
    measured = SamplerMeasurement(sampler, std)
    trouble = _exact_trouble(sampler, measured) or _std_trouble(std)
    return SamplerMeasurement(sampler, std, trouble=trouble)


def _exact_trouble(sampler: Sampler, measured: SamplerMeasurement) -> Trouble | None:
    rng = np.random.default_rng(SEED)
    shape = (BATCH, sampler.latent_dim)
    mean, raw, eps = rng.uniform(-2.0, 2.0, shape), rng.choice(CORE, shape), rng.standard_normal(shape)
    z, again = (sampler.with_noise(mean, raw, eps) for _ in range(2))
    if not np.array_equal(z, again):
        return Trouble(
            "two calls with the same ε gave different z: the ε handed over is not the noise used",
            "use the eps argument; draw no noise inside sample(mean, raw, eps)",
        )
    std = measured.std_at(raw)
    if close(z, mean + std * eps):
        return None
    return _location_trouble(sampler, mean, raw) or _noise_trouble(z, mean, std, eps)


def _location_trouble(sampler: Sampler, mean: Array, raw: Array) -> Trouble | None:
    centre = sampler.with_noise(mean, raw, np.zeros_like(mean))
    if close(centre, mean):
        return None
    slope = float((centre * mean).sum() / (mean * mean).sum())
    what = (
        f"{slope:.3g}·mean" if close(centre, slope * mean) else f"up to {np.abs(centre - mean).max():.3g} off the mean"
    )
    return Trouble(f"at ε = 0 the sample is {what}", "return mean + std * eps: with no noise z is the mean")


def _noise_trouble(z: Array, mean: Array, std: Array, eps: Array) -> Trouble:
    used = {
        "the ε of the first datum, for the whole batch": eps[:1],
        "the ε of the last datum, for the whole batch": eps[-1:],
        "the ε of the first latent, for all latents": eps[:, :1],
        "the ε of the last latent, for all latents": eps[:, -1:],
        "one ε for everything": eps[:1, :1],
        "the mean of ε over the batch": eps.mean(axis=0, keepdims=True),
        "the mean of ε over the latents": eps.mean(axis=1, keepdims=True),
        "the mean of all ε": eps.mean(),
        "|ε|": np.abs(eps),
        "ε²": eps**2,
    }
    for name, noise in used.items():
        if close(z, mean + std * noise):
            return Trouble(f"the noise that enters is {name}", "use eps elementwise: every datum and latent its own ε")
    worst = float(np.abs(z - mean - std * eps).max())
    return Trouble(f"z is up to {worst:.3g} off mean + σ(raw)·ε", "return mean + std * eps, elementwise")


def _std_trouble(std: Array) -> Trouble | None:
    """What is wrong with the numbers measured as σ, whatever map they come from."""
    if not np.all(np.isfinite(std)):
        return Trouble(f"σ is not finite at raw = {RAW[~np.isfinite(std)][0]:g}", "keep σ finite for |raw| ≤ 6")
    if np.all(np.abs(std) < 1e-9):
        return Trouble("z does not depend on ε: there is no noise", "return mean + std * eps")
    if np.any(std <= 0.0):
        where, value = RAW[std <= 0.0][-1], std[std <= 0.0][-1]
        return Trouble(
            f"σ({where:g}) = {value:.3g}, but a standard deviation is positive",
            "raw is any real number: take σ = exp(0.5·raw) or softplus(raw)",
        )
    if np.ptp(np.log(std)) < 2e-2:
        return Trouble(f"σ = {std[0]:.3g} whatever raw is: fixed noise", "compute σ from raw: std = exp(0.5·raw)")
    return None


# Noise of its own: statistics, each comparison at the level of randomness.py.


def _measure_draws(sampler: Sampler) -> SamplerMeasurement:
    count = sampler.rows
    trouble = _repetition_trouble(sampler)
    if trouble is None:
        draws = np.stack([sampler.draw(*sampler.constant(0.0, a, count), seed=SEED + i) for i, a in enumerate(RAW)])
        trouble = _sharing_trouble(draws)
    if trouble is not None:
        return SamplerMeasurement(sampler, trouble=trouble)
    std = draws.std(axis=(1, 2))
    error = 1.0 / np.sqrt(2.0 * draws[0].size)
    trouble = _std_trouble(std) or _centre_trouble(sampler, count) or _shape_trouble(draws / std[:, None, None])
    return SamplerMeasurement(sampler, std, error, comparisons=len(RAW) + 3 + 3, trouble=trouble)


def _repetition_trouble(sampler: Sampler) -> Trouble | None:
    mean, raw = sampler.constant(0.0, 0.0, BATCH)
    with fixed_noise(sampler.subject.namespaces):
        first, second = sampler.draw_on(mean, raw, SEED), sampler.draw_on(mean, raw, SEED + 1)
    if not np.array_equal(first, second):
        return None
    if np.ptp(first) == 0.0:
        return Trouble("z is the mean: there is no noise", "return mean + std * eps with eps drawn from N(0, 1)")
    return Trouble(
        "two calls gave the same z: the noise is the same on every call",
        "draw new noise on every call: a fixed key or seed inside sample repeats it (take eps or key as an argument)",
    )


def _sharing_trouble(draws: Array) -> Trouble | None:
    """``draws``: (raw, data, latents), of constant mean and raw."""
    shared = [
        name for name, axis in (("data of the batch", 1), ("latents", 2)) if np.all(np.ptp(draws, axis=axis) == 0.0)
    ]
    if not shared or (draws.shape[2] == 1 and shared == ["latents"]):
        return None
    return Trouble(f"all {' and '.join(shared)} share one ε", "draw eps of the same shape as the mean")


def _centre_trouble(sampler: Sampler, count: int) -> Trouble | None:
    for i, (mean, raw) in enumerate(((0.0, 0.0), (3.0, -2.0), (-5.0, 1.0))):
        z = sampler.draw(*sampler.constant(mean, raw, count), seed=SEED + 100 + i)
        if abs(z.mean() - mean) > CRITICAL * z.std() / np.sqrt(z.size) + 1e-4 * abs(mean):
            return Trouble(
                f"at mean = {mean:g} the samples have mean {z.mean():.4g} and standard deviation {z.std():.3g}",
                "return mean + std * eps with eps from N(0, 1): randn, not rand",
            )
    return None


def _shape_trouble(eps: Array) -> Trouble | None:
    """``eps``: (raw, data, latents) standardised draws; normal in shape, unrelated between data and latents."""
    one = eps[len(eps) // 2]
    if stats.kstest(one.ravel(), "norm").pvalue < LEVEL:
        kurtosis = float(stats.kurtosis(one.ravel()))
        return Trouble(
            f"the noise is not normal (excess kurtosis {kurtosis:.2f}; 0 is normal, -1.2 uniform)",
            "draw eps from N(0, 1): randn, not rand",
        )
    for name, pair in (("neighbouring data", (one[1:], one[:-1])), ("neighbouring latents", (one[:, 1:], one[:, :-1]))):
        correlation = float((pair[0] * pair[1]).mean()) if pair[0].size else 0.0
        if abs(correlation) > CRITICAL / np.sqrt(max(pair[0].size, 1)):
            return Trouble(f"the noise of {name} has correlation {correlation:.2f}", "draw eps of the mean's shape")
    return None
