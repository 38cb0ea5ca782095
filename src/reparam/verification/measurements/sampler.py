"""What a sampler does: z = μ + σ(raw)·ε or not, and which σ(·).

The noise is held: handed over, or repeated by seeding every generator anew for each call. Then σ(raw) is read off
exactly, up to the size of ε, for which alone a sampler with noise of its own needs statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reparam.verification.arrays import Array
from reparam.verification.functions import Function, UserError
from reparam.verification.measurements.terms import BATCH, close
from reparam.verification.oracle import CORE, Recognition, exact_noise, not_normal, recognise
from reparam.verification.randomness import CRITICAL, LEVEL, SEED, fixed_noise
from reparam.verification.readings import Namespaces

RAW = np.array([-6.0, -4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 6.0])
"""Raw numbers at which σ(·) is measured; they contain those of the core."""

REFERENCE = 1.0
"""The raw number at which ε is measured: σ is not zero there even where the exponential was forgotten."""

DRAWS = 60_000
"""How many numbers a sampler with noise of its own draws to show the size and shape of ε."""


@dataclass(frozen=True)
class Trouble:
    """Why z is not μ + σ(raw)·ε, and how to mend it."""

    measured: str
    fix: str


@dataclass
class SamplerMeasurement:
    """The user's ``sample`` and what it was seen to do."""

    function: Function
    namespaces: Namespaces

    @property
    def latent_dim(self) -> int:
        """D."""
        return self.function.call.layout.latent_dim

    @property
    def given(self) -> bool:
        """Whether ε is handed over."""
        return "eps" in self.function.call.takes

    @property
    def comparisons(self) -> int:
        """How many random comparisons are made."""
        return 0 if self.given else 6

    @property
    def error(self) -> float:
        """Standard error of ln σ."""
        return 0.0 if self.given else 1.0 / np.sqrt(2.0 * self.rows * self.latent_dim)

    @property
    def rows(self) -> int:
        """How many data the large draw has; a sampler of one batch size draws that often."""
        return max(DRAWS // self.latent_dim, 500)

    @cached_property
    def batch(self) -> int:
        """The number of data of a call: 32, or the only one that the sampler takes."""
        try:
            self.draw(*self.constant(0.0, 0.0, BATCH))
        except UserError:
            return self.function.call.layout.count
        return BATCH

    def draw(
        self, mean: Array, raw: Array, eps: Array | None = None, seed: int = SEED, precision: str | None = None
    ) -> Array:
        """z for the noise handed over (by default exact), else for noise of its own with every generator seeded."""
        arrays = [mean, raw]
        if self.given:
            arrays.append(self.exact(len(mean)) if eps is None else eps)
        self.function.call.seed = seed
        with fixed_noise(self.namespaces, seed):
            return self._shaped(self.function(*arrays, precision=precision), mean)

    def exact(self, count: int) -> Array:
        """Noise of mean 0 and variance 1 exactly, in every latent another order."""
        eps, rng = exact_noise(count), np.random.default_rng(SEED)
        return np.stack([rng.permutation(eps) for _ in range(self.latent_dim)], axis=1)

    def constant(self, mean: float, raw: float, count: int) -> tuple[Array, Array]:
        """Arrays of one mean and one raw number."""
        shape = (count, self.latent_dim)
        return np.full(shape, mean), np.full(shape, raw)

    def _shaped(self, z: Array, mean: Array) -> Array:
        if z.shape != mean.shape:
            text = f"sample returned shape {z.shape} for mean of shape {mean.shape}; required the same"
            raise UserError("sample", text)
        return z

    def std_of(self, raw: Array) -> Array:
        """σ at these raw numbers; NaN where the noise does not enter as one factor."""
        ones = np.ones((self.batch, self.latent_dim))
        at = [self.draw(0.0 * ones, np.full_like(ones, a), ones) for a in raw]
        if self.given:
            return np.array([z[0, 0] for z in at])
        return np.array([_common_ratio(z, self._held) for z in at]) * self._size

    @cached_property
    def _held(self) -> Array:
        """z at mean 0 and the reference: σ there times the ε that every call repeats."""
        return self.draw(*self.constant(0.0, REFERENCE, self.batch))

    @cached_property
    def large(self) -> Array:
        """Many draws at mean 0 and the reference."""
        if self.batch == BATCH:
            return self.draw(*self.constant(0.0, REFERENCE, self.rows))
        times = self.rows // self.batch + 1
        draws = [self.draw(*self.constant(0.0, REFERENCE, self.batch), seed=SEED + i) for i in range(times)]
        return np.concatenate(draws)

    @property
    def _size(self) -> float:
        """σ at the reference, by the spread of many draws."""
        return float(self.large.std())

    @cached_property
    def std(self) -> Array:
        """σ on :data:`RAW`."""
        return self.std_of(RAW)

    @property
    def log_std(self) -> Array:
        """Ln σ on :data:`RAW`."""
        with np.errstate(all="ignore"):
            return np.log(self.std)

    @property
    def recognition(self) -> Recognition:
        """Which σ(·) it is."""
        core = np.isin(RAW, CORE)
        return recognise(RAW[core], self.log_std[core])

    def std_at(self, raw: Array) -> Array:
        """σ at raw numbers among :data:`RAW`."""
        return np.asarray(self.std[np.searchsorted(RAW, raw)])

    @cached_property
    def trouble(self) -> Trouble | None:
        """What keeps z from being μ + σ(raw)·ε, the nearest cause first."""
        troubles = (self._repetition, self._sharing, self._shape, self._std, self._location)
        return next((found for find in troubles if (found := find()) is not None), None)

    @cached_property
    def held(self) -> bool:
        """Whether the same noise can be had twice."""
        mean, raw = self.constant(0.0, REFERENCE, self.batch)
        return bool(np.array_equal(self.draw(mean, raw), self.draw(mean, raw)))

    def _repetition(self) -> Trouble | None:
        mean, raw = self.constant(0.0, REFERENCE, self.batch)
        if self.given:
            if self.held:
                return None
            return Trouble(
                "two calls with the same ε gave different z: the ε handed over is not the noise used",
                "use the eps argument; draw no noise inside sample(mean, raw, eps)",
            )
        with fixed_noise(self.namespaces):
            self.function.call.seed = SEED
            first = self.function(mean, raw)
            self.function.call.seed = SEED + 1
            second = self.function(mean, raw)
        if not np.array_equal(first, second):
            return None
        if np.ptp(first) == 0.0:
            return Trouble("z is the mean: there is no noise", "return mean + std * eps with eps drawn from N(0, 1)")
        return Trouble(
            "two calls gave the same z: the noise is the same on every call",
            "draw new noise on every call: a fixed key or seed inside sample repeats it (take eps or a key)",
        )

    def _sharing(self) -> Trouble | None:
        if self.given:
            return None
        shared = [
            n for n, axis in (("data of the batch", 0), ("latents", 1)) if np.all(np.ptp(self._held, axis=axis) == 0.0)
        ]
        if not shared or (self.latent_dim == 1 and shared == ["latents"]):
            return None
        return Trouble(f"all {' and '.join(shared)} share one ε", "draw eps of the same shape as the mean")

    def _shape(self) -> Trouble | None:
        """Many draws: centred, normal in shape, unrelated between data and latents."""
        if self.given:
            return None
        eps = self.large / self._size
        if abs(eps.mean()) > CRITICAL / np.sqrt(eps.size):
            return Trouble(
                f"at mean 0 the samples have mean {self.large.mean():.4g} and standard deviation {self._size:.3g}",
                "return mean + std * eps with eps from N(0, 1): randn, not rand",
            )
        if not_normal(eps) < LEVEL:
            kurtosis = float((eps**4).mean() / (eps**2).mean() ** 2 - 3.0)
            return Trouble(
                f"the noise is not normal (excess kurtosis {kurtosis:.2f}; 0 is normal, -1.2 uniform)",
                "draw eps from N(0, 1): randn, not rand",
            )
        for name, pair in (("data", (eps[1:], eps[:-1])), ("latents", (eps[:, 1:], eps[:, :-1]))):
            correlation = float((pair[0] * pair[1]).mean()) if pair[0].size else 0.0
            if abs(correlation) > CRITICAL / np.sqrt(max(pair[0].size, 1)):
                measured = f"the noise of neighbouring {name} has correlation {correlation:.2f}"
                return Trouble(measured, "draw eps of the mean's shape")
        return None

    def _std(self) -> Trouble | None:
        """What is wrong with the numbers measured as σ, whatever map they come from."""
        std = self.std
        if not np.all(np.isfinite(std)):
            if self.given or np.isinf(std).any():
                return Trouble(f"σ is not finite at raw = {RAW[~np.isfinite(std)][0]:g}", "keep σ finite for |raw| ≤ 6")
            return Trouble("the noise does not enter as one factor σ(raw)·ε", "return mean + std * eps, elementwise")
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

    def _location(self) -> Trouble | None:
        rng, shape = np.random.default_rng(SEED), (self.batch, self.latent_dim)
        mean, raw = rng.uniform(-2.0, 2.0, shape), rng.choice(CORE, shape)
        eps = rng.standard_normal(shape) if self.given else self._held / self._size
        z, std = self.draw(mean, raw, eps), self.std_at(raw)
        if close(z, mean + std * eps):
            return None
        return self._off_mean(mean, raw, z - std * eps) or _noise_trouble(z, mean, std, eps)

    def _off_mean(self, mean: Array, raw: Array, rest: Array) -> Trouble | None:
        """``rest``: z without σ·ε."""
        centre = self.draw(mean, raw, 0.0 * mean) if self.given else rest
        if close(centre, mean):
            return None
        slope = float((centre * mean).sum() / (mean * mean).sum())
        worst = np.abs(centre - mean).max()
        what = f"{slope:.3g}·mean" if close(centre, slope * mean) else f"up to {worst:.3g} off the mean"
        return Trouble(f"at ε = 0 the sample is {what}", "return mean + std * eps: with no noise z is the mean")


def _common_ratio(z: Array, reference: Array) -> float:
    """z as a multiple of the reference, where one number is."""
    with np.errstate(all="ignore"):
        ratio = float((z * reference).sum() / (reference * reference).sum())
    return ratio if np.all(np.abs(z - ratio * reference) <= 2e-3 * (np.abs(z).max() + 1e-30)) else float("nan")


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
