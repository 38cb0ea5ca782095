"""Every setting of a fit in one frozen place, and the parts that they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from numbers import Integral
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from reparam.errors import ParameterError, UnknownNameError
from reparam.hierarchy import build_posterior, checked_layers
from reparam.inference import INFERENCE, Inference, MeanField
from reparam.model import Model, Network, Statistics, assemble
from reparam.networks import NETWORKS, Architecture, Perceptron
from reparam.networks.precision import PRECISIONS
from reparam.objectives import Objective, build_objective
from reparam.probability.likelihoods import LIKELIHOODS, Likelihood
from reparam.probability.posteriors import Flow, Posterior
from reparam.probability.priors import Prior
from reparam.probability.scales import Scale
from reparam.specification import MOST_INT, build, lookup, positive_int, real_number, requirement
from reparam.starts import Start
from reparam.starts.networks import begin_at
from reparam.training import Recipe, Settings
from reparam.training.binarization import BINARIZATIONS
from reparam.training.folds import Folds, folds
from reparam.training.pace import AVERAGES, SCHEDULES, Averaging, Optimizer, Schedule

MOST = {"latent_dim": 65_536, "batch_size": 2**24, "bound_samples": 10**7, "hidden": 64, "width": 2**20}
"""Beyond these a compiled program takes hours to build, or an array has more entries than its indices can count."""
AUTO = "auto"
STARTS = (AUTO, "linear", "random")
STEPS_PER_EPOCH = 50
JUDGED_AVERAGE = "ema:0.98"
MOST_EPOCHS = 60
MAY_BE_AUTO = ("latent_dim", "epochs")
STANDARDIZATIONS = ("auto", "none")
ON_NONFINITE = ("stop", "skip")
PURPOSES = (
    "model",
    "training",
    "binarization",
    "codes",
    "draw",
    "sample",
    "score",
    "evaluate",
    "inference",
    "gap",
    "impute",
)
"""What noise is drawn for: no two results share any. Appended to, never reordered: runs that are kept rely on it."""


@dataclass(frozen=True)
class Configuration:
    """The settings of :class:`reparam.VAE`, which tells what each means; here they cannot change any more.

    Raises:
        ParameterError: a setting lies outside its domain, or two disagree.
    """

    latent_dim: int | str | Sequence[int] = 2
    posterior: str | Posterior = "diagonal"
    scale: str | Scale = "log_variance"
    prior: str | Prior = "standard_normal"
    likelihood: str | Likelihood = "auto"
    objective: str | Objective = "elbo"
    estimator: str = "pathwise"
    beta: float | None = None
    warmup: str = "none"
    inference: str | Inference = "amortized"
    network: str | Architecture = AUTO
    hidden: Sequence[int] | str = AUTO
    activation: str = "gelu"
    encoder: Network | None = None
    decoder: Network | None = None
    condition: Sequence[str] = ()
    start: str = "auto"
    standardize: str = "auto"
    binarize: str = "none"
    epochs: int | str = "auto"
    batch_size: int = 128
    learning_rate: float = 3e-3
    optimizer: Any = "adam"
    schedule: str | Schedule = "constant:500,6"
    clip_norm: float = 10.0
    average: str | Averaging = AUTO
    on_nonfinite: str = "stop"
    precision: str = "float32"
    early_stopping: bool = False
    validation_fraction: float = 0.1
    patience: int = 10
    bound_samples: int = 100
    random_state: Any = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, before any data are read."""
        if self.latent_dim != AUTO:
            positive_int("latent_dim", sum(checked_layers(self.latent_dim)), "VAE", most=MOST["latent_dim"])
        for name in ("epochs", "batch_size", "patience", "bound_samples"):
            if not (name in MAY_BE_AUTO and getattr(self, name) == AUTO):
                positive_int(name, getattr(self, name), "VAE", most=MOST.get(name, MOST_INT))
        real_number("learning_rate", self.learning_rate, "VAE", above=0.0)
        if self.beta is not None:
            real_number("beta", self.beta, "VAE", least=0.0)
        if self.early_stopping and not 0 < real_number("validation_fraction", self.validation_fraction, "VAE") < 1:
            raise ParameterError(requirement("validation_fraction", "VAE", "in (0, 1)", self.validation_fraction))
        choices = {"start": STARTS, "standardize": STANDARDIZATIONS, "binarize": BINARIZATIONS}
        choices |= {"on_nonfinite": ON_NONFINITE, "precision": tuple(PRECISIONS)}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise UnknownNameError(f"value of {name!r}", getattr(self, name), known)
        for kind, registry in (("likelihood", LIKELIHOODS), ("network", NETWORKS), ("average", AVERAGES)):
            if isinstance(name := getattr(self, kind), str):
                lookup(kind, {AUTO: None, **registry}, name)
        _check_widths(self.hidden)
        self.architecture()
        _check_names(self.condition)
        if len(self.condition) and self.start == "linear":
            raise ParameterError(
                "a condition needs start='auto' or 'random': no linear answer is known of a conditional model."
            )
        if len(self.layers) > 1 and self.start == "linear":
            raise ParameterError(
                "several layers of latents need start='auto' or 'random': no linear answer is known of them."
            )
        check_seed(self.seed)
        self.objective_part()
        self.recipe(1)
        self._try_parts()

    def _try_parts(self) -> None:
        """Let every part that has a name refuse here, on two made-up features, what it would refuse later."""
        named = isinstance(self.likelihood, str) and self.likelihood != "auto"
        likelihood = self.likelihood if named else "gaussian"

        def model() -> Model:
            data, key = Statistics(jnp.zeros(2), jnp.ones(2), jnp.zeros((2, 2))), jax.random.key(0)
            parts = {**self.parts(likelihood), "network": "mlp", "hidden": (), "encoder": None, "decoder": None}
            return self.inference_part().prepare(assemble(data, key, **parts))

        eqx.filter_eval_shape(model)

    @property
    def seed(self) -> int:
        """The one seed of everything."""
        if isinstance(self.random_state, bool) or not isinstance(self.random_state, Integral):
            raise ParameterError(requirement("random_state", "VAE", "an int in [0, inf)", self.random_state))
        return int(self.random_state)

    def key(self, purpose: str, seed: int | None = None) -> jax.Array:
        """The key of one of ``PURPOSES``."""
        key: jax.Array = _key(_words(self.seed if seed is None else seed), np.uint32(PURPOSES.index(purpose)))
        return key

    def objective_part(self) -> Objective:
        """What is maximised."""
        if isinstance(self.objective, Objective):
            if (self.estimator, self.beta, self.warmup) != ("pathwise", None, "none"):
                raise ParameterError(
                    "An objective that comes as an object has its own estimator, beta and warm-up: "
                    "leave 'estimator', 'beta' and 'warmup' as they are."
                )
            return self.objective
        return build_objective(self.objective, estimator=self.estimator, beta=self.beta, warmup=self.warmup)

    def architecture(self) -> Architecture | None:
        """How networks are built; None where the data are to choose it and have not."""
        if self.network == AUTO:
            return None
        part: Architecture = build("network", NETWORKS, self.network)
        return part

    def inference_part(self) -> Inference:
        """How q is found."""
        part: Inference = build("inference", INFERENCE, self.inference)
        return part

    @property
    def layers(self) -> tuple[int, ...]:
        """How many latents each layer has, the one next to the data first; 1 until the data have chosen."""
        return checked_layers(1 if self.latent_dim == AUTO else self.latent_dim)

    @property
    def latents(self) -> int:
        """K, of all layers."""
        return sum(self.layers)

    @property
    def widths(self) -> tuple[int, ...]:
        """Of an MLP's hidden layers; where the data are to choose them, none until they have."""
        return () if isinstance(self.hidden, str) else tuple(self.hidden)

    @property
    def most_epochs(self) -> int:
        """Epochs, at most."""
        return MOST_EPOCHS if isinstance(self.epochs, str) else self.epochs

    @property
    def builds_upon_starts(self) -> bool:
        """Whether the networks and q can carry a linear answer."""
        if len(self.layers) > 1:
            return False
        named = eqx.filter_eval_shape(
            lambda: build_posterior(self.layers, self.posterior, scale=self.scale, key=jax.random.key(0))
        )
        own = self.encoder is not None or self.decoder is not None or isinstance(self.inference_part(), MeanField)
        return not own and not isinstance(named, Flow) and not len(self.condition)

    @property
    def is_judged(self) -> bool:
        """Whether folds tell when to stop: not where epochs are counted, or the bound is not what is maximised."""
        shared = not isinstance(self.inference_part(), MeanField)
        return self.epochs == AUTO and shared and self.objective_part().is_bound

    @property
    def averaging(self) -> Averaging:
        """Of the weights: where folds judge, the mean of about fifty steps, which steadies what is judged."""
        chosen = (JUDGED_AVERAGE if self.is_judged else "none") if self.average == AUTO else self.average
        averaging: Averaging = build("average", AVERAGES, chosen)
        return averaging

    def folds(self, rows: int) -> Folds | None:
        """By which training of rows in memory is told to stop, or None."""
        several = isinstance(self.architecture(), Perceptron | None)
        return folds(rows, self.seed, several=several) if self.is_judged else None

    def recipe(self, rows: int) -> Recipe:
        """How an epoch over so many rows is trained; an automatic one has equal batches, and some steps at least."""
        batches = -(-rows // self.batch_size)
        automatic = self.epochs == AUTO
        return Recipe(
            batch_size=-(-rows // batches) if automatic else min(self.batch_size, rows),
            passes=max(1, round(STEPS_PER_EPOCH / batches)) if automatic else 1,
            inference=self.inference_part(),
            optimizer=Optimizer(self.optimizer, self.clip_norm),
            schedule=build("schedule", SCHEDULES, self.schedule),
            averaging=self.averaging,
            redraw=self.binarize == "dynamic",
            skip=self.on_nonfinite == "skip",
            precision=self.precision,
        )

    def settings(self) -> Settings:
        """How long and how fast."""
        waits = self.early_stopping or self.is_judged
        return Settings(self.most_epochs, self.learning_rate, self.patience if waits else 0)

    def model(
        self, data: Statistics, key: jax.Array, likelihood: str | Likelihood, linear: Start | None = None
    ) -> Model:
        """The untrained model, its ``auto`` likelihood chosen; it begins at the linear answer where there is one."""
        model = assemble(data, key, **self.parts(likelihood))
        return self.inference_part().prepare(model if linear is None else begin_at(model, linear))

    def parts(self, likelihood: str | Likelihood) -> dict[str, Any]:
        """The arguments of :func:`reparam.model.assemble` that are no data."""
        names = ("posterior", "scale", "prior", "network", "activation", "encoder", "decoder")
        chosen = {name: getattr(self, name) for name in names}
        return {**chosen, "latent_dim": self.layers, "hidden": self.widths, "likelihood": likelihood}

    def to_json(self) -> dict[str, Any]:
        """Every setting as a plain value; what is an object, and so has no name, as None."""
        return {name: _plain(getattr(self, name)) for name in FIELDS}

    @property
    def nameless(self) -> tuple[str, ...]:
        """The settings that are objects: they cannot be saved, and are handed over again at ``load``."""
        return tuple(name for name in PARTS if not isinstance(getattr(self, name), str | None))


FIELDS = tuple(field.name for field in fields(Configuration))
PARTS = (
    *("posterior", "scale", "prior", "likelihood", "objective", "inference", "network"),
    *("encoder", "decoder", "optimizer", "schedule", "average"),
)


def root_key(seed: int) -> jax.Array:
    """The key of a seed of any size: JAX's own knows 32 bits.

    Raises:
        ParameterError: the seed is negative.

    >>> bool(root_key(7) == jax.random.key(7))
    True
    """
    key: jax.Array = _key(_words(seed))
    return key


def check_seed(seed: int) -> None:
    """Refuse what no key is made of.

    Raises:
        ParameterError: the seed is negative.
    """
    if not 0 <= seed < 2**256:
        raise ParameterError(requirement("random_state", "VAE", "an int in [0, inf)", seed))


def _words(seed: int) -> tuple[np.uint32, ...]:
    """A seed by 32 bits each, the lowest first."""
    check_seed(seed)
    words = -(-max(seed.bit_length(), 1) // 32)
    return tuple(np.uint32(seed >> (32 * place) & 0xFFFFFFFF) for place in range(words))


@jax.jit
def _key(words: tuple[Any, ...], *further: Any) -> jax.Array:
    """The key of the first word, into which the others are folded; compiled, for it is several small steps."""
    first, *rest = (*words, *further)
    return reduce(jax.random.fold_in, rest, jax.random.key(first))


def _check_widths(hidden: Any) -> None:
    if isinstance(hidden, str) and hidden == AUTO:
        return
    if isinstance(hidden, str) or not isinstance(hidden, Sequence | np.ndarray):
        raise ParameterError(requirement("hidden", "VAE", "a sequence of ints in [1, inf), or auto", hidden))
    if len(hidden) > MOST["hidden"]:
        raise ParameterError(requirement("hidden", "VAE", f"at most {MOST['hidden']} widths", hidden))
    for width in hidden:
        positive_int("hidden", width, "VAE", most=MOST["width"])


def _check_names(condition: Any) -> None:
    names = () if isinstance(condition, str) else tuple(condition)
    if isinstance(condition, str) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ParameterError(requirement("condition", "VAE", "a sequence of different names of columns", condition))


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return list(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple | np.ndarray) and all(isinstance(width, Integral) for width in value):
        return [int(width) for width in value]
    return value if isinstance(value, str | int | float | bool | None) else None
