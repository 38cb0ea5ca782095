"""A run folder → a fitted estimator."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from reparam import runs
from reparam.data import Schema
from reparam.errors import ParameterError, RunError
from reparam.estimator.vae import VAE
from reparam.training.tensors import from_tensors


def load(path: str | Path) -> VAE:
    """Open a run folder as a fitted :class:`VAE`.

    Raises:
        RunError: the folder is missing, damaged, or of another format.
    """
    run = runs.read_run(path)
    if "schema" not in run.data:
        raise RunError(f"{path}/{runs.DATA}: the schema is missing. The run is damaged.")
    schema = Schema.from_json(run.data["schema"])
    try:
        vae = VAE(**{**run.config["parameters"], "hidden": tuple(run.config["parameters"]["hidden"])})
        vae.likelihood_, vae.likelihood_reason_ = run.config["likelihood"], run.config["likelihood_reason"]
        vae.schema_, vae.seed_ = schema, int(run.config["parameters"]["random_state"])
        skeleton = vae._build(jnp.zeros((1, vae.schema_.size)), jax.random.key(0))
    except (KeyError, TypeError, ParameterError) as error:
        raise RunError(f"{path}/{runs.CONFIG}: cannot be understood ({error}). The run is damaged.") from error
    vae.n_features_in_ = vae.schema_.size
    vae.source_ = {name: value for name, value in run.data.items() if name not in ("schema", "feature_names")}
    if run.data.get("feature_names") is not None:
        vae.feature_names_in_ = np.asarray(run.data["feature_names"], dtype=object)
    state = from_tensors(vae._empty_state(skeleton, run.state), run.state, f"{path}/{runs.STATE}")
    vae._finish(state, [dict(line) for line in run.metrics])
    if len(run.metrics) != vae.n_iter_:
        raise RunError(
            f"{path}/{runs.METRICS}: holds {len(run.metrics)} lines, but training stands after epoch {vae.n_iter_}. "
            "The run is damaged."
        )
    vae.model_ = from_tensors(skeleton, run.model, f"{path}/{runs.MODEL}")
    vae.interrupted_ = False
    return vae
