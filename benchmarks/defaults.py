"""``VAE(latent_dim=K).fit(X)``, with no other argument, beside what people use today, on rows that none of them saw.

Tables of real numbers are those of scikit-learn, digits with uniform noise on their whole numbers; all are standardised
by the training rows, so that every method meets the same numbers, and the mean log-density of 30 % held-out rows is
compared in nats. ``--stress`` gives the VAE the same rows in other units, of other centres, few of them, or many, and
more latents than are useful; its score is carried back by the Jacobian. Counts and bits stand beside independent
features and a restricted Boltzmann machine, whose normalising constant is summed over all states of its hidden units.

    python -m benchmarks.defaults --json
    python -m benchmarks.defaults --data iris,wine --splits 2 --methods vae,pca,factor_analysis
    python -m benchmarks.defaults --ablate --splits 3
    python -m benchmarks.defaults --picture docs/images/defaults.png < results.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

from benchmarks import rivals
from benchmarks.rivals import BOUND_SAMPLES, Rows
from benchmarks.startup import measure
from reparam import VAE

Score = Callable[[Rows, Rows, int, int], float]  # train, test, latents, seed → mean log-density of test, nats

HELD_OUT = 0.3


@dataclass(frozen=True)
class Result:
    """A method on a table: the mean over splits, the standard error of that mean, and seconds for a fit and its score.

    ``against_best_linear`` is the mean over splits of what it has over the better of PCA and FactorAnalysis.
    """

    data: str
    latents: int
    method: str
    log_density: float
    standard_error: float
    against_best_linear: float | None
    against_standard_error: float | None
    seconds: float
    splits: int


# ---- data


def dequantised_digits() -> Rows:
    x = datasets.load_digits().data
    return x + np.random.default_rng(0).random(x.shape)


def curved(rows: int) -> Rows:
    """Eight features of two latents through a tanh: more rows than the tables of scikit-learn have."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(rows, 2))
    return np.tanh(z @ rng.normal(size=(2, 16))) @ rng.normal(size=(16, 8)) + 0.3 * rng.normal(size=(rows, 8))


REAL: dict[str, Callable[[], Rows]] = {
    "iris": lambda: datasets.load_iris().data,
    "wine": lambda: datasets.load_wine().data,
    "breast_cancer": lambda: datasets.load_breast_cancer().data,
    "diabetes": lambda: datasets.load_diabetes().data,
    "digits": dequantised_digits,
    "hundred_thousand": lambda: curved(100_000),
}
LATENTS = {"iris": (2,), "hundred_thousand": (2,)}
DISCRETE: dict[str, Callable[[], Rows]] = {
    "digit_counts": lambda: datasets.load_digits().data.astype(np.int64),
    "digit_bits": lambda: (datasets.load_digits().data > 8).astype(np.float64),
}
UNITS: dict[str, Callable[[int], tuple[Any, Any]]] = {  # P → scale and shift
    "times_1000": lambda _: (1e3, 0.0),
    "plus_10000": lambda _: (1.0, 1e4),
    "mixed_units": lambda size: (np.geomspace(1e-4, 1e4, size), np.linspace(-1e3, 1e3, size)),
}


def latents_of(name: str) -> tuple[int, ...]:
    """How many latents a table of real numbers is given; none where it is not one of them."""
    return LATENTS.get(name, (2, 5)) if name in REAL else ()


def split(x: Rows, seed: int, rows: int | None = None) -> tuple[Rows, Rows]:
    """Training rows, ``rows`` of them where it is given, and rows held out."""
    size = {"test_size": HELD_OUT} if rows is None else {"train_size": rows}
    train, test = train_test_split(x, random_state=seed, **size)
    return train, test


def standardised(train: Rows, test: Rows) -> tuple[Rows, Rows]:
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = np.where(std > 0, std, 1.0)
    return (train - mean) / std, (test - mean) / std


# ---- methods for real numbers


def score_vae(train: Rows, test: Rows, latents: int, seed: int) -> float:
    """With every default; more draws than the default make the bound tight."""
    return score_varied(train, test, latents, seed, {})


REAL_METHODS: dict[str, Score] = {
    "vae": score_vae,
    "pca": rivals.pca,
    "factor_analysis": rivals.factor_analysis,
    "gaussian_mixture": rivals.mixture,
    "kernel_density": rivals.kernels,
    **({"pythae": rivals.pythae} if find_spec("pythae") else {}),
}


DISCRETE_METHODS: dict[str, dict[str, Score]] = {
    "digit_counts": {
        "vae": score_vae,
        "independent_poisson": rivals.independent_counts,
        "independent_negative_binomial": rivals.independent_dispersed,
    },
    "digit_bits": {
        "vae": score_vae,
        "independent_bernoulli": rivals.independent_bits,
        "restricted_boltzmann": rivals.boltzmann,
    },
}


