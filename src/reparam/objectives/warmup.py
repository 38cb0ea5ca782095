"""A coefficient of the surrogate that grows while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.batch import Batch
from reparam.errors import UnknownNameError
from reparam.model import Model
from reparam.objectives.base import Objective, Terms
from reparam.specification import construct, real_number

Shape = Callable[[float | Array], Array]

SHAPES: dict[str, Shape] = {
    "linear": lambda time: jnp.minimum(time, 1.0),
    "cyclic": lambda time: jnp.minimum(2.0 * (time % 1.0), 1.0),
}


class Warmup(Objective):
    r"""An objective with one of its coefficients on its way from where the term has no effect, by training time t.

    .. math:: c(t) = c_0 + s(t)\,(c - c_0), \qquad s(t) \in [0, 1]

    :math:`c_0` is 0, of β in ``beta_tcvae`` 1. ``linear``: :math:`s = \min(t/T, 1)` (Bowman et al. 2016; Sønderby et
    al. 2016). ``cyclic``: again and again, growing over the first half of each period T and staying over the second (Fu
    et al. 2019, with R = ½). A warm-up of a warm-up varies what the inner one gives: two coefficients, or one twice.

    Args:
        objective: what is varied.
        length: T.
        unit: ``epochs`` or ``steps``; an epoch is as many steps as it has batches, so that c grows within it.
        coefficient: a name in the objective's ``coefficients()``: ``beta``, of ``mmd`` also ``mmd_weight``.
        shape: ``linear`` or ``cyclic``.

    Raises:
        ParameterError: an argument lies outside its domain.

    >>> from reparam.objectives import ELBO
    >>> Warmup(ELBO(beta=4.0), 10).at(jnp.array(50), steps_per_epoch=10).coefficients()
    {'beta': 2.0}
    """

    objective: Objective
    length: float = eqx.field(static=True)
    unit: str = eqx.field(static=True, default="epochs")
    coefficient: str = eqx.field(static=True, default="beta")
    shape: str = eqx.field(static=True, default="linear", kw_only=True)

    def __check_init__(self) -> None:
        for kind, value, known in (
            ("unit of a warm-up", self.unit, ("epochs", "steps")),
            ("coefficient", self.coefficient, self.objective.coefficients()),
            ("warm-up", self.shape, SHAPES),
        ):
            if value not in known:
                raise UnknownNameError(kind, value, known)
        real_number("length", self.length, "the warm-up", above=0.0)

    def terms(self, model: Model, batch: Batch, key: PRNGKeyArray, q: Distribution) -> Terms:
        """The objective as it is once it is warm."""
        return self.objective.terms(model, batch, key, q)

    def at(self, step: int | Array, steps_per_epoch: int | Array) -> Objective:
        """The objective with its coefficient of this step."""
        period = self.length * (steps_per_epoch if self.unit == "epochs" else 1)
        share = SHAPES[self.shape](step / period)
        objective = self.objective.at(step, steps_per_epoch)
        cold = objective.cold_coefficients[self.coefficient]
        varied: Objective = eqx.tree_at(
            lambda o: getattr(o, self.coefficient), objective, replace_fn=lambda warm: cold + share * (warm - cold)
        )
        return varied

    @property
    def is_bound(self) -> bool:
        """Once it is warm."""
        return self.objective.is_bound

    def coefficients(self) -> dict[str, float]:
        """The coefficients once they are warm."""
        return self.objective.coefficients()


def warmed(objective: Objective, specification: str) -> Objective:
    """The objective in the warm-up that is named: ``none``, ``linear:10``, ``cyclic:500,steps,mmd_weight``."""
    varied: Objective = construct("warmup", WARMUPS, specification, objective)
    return varied


WARMUPS: dict[str, Callable[..., Objective]] = {
    "none": lambda objective: objective,
    **{shape: partial(Warmup, shape=shape) for shape in SHAPES},
}
