"""Where a published VAE loses nats: the ELBO of its encoder, of per-row posteriors, and importance-weighted bounds.

Loads any checkpoint of arrays enc0_W, enc0_b, …, enc_mu_*, enc_lv_*, dec0_W, … (y = xW + b; the encoder's heads are
mean and log-variance; Bernoulli cross-entropy, also on grey values) into our model, and prints one JSON document.

    python -m benchmarks.inference_gap --weights FILE.npz --data FILE.npz:ARRAY --transform x/256 --rows 1000
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from reparam.data import Schema, from_array
from reparam.evaluation.gap import measure_gap
from reparam.evaluation.weights import encoded, row_bounds
from reparam.model import Model, build_model
from reparam.networks import MLP

Weights = Mapping[str, NDArray[Any]]


def load_model(weights: Weights, activation: str = "elu") -> Model:
    """Our model with a checkpoint's weights: any number of layers of any width."""
    encoder = [(weights[f"enc{i}_W"], weights[f"enc{i}_b"]) for i in _layers(weights, "enc")]
    heads = [np.concatenate([weights[f"enc_mu_{kind}"], weights[f"enc_lv_{kind}"]], axis=-1) for kind in "Wb"]
    decoder = [(weights[f"dec{i}_W"], weights[f"dec{i}_b"]) for i in _layers(weights, "dec")]
    latent_dim, size = decoder[0][0].shape[0], decoder[-1][0].shape[1]
    key = jax.random.key(0)
    model = build_model(
        jnp.zeros((1, size)), key, latent_dim=latent_dim, likelihood="bernoulli", hidden=(), activation=activation
    )
    networks = (_network([*encoder, tuple(heads)], activation), _network(decoder, activation))
    loaded: Model = eqx.tree_at(lambda model: (model.encoder, model.decoder), model, networks)
    return loaded


def _layers(weights: Weights, prefix: str) -> Iterator[int]:
    index = 0
    while f"{prefix}{index}_W" in weights:
        yield index
        index += 1


def _network(layers: list[tuple[NDArray[Any], NDArray[Any]]], activation: str) -> MLP:
    sizes = (layers[0][0].shape[0], *(weight.shape[1] for weight, _ in layers))
    network = MLP(sizes, activation, jax.random.key(0))
    leaves = [jnp.asarray(array, jnp.float32) for layer in layers for array in layer]
    filled: MLP = eqx.tree_at(
        lambda n: [leaf for layer in n.layers for leaf in (layer.weight, layer.bias)], network, leaves
    )
    return filled


def read_rows(data: str, transform: str) -> tuple[NDArray[Any], Schema]:
    """The rows of FILE.npz:ARRAY, and the schema that ``transform``, x/NUMBER, asks for."""
    path, _, name = data.rpartition(":")
    with np.load(path, allow_pickle=False) as arrays:
        dataset = from_array(arrays[name], name=name, scale=float(transform.removeprefix("x/")))
    return dataset.rows, dataset.schema


def measure(model: Model, rows: NDArray[Any], schema: Schema, count: int, seed: int = 0) -> dict[str, Any]:
    """The figures of the document, in nats per datum; importance-weighted bounds are those of the optimised q."""
    started = time.perf_counter()
    whole_key, gap_key = jax.random.split(jax.random.key(seed))
    whole = row_bounds(model, rows, schema, whole_key, 20, raw=encoded(model, rows, schema))
    gap = measure_gap(model, rows[:count], schema, gap_key, samples=2000)
    local, amortized = dict(gap.local_bound_by_samples), dict(gap.bound_by_samples)
    names = ("amortized_elbo", "local_elbo", "approximation_gap", "amortization_gap", "inference_gap")
    return {
        "all_rows": len(rows),
        "all_rows_elbo": float(np.mean(whole.reconstruction - whole.kl, dtype=np.float64)),
        "rows": gap.rows,
        **{name: getattr(gap, name).value for name in names},
        "iwae_100": local[100],
        "iwae_2000": local[2000],
        "amortized_iwae_100": amortized[100],
        "amortized_iwae_2000": amortized[2000],
        "standard_errors": {name: getattr(gap, name).standard_error for name in names},
        "not_converged": gap.not_converged,
        "seconds": round(time.perf_counter() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, metavar="FILE.npz")
    parser.add_argument("--data", required=True, metavar="FILE.npz:ARRAY")
    parser.add_argument("--transform", default="x/256", metavar="x/NUMBER")
    parser.add_argument("--activation", default="elu")
    parser.add_argument("--rows", type=int, default=1000, help="rows to decompose, the first of the array")
    arguments = parser.parse_args()
    with np.load(arguments.weights, allow_pickle=False) as weights:
        model = load_model(dict(weights), arguments.activation)
    rows, schema = read_rows(arguments.data, arguments.transform)
    json.dump(measure(model, rows, schema, arguments.rows), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