# ---- what is measured


def compare(
    data: str, latents: int, splits: list[tuple[Rows, Rows]], methods: dict[str, Score], linear: tuple[str, ...] = ()
) -> Iterator[Result]:
    """Every method on every split; the best linear one of each split is what the others are held against."""
    scores: dict[str, list[float]] = {}
    seconds = {}
    for name, score in methods.items():
        started = time.perf_counter()
        scores[name] = [score(train, test, latents, seed) for seed, (train, test) in enumerate(splits)]
        seconds[name] = (time.perf_counter() - started) / len(splits)
    best = np.max([scores[name] for name in linear if name in scores], axis=0) if set(linear) & set(scores) else None
    for name, values in scores.items():
        mean, error = mean_and_error(values)
        ahead, ahead_error = (None, None) if best is None else mean_and_error(np.asarray(values) - best)
        yield Result(data, latents, name, mean, error, ahead, ahead_error, round(seconds[name], 2), len(splits))


def mean_and_error(values: Any) -> tuple[float, float]:
    """The mean, and its standard error; NaN for one value."""
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(values.mean()), float(error)


LINEAR = ("pca", "factor_analysis")


def real_tables(names: list[str], count: int, methods: dict[str, Score], latents: list[int] | None) -> Iterator[Result]:
    for name in names:
        x = REAL[name]()
        splits = [standardised(*split(x, seed)) for seed in range(count)]
        chosen = {key: methods[key] for key in methods if len(x) < 20_000 or key in ("vae", *LINEAR)}
        for k in latents or latents_of(name):
            yield from compare(name, k, splits, chosen, LINEAR)


def stress(count: int) -> Iterator[Result]:
    """The same rows in other units and of other centres, few rows, and more latents than are useful."""
    x = REAL["iris"]()
    plain = [standardised(*split(x, seed)) for seed in range(count)]
    for name, units in UNITS.items():
        scale, shift = units(x.shape[1])
        jacobian = float(np.sum(np.log(np.broadcast_to(scale, x.shape[1]))))
        moved = [(train * scale + shift, test * scale + shift) for train, test in plain]
        yield from compare(f"iris_{name}", 2, moved, {"vae": lambda *a, j=jacobian: score_vae(*a) + j})
    linear = {"vae": score_vae, "pca": rivals.pca, "factor_analysis": rivals.factor_analysis}
    for name, rows, k in (("iris", None, 4), ("wine", None, 10), ("wine", 50, 2), ("breast_cancer", 50, 5)):
        splits = [standardised(*split(REAL[name](), seed, rows)) for seed in range(count)]
        yield from compare(name if rows is None else f"{name}_{rows}_rows", k, splits, linear, LINEAR)


ABLATED = {"iris": 2, "wine": 5, "breast_cancer": 5, "diabetes": 5, "twenty_thousand": 2}
ABLATIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "start=random": {"start": "random"},
    "epochs=50": {"epochs": 50},
    "epochs=1000": {"epochs": 1000},
    "early_stopping, epochs=1000": {"early_stopping": True, "validation_fraction": 0.2, "epochs": 1000},
    "likelihood=gaussian": {"likelihood": "gaussian"},
    "hidden=32,32": {"hidden": (32, 32)},
    "hidden=128,128": {"hidden": (128, 128)},
    "activation=relu": {"activation": "relu"},
    "activation=tanh": {"activation": "tanh"},
    "learning_rate=0.001": {"learning_rate": 1e-3},
    "schedule=constant": {"schedule": "constant"},
    "schedule=constant:50": {"schedule": "constant:50"},
    "clip_norm=0": {"clip_norm": 0.0},
    "average=ema:0.98": {"average": "ema:0.98"},
    "optimizer=adamw:0.1": {"optimizer": "adamw:0.1"},
    "warmup=linear:5": {"warmup": "linear:5"},
    "objective=iwae:5": {"objective": "iwae:5"},
}


def score_varied(train: Rows, test: Rows, latents: int, seed: int, settings: dict[str, Any]) -> float:
    vae = VAE(latent_dim=latents, random_state=seed, **settings).fit(train)
    return float(vae.score_samples(test, samples=BOUND_SAMPLES).mean())


def ablations(count: int) -> Iterator[Result]:
    """The defaults with one of them changed, beside what they begin at."""
    linear = {name: REAL_METHODS[name] for name in LINEAR}
    varied = {name: partial(score_varied, settings=settings) for name, settings in ABLATIONS.items()}
    for name, k in ABLATED.items():
        x = curved(100_000)[:20_000] if name == "twenty_thousand" else REAL[name]()
        splits = [standardised(*split(x, seed)) for seed in range(count)]
        yield from compare(name, k, splits, {**linear, **varied}, LINEAR)


