"""The lines of Python that compute what stands beside them; the tests run every one."""

from __future__ import annotations

from reparam.insight import Session
from reparam.insight.trick import DRAWS, GRADIENTS, Trick
from reparam.probability.distributions.chain import Chain
from reparam.probability.distributions.flow import FlowDistribution
from reparam.reports.data_views import cell

OPENING = """import jax, jax.numpy as jnp, reparam, reparam.objectives

vae = reparam.load({run!r})
model = vae.model_
kept, schema = vae.fitted_.stored(rows[[{row}]])   # rows: the data as stored
{datum}
eps = jnp.array({eps})
z = reparam.reparameterize(q, eps)"""

WHOLE = """x = jnp.asarray(schema.apply(kept)[0])           # as the model sees it
raw = {raw}
q, p = model.family.distribution(raw), model.prior_distribution()"""

WITH_GAPS = """from reparam.batch import Batch
batch = Batch.of_rows(jnp.asarray(kept), schema)   # as the model sees it: values, and which were seen
x = jax.tree.map(lambda leaf: leaf[0], batch)
raw = {raw}
q, p = model.family.distribution(raw), model.prior_distribution(x)"""

MANY = """noise = reparam.draw_noise(q, jax.random.key({seed}), ({all},))[:{draws}]
many = reparam.reparameterize(q, noise)
"""


def snippets(session: Session, told: Trick, seed: int) -> dict[str, str]:
    """Code for each number, by its name; ``setting`` comes before any of them and ``rows`` are the reader's."""
    eps = ", ".join(f"{float(value)!r}" for value in told.eps)
    whole = not (session.condition or session.schema.missing)
    seen = (WHOLE if whole else WITH_GAPS).format(raw=_raw(session, told))
    opening = OPENING.format(run=session.name, row=told.row, eps=f"[{eps}]", datum=seen)
    density = "model.decode({z}).log_prob(x)" if whole else "model.log_likelihood({z}, x)"
    one_density, densities = density.format(z="z"), density.format(z="many")
    many = MANY.format(seed=seed, all=DRAWS, draws=told.draws)
    volume = "schema.log_volume" if whole else "jnp.asarray(schema.log_volume_of(kept)).max()"
    unit = f" - {volume}" if session.schema.log_volumes.any() else ""  # densities are of the data's units
    kl = "reparam.kl_divergence(q, p)" if told.closed_kl else "jnp.mean(q.log_prob(many) - p.log_prob(many))"
    before = "" if told.closed_kl else many
    return {
        "setting": opening,
        "z": "q = model.family.distribution(raw)   # x → encoder → raw → q(z|x)\n"
        f"z = reparam.reparameterize(q, eps)   # {_map(session)}\n"
        f"x_hat = vae.inverse_transform(z[None]{_given(session, told.row)})",
        "coordinates": f"{_moments(session, seed)}\n"
        "coordinates = {name: scale.raw(sigma) for name, scale in reparam.SCALES.items()}   # one σ in every scale\n"
        f"kl = {_terms(session)}   # of each latent, nats",
        "likelihood": f"value = {one_density}{unit}",
        "prior": "value = p.log_prob(z)",
        "posterior": "value = q.log_prob(z)",
        "kl": f"{before}value = {kl}",
        "elbo": f"{many}value = {densities}.mean() - {kl}{unit}",
        "bound": f"{many}log_w = {densities} + p.log_prob(many) - q.log_prob(many)\n"
        f"value = jax.nn.logsumexp(log_w) - jnp.log(len(log_w)){unit}",
        "gradients": _gradients(one_density, seed),
    }


def _given(session: Session, row: int) -> str:
    """What a conditional model is told, as a reader would write it."""
    places = [session.columns.index(name) for name in session.condition]
    told = {session.columns[j]: cell(session, j, session.data.rows[row, j]) for j in places}
    return f", given={told!r}" if told else ""


def _gradients(density: str, seed: int) -> str:
    return (
        f"f = lambda z: {density}\n"
        f"keys = jax.random.split(jax.random.key({seed}), {GRADIENTS})\n"
        "value = jax.vmap(lambda key: reparam.estimate_gradient(\n"
        '    f, model.family.distribution, raw, key, estimator="pathwise"))(keys)'
    )


def _raw(session: Session, told: Trick) -> str:
    """The encoder's; where q was searched for, what was found is written down."""
    if session.vae.inference == "amortized":
        return "model.raw(x)"
    return f"jnp.array([{', '.join(f'{float(value)!r}' for value in told.raw)}])   # found by search"


def _moments(session: Session, seed: int) -> str:
    """μ and σ of each latent, as the family knows them."""
    many = MANY.format(seed=seed, all=DRAWS, draws=DRAWS)
    if isinstance(session.any_q, Chain):
        given = "mu, variance = q.moments_given(z)   # given what of z was drawn before\nsigma = variance ** 0.5"
        return f"from reparam.probability.conditional import conditional_kl\n\n{many}{given}"
    if isinstance(session.any_q, FlowDistribution):
        return f"{many}mu, sigma = many.mean(axis=0), many.std(axis=0, ddof=1)   # a flow knows no moments"
    return "mu, sigma = q.mean, q.variance ** 0.5"


def _terms(session: Session) -> str:
    if isinstance(session.any_q, Chain):
        return "conditional_kl(q, p, many).mean(axis=0)"
    return "reparam.objectives.kl_per_dimension(q, p)"


def _map(session: Session) -> str:
    return "z = μ + σ ⊙ ε" if session.noise_size == session.latents else "z = g(φ, ε)"
