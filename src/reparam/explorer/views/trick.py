"""The trick: one datum's way through the model, live, every number beside its formula and its code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.explorer import controls
from reparam.explorer.queries import Parameter, numbers, one_of, real, whole
from reparam.explorer.views.base import Look, View
from reparam.explorer.views.snippets import snippets
from reparam.insight import Session
from reparam.insight.trick import DRAWS, Gradients, Trick, coordinates, gradients, noise, trick
from reparam.markup import Html, number, tag
from reparam.markup.html import join, table
from reparam.probability.distributions.chain import Chain
from reparam.reports import figures
from reparam.reports.data_views import datum, given_and_found, row_name

LARGEST_SEED = 2**31 - 1
SHOWN_LATENTS = 32


def _parameters(session: Session) -> dict[str, Parameter]:
    last = session.explaining - 1
    return {
        "row": Parameter(whole(0, session.rows - 1), "0"),
        "seed": Parameter(whole(0, LARGEST_SEED), "0"),
        "eps": Parameter(numbers(session.noise_size)),
        "temperature": Parameter(real(0.0, 3.0), "1"),
        "draws": Parameter(whole(1, DRAWS), "100"),
        "x": Parameter(whole(0, last), "0"),
        "y": Parameter(whole(0, last), str(min(1, last))),
        "frame": Parameter(one_of(("q", "prior")), "q"),
    }


def _controls(look: Look) -> Html:
    session, state = look.session, look.state
    size = session.noise_size
    eps = "" if state["eps"] is None else " ".join(f"{value:g}" for value in state["eps"])
    pair: tuple[Html, ...] = ()
    if session.explaining > 1:
        last = session.explaining - 1
        pair = (
            controls.whole("x", "latent across", state["x"], 0, last),
            controls.whole("y", "latent upwards", state["y"], 0, last),
            controls.choice("frame", "framed", state["frame"], [("q", "q(z|x)"), ("prior", "the prior")]),
        )
    return join(
        (
            controls.group(
                "datum",
                controls.whole("row", f"row, 0 to {session.rows - 1}", state["row"], 0, session.rows - 1),
            ),
            controls.group(
                "noise ε",
                controls.button("draw", "Fresh draw", "Another ε, from the next seed"),
                controls.button("hold", "Hold this ε", "Write ε into the field, so that no seed changes it"),
                controls.whole("seed", "seed", state["seed"], 0, LARGEST_SEED),
                controls.text("eps", f"ε, typed ({size} number{'s' * (size > 1)})", eps, "Empty: drawn from the seed."),
                controls.slider("temperature", "temperature, multiplies ε", state["temperature"], (0, 3, 0.05)),
            ),
            controls.group(
                "draws",
                controls.slider("draws", "K, draws of the bound", state["draws"], (1, DRAWS, 1)),
                controls.button("play", "Let draws come", "K grows from 1 to its end"),
            ),
            controls.group("shown", *pair) if pair else None,
        )
    )


def noise_of(session: Session, state: Any) -> NDArray[np.float64]:
    """Ε as the address gives it: typed, or drawn from the seed; times the temperature."""
    eps = noise(session, state["seed"]) if state["eps"] is None else np.asarray(state["eps"], np.float64)
    return np.asarray(eps * state["temperature"])


def _results(look: Look) -> Html:
    session, state = look.session, look.state
    told = trick(session, state["row"], noise_of(session, state), draws=state["draws"], seed=state["seed"])
    return join(
        (
            _way(session, told),
            _latents(session, told, state),
            _numbers(session, told, state),
            _pictures(session, told, state),
        )
    )


def _way(session: Session, told: Trick) -> Html:
    given = session.data.rows[told.row]
    name = row_name(session, told.row)
    arrow = tag("span", "→ encoder → q(z|x) → z → decoder →", class_="arrows", aria_hidden="true")
    if session.kind == "image":
        inside = (datum(session, given, f"x, {name}"), arrow, datum(session, told.reconstruction, "x̂, mean of p(x|z)"))
        body = tag("div", inside, class_="way")
    else:
        body = given_and_found(session, given, told.reconstruction, ("x", "x̂"))
    return _section("datum", f"x and x̂: {name}", body)


def _latents(session: Session, told: Trick, state: Any) -> Html:
    """Every latent's numbers: μ, σ and the raw number of each scale, ε, z, KL."""
    mean, std, z = (np.asarray(v, np.float64) for v in (told.passage.mean, told.passage.std, told.passage.z))
    raw = coordinates(std)
    kl = told.passage.kl_per_latent
    noisy = told.eps.size == session.latents
    header = ("latent", "μ", "σ", "ln σ²", "ln σ", "softplus⁻¹ σ", "ln σ⁻²", "ε" if noisy else "", "z", "KL, nats")
    order = session.order[:SHOWN_LATENTS]
    rows = []
    for k in order:
        own = [number(float(values[k])) for values in (mean, std, *raw.values())]
        last = (number(told.eps[k]) if noisy else "", number(z[k]), "–" if kl is None else number(float(kl[k])))
        rows.append((session.latent_marks[k], *(tag("output", cell) for cell in (*own, *last))))
    more = f", the {len(order)} most used of {session.latents}" if len(order) < session.latents else ""
    sentence = tag(
        "p",
        "The encoder gives μ and one raw number for each σ. ln σ², ln σ, softplus⁻¹ σ and ln σ⁻² are the same σ "
        "in other coordinates: σ = e^(a/2), e^a, ln(1 + e^a), e^(−a/2). ",
        _map_of(session),
        class_="note",
    )
    eps = tag("data", value=" ".join(f"{v:.6g}" for v in told.eps / (state["temperature"] or 1.0)), id="eps-now")
    lines = snippets(session, told, state["seed"])["coordinates"]
    code = tag("details", tag("summary", "code"), tag("pre", tag("code", lines)))
    return _section(
        "coordinates", "μ, σ, ε and z" + more, join((sentence, table(header, rows, class_="wide"), code, eps))
    )


