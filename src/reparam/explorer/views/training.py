"""The training: curves, rate and distortion, collapse; one run or several side by side."""

from __future__ import annotations

from reparam.explorer import controls
from reparam.explorer.queries import Parameter, flag, one_of, whole
from reparam.explorer.views.base import Look, View
from reparam.insight import Session
from reparam.insight.comparison import compare, differing
from reparam.markup import Html, tag
from reparam.markup.html import join, table
from reparam.reports import figures
from reparam.reports.compared import comparison_section, shown_setting


def _parameters(session: Session) -> dict[str, Parameter]:
    return {
        "axis": Parameter(one_of(("linear", "log")), "linear"),
        "first": Parameter(whole(1, max(1, len(session.history))), "1"),
        "measure": Parameter(flag),
    }


def _controls(look: Look) -> Html:
    state = look.state
    last = max(1, len(look.session.history))
    several = len(look.sessions) > 1
    return controls.group(
        "curves",
        controls.choice("axis", "epochs", state["axis"], [("linear", "linear"), ("log", "logarithmic")]),
        controls.slider("first", "from epoch", state["first"], (1, last, 1)),
        controls.tick("measure", "measure all runs on the same rows (takes a while)", state["measure"])
        if several
        else None,
    )


def _results(look: Look) -> Html:
    state, sessions = look.state, look.sessions
    histories = {session.name: session.history for session in sessions if session.history}
    if not histories:
        return tag("p", "No epoch has been trained yet.")
    first = min(state["first"], *(len(history) for history in histories.values()))
    curves = figures.training_curves(histories, first=first, log=state["axis"] == "log")
    monitors = [_monitor(session, len(sessions) > 1) for session in sessions]
    compared = tag("section", tag("h2", "What was set"), _settings(look), id="settings")
    return join(
        (
            tag("section", tag("h2", "Curves"), tag("div", curves, class_="figures"), id="curves"),
            tag(
                "section",
                tag("h2", "Rate, distortion, collapse"),
                tag("div", figures.rate_distortion(histories), monitors, class_="figures"),
                id="rates",
            ),
            compared,
            _measured(look) if state["measure"] and len(sessions) > 1 else None,
        )
    )


def _monitor(session: Session, named: bool) -> Html | None:
    found = figures.collapse_monitor(session.history, session.latent_names)
    return tag("div", tag("h3", session.name), found) if named and found else found


def _settings(look: Look) -> Html:
    """Settings of the run, or of several with those that differ first."""
    own = [session.parameters for session in look.sessions]
    first = differing(own)
    names = (*first, *(name for name in own[0] if name not in first))
    rows = [(name.replace("_", " "), *(shown_setting(settings.get(name)) for settings in own)) for name in names]
    return table(("setting", *(session.name for session in look.sessions)), rows)


def _measured(look: Look) -> Html:
    found = compare(look.sessions, samples=int(look.sessions[0].vae.bound_samples))
    return tag("section", comparison_section(found), id="compared")


TRAINING = View("The training", "How training went, and what other runs did.", _parameters, _controls, _results)
