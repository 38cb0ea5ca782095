"""The linear VAE against its exact answer, probabilistic PCA: trained ELBO, closed form, inference gap, active units.

With λ the eigenvalues of the 1/N covariance, the best ELBO of a linear VAE with one learned noise is
−½ [d ln 2π + Σ_{j≤k} ln λ_j + (d−k) ln σ² + d], σ² the mean of the λ left out (Tipping & Bishop 1999; Lucas et al.
2019); it equals the best log-likelihood. With fixed σ² and weight β, #{λ_j > βσ²} latents stay active.

Adam at one rate rattles around the optimum, so the rate falls by stages, and what is measured is the mean of the
weights over the last stage (Polyak & Juditsky 1992).

    python -m benchmarks.ppca --data digits --rows 1500 --latents 10
    python -m benchmarks.ppca --data FILE.npz:ARRAY --latents 10 --batch 1000 --schedule 1e-2:60,3e-3:150,1e-3:150
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

Schedule = tuple[tuple[float, int], ...]
SCHEDULE = "3e-3:600,1e-3:600,3e-4:300"


def closed_form(x: NDArray[Any], latents: int) -> tuple[float, float]:
    """The best mean log-likelihood, nats per datum, and its σ²."""
    spectrum = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    size = x.shape[1]
    variance = float(spectrum[latents:].mean())
    kept = np.sum(np.log(spectrum[:latents]))
    bound = -0.5 * (size * np.log(2 * np.pi) + kept + (size - latents) * np.log(variance) + size)
    return float(bound), variance


def parse_schedule(text: str) -> Schedule:
    """Rates and epochs of ``rate:epochs,…``."""
    return tuple((float(rate), int(epochs)) for rate, epochs in (stage.split(":") for stage in text.split(",")))


def falling(schedule: Schedule) -> dict[str, Any]:
    """The settings of training at falling rates that keeps the mean of the weights over the last stage."""
    rate = schedule[0][0]
    stages = ",".join(f"{epochs},{stage / rate:.17g}" for stage, epochs in schedule)
    return {
        "learning_rate": rate,
        "schedule": f"stages:{stages}",
        "epochs": sum(epochs for _, epochs in schedule),
        "average": f"last:{schedule[-1][1]}",
    }


def measure(data: Dataset, latents: int, schedule: Schedule, **settings: Any) -> dict[str, Any]:
    """Train and compare, nats per datum in the model's units."""
    started = time.perf_counter()
    vae = VAE(
        latent_dim=latents,
        hidden=(),
        start="random",
        clip_norm=0.0,
        likelihood="gaussian",
        bound_samples=100,
        **falling(schedule),
        **settings,
    )
    found = vae.fit_dataset(data).evaluate(data)
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
    parser.add_argument("--rows", type=int, help="the first rows only")
    parser.add_argument("--latents", type=int, default=10)
    parser.add_argument("--posterior", default="diagonal")
    parser.add_argument("--objective", default="elbo:1")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--schedule", type=parse_schedule, default=SCHEDULE, metavar="RATE:EPOCHS,…")
    arguments = parser.parse_args()
    settings = {
        "posterior": arguments.posterior,
        "objective": arguments.objective,
        "batch_size": arguments.batch,
    }
    data = load(arguments.data).take(slice(arguments.rows))
    json.dump(measure(data, arguments.latents, arguments.schedule, **settings), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
