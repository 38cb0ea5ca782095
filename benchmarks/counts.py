"""Counts of single cells by reparam and by what people use: how well new cells are explained, and what codes tell.

Of a file with arrays x (cells × genes) and y (types) the genes that vary most are kept, by the variance of ln(1 + x),
and a fifth of the cells is held out. Likelihoods are nats per held-out cell, of reparam and scVI the bound of 100
draws. scVI is given the sum of each cell, so that its density is ln p(x|ℓ), as that of `negative_binomial:observed` is;
`negative_binomial` and the Poisson factor model say ln p(x), which is less. Codes are judged by the accuracy of 15
nearest neighbours (held-out cells by the others), and by the adjusted Rand index of k-means with as many clusters as
there are types. scvi-tools is no requirement of reparam: without it its line is left out.

    python -m benchmarks.counts CELLS.npz --genes 1000 --latents 10
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier

Counts = NDArray[Any]
DRAWS, NEIGHBOURS = 100, 15


class Found(NamedTuple):
    """Codes of training and held-out cells, and nats per held-out cell where the method has a density."""

    train: NDArray[Any]
    test: NDArray[Any]
    log_likelihood: float | None


Fit = Callable[[Counts, Counts, int, int], Found]
"""Training and held-out cells, latents, and the epochs of those that do not tell by themselves."""


def by_reparam(likelihood: str, own: int = 0) -> Fit:
    """reparam with its defaults; ``own``: how many latents the likelihood takes beside those of a cell's kind."""

    def fit(train: Counts, test: Counts, latents: int, epochs: int) -> Found:
        from reparam import VAE

        vae = VAE(latents + own, likelihood=likelihood).fit(train)
        codes = [vae.transform(cells)[:, :latents] for cells in (train, test)]
        return Found(*codes, float(vae.score_samples(test, samples=DRAWS).mean()))

    return fit


def pca(train: Counts, test: Counts, latents: int, epochs: int) -> Found:
    """Principal components of ln(1 + 10⁴ x/ℓ)."""
    levelled = [np.log1p(1e4 * x / x.sum(axis=1, keepdims=True)) for x in (train, test)]
    fitted = PCA(latents, random_state=0).fit(levelled[0])
    return Found(*map(fitted.transform, levelled), None)


def poisson_factors(train: Counts, test: Counts, latents: int, epochs: int) -> Found:
    """Non-negative factors by the Poisson likelihood; codes of held-out cells at their maximum, which flatters it."""
    model = NMF(latents, beta_loss="kullback-leibler", solver="mu", max_iter=300, random_state=0)
    of_train = model.fit_transform(train.astype(float))
    of_test = model.transform(test.astype(float))
    rate = np.maximum(of_test @ model.components_, 1e-6)
    return Found(np.log1p(of_train), np.log1p(of_test), float(poisson.logpmf(test, rate).sum(axis=1).mean()))


def scvi(train: Counts, test: Counts, latents: int, epochs: int) -> Found:
    """scVI with its defaults, stopped early."""
    import anndata
    import scvi as tools

    tools.settings.seed = 0
    cells = [anndata.AnnData(x.astype(np.float32)) for x in (train, test)]
    tools.model.SCVI.setup_anndata(cells[0])
    model = tools.model.SCVI(cells[0], n_latent=latents)
    model.train(max_epochs=epochs, accelerator="cpu", early_stopping=True, enable_progress_bar=False, logger=None)
    codes = [model.get_latent_representation(each) for each in cells]
    likelihood = model.get_marginal_ll(cells[1], n_mc_samples=DRAWS, n_mc_samples_per_pass=10)
    return Found(*codes, float(np.mean(likelihood)))


METHODS: dict[str, Fit] = {
    "PCA of log counts": pca,
    "Poisson factors": poisson_factors,
    "scVI": scvi,
    "reparam, negative_binomial": by_reparam("negative_binomial"),
    "reparam, negative_binomial:observed": by_reparam("negative_binomial:observed"),
    "reparam, negative_binomial:latent": by_reparam("negative_binomial:latent", own=1),
}


def measure(
    name: str, split: tuple[Counts, Counts], types: tuple[Counts, Counts], asked: tuple[int, int]
) -> dict[str, Any]:
    """A line of the table."""
    started = time.process_time()
    found = METHODS[name](*split, *asked)
    seconds = time.process_time() - started
    neighbours = KNeighborsClassifier(NEIGHBOURS).fit(found.train, types[0])
    clusters = KMeans(len(np.unique(types[0])), n_init=5, random_state=0).fit_predict(
        np.concatenate([found.train, found.test])
    )
    return {
        "method": name,
        "nats_per_cell": None if found.log_likelihood is None else round(found.log_likelihood, 1),
        "neighbours": round(float(neighbours.score(found.test, types[1])), 4),
        "rand": round(float(adjusted_rand_score(np.concatenate(types), clusters)), 4),
        "processor_seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--genes", type=int, default=1000)
    parser.add_argument("--latents", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=400, help="of scVI; reparam tells by itself")
    parser.add_argument("--methods", default=";".join(METHODS))
    chosen = parser.parse_args()
    with np.load(chosen.data) as file:
        x, y = file["x"].astype(np.int32), file["y"]
    varying = np.sort(np.argsort(np.log1p(x).var(axis=0))[-chosen.genes :])
    x, order = x[:, varying], np.random.default_rng(0).permutation(len(x))
    test, train = np.split(order, [len(x) // 5])
    for name in chosen.methods.split(";"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                line = measure(name, (x[train], x[test]), (y[train], y[test]), (chosen.latents, chosen.epochs))
            except ImportError as error:
                line = {"method": name, "left out": str(error)}
        print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
