"""Synthetic tables by reparam and by what people use: how like the data they are, and what can be learned from them.

SDMetrics' quality score is the mean of how well the columns' marginals and the pairs' dependences are met, 1 at best.
The other score is the accuracy, on real rows that nobody was shown, of a gradient-boosted classifier trained on as many
synthetic rows as there were real ones; beside it stands that of one trained on the real ones. Rivals are those of the
package ctgan (TVAE, CTGAN) and a Gaussian copula of copulas, on rows without missing cells, as they ask for; reparam
has its defaults but for what its name says. The rivals and sdmetrics are no requirements of reparam: without ctgan or
copulas their lines are left out.

    python -m benchmarks.synthesis TRAIN.csv.gz TEST.csv.gz --target column_14 --rows 5000 --epochs 300
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

Make = Callable[[pd.DataFrame, int], Callable[[int], pd.DataFrame]]
"""Real rows and epochs → what draws so many synthetic ones."""


def by_reparam(**settings: Any) -> Make:
    def make(real: pd.DataFrame, epochs: int) -> Callable[[int], pd.DataFrame]:
        from reparam import VAE

        vae = VAE(random_state=0, **settings).fit(real)
        return lambda count: vae.sample(count, random_state=1)

    return make


def by_ctgan(name: str) -> Make:
    def make(real: pd.DataFrame, epochs: int) -> Callable[[int], pd.DataFrame]:
        import ctgan
        import torch

        torch.manual_seed(0)
        np.random.seed(0)  # ctgan draws by the global generator
        more = {} if name == "TVAE" else {"enable_gpu": False}
        model = getattr(ctgan, name)(epochs=epochs, **more)
        model.fit(real, discrete_columns=texts(real))
        return model.sample

    return make


def by_copula(real: pd.DataFrame, epochs: int) -> Callable[[int], pd.DataFrame]:
    """Levels are numbers drawn from parts of the unit interval, each as wide as the level is frequent."""
    from copulas.multivariate import GaussianMultivariate

    rng, edges, numbers = np.random.default_rng(0), {}, real.copy()
    for name in texts(real):
        shares = real[name].value_counts(normalize=True)
        ends = shares.cumsum()
        edges[name] = ends
        numbers[name] = ends[real[name]].to_numpy() - shares[real[name]].to_numpy() * rng.random(len(real))
    model = GaussianMultivariate(random_state=0)
    model.fit(numbers.astype(float))

    def draw(count: int) -> pd.DataFrame:
        made = model.sample(count)
        for name, ends in edges.items():
            codes = np.clip(np.searchsorted(ends.to_numpy(), made[name]), 0, len(ends) - 1)
            made[name] = ends.index.to_numpy()[codes]
        for name in set(made) - set(edges):
            made[name] = made[name].clip(real[name].min(), real[name].max()).round()
        return made

    return draw


METHODS: dict[str, Make] = {
    "reparam": by_reparam(),
    "reparam, 8 latents": by_reparam(latent_dim=8),
    "GaussianCopula": by_copula,
    "TVAE": by_ctgan("TVAE"),
    "CTGAN": by_ctgan("CTGAN"),
}


def texts(table: pd.DataFrame) -> list[str]:
    """The columns of text."""
    return [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]


def quality(real: pd.DataFrame, made: pd.DataFrame) -> float:
    """SDMetrics' quality score."""
    from sdmetrics.reports.single_table import QualityReport

    kinds = {name: {"sdtype": "categorical" if name in texts(real) else "numerical"} for name in real}
    report = QualityReport()
    report.generate(real, made[list(real)], {"columns": kinds}, verbose=False)
    return float(report.get_score())


def accuracy(train: pd.DataFrame, test: pd.DataFrame, target: str) -> float:
    """Of a classifier that was trained on the one and is asked of the other."""
    coded = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((coded, texts(train.drop(columns=target))), remainder="passthrough")
    classifier = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=100, random_state=0))
    classifier.fit(train.drop(columns=target), train[target])
    return float(classifier.score(test.drop(columns=target)[list(train.columns.drop(target))], test[target]))


def read(path: str, rows: int) -> pd.DataFrame:
    """Rows without missing cells, so many of them drawn at random."""
    table = pd.read_csv(path, header=None, na_values="?", skipinitialspace=True)
    table.columns = [f"column_{place}" for place in table.columns]
    table[texts(table)] = table[texts(table)].apply(lambda cells: cells.str.rstrip("."))  # as one file of adult ends
    whole = table.dropna().reset_index(drop=True)
    return whole.sample(min(rows, len(whole)), random_state=0).reset_index(drop=True)


def measure(train: pd.DataFrame, test: pd.DataFrame, target: str, name: str, epochs: int) -> dict[str, Any]:
    """Both scores of a method, and the processor's seconds of training and drawing."""
    started = time.process_time()
    draw = METHODS[name](train, epochs)
    trained = time.process_time()
    made = draw(len(train))
    seconds = {"training": round(trained - started, 1), "drawing": round(time.process_time() - trained, 1)}
    made = made.astype({column: train[column].dtype for column in texts(train)})
    return {
        "method": name,
        "quality": round(quality(train, made), 4),
        "accuracy": round(accuracy(made, test, target), 4),
        "processor_seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--target", required=True)
    parser.add_argument("--rows", type=int, default=10**9)
    parser.add_argument("--epochs", type=int, default=300, help="of TVAE and CTGAN; reparam tells by itself")
    parser.add_argument("--methods", default=";".join(METHODS))
    chosen = parser.parse_args()
    train, test = read(chosen.train, chosen.rows), read(chosen.test, 10**9)
    print(json.dumps({"rows": len(train), "real": round(accuracy(train, test, chosen.target), 4)}), flush=True)
    for name in chosen.methods.split(";"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                line = measure(train, test, chosen.target, name, chosen.epochs)
            except ImportError as error:
                line = {"method": name, "left out": str(error)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
