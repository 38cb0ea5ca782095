"""The rows: the worst and the best, why, what the encoder loses on one, and who lies beside it."""

from __future__ import annotations

from typing import Any

from reparam.explorer import controls
from reparam.explorer.queries import Parameter, flag, one_of, whole
from reparam.explorer.views.base import Look, View
from reparam.insight import Session
from reparam.insight.outliers import contributions, neighbours, ranked, score_of
from reparam.markup import Html, number, tag
from reparam.markup.html import join, table
from reparam.reports.data_views import captioned, cell, datum, given_and_found, row_name, signed

LISTED = 12


def _parameters(session: Session) -> dict[str, Parameter]:
    worst = ranked(session, 1)[0].row
    return {
        "order": Parameter(one_of(("worst", "best")), "worst"),
        "row": Parameter(whole(0, session.rows - 1), str(worst)),
        "gap": Parameter(flag),
    }


def _controls(look: Look) -> Html:
    session, state = look.session, look.state
    return controls.group(
        "rows",
        controls.choice("order", "listed", state["order"], [("worst", "worst first"), ("best", "best first")]),
        controls.whole("row", f"row, 0 to {session.rows - 1}", state["row"], 0, session.rows - 1),
        controls.tick("gap", "measure what the encoder loses on this row (takes a while)", state["gap"]),
    )


def _results(look: Look) -> Html:
    session, state = look.session, look.state
    row = state["row"]
    return join(
        (
            tag("section", _listed(session, state["order"] == "best"), id="listed"),
            tag("section", tag("h2", row_name(session, row)), _one(session, row), id="row"),
            tag("section", tag("h2", "Inference gap of this row"), _gap(session, row), id="gap")
            if state["gap"]
            else None,
            tag("section", tag("h2", "Nearest in the latent space"), _neighbours(session, row), id="neighbours"),
        )
    )


def _listed(session: Session, best: bool) -> list[Any]:
    found = ranked(session, LISTED, best=best)
    scored = len(session.scores.numbers)
    which = "all rows" if scored == session.rows else f"{scored:,} rows, evenly spread over {session.rows:,}"
    title = (
        f"The {'best' if best else 'worst'} of {which}, by score: the {session.vae.bound_samples}-sample bound, nats"
    )
    if session.kind == "image":
        pictures = [
            tag("a", _thumbnail(session, one.row, number(one.score)), href=f"?row={one.row}", data_set=f"row={one.row}")
            for one in found
        ]
        return [tag("h2", title), tag("div", pictures, class_="strip")]
    rows = [
        (tag("a", row_name(session, one.row), href=f"?row={one.row}", data_set=f"row={one.row}"), one.score)
        for one in found
    ]
    return [tag("h2", title), table(("row", "score, nats"), rows)]


def _thumbnail(session: Session, row: int, below: str) -> Html:
    name = row_name(session, row)
    label = "" if session.labels is None else f"{session.labels[row]}: "
    return captioned(datum(session, session.data.rows[row], name), f"{label}{below}")


def _one(session: Session, row: int) -> Html:
    given, found = session.data.rows[row], session.decode(session.codes.mean[row][None], row)[0]
    (parts,) = contributions(session, [row])
    facts = (
        controls.fact("score", f"{session.vae.bound_samples}-sample bound", number(score_of(session, row)), "nats"),
        controls.fact("kl", "KL(q‖p)", number(float(session.codes.kl[row])), "nats"),
        controls.fact("reconstruction", "E ln p(x|z)", number(float(parts.sum())), "64 draws, nats"),
    )
    share = signed(session, parts, "What each feature adds to E ln p(x|z), nats", ("feature", "nats"))
    pair = given_and_found(session, given, found, ("x", "x̂"))
    return join((tag("div", facts, class_="facts"), tag("div", pair, share, class_="figures")))


def _gap(session: Session, row: int) -> Html:
    found = session.gap(row)
    names = {
        "amortized_elbo": "ELBO with q as trained",
        "local_elbo": "ELBO with the best q of the family",
        "amortization_gap": "lost by the encoder",
        "approximation_gap": "lost by the family, to the best bound",
        "inference_gap": "both",
    }
    return table(("quantity", "nats"), [(text, found[name]) for name, text in names.items()])


def _neighbours(session: Session, row: int) -> Html:
    found = neighbours(session, row)
    if session.kind == "image":
        return tag(
            "div", (_thumbnail(session, other, number(distance, 3)) for other, distance in found), class_="strip"
        )
    columns = session.columns[:8]
    shown = [(row_name(session, other), distance, *_cells(session, other)) for other, distance in found]
    return table(("row", "distance", *columns), shown, class_="wide")


def _cells(session: Session, row: int) -> list[str]:
    return [cell(session, j, value) for j, value in enumerate(session.data.rows[row][:8])]


ROWS = View("The rows", "The worst and the best rows, and why.", _parameters, _controls, _results)