def _map_of(session: Session) -> str:
    if isinstance(session.any_q, Chain):
        return "Here z = μ + σ ⊙ ε, layer by layer: μ and σ of a latent are given what of z was drawn before it."
    if getattr(session.any_q, "matrix", None) is not None:
        return "Here z = μ + S ε; σ is the root of the diagonal of S Sᵀ."
    return "Here z = μ + σ ⊙ ε." if session.noise_size == session.latents else "Here ε has further parts than z."


def _numbers(session: Session, told: Trick, state: Any) -> Html:
    lines = snippets(session, told, state["seed"])
    passage = told.passage
    exact = "closed form" if told.closed_kl else f"mean of {told.draws} draws"
    facts = (
        ("likelihood", "ln p(x|z)", float(passage.log_likelihood), "of this draw, nats"),
        ("prior", "ln p(z)", float(passage.log_prior), "of this draw"),
        ("posterior", "ln q(z|x)", float(passage.log_q), "of this draw"),
        ("kl", "KL(q‖p)", told.kl, exact),
        ("elbo", "ELBO = E ln p(x|z) − KL", told.elbo, f"{told.draws} draws"),
        ("bound", "ln 1/K Σ p(x, z)/q(z|x)", float(told.bound_by_draws[-1]), f"K = {told.draws}"),
    )
    cards = (controls.fact(id_, formula, number(value), remark, lines[id_]) for id_, formula, value, remark in facts)
    setting = tag(
        "details", tag("summary", "code that the others begin with"), tag("pre", tag("code", lines["setting"]))
    )
    more = tag("details", tag("summary", "code of z"), tag("pre", tag("code", lines["z"])))
    return _section("numbers", "The numbers, nats", join((tag("div", cards, class_="facts"), setting, more)))


def _pictures(session: Session, told: Trick, state: Any) -> Html:
    x, y = state["x"], state["y"]
    names, standard = session.latent_names, session.standard_prior
    plane = (
        figures.latent_line(told, names[0], standard=standard)
        if session.explaining == 1
        else figures.latent_plane(told, x, y, names, near=state["frame"] == "q", standard=standard)
    )
    found = gradients(session, told.row, told.eps, latent=x, seed=state["seed"])
    scale = "σ" if hasattr(session.model.posterior, "scale") else "S, its diagonal"
    clouds = [figures.gradient_clouds(found, names[x], scale, near=near) for near in (False, True)]
    seen = _section("pictures", "Seen", tag("div", plane, figures.bound_growth(told), clouds, class_="figures"))
    return join((seen, _gradient_facts(session, found, told, state, scale)))


def _gradient_facts(session: Session, found: Gradients, told: Trick, state: Any, scale: str) -> Html:
    lines = snippets(session, told, state["seed"])
    kinds = (
        ("pathwise", found.pathwise, found.pathwise_spread),
        ("score function", found.score_function, found.score_function_spread),
    )
    rows = []
    for name, single, spread in kinds:
        mean, variance = spread.mean(axis=0), spread.var(axis=0, ddof=1)
        rows.append((name, *(tag("output", number(float(v))) for v in (*single, *mean, *variance))))
    quantities = [
        f"{what}∂/∂{by}{end}"
        for what, end in (("", ", this ε"), ("mean ", ""), ("variance ", ""))
        for by in ("μ", scale)
    ]
    header = ("estimator", *quantities)
    code = tag("details", tag("summary", "code"), tag("pre", tag("code", lines["gradients"])))
    title = f"Both are unbiased; one is quieter ({session.latent_names[state['x']]}, 200 draws)"
    return _section("gradients", title, join((table(header, rows, class_="wide"), code)))


def _section(id_: str, title: str, *children: Any) -> Html:
    return tag("section", tag("h2", title), children, id=id_)


TRICK = View(
    "The trick",
    "One datum's way through the model: change the noise and see what follows.",
    _parameters,
    _controls,
    _results,
)
