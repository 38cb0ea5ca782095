"""The evidence lower bound in its three standard forms."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.batch import Batch
from reparam.errors import NoClosedFormError, UnknownNameError
from reparam.model import Model
from reparam.objectives.base import Objective, Terms, divergence, has_analytic_form, nonnegative
from reparam.objectives.draws import Draws, evaluate_draws
from reparam.objectives.estimators import ESTIMATORS, check_estimator, mean_of_draws
from reparam.probability.divergences import kl_divergence
from reparam.specification import positive_int

FORMS = ("auto", "analytic", "monte_carlo", "entropy")


class ELBO(Objective):
    r"""The evidence lower bound, :math:`E_{q(z|x)}[\ln p(x|z)] - KL(q(z|x)\|p(z)) \le \ln p(x)`.

    Three forms estimate it, equal in expectation; the draws are those of the reconstruction in all of them.

    ===============  =============================================================================
    ``analytic``     :math:`\ln p(x|z) - KL(q\|p)`, the divergence in closed form
    ``monte_carlo``  :math:`\ln p(x|z) + \ln p(z) - \ln q(z|x)`
    ``entropy``      :math:`\ln p(x|z) + \ln p(z) + H(q)`, the entropy in closed form
    ``auto``         analytic where a closed form is known and the estimator allows it, else monte_carlo
    ===============  =============================================================================

    Of several layers of latents, ``analytic`` is in closed form within a layer, where that is known, and by draws of
    what the layer is given; it needs the estimator ``pathwise``.

    With ``beta`` ≠ 1 the surrogate is reconstruction − β KL (Higgins et al. 2017); the bound is the ELBO all the same.

    Args:
        samples: draws of z per datum.
        form: as above.
        beta: coefficient of the divergence in the surrogate.
        estimator: ``pathwise``, ``score_function`` or ``stl``.

    Raises:
        ParameterError: ``samples`` is no positive int, ``beta`` is negative, or ``form`` or the estimator does not fit.

    Source: Kingma & Welling (2014), Equations 2 and 10.

    >>> ELBO(5, beta=4.0).coefficients()
    {'beta': 4.0}
    """

    samples: int = eqx.field(static=True)
    form: str = eqx.field(static=True)
    beta: Array
    estimator: str = eqx.field(static=True)

    def __init__(self, samples: int = 1, form: str = "auto", *, beta: float = 1.0, estimator: str = "pathwise"):
        if form not in FORMS:
            raise UnknownNameError("form of the ELBO", form, FORMS)
        self.samples = positive_int("samples", samples, "objective 'elbo'")
        self.beta = nonnegative("beta", beta, "elbo")
        self.form = form
        self.estimator = check_estimator(estimator, f"objective 'elbo' in the form {form!r}", _refused(form))

    def terms(self, model: Model, batch: Batch, key: PRNGKeyArray, q: Distribution) -> Terms:
        """Reconstruction by ``samples`` draws, and the divergence by the form."""
        p = model.prior_distribution(batch)
        form = self._form(q, p)
        evaluate = partial(evaluate_draws, batch=batch, key=key, count=self.samples)
        target = mean_of_draws(partial(self._log_weights, form))
        drawn, draws = ESTIMATORS[self.estimator](target, evaluate, model, q)
        reconstruction = jnp.mean(draws.log_likelihood, axis=0)
        kl, parts = divergence(q, p, draws)
        if form == "analytic":
            return Terms(reconstruction - kl, drawn - self.beta * kl, reconstruction, kl, parts)
        entropy = _entropy(q) if form == "entropy" else jnp.mean(-draws.log_q, axis=0)
        surrogate = drawn + self.beta * entropy if form == "entropy" else drawn
        if draws.kl is None:  # of several layers the divergence is that of the parts
            kl = -entropy - jnp.mean(draws.log_prior, axis=0)
        return Terms(reconstruction - kl, surrogate, reconstruction, kl, parts)

    def _form(self, q: Distribution, p: Distribution) -> str:
        analytic = has_analytic_form(q, p, self.estimator)
        if self.form == "analytic" and not analytic:
            kl_divergence(q, p)  # says that there is none
        if self.form != "auto":
            return self.form
        return "analytic" if analytic and self.estimator != "stl" else "monte_carlo"

    def _log_weights(self, form: str, draws: Draws) -> Array:
        """What is averaged over draws, beside what is known in closed form."""
        if form == "analytic":
            return draws.log_likelihood
        if form == "entropy":
            return draws.log_likelihood + self.beta * draws.log_prior
        return draws.log_likelihood + self.beta * (draws.log_prior - draws.log_q)


def _refused(form: str) -> dict[str, str]:
    reasons = {
        "dreg": "with one weight per draw the doubly reparameterised gradient is estimator 'stl'; "
        "'dreg' is for the importance-weighted objectives, such as 'iwae:50'",
        "vimco": "its baseline is one for the importance-weighted objectives, such as 'iwae:50'; use 'score_function'",
    }
    if form in ("analytic", "entropy"):
        reasons["stl"] = (
            "it drops the score of ln q(z|x), which this form does not contain; choose 'elbo:1,monte_carlo'"
        )
    return reasons


def _entropy(q: Distribution) -> Array:
    try:
        return jnp.asarray(q.entropy())
    except NotImplementedError as error:
        raise NoClosedFormError(
            f"No closed form of the entropy of {type(q).__name__} is known: choose 'elbo:1,monte_carlo'."
        ) from error
