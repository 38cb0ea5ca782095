"""Missing cells filled in by reparam and by what people use: cells hidden at random, so that the truth is known.

Numbers are scored by the root mean square error in units of their column's deviation, levels by the share that is
right, both over hidden cells alone. Rivals see levels as zeros and a one, and numbers standardised by what is seen. The
same cells are hidden from all of them; a further seed hides others, and the error beside a mean is that over seeds.

    python -m benchmarks.tables DATA.csv.gz… --hidden 0.1,0.3,0.5 --seeds 3 --rows 2000
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from benchmarks.imputers import forests, miwae
from reparam import VAE
from reparam.data import Column, Dataset, load

Rows = NDArray[Any]
Impute = Callable[[Dataset, int], Rows]


def hidden(data: Dataset, share: float, seed: int) -> Dataset:
    """The data with so large a share of their cells hidden; each row and each column keeps one at least."""
    rng = np.random.default_rng(seed)
    gone = rng.random(data.rows.shape) < share
    gone[np.arange(len(gone)), rng.integers(gone.shape[1], size=len(gone))] = False
    gone[rng.integers(len(gone), size=gone.shape[1]), np.arange(gone.shape[1])] = False
    return Dataset(np.where(gone, np.nan, np.asarray(data.rows, np.float64)), data.schema)


def columns_of(data: Dataset) -> tuple[Column, ...]:
    """What each column is; of numbers of one kind, a number."""
    table = data.schema.table
    return table or tuple(Column(str(place), "real", "gaussian") for place in range(data.schema.size))


def spread_out(data: Dataset) -> tuple[NDArray[np.float64], list[NDArray[np.intp]], Rows, Rows]:
    """Rows as rivals see them, the places of each column there, and the mean and deviation of each column."""
    columns, rows = columns_of(data), data.rows
    mean, std = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    parts: list[Rows] = []
    for values, column, centre, scale in zip(rows.T, columns, mean, std, strict=True):
        if column.is_coded and column.levels is not None:
            bits = (values[:, None] == np.arange(len(column.levels))).astype(float)
            parts.append(np.where(np.isnan(values)[:, None], np.nan, bits))
        else:
            parts.append(((values - centre) / (scale or 1.0))[:, None])
    ends = np.cumsum([0, *(part.shape[1] for part in parts)])
    places = [np.arange(start, end) for start, end in pairwise(ends)]
    return np.concatenate(parts, axis=1), places, mean, std


Complete = Callable[[Rows, list[NDArray[np.intp]], int], Rows]
"""Rows as rivals see them with holes, the places of each column, a seed → rows without."""


def by(complete: Complete) -> Impute:
    """What completes rows as rivals see them, as a way to complete a table; a column without a cell has zeros."""

    def impute(data: Dataset, seed: int) -> Rows:
        x, places, mean, std = spread_out(data)
        whole = complete(x, places, seed)
        made = np.empty_like(data.rows)
        for place, column in enumerate(columns_of(data)):
            part = whole[:, places[place]]
            made[:, place] = part.argmax(axis=1) if column.is_coded else part[:, 0] * std[place] + mean[place]
        return made

    return impute


def by_sklearn(imputer: Callable[[int], Any]) -> Impute:
    """An imputer of scikit-learn."""
    return by(lambda x, places, seed: imputer(seed).set_params(keep_empty_features=True).fit_transform(x))


def by_hyperimpute(x: Rows, places: list[NDArray[np.intp]], seed: int) -> Rows:
    """HyperImpute with its defaults."""
    from hyperimpute.plugins.imputers import Imputers

    return np.asarray(Imputers().get("hyperimpute", random_state=seed).fit_transform(x.copy()), float)


def reparam_by(**settings: Any) -> Impute:
    """reparam with its defaults but for what is said."""

    def impute(data: Dataset, seed: int) -> Rows:
        vae = VAE(random_state=seed, **settings).fit_dataset(data)
        filled: Rows = vae.impute(data)
        return filled

    return impute


METHODS: dict[str, Impute] = {
    "mean or mode": by_sklearn(lambda seed: SimpleImputer()),
    "k-NN": by_sklearn(lambda seed: KNNImputer(n_neighbors=10)),
    "iterative ridge": by_sklearn(lambda seed: IterativeImputer(max_iter=10, random_state=seed)),
    "forests": by(forests),
    "MIWAE": by(lambda x, places, seed: miwae(x, seed)),
    "HyperImpute": by(by_hyperimpute),
    "reparam": reparam_by(),
    "reparam, 8 latents": reparam_by(latent_dim=8),
    "reparam, 8 latents, iwae:5": reparam_by(latent_dim=8, objective="iwae:5", hidden=(128, 128)),
    "reparam, auto": reparam_by(latent_dim="auto"),
}


def scores(truth: Dataset, given: Dataset, made: Rows) -> dict[str, float]:
    """The error of numbers and the accuracy of levels over the cells that were hidden."""
    gone = np.isnan(given.rows) & ~np.isnan(truth.rows)
    coded = np.array([column.is_coded for column in columns_of(truth)])
    std = np.nanstd(truth.rows, axis=0)
    error = (made - truth.rows) / np.where(std > 0, std, 1.0)
    found = {"rmse": gone & ~coded, "accuracy": gone & coded}
    values = {"rmse": float(np.sqrt(np.mean(error[found["rmse"]] ** 2))) if found["rmse"].any() else np.nan}
    right = made[found["accuracy"]] == truth.rows[found["accuracy"]]
    return {**values, "accuracy": float(np.mean(right)) if right.size else np.nan}


def measure(source: str, shares: list[float], seeds: int, rows: int, methods: list[str]) -> list[dict[str, Any]]:
    """A line for each method and share: means and their standard errors over seeds, and seconds of one run."""
    data = load(source)
    chosen = np.random.default_rng(0).permutation(len(data.rows))[:rows]
    data = Dataset(np.asarray(data.rows[np.sort(chosen)], np.float64), data.schema.of(np.zeros((1, 1))))
    lines = []
    for share in shares:
        for name in methods:
            found, started = [], time.perf_counter()
            try:
                for seed in range(seeds):
                    given = hidden(data, share, seed)
                    found.append(scores(data, given, METHODS[name](given, seed)))
            except ImportError as error:
                print(f"{name}: left out, {error.name} is not installed", file=sys.stderr)
                continue
            seconds = (time.perf_counter() - started) / seeds
            table = {key: np.array([line[key] for line in found]) for key in found[0]}
            told = {key: round(float(values.mean()), 4) for key, values in table.items()}
            errors = {
                f"{key}_error": round(float(v.std(ddof=1) / seeds**0.5), 4) if seeds > 1 else None
                for key, v in table.items()
            }
            line = {"data": source.rpartition("/")[2], "hidden": share, "method": name, **told, **errors}
            lines.append({**line, "seconds": round(seconds, 1)})
            print(json.dumps(lines[-1], ensure_ascii=False), file=sys.stderr, flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--hidden", default="0.1,0.3,0.5")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--methods", default=",".join(METHODS).replace("reparam, ", "reparam; "))
    chosen = parser.parse_args()
    methods = [name.replace(";", ",") for name in chosen.methods.split(",")]
    shares = [float(share) for share in chosen.hidden.split(",")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines = [line for source in chosen.data for line in measure(source, shares, chosen.seeds, chosen.rows, methods)]
    print(json.dumps(lines, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
