"""Names with arguments, and parts given as objects."""

from __future__ import annotations

import jax.numpy as jnp
import pytest

import reparam
from reparam.errors import ParameterError
from reparam.objectives import ELBO, IWAE, Warmup, build_objective
from reparam.probability.posteriors import Full
from reparam.specification import build, construct, parse


@pytest.mark.parametrize(
    ("written", "name", "arguments"),
    [
        ("gaussian:per-dimension", "gaussian", ("per_dimension",)),
        ("elbo:2,monte-carlo", "elbo", (2, "monte_carlo")),
        ("gaussian:fixed:1e-3", "gaussian", ("fixed:1e-3",)),
        ("renyi: -1 , 3", "renyi", (-1, 3)),
        ("bounded:1e-3,10", "bounded", (0.001, 10)),
    ],
)
def test_hyphens_are_underscores_in_names_and_signs_in_numbers(written, name, arguments):
    assert parse(written) == (name, arguments)


def test_a_likelihood_is_found_with_hyphens_in_its_argument():
    assert build("likelihood", reparam.LIKELIHOODS, "gaussian:per-dimension", 3).noise == "per_dimension"


@pytest.mark.parametrize(
    ("kind", "registry", "written", "told"),
    [
        ("likelihood", reparam.LIKELIHOODS, "categorical", "missing.*'categories'.*'categorical' takes categories"),
        ("likelihood", reparam.LIKELIHOODS, "bernoulli:3", "too many.*'bernoulli' takes none"),
        ("posterior", reparam.POSTERIORS, "full:3", "too many.*'full' takes none"),
        ("posterior", reparam.POSTERIORS, "flow:1,2,3,4", "too many.*takes layers=2, width=64, context=16"),
        ("objective", reparam.OBJECTIVES, "iwae:2,3", "too many.*'iwae' takes samples=5"),
    ],
)
def test_missing_and_superfluous_arguments_are_told_with_what_is_taken(kind, registry, written, told):
    with pytest.raises(ParameterError, match=told):
        build(kind, registry, written, *(() if kind == "objective" else (2,)))


def test_an_error_inside_a_constructor_is_not_taken_for_one_of_its_arguments():
    def broken(size: int) -> int:
        return size + "1"

    with pytest.raises(TypeError, match="unsupported operand"):
        construct("part", {"broken": broken}, "broken:3")


def test_a_part_may_be_an_object():
    family = Full(8)
    assert build("posterior", reparam.POSTERIORS, family, 8, scale="log_std") is family
    objective = Warmup(IWAE(7, beta=2.0), 3)
    assert build_objective(objective) is objective
    assert build_objective(ELBO(beta=2.0), warmup="linear:4,steps").at(jnp.array(1), 1).coefficients() == {"beta": 0.5}


@pytest.mark.parametrize("part", [3, None, Full, IWAE(3)])
def test_an_object_of_another_kind_is_refused_with_what_is_accepted(part):
    with pytest.raises(
        ParameterError,
        match="'posterior' parameter must be a name such as 'diagonal', or an object of the class Posterior",
    ):
        build("posterior", reparam.POSTERIORS, part, 2)


@pytest.mark.parametrize("beside", [{"beta": 2.0}, {"estimator": "dreg"}])
def test_settings_beside_an_objective_that_has_its_own_are_refused(beside):
    with pytest.raises(ParameterError, match="with its own estimator and beta"):
        build_objective(IWAE(3), **beside)
