"""The linear VAE against its exact answer, probabilistic PCA: trained ELBO, closed form, inference gap, active units.

With λ the eigenvalues of the 1/N covariance, the best ELBO of a linear VAE with one learned noise is
−½ [d ln 2π + Σ_{j≤k} ln λ_j + (d−k) ln σ² + d], σ² the mean of the λ left out (Tipping & Bishop 1999; Lucas et al.
2019); it equals the best log-likelihood. With fixed σ² and weight β, #{λ_j > βσ²} latents stay active.

    python -m benchmarks.ppca --data digits --latents 10
    python -m benchmarks.ppca --data FILE.npz:train_x --latents 10 --batch 1000 --objective elbo:1
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam import VAE
from reparam.data import Dataset, load

Stages = tuple[tuple[float, int], ...]
STAGES: Stages = ((1e-2, 300), (3e-3, 300), (1e-3, 300), (3e-4, 300), (1e-4, 100))


def closed_form(x: NDArray[Any], latents: int) -> tuple[float, float]:
    """The best mean log-likelihood, nats per datum, and its σ²."""
    spectrum = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    size = x.shape[1]
    variance = float(spectrum[latents:].mean())
    kept = np.sum(np.log(spectrum[:latents]))
    bound = -0.5 * (size * np.log(2 * np.pi) + kept + (size - latents) * np.log(variance) + size)
    return float(bound), variance


def train(vae: VAE, data: Dataset, stages: Stages) -> VAE:
    """Train at falling rates: each stage goes on where the last one stopped."""
    vae.prepare(data)
    done = 0
    for rate, epochs in stages:
        done += epochs
        vae.set_params(learning_rate=rate, epochs=done).fit_dataset(data, resume=True)
    return vae


def measure(data: Dataset, latents: int, stages: Stages = STAGES, **settings: Any) -> dict[str, Any]:
    """Train and compare, nats per datum in the model's units."""
    started = time.perf_counter()
    vae = VAE(latent_dim=latents, hidden=(), likelihood="gaussian", bound_samples=100, **settings)
    found = train(vae, data, stages).evaluate(data)
    bound, variance = closed_form(np.asarray(data.schema.apply(data.rows), np.float64), latents)
    noise = found.observation_noise
    return {
        "data": data.schema.name,
        "latents": latents,
        "elbo": found.elbo,
        "closed_form": bound,
        "shortfall": bound - found.elbo,
        "inference_gap": found.bound - found.elbo,
        "active_units": found.active_units,
        "variance": None if noise is None else noise.implied_scale**2,
        "closed_form_variance": variance,
        "seconds": round(time.perf_counter() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="digits, or FILE.npz:ARRAY")
    parser.add_argument("--latents", type=int, default=10)
    parser.add_argument("--posterior", default="diagonal")
    parser.add_argument("--objective", default="elbo:1")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--scale-epochs", type=float, default=1.0, help="shorten or lengthen the schedule")
    arguments = parser.parse_args()
    stages = tuple((rate, max(1, round(epochs * arguments.scale_epochs))) for rate, epochs in STAGES)
    settings = {
        "posterior": arguments.posterior,
        "objective": arguments.objective,
        "batch_size": arguments.batch,
    }
    json.dump(measure(load(arguments.data), arguments.latents, stages, **settings), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
