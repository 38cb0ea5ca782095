"""The latents: a slider for each, what it moves, and what it has to do with the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.explorer import controls
from reparam.explorer.queries import Parameter, real, whole
from reparam.explorer.views.base import Look, View
from reparam.insight import Session
from reparam.insight import latents as moves
from reparam.markup import Html, number, tag
from reparam.markup.html import join, table
from reparam.reports.data_views import column_scale, datum, signed, strip

SLIDERS = 64
TRAVERSALS = 8
REACH = 4.0


def _sliders(session: Session) -> list[int]:
    return [int(k) for k in session.order[:SLIDERS]]


def _reach(session: Session) -> float:
    return float(max(REACH, np.ceil(np.quantile(np.abs(session.prior_draws), 0.999))))


def _parameters(session: Session) -> dict[str, Parameter]:
    start, reach = moves.start_code(session), _reach(session)
    found = {f"z{k}": Parameter(real(-reach, reach), f"{start[k]:g}") for k in _sliders(session)}
    return {
        "latent": Parameter(whole(0, session.latents - 1), str(int(session.order[0]))),
        "like": Parameter(whole(0, session.rows - 1), "0"),
        **found,
    }


def _controls(look: Look) -> Html:
    session, state = look.session, look.state
    unit = "nats" if session.codes.kl_per_latent is not None else "variance"
    reach = _reach(session)

    def label(k: int) -> list[Any]:
        use = tag("small", f" {number(float(session.use[k]), 3)} {unit}{', dead' if session.dead[k] else ''}")
        return [session.latent_names[k], use]

    start = moves.start_code(session)
    sliders = [
        controls.slider(
            f"z{k}", label(k), state[f"z{k}"], (-reach, reach, 0.01), dead=bool(session.dead[k]), middle=float(start[k])
        )
        for k in _sliders(session)
    ]
    cut = f", {SLIDERS} of {session.latents}" if session.latents > SLIDERS else ""
    options = [(str(k), session.latent_names[k]) for k in session.order]
    like = controls.whole("like", f"as row, 0 to {session.rows - 1}", state["like"], 0, session.rows - 1)
    return join(
        (
            controls.group(f"given: {', '.join(session.condition)}", like) if session.condition else None,
            controls.group(
                "one latent, looked at",
                controls.choice("latent", "latent", str(state["latent"]), options),
                controls.button("reset", "All to the middle", "Every slider to the middle of the prior"),
            ),
            controls.group(f"the code z, the most used latent first{cut}", sliders),
        )
    )


def code(session: Session, state: Any) -> NDArray[np.float64]:
    """Z as the sliders stand; latents without one at the middle of the prior."""
    z = moves.start_code(session)
    for k in _sliders(session):
        z[k] = state[f"z{k}"]
    return z


def _results(look: Look) -> Html:
    session, state = look.session, look.state
    latent, like = state["latent"], state["like"]
    z = session.followed(code(session, state)[None], latent)[0]
    decoded = session.decode(z[None], like)[0]
    names = [f"{level:.0%}" for level in moves.QUANTILES]
    others = [int(k) for k in session.order[:TRAVERSALS] if k != latent]
    strips = [
        strip(
            session,
            list(moves.traversal(session, z, k, like)),
            names,
            f"{session.latent_names[k]} at the prior's quantiles",
        )
        for k in ([latent, *others] if session.kind == "image" else [latent])
    ]
    return join(
        (
            tag(
                "section",
                tag("h2", "What z decodes to: the mean of p(x|z)"),
                _layers(session, latent),
                datum(session, decoded, "x̂"),
                id="decoded",
            ),
            tag("section", tag("h2", "Traversals from z"), strips, id="traversals"),
            tag(
                "section",
                tag("h2", f"What {session.latent_names[latent]} moves"),
                _moved(session, z, latent, like),
                id="effects",
            ),
            tag("section", tag("h2", "All latents"), _all(session), id="latents"),
        )
    )


def _layers(session: Session, latent: int) -> Html | None:
    """Where there are several layers: which sliders count."""
    if session.explaining == session.latents:
        return None
    above = latent >= session.explaining
    upper = f"Layers below {session.latent_names[latent]} follow it, each at its mean, and not their own sliders."
    lowest = "z1 stands as its sliders do; look at a latent of an upper layer to let the layers below follow it."
    return tag("p", upper if above else lowest, class_="note")


def _moved(session: Session, z: NDArray[np.float64], latent: int, like: int) -> Html:
    effects = moves.effects(session, z, latent, like)
    if session.kind == "image":
        return signed(session, effects, "x̂ at the prior's 90 % quantile, less that at its 10 %", ("pixel", "change"))
    coded = np.array([column.is_coded for column in session.schema.table or ()] or [False] * len(effects))
    scaled = np.where(coded, effects, effects / column_scale(session))
    title = "Change of x̂ from the prior's 10 % to its 90 %, in deviations of the column"
    title += "; of levels the probability that moves" if coded.any() else ""
    return signed(session, scaled, title, ("column", "change"))


def _all(session: Session) -> Html:
    share = moves.label_share(session)
    codes = session.codes
    unit = "KL, nats" if codes.kl_per_latent is not None else "variance of codes"
    header = ("latent", unit, "mean of codes", "deviation of codes", "mean σ", "state", *((share[0],) if share else ()))
    rows = []
    for k in session.order:
        own = (session.use[k], codes.mean[:, k].mean(), codes.mean[:, k].std(), codes.std[:, k].mean())
        label = (number(float(share[1][k])),) if share else ()
        rows.append(
            (session.latent_names[k], *(float(v) for v in own), "dead" if session.dead[k] else "in use", *label)
        )
    return table(header, rows, class_="wide")


LATENTS = View(
    "The latents",
    "Each latent's slider, and what it moves; dead ones are greyed.",
    _parameters,
    _controls,
    _results,
)
