"""A row of Table 1 of Burda, Grosse & Salakhutdinov (2016): −L_5000 on MNIST's test images, by the paper's protocol.

One stochastic layer, 784-200-200-50, or with --layers 2 two, 784-200-200-100 and 100-100-100-50; tanh, Glorot, σ the
exponential of an output; Adam with ε = 1e-4; batches of 20; stage i = 0 … 7 runs 3^i epochs at rate 1e-3 · 10^(−i/7);
every visit of an image draws its binarisation anew; the output bias starts at the logit of the train mean, clipped to
0.001–0.999. The whole is 3280 epochs; --stages 5 stops after 121. With --run the position is kept after every stage in
a run folder, and the same command goes on from there; on a GPU nothing changes but the time.

    python -m benchmarks.iwae_table --data FILE.npz --k 1 --stages 5 --run iwae-k1

What each stage reached goes to standard error; the row, one JSON document, to standard output.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import reparam
from reparam import VAE
from reparam.data import Dataset, from_array

STAGES = 8
LATENTS: dict[int, int | tuple[int, ...]] = {1: 50, 2: (100, 50)}
PROTOCOL = {
    "hidden": (200, 200),
    "activation": "tanh",
    "scale": "log_std",
    "likelihood": "bernoulli",
    "binarize": "dynamic",
    "start": "random",
    "optimizer": "adam:1e-4",
    "clip_norm": 0.0,
    "learning_rate": 1e-3,
    "batch_size": 20,
    "warm_start": True,
}


def schedule(stages: int) -> str:
    """3^i epochs at 10^(−i/7) of the first rate.

    >>> schedule(2)
    'stages:1,1,3,0.71968567300115204'
    """
    return "stages:" + ",".join(f"{3**stage},{10 ** (-stage / 7):.17g}" for stage in range(stages))


def stage_ends(stages: int) -> list[int]:
    """Epochs done at the end of each stage."""
    return list(itertools.accumulate(3**stage for stage in range(stages)))


def trained(pixels: Dataset, test: Dataset, asked: argparse.Namespace) -> tuple[VAE, float]:
    """The model after the stages that are asked for, and the seconds of training in this sitting."""
    varied = {"latent_dim": LATENTS[asked.layers], "objective": f"iwae:{asked.k}", "estimator": asked.estimator}
    vae = VAE(**PROTOCOL, **varied, random_state=asked.seed)
    vae.set_params(schedule=schedule(STAGES))
    if asked.run is not None and asked.run.exists():
        vae = reparam.load(asked.run).set_params(warm_start=True)
    done = vae.n_iter_ if hasattr(vae, "n_iter_") else 0
    started = time.perf_counter()
    for end in (end for end in stage_ends(asked.stages) if end > done):
        vae.set_params(epochs=end).fit_dataset(pixels)
        if asked.run is not None:
            vae.save(asked.run, overwrite=True)
        first = vae.score_samples(test.take(slice(2000)), samples=500)
        print(f"after {end} epochs: L_500 of {len(first)} test images {np.mean(first):.3f}", file=sys.stderr)
    return vae, time.perf_counter() - started


def measure(vae: VAE, test: Dataset, samples: int) -> dict[str, Any]:
    """The table's figures on test images, in nats per image."""
    started = time.perf_counter()
    found = vae.evaluate(test, samples=samples)
    return {
        "epochs": vae.n_iter_,
        "elbo": found.elbo,
        "negative_bound_by_samples": {count: -bound for count, bound in found.bound_by_samples},
        "standard_error": found.standard_error,
        "active_units": found.active_units,
        "active_units_by_layer": None if found.layers is None else [layer.active_units for layer in found.layers],
        "kl_by_layer": None if found.layers is None else [layer.kl for layer in found.layers],
        "effective_samples": found.effective_samples,
        "evaluation_seconds": round(time.perf_counter() - started, 1),
        "device": jax.devices()[0].device_kind,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/mnist.npz", help="arrays train_x and test_x, uint8")
    parser.add_argument("--layers", type=int, default=1, choices=LATENTS, help="stochastic layers")
    parser.add_argument("--k", type=int, default=1, help="draws of the objective")
    parser.add_argument("--estimator", default="pathwise", help="of the gradient; the paper's is pathwise")
    parser.add_argument("--stages", type=int, default=STAGES, choices=range(1, STAGES + 1))
    parser.add_argument("--samples", type=int, default=5000, help="draws of the reported bound")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=Path, help="a run folder to keep the position in, and to go on from")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    with np.load(asked.data, allow_pickle=False) as arrays:
        pixels, test = (from_array(arrays[name], name=name) for name in ("train_x", "test_x"))
    vae, seconds = trained(pixels, test, asked)
    row = {"layers": asked.layers, "k": asked.k, "estimator": asked.estimator}
    print(json.dumps({**row, **measure(vae, test, asked.samples), "training_seconds": round(seconds, 1)}))


if __name__ == "__main__":
    main()
