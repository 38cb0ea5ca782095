"""Who trains: each module has ``epoch(configuration)``, which gives a function that trains one epoch.

That function waits for the epoch and returns its mean loss in nats per row: a contender that trains something else is
seen by it.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.throughput.configurations import Configuration

Epoch = Callable[[], float]


@dataclass(frozen=True)
class Contender:
    """Where it stands, what it needs, and which configurations it has."""

    module: str
    function: str
    needs: str
    has: Callable[[Configuration], bool]

    @property
    def missing(self) -> bool:
        """Whether the library it needs is not installed."""
        return importlib.util.find_spec(self.needs) is None

    def start(self, configuration: Configuration) -> Epoch:
        """What trains one epoch."""
        module = importlib.import_module(f"benchmarks.throughput.contenders.{self.module}")
        epoch: Epoch = getattr(module, self.function)(configuration)
        return epoch


def everything(configuration: Configuration) -> bool:
    return True


def without_convolutions(configuration: Configuration) -> bool:
    return not configuration.convolutional


def plain(configuration: Configuration) -> bool:
    return configuration.plain


def one_draw(configuration: Configuration) -> bool:
    return configuration.plain and configuration.draws == 1


OURS = "reparam"
CONTENDERS = {
    OURS: Contender("own", "epoch", "reparam", everything),
    "jax-by-hand": Contender("jax_by_hand", "epoch", "jax", without_convolutions),
    "numpyro": Contender("numpyro_svi", "epoch", "numpyro", plain),
    "torch-eager": Contender("torch_by_hand", "eager", "torch", everything),
    "torch-compiled": Contender("torch_by_hand", "compiled", "torch", everything),
    "pyro": Contender("pyro_svi", "epoch", "pyro", plain),
    "pythae": Contender("pythae_trainer", "epoch", "pythae", plain),
    "keras-on-jax": Contender("keras_fit", "epoch", "keras", one_draw),
    "products-xla": Contender("products", "by_xla", "jax", without_convolutions),
    "products-torch": Contender("products", "by_torch", "torch", without_convolutions),
    "products-numpy": Contender("products", "by_numpy", "numpy", without_convolutions),
}
"""The last three do no more than the matrix products of a step: the best of them is the bound."""
