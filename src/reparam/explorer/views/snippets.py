"""The lines of Python that compute what stands beside them; the tests run every one."""

from __future__ import annotations

from reparam.insight import Session
from reparam.insight.trick import DRAWS, GRADIENTS, Trick

OPENING = """import jax, jax.numpy as jnp, reparam, reparam.objectives

vae = reparam.load({run!r})
model, p = vae.model_, vae.model_.prior_distribution()
kept, schema = vae.fitted_.stored(rows[[{row}]])   # rows: the data as stored
x = jnp.asarray(schema.apply(kept)[0])           # as the model sees it
q = {posterior}
eps = jnp.array({eps})
z = reparam.reparameterize(q, eps)"""

MANY = """noise = reparam.draw_noise(q, jax.random.key({seed}), ({all},))[:{draws}]
many = reparam.reparameterize(q, noise)
"""


def snippets(session: Session, told: Trick, seed: int) -> dict[str, str]:
    """Code for each number, by its name; ``setting`` comes before any of them and ``rows`` are the reader's."""
    eps = ", ".join(f"{float(value)!r}" for value in told.eps)
    opening = OPENING.format(run=session.name, row=told.row, eps=f"[{eps}]", posterior=_posterior(session, told))
    many = MANY.format(seed=seed, all=DRAWS, draws=told.draws)
    unit = " - schema.log_volume" if session.schema.log_volumes.any() else ""  # densities are of the data's units
    kl = "reparam.kl_divergence(q, p)" if told.closed_kl else "jnp.mean(q.log_prob(many) - p.log_prob(many))"
    before = "" if told.closed_kl else many
    return {
        "setting": opening,
        "z": "q = model.encode(x)                  # x → encoder → raw → q(z|x)\n"
        f"z = reparam.reparameterize(q, eps)   # {_map(session)}\n"
        "x_hat = vae.inverse_transform(z[None])",
        "coordinates": "mu, sigma = q.mean, q.variance ** 0.5\n"
        "raw = {name: scale.raw(sigma) for name, scale in reparam.SCALES.items()}   # the same σ in every scale\n"
        "kl = reparam.objectives.kl_per_dimension(q, p)                             # of each latent, nats",
        "likelihood": f"value = model.decode(z).log_prob(x){unit}",
        "prior": "value = p.log_prob(z)",
        "posterior": "value = q.log_prob(z)",
        "kl": f"{before}value = {kl}",
        "elbo": f"{many}value = model.decode(many).log_prob(x).mean() - {kl}{unit}",
        "bound": f"{many}log_w = model.decode(many).log_prob(x) + p.log_prob(many) - q.log_prob(many)\n"
        f"value = jax.nn.logsumexp(log_w) - jnp.log(len(log_w)){unit}",
        "gradients": _gradients(session, seed),
    }


def _gradients(session: Session, seed: int) -> str:
    return (
        "f = lambda z: model.decode(z).log_prob(x)\n"
        f"keys = jax.random.split(jax.random.key({seed}), {GRADIENTS})\n"
        "value = jax.vmap(lambda key: reparam.estimate_gradient(\n"
        '    f, model.family.distribution, model.encoder(x), key, estimator="pathwise"))(keys)'
    )


def _posterior(session: Session, told: Trick) -> str:
    """An encoder gives q; without one its raw vector is written down."""
    if session.vae.inference == "amortized":
        return "model.encode(x)"
    raw = ", ".join(f"{float(value)!r}" for value in told.raw)
    return f"model.family.distribution(jnp.array([{raw}]))"


def _map(session: Session) -> str:
    return "z = μ + σ ⊙ ε" if session.noise_size == session.latents else "z = g(φ, ε)"