def discrete_tables(count: int) -> Iterator[Result]:
    for name, load in DISCRETE.items():
        splits = [split(load(), seed) for seed in range(count)]
        for k in (2, 5):
            yield from compare(name, k, splits, DISCRETE_METHODS[name])


def told(result: Result) -> str:
    ahead = "" if result.against_best_linear is None else f"   {result.against_best_linear:+8.3f}"
    score = f"{result.log_density:10.3f} ± {result.standard_error:5.3f}"
    return f"{result.data:24s}{result.latents:3d}  {result.method:30s}{score}{ahead}   {result.seconds:7.2f} s"


SHOWN = {
    "vae": ("reparam.VAE", "#0072B2"),
    "gaussian_mixture": ("GaussianMixture, chosen by folds", "#888888"),
    "kernel_density": ("KernelDensity, chosen by folds", "#BBBBBB"),
    "pythae": ("Pythae's VAE", "#D55E00"),
}
LOWEST = -6.0


def draw(results: list[dict[str, Any]], file: str) -> None:
    """What each method has over the better of PCA and FactorAnalysis on each table, with standard errors."""
    from matplotlib.figure import Figure

    told = [result for result in results if result["latents"] in latents_of(result["data"])]
    tables = list(dict.fromkeys((result["data"], result["latents"]) for result in told))
    methods = [name for name in SHOWN if any(result["method"] == name for result in told)]
    figure = Figure(figsize=(9.0, 4.2), dpi=130, layout="constrained", facecolor="white")
    axes = figure.subplots()
    width = 0.8 / len(methods)
    for place, method in enumerate(methods):
        of = {(r["data"], r["latents"]): r for r in told if r["method"] == method}
        there = [(index, of[table]) for index, table in enumerate(tables) if table in of]
        heights = [max(result["against_best_linear"], LOWEST) for _, result in there]
        errors = [result["against_standard_error"] for _, result in there]
        label, colour = SHOWN[method]
        axes.bar([i + (place + 0.5) * width - 0.4 for i, _ in there], heights, width, color=colour, label=label)
        axes.errorbar(
            [i + (place + 0.5) * width - 0.4 for i, _ in there], heights, errors, fmt="none", ecolor="#222222"
        )
    axes.axhline(0.0, color="#222222", linewidth=1.0)
    axes.set_xticks(
        range(len(tables)), ["{}\nK = {}".format(data.replace("_", "\n"), k) for data, k in tables], fontsize=8
    )
    axes.set_ylabel("nats per held-out row")
    axes.set_title(
        f"Held-out log-likelihood, less the better of PCA and FactorAnalysis (bars end at {LOWEST:g})", fontsize=11
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="tables, by commas; all of them, and counts and bits, by default")
    parser.add_argument("--latents", help="numbers of latents, by commas")
    parser.add_argument("--methods", default=",".join(REAL_METHODS), help="by commas")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--stress", action="store_true", help="only other units, few rows and too many latents")
    parser.add_argument("--ablate", action="store_true", help="only the defaults with one of them changed")
    parser.add_argument("--picture", help="draw the results that come as JSON on standard input to this file")
    parser.add_argument("--no-seconds", action="store_true", help="leave out the whole processes")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.picture:
        draw(json.load(sys.stdin)["results"], arguments.picture)
        return
    warnings.simplefilter("ignore")
    names = arguments.data.split(",") if arguments.data else list(REAL)
    latents = [int(k) for k in arguments.latents.split(",")] if arguments.latents else None
    methods = {name: REAL_METHODS[name] for name in arguments.methods.split(",")}
    results = []

    def measured() -> Iterator[Result]:
        if arguments.ablate:
            yield from ablations(arguments.splits)
            return
        if not arguments.stress:
            yield from real_tables([name for name in names if name in REAL], arguments.splits, methods, latents)
        if arguments.stress or not arguments.data:
            yield from stress(arguments.splits)
        if not arguments.stress and (not arguments.data or set(names) & set(DISCRETE)):
            yield from discrete_tables(arguments.splits)

    for result in measured():
        results.append(asdict(result))
        print(told(result), file=sys.stderr if arguments.json else sys.stdout, flush=True)
    seconds = [] if arguments.no_seconds else [asdict(found) for found in measure(["fit", "fit cold"], processes=1)]
    document = {"results": results, "iris_process": seconds}
    print(json.dumps(document, indent=2) if arguments.json else seconds)


if __name__ == "__main__":
    main()
