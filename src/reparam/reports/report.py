"""One file that tells a run: it opens by a double click, needs no server and no network, and prints."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reparam.data import inspect, spread
from reparam.evaluation import Evaluation
from reparam.evaluation.results import Estimate
from reparam.insight import Session
from reparam.insight import latents as moves
from reparam.insight.comparison import count_parameters
from reparam.insight.outliers import contributions, ranked
from reparam.insight.places import colouring, plane
from reparam.insight.provenance import command, fingerprint, settings_apart, versions
from reparam.markup import Html, number, tag
from reparam.markup.html import join, table
from reparam.reports import figures
from reparam.reports.compared import shown_setting, with_error
from reparam.reports.data_page import column_table
from reparam.reports.data_views import captioned, cell, datum, given_and_found, row_name
from reparam.reports.grid import decoding_grid
from reparam.reports.page import page
from reparam.reports.samples import SIDE, TABLE_COLUMNS, samples, shown_at_most

MAPPED = 3000
LATENT_ROWS = 40


def report(session: Session, *, shown: Session | None = None) -> Html:
    """The report of a run as one HTML document.

    Args:
        session: the run and the rows that it is measured on: held out, where there are such.
        shown: the run and all of its rows, for the map; by default the same.
    """
    found = session.vae.evaluate(session.data)
    parts = (
        ("Model card", _card(session, found)),
        ("What the data are", _data(session)),
        ("What was chosen, and why", _chosen(session)),
        ("How training went", _training(session)),
        ("What it is worth", _worth(session, found)),
        ("The latents", _latents(shown or session)),
        ("What places decode to", decoding_grid(session)),
        ("Reconstructions", _reconstructions(session)),
        ("Samples beside data", samples(session)),
        ("The worst rows", _worst(session)),
        ("To make it again", _again(session)),
    )
    sections = [tag("section", tag("h2", title), body, id=_anchor(title)) for title, body in parts if body is not None]
    contents = tag(
        "nav",
        (tag("a", title, href=f"#{_anchor(title)}") for title, body in parts if body is not None),
        aria_label="contents",
    )
    return page(f"{session.name}: a variational autoencoder of {session.schema.name}", join((contents, sections)))


def _anchor(title: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in title.lower())


# ---- sections


def _card(session: Session, found: Evaluation) -> Html:
    vae = session.vae
    lines = (
        (
            "model",
            f"variational autoencoder, {_counted(session)}, q(z|x) {vae.posterior}, p(z) {vae.prior}, "
            f"p(x|z) {vae.likelihood_}, {count_parameters(session):,} trained numbers",
        ),
        ("trained on", f"{session.schema.name}; {_trained_rows(session)}"),
        ("measured on", session.source),
        (
            "bound on ln p(x)",
            f"{with_error(Estimate(found.bound, found.standard_error))} nats per datum, "
            f"{found.samples} draws, densities of {found.units}",
        ),
        ("latents in use", f"{found.active_units} of {session.latents}"),
        ("meant for", "data of the same kind as it was trained on: codes, reconstructions, samples, scores of rows"),
        (
            "not meant for",
            "rows of another origin without measuring first: a high score does not prove that a row is "
            "of the training data's kind (Nalisnick et al. 2019)",
        ),
        ("to be known", "; ".join(_caveats(session, found))),
    )
    return table(("", ""), lines, class_="card")


def _counted(session: Session) -> str:
    """How many latents, by layer where there are several."""
    layers = session.model.prior.layers
    if len(layers) > 1:
        return f"{' + '.join(map(str, layers))} latents in {len(layers)} layers"
    return f"{session.latents} latent{'s' * (session.latents > 1)}"


def _trained_rows(session: Session) -> str:
    rows = getattr(session.vae, "source_", {}).get("rows")
    held_out = session.vae.validation_fraction if session.vae.early_stopping else 0.0
    told = "" if rows is None else f"{rows:,} rows, "
    return told + (f"{held_out:.0%} of them held out" if held_out else "none held out")


def _caveats(session: Session, found: Evaluation) -> Iterator[str]:
    yield from found.warnings
    if not session.vae.early_stopping:
        yield "no rows were held out: figures on the run's own rows flatter it"
    if session.dead.any():
        yield f"{int(session.dead.sum())} of {session.latents} latents carry nothing"
    if session.vae.beta not in (None, 1.0):
        yield f"trained with the KL weighted by {session.vae.beta:g}; bounds here are at weight 1"
    yield "numbers are bounds from below: the truth may be better, not worse, but for their standard errors"


def _data(session: Session) -> Html:
    summary = inspect(session.data)
    shape = " × ".join(map(str, summary.event_shape))
    facts = (
        ("rows", session.source),
        ("one datum", f"{shape} values, {summary.dtype}"),
        (
            "values",
            f"{number(summary.minimum)} to {number(summary.maximum)}; the model sees {summary.units}, "
            f"{number(summary.model_minimum)} to {number(summary.model_maximum)}",
        ),
        ("missing", f"{summary.missing:,} values"),
        ("labels", "none" if summary.labels is None else f"{summary.labels} different; never trained on"),
    )
    columns = None
    if session.schema.table is not None:
        columns = column_table(session.data)
    elif session.kind != "image":
        listed = summary.columns[:TABLE_COLUMNS]
        rows = [(c.name, c.minimum, c.maximum, c.mean, c.std, str(c.missing)) for c in listed]
        more = "" if len(listed) == len(summary.columns) else f"the first {len(listed)} of {len(summary.columns)}"
        columns = table(("column", "least", "largest", "mean", "deviation", "missing"), rows, caption=more or None)
    return join((table(("", ""), facts), columns))


def _chosen(session: Session) -> Html:
    apart = settings_apart(session.vae)
    reason = f"The likelihood is {session.vae.likelihood_}: {session.vae.likelihood_reason_}."
    rows = [
        (name.replace("_", " "), shown_setting(value), "set" if name in apart else "default")
        for name, value in session.parameters.items()
    ]
    return join(
        (
            tag("p", reason),
            tag("details", tag("summary", "every setting"), table(("setting", "value", ""), rows), open=True),
        )
    )


def _training(session: Session) -> Html | None:
    if not session.history:
        return None
    histories = {session.name: session.history}
    pictures = (
        *figures.training_curves(histories),
        figures.rate_distortion(histories),
        figures.collapse_monitor(session.history, session.latent_names),
    )
    told = (
        "The bound is the reconstruction less the KL. Where the held-out curve falls while the other rises, the "
        "model learns rows by heart; where the KL stays at zero, its latents are unused."
    )
    return join((tag("p", told, class_="note"), tag("div", pictures, class_="figures")))


def _worth(session: Session, found: Evaluation) -> Html:
    information = Estimate(found.mutual_information, found.mutual_information_standard_error)
    rows = [
        ("ELBO", with_error(Estimate(found.elbo, found.elbo_standard_error)), "the mean bound of one draw"),
        ("reconstruction", number(found.reconstruction), "E ln p(x|z): how well rows are told by their codes"),
        ("KL", number(found.kl), "what the codes cost: mutual information and aggregate KL"),
        ("mutual information", with_error(information), "between a row and its code"),
        (
            "aggregate KL",
            number(found.aggregate_kl),
            "of all codes together from the prior: 0 where samples can be good",
        ),
        (f"{found.samples}-sample bound", with_error(Estimate(found.bound, found.standard_error)), "nearer to ln p(x)"),
        (
            "effective draws",
            number(found.effective_samples, 3),
            f"median; fewer than 10 in {found.rows_below_10_effective} of {found.rows} rows",
        ),
    ]
    if found.bits_per_dimension is not None:
        rows.append(("bits per dimension", number(found.bits_per_dimension), found.bits_per_dimension_convention or ""))
    curve = figures.bound_by_samples(found.bound_by_samples, found.elbo)
    told = f"Nats per datum, densities of {found.units}; ± one standard error over the {found.rows:,} rows."
    measured = table(("quantity", "value", "what it means"), rows)
    return join((tag("p", told, class_="note"), tag("div", measured, curve, class_="figures")))


def _latents(session: Session) -> Html:
    share = moves.label_share(session)
    codes = session.codes
    unit = "KL, nats" if codes.kl_per_latent is not None else "variance of codes"
    header = ("latent", unit, "deviation of codes", "mean σ", "", *((share[0],) if share else ()))
    rows = []
    for k in session.order[:LATENT_ROWS]:
        own = (float(session.use[k]), float(codes.mean[:, k].std()), float(codes.std[:, k].mean()))
        label = (float(share[1][k]),) if share else ()
        rows.append((session.latent_names[k], *own, "dead" if session.dead[k] else "in use", *label))
    first, second = sorted(int(k) for k in (session.order[:2] if session.latents > 1 else session.order[[0, 0]]))
    mapped = plane(session, "latents", first, second)
    chosen = spread(session.rows, MAPPED)
    colours = colouring(session, "label")
    classes = colours.values[chosen] if colours.classes else np.zeros(len(chosen))
    picture = figures.code_map(mapped.places[chosen], classes, colours.classes or ("rows",), mapped.names)
    cut = f"the {LATENT_ROWS} most used of {session.latents}" if session.latents > LATENT_ROWS else None
    return tag("div", table(header, rows, caption=cut), picture, class_="figures")


def _reconstructions(session: Session) -> Html:
    numbers = spread(session.rows, shown_at_most(session, 24) if session.kind == "image" else 3)
    dataset = session.take(numbers)
    pairs = zip(numbers, dataset.rows, session.vae.reconstruct(dataset), strict=True)
    told = "The mean of p(x|z) at the mean of q(z|x), for rows evenly spread."
    if session.kind == "image":
        shown = [
            captioned(join(tuple(datum(session, v, name, most=SIDE) for v, name in ((x, "x"), (y, "x̂")))), str(n))
            for n, x, y in pairs
        ]
        return join(
            (
                tag("p", f"{told} Above the datum, below its reconstruction.", class_="note"),
                tag("div", shown, class_="strip"),
            )
        )
    shown = [
        tag("div", tag("h3", row_name(session, int(n))), given_and_found(session, x, y, ("x", "x̂")))
        for n, x, y in pairs
    ]
    return join((tag("p", told, class_="note"), tag("div", shown, class_="figures")))


def _worst(session: Session) -> Html:
    found = ranked(session, 12)
    told = (
        f"Lowest {session.vae.bound_samples}-sample bound, nats: what the model explains least. Mistakes in the data "
        "stand here first. Numbers count the rows measured."
    )
    if session.kind == "image":
        shown = [
            captioned(
                datum(session, session.data.rows[o.row], row_name(session, o.row), most=SIDE),
                f"{o.row}: {number(o.score)}",
            )
            for o in found
        ]
        return join((tag("p", told, class_="note"), tag("div", shown, class_="strip")))
    rows = []
    for one, parts in zip(found, contributions(session, [one.row for one in found]), strict=True):
        least = np.argsort(parts, kind="stable")[:3]
        values = session.data.rows[one.row]
        against = (f"{session.columns[j]} {cell(session, j, values[j])} ({number(float(parts[j]), 3)})" for j in least)
        rows.append((row_name(session, one.row), one.score, ", ".join(against)))
    header = ("row", "score, nats", "explained least, and what that adds to E ln p(x|z), nats")
    return join((tag("p", told, class_="note"), table(header, rows)))


def _again(session: Session) -> Html:
    here = table(("package", "version"), list(versions().items()))
    known = fingerprint(session)
    told = None if known is None else tag("p", f"SHA-256 of the rows: {known}", class_="note")
    return join(
        (tag("pre", tag("code", command(session))), told, tag("details", tag("summary", "versions"), here, open=True))
    )
