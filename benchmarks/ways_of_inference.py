"""The same decoder trained with an encoder, with a free q for each row, and with both; on rows seen and unseen.

python -m benchmarks.ways_of_inference
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import numpy as np

from reparam import VAE
from reparam.data import load, split
from reparam.errors import ReparamWarning

WAYS = ("amortized", "semi_amortized:5", "semi_amortized:5,0.05,through", "mean_field:5")
SETTINGS = {
    **{"latent_dim": 8, "likelihood": "gaussian", "hidden": (64,), "activation": "relu", "start": "random"},
    **{"epochs": 60, "batch_size": 100, "learning_rate": 1e-3, "schedule": "constant", "clip_norm": 0.0},
}


def main() -> None:
    data = load("digits")
    seen, unseen = (data.take(rows) for rows in split(len(data.rows), 0.2, seed=0))
    for way in WAYS:
        started = time.perf_counter()
        vae = VAE(inference=way, **SETTINGS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReparamWarning)  # three pixels are constant
            vae.fit_dataset(seen)
        trained = time.perf_counter() - started
        vae.transform(unseen)
        started = time.perf_counter()
        vae.transform(unseen)
        finding = (time.perf_counter() - started) / len(unseen.rows)
        document = {
            "inference": way,
            "training_elbo": round(vae.evaluate(seen).elbo, 2),
            "unseen_elbo": round(vae.evaluate(unseen).elbo, 2),
            "training_seconds": round(trained, 1),
            "microseconds_per_new_row": round(1e6 * finding),
            "last_bound": round(float(np.mean([line["bound"] for line in vae.history_[-5:]])), 2),
        }
        json.dump(document, sys.stdout)
        print(flush=True)


if __name__ == "__main__":
    main()
