"""Where training begins: the linear answer where one is known, and copies for the folds that judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from reparam.data import Schema, moments
from reparam.errors import ParameterError
from reparam.estimator.columns import encoder_inputs, inputs_of, likelihood_part, varies
from reparam.estimator.compilation import once
from reparam.estimator.conditions import given_places
from reparam.estimator.configuration import Configuration
from reparam.estimator.likelihood import noise_shape
from reparam.estimator.seeing import Seen
from reparam.inference import Inference
from reparam.model import Model, Statistics, assemble
from reparam.probability.likelihoods import Likelihood
from reparam.starts import Start, StartOf, linear_start, stacked
from reparam.starts.linear import ROWS_FOR_MOMENTS, probabilistic_pca
from reparam.starts.linked import MOMENTS
from reparam.starts.networks import begin_at
from reparam.training import Recipe, TrainState, initial_state
from reparam.training.state import copied_state, two_keys

PSEUDO_INPUT_ROWS = 4096
WIDE = 4096


def first_state(
    configuration: Configuration, schema: Schema, likelihood: str | Likelihood, seen: Seen
) -> tuple[str, TrainState]:
    """Where training begins, told in words, and the state before the first epoch.

    Args:
        configuration: the settings.
        schema: what the model sees of the rows.
        likelihood: which is to explain them.
        seen: the rows, or some of them, and what is known of all.

    Raises:
        ParameterError: ``start="linear"`` where no linear answer is known.
    """
    part, rows, folds = likelihood_part(likelihood, schema), seen.rows, seen.folds
    data = with_inputs(_statistics(configuration, schema, seen), configuration, schema, part)
    key, recipe = configuration.key("training"), configuration.recipe(seen.total)
    name, start_of = _linear_answer(configuration, schema, part, rows)
    keys = (configuration.key("model"), key)
    parts, inference = configuration.parts(part), configuration.inference_part()
    how: dict[str, Any] = {"parts": parts, "inference": inference, "recipe": recipe}
    if folds is None or seen.shares is None:
        start = None if start_of is None else jax.device_put(start_of(thinned(rows, schema)))
        return name, _first_state(data, keys, start, (seen.total, seen.held_out), **how)
    starts = None
    if start_of is not None:
        starts = stacked([start_of(thinned(rows[each], schema)) for each in seen.shares])
    return name, _first_copies(data, keys, starts, (folds.copies, folds.held_out.shape), **how)


def state_like(
    configuration: Configuration,
    schema: Schema,
    likelihood: str | Likelihood,
    owned: Mapping[str, tuple[int, ...]],
    *,
    copies: int,
    linear: bool,
) -> TrainState:
    """A saved state as shapes alone: nothing is drawn and nothing allocated, however large it says it is.

    Args:
        configuration: the settings.
        schema: of the rows.
        likelihood: of x.
        owned: the shapes of its tensors, which alone know how many rows own a q, and how many are judged.
        copies: how many are trained side by side, where some are judged.
        linear: whether the networks build upon linear paths.
    """
    local, held_out = (owned.get(f"{part}.raw", (0,))[0] for part in ("local", "held_out"))
    latents, judged, recipe = configuration.latents, owned.get("judged.first"), configuration.recipe(1)
    size = schema.size
    wide, narrow, short = (jax.ShapeDtypeStruct(shape, float) for shape in ((size, latents), (size,), (latents,)))

    def state(key: Array, wide: Array, narrow: Array, short: Array) -> TrainState:
        part = likelihood_part(likelihood, schema)
        data = with_inputs(
            Statistics(narrow, narrow, narrow[None], shape=schema.event_shape), configuration, schema, part
        )
        loadings = wide[:, : latents - part.own_latents]
        start = Start(narrow, loadings, narrow, wide, short, short) if linear else None
        model = configuration.model(data, key, part, start)
        if judged is None:
            return initial_state(model, key, recipe, rows=local, held_out_rows=held_out)
        return copied_state(_repeated(model, copies), key, recipe, judged)

    shapes: TrainState = eqx.filter_eval_shape(state, configuration.key("model"), wide, narrow, short)
    return shapes


Keys = tuple[PRNGKeyArray, PRNGKeyArray]
"""Of a model's weights, and of its training."""


@once
def _first_state(
    data: Statistics,
    keys: Keys,
    start: Start | None,
    rows: tuple[int, int],
    *,
    parts: dict[str, Any],
    inference: Inference,
    recipe: Recipe,
) -> TrainState:
    """The state of a fresh model before the first epoch; compiled into one call, for it is thousands of small steps."""
    model = assemble(data, keys[0], **parts)
    begun = inference.prepare(model if start is None else begin_at(model, start))
    return initial_state(begun, keys[1], recipe, rows=rows[0], held_out_rows=rows[1])


@once
def _first_copies(
    data: Statistics,
    keys: Keys,
    starts: Start | None,
    copies: tuple[int, tuple[int, ...]],
    *,
    parts: dict[str, Any],
    inference: Inference,
    recipe: Recipe,
) -> TrainState:
    """The same of copies, of their number and the shape of what folds hold out."""
    several = _copies(data, keys[0], starts, copies[0], parts=parts, inference=inference)
    return copied_state(several, keys[1], recipe, copies[1])


def _copies(
    data: Statistics,
    key: PRNGKeyArray,
    starts: Start | None,
    count: int,
    *,
    parts: dict[str, Any],
    inference: Inference,
) -> Model:
    """Copies of one fresh model, each at a start of its own."""
    model = assemble(data, key, **parts)
    if starts is None:
        return _repeated(inference.prepare(model), count)

    def begun(start: Start) -> Model:
        return inference.prepare(begin_at(model, start))

    trained = jax.vmap(lambda start: eqx.filter(begun(start), eqx.is_inexact_array))(starts)
    first = begun(jax.tree.map(lambda leaf: leaf[0], starts))
    several: Model = eqx.combine(trained, eqx.filter(first, eqx.is_inexact_array, inverse=True))
    return several


def _repeated(model: Model, count: int) -> Model:
    """So many copies of a model along a leading axis of its weights."""
    copies: Model = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)) if eqx.is_inexact_array(leaf) else leaf, model
    )
    return copies


def _linear_answer(
    configuration: Configuration, schema: Schema, part: Likelihood, rows: NDArray[Any]
) -> tuple[str, StartOf | None]:
    """What training begins at, in words, and how it is found for rows of the model's values; None for random weights.

    Raises:
        ParameterError: no linear answer is known, and one was asked for.
    """
    if configuration.start == "random":
        return "random", None
    fixed = isinstance(getattr(part, "log_scale", None), float)
    found = None
    if noise_shape(part) == () and part.name == "gaussian":
        found = "probabilistic PCA", lambda x: probabilistic_pca(x, configuration.latents).start
    elif not fixed and not (part.name in MOMENTS and schema.size > WIDE):  # moments are P × P
        x, latents, seed = thinned(rows, schema), configuration.latents, configuration.seed
        found = linear_start(x, latents, part.name, seed, library=getattr(part, "library", "none"))
    if found is not None and (configuration.start == "linear" or configuration.builds_upon_starts):
        return found
    if configuration.start == "auto":
        return "random", None
    raise ParameterError(
        f"start='linear' needs a likelihood whose linear model has a known answer: gaussian with a learned noise, "
        f"bernoulli, poisson or negative_binomial. Got {part.name!r}: choose start='random'."
    )


def thinned(rows: NDArray[Any], schema: Schema) -> NDArray[np.float64]:
    """Rows as the model's values in double precision; of many, some thousands evenly spaced; a gap has the mean."""
    most = ROWS_FOR_MOMENTS if schema.size <= WIDE else WIDE  # the smaller side of the rows is what time goes with
    some = rows[:: -(-len(rows) // most)]
    x = np.asarray(schema.on_device.apply(schema.stored(some, "float64")), np.float64)
    return np.where(np.isnan(x), moments(x)[0], x) if schema.missing else x


def with_inputs(data: Statistics, configuration: Configuration, schema: Schema, part: Likelihood) -> Statistics:
    """The statistics with what the encoder takes of a row, and decoder and prior of what is given."""
    keys = two_keys(configuration.key("model"), np.int32(1))
    places = given_places(schema, configuration.condition)
    given = inputs_of(schema, part, places, keys[1]) if places else None
    return data._replace(inputs=encoder_inputs(schema, part, keys[0]), given=given)


def _statistics(configuration: Configuration, schema: Schema, seen: Seen) -> Statistics:
    """What the training rows say, as the model sees them; only some of them are turned into its values.

    A constant column counts as one of deviation 1: a noise of its own would begin at 0, and a random network far off.
    """
    rows, mean, std = seen.rows, seen.mean, seen.std
    scale = np.asarray(schema.scale, np.float64)
    order = np.random.default_rng(configuration.seed).permutation(len(rows))[:PSEUDO_INPUT_ROWS]
    chosen = schema.on_device.apply(schema.stored(rows[order]))
    centre = (mean - np.asarray(schema.shift)) / scale
    spread = np.where(varies(mean, std), std / scale, 1.0)
    some = np.asarray(chosen, jax.dtypes.canonicalize_dtype(float))  # whole numbers become JAX's own kind, not float32
    mean, std, some = jax.device_put((centre, spread, some))
    return Statistics(mean, std, some, shape=schema.event_shape)
