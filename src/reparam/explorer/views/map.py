"""The map: all codes in a plane; hover, decode a place, walk a line, choose rows with a lasso."""

from __future__ import annotations

import csv
import io
import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.explorer import controls
from reparam.explorer.queries import Parameter, box, numbers, one_of, polygon, whole
from reparam.explorer.views.base import Look, View
from reparam.insight import Session
from reparam.insight import places as maps
from reparam.insight.places import Colouring, Plane
from reparam.insight.selection import differences, inside_polygon, label_shares
from reparam.markup import Html, number, tag
from reparam.markup.html import join, table
from reparam.reports.data_views import captioned, cell, datum, given_and_found, row_name, signed, strip

STEPS = 9
LASSO_CORNERS = 150
LISTED = 50
DIFFERENCES = 12
COLUMNS_OFFERED = 100
MARGIN = 0.25  # of the window on every side: what comes into sight while it is moved


def _colours(session: Session) -> list[tuple[str, str]]:
    label = [("label", "label")] if session.labels is not None else []
    columns = [(name, f"column {name}") for name in session.columns[:COLUMNS_OFFERED]]
    return [*label, ("kl", "KL(q‖p)"), ("score", "score"), ("none", "nothing"), *columns]


def _parameters(session: Session) -> dict[str, Parameter]:
    last = session.latents - 1
    first, second = (int(k) for k in (*session.order[:2], session.order[0])[:2])
    x, y = sorted((first, second))
    return {
        "projection": Parameter(one_of(("latents", "linear", "umap")), "latents"),
        "x": Parameter(whole(0, last), str(x)),
        "y": Parameter(whole(0, last), str(y if last else 0)),
        "colour": Parameter(one_of([key for key, _ in _colours(session)]), _colours(session)[0][0]),
        "box": Parameter(box),
        "place": Parameter(numbers(2)),
        "line": Parameter(numbers(4)),
        "lasso": Parameter(polygon(LASSO_CORNERS)),
    }


def plane_of(look: Look) -> Plane:
    """The plane that the address asks for.

    Raises:
        ParameterError: UMAP is not installed.
    """
    state = look.state
    return maps.plane(look.session, state["projection"], state["x"], state["y"])


def _controls(look: Look) -> Html:
    session, state = look.session, look.state
    last = session.latents - 1
    off = () if maps.has_umap() else ("umap",)
    umap = "UMAP (takes minutes)" if maps.has_umap() else "UMAP (needs reparam[explore])"
    options = [("latents", "two latents"), ("linear", "main directions"), ("umap", umap)]
    projected = (
        controls.choice("projection", "plane", state["projection"], options, off=off),
        controls.whole("x", "latent across", state["x"], 0, last),
        controls.whole("y", "latent upwards", state["y"], 0, last),
    )
    modes = [
        ("place", "decode a place"),
        ("line", "walk a line"),
        ("lasso", "lasso rows"),
        ("move", "move the window"),
        ("zoom", "zoom in"),
    ]
    return join(
        (
            controls.group(
                "what is shown",
                *(projected if last else ()),
                controls.choice("colour", "colour", state["colour"], _colours(session)),
            ),
            controls.group(
                "pointer",
                _modes(modes),
                controls.button("whole", "Show all", "Zoom out to all rows"),
                controls.button("clear", "Clear", "Forget place, line and lasso"),
            ),
            controls.group(
                "places, by pointer or typed",
                controls.text("place", "place", _text(state["place"]), "x y: decoded. Arrow keys on the map move it."),
                controls.text("line", "line", _text(state["line"]), "x y x y: from, to."),
                controls.text("lasso", "lasso", _corners(state["lasso"]), "x y x y …: corners."),
                controls.text("box", "window", _text(state["box"]), "x from, to, y from, to."),
            ),
        )
    )


def _modes(modes: list[tuple[str, str]]) -> Html:
    """What a press of the pointer does; no part of the form, so none of the address."""
    grouped = {"type": "radio", "name": "pointer", "form": ""}
    items = (
        tag("label", tag("input", checked=key == "place", id=f"mode-{key}", value=key, **grouped), " ", shown)
        for key, shown in modes
    )
    return tag("div", items, id="modes", role="radiogroup", aria_label="what the pointer does")


def _results(look: Look) -> Html:
    session, state = look.session, look.state
    plane = plane_of(look)
    colours = maps.colouring(session, state["colour"])
    canvas = tag(
        "canvas",
        "A map of the rows in the latent space.",
        id="map",
        tabindex=0,
        role="application",
        aria_label=f"Map of {session.rows:,} rows, {plane.names[0]} across and {plane.names[1]} upwards. "
        "Arrow keys move the place that is decoded, with Shift the window; plus and minus zoom.",
        data_box=_exact(state["box"] or plane.box),
        data_all=_exact(plane.box),
        data_place=_text(state["place"]),
        data_line=_text(state["line"]),
        data_lasso=_corners(state["lasso"]),
    )
    overlay = Html('<svg id="over" aria-hidden="true"></svg><div id="axes" aria-hidden="true"></div>')
    hover = tag("div", id="hover", hidden=True, role="status")
    framed = tag("div", canvas, overlay, hover, id="plot")
    caption = tag("figcaption", f"{plane.names[0]} across, {plane.names[1]} upwards; coloured by {colours.name}")
    count = tag("p", id="inside", class_="note", role="status")
    figure = tag("figure", caption, _legend(colours), framed, count, id="map-figure")
    panels = (_place(session, plane, state), _line(session, plane, state), _lasso(session, plane, state))
    return tag("div", figure, tag("div", panels, class_="panels"), class_="beside")


def _legend(colours: Colouring) -> Html | None:
    if colours.classes is None:
        low, high = (number(end, 3) for end in colours.limits)
        bar = tag("span", class_="ramp", role="img", aria_label=f"colours from {low} to {high}")
        return tag("p", low, " ", bar, " ", high, class_="legend")
    if len(colours.classes) == 1:
        return None
    return tag("ul", (tag("li", c, class_=f"key c{i}") for i, c in enumerate(colours.classes)), class_="legend")


def _place(session: Session, plane: Plane, state: Any) -> Html | None:
    if state["place"] is None:
        return tag("p", "Press the pointer on the map, anywhere: that place is decoded.", class_="note")
    code = plane.codes(np.array([state["place"]]), session)
    text = f"z = ({', '.join(number(float(v), 3) for v in code[0][:8])}{', …' if session.latents > 8 else ''})"
    near = int(plane.nearest(state["place"])[0])
    names = (f"nearest: {row_name(session, near)}", "decoded")
    pair = given_and_found(session, session.data.rows[near], session.decode(code, near)[0], names)
    return tag("section", tag("h2", "This place"), tag("p", text, id="place-code", class_="note"), pair, id="place")


def _line(session: Session, plane: Plane, state: Any) -> Html | None:
    if state["line"] is None:
        return None
    ends = np.array(state["line"]).reshape(2, 2)
    share = np.linspace(0.0, 1.0, STEPS)
    places = ends[0] + share[:, None] * (ends[1] - ends[0])
    decoded = session.decode(plane.codes(places, session), int(plane.nearest(ends[0])[0]))
    body = strip(session, list(decoded), [f"{s:.2g}" for s in share], "Decoded along the line")
    return tag("section", tag("h2", "Along the line"), body, id="line")


def _lasso(session: Session, plane: Plane, state: Any) -> Html | None:
    if state["lasso"] is None:
        return None
    chosen = inside_polygon(plane.places, np.array(state["lasso"]))
    title = tag("h2", f"{len(chosen):,} of {session.rows:,} rows in the lasso")
    if not len(chosen):
        return tag("section", title, id="lasso")
    stats = _statistics(session, chosen)
    shares = label_shares(session, chosen)
    labels = table(("label", "in the lasso", "in all"), shares, caption="labels") if shares else None
    save = tag("p", tag("a", "Save these rows as CSV", id="csv", href="/map/rows.csv", data_query="lasso"))
    return tag("section", title, save, labels, stats, _members(session, chosen), id="lasso")


def _statistics(session: Session, chosen: NDArray[np.intp]) -> Html:
    """The chosen rows against the rest, column by column; of images the two means and their difference."""
    found = differences(session, chosen)
    if session.kind == "image":
        place = {one.column: one for one in found}
        ordered = [place[name] for name in session.columns]
        means = [np.array([getattr(one, part) for one in ordered]) for part in ("chosen", "rest")]
        pair = (
            captioned(datum(session, mean, n), n) for mean, n in zip(means, ("mean, lasso", "mean, rest"), strict=True)
        )
        effect = np.array([one.effect for one in ordered])
        title = "Difference of the means, in pooled deviations"
        return join((tag("div", pair, class_="pair"), signed(session, effect, title, ("pixel", "difference"))))
    rows = [(one.column, one.chosen, one.rest, one.effect) for one in found[:DIFFERENCES]]
    caption = f"The {len(rows)} columns that differ most: means, and their difference in pooled deviations"
    return table(("column", "lasso", "the rest", "difference"), rows, caption=caption)


def _members(session: Session, chosen: NDArray[np.intp]) -> Html:
    listed = [(row_name(session, int(row)), float(session.codes.kl[row])) for row in chosen[:LISTED]]
    more = "" if len(chosen) <= LISTED else f", the first {LISTED}"
    return tag("details", tag("summary", f"rows{more}"), table(("row", "KL, nats"), listed))


# ---- what the page's script asks for beside the page itself


def marks(look: Look) -> bytes:
    """What is drawn: the length of a JSON head, the head, then float32 x, y, value and weight of every mark."""
    plane = plane_of(look)
    colours = maps.colouring(look.session, look.state["colour"])
    window = look.state["box"] or plane.box
    found = maps.marks(plane, colours, window, margin=MARGIN)
    head = {
        "region": found.region,
        "count": len(found.values),
        "inside": found.inside,
        "rows": look.session.rows,
        "cell": found.cell,
        "classes": None if colours.classes is None else len(colours.classes),
        "limits": colours.limits,
        "names": plane.names,
    }
    text = json.dumps(head).encode()
    text += b" " * (-(len(text) + 4) % 4)
    body = np.column_stack([found.places, found.values, found.weights]).astype("<f4")
    return struct.pack("<I", len(text)) + text + body.tobytes()


def hover(look: Look) -> Html:
    """The nearest row to a place, and its reconstruction."""
    session, plane = look.session, plane_of(look)
    row = int(plane.nearest(look.state["place"] or (0.0, 0.0))[0])
    at = " ".join(f"{float(v)!r}" for v in plane.places[row])
    title = tag("p", tag("b", row_name(session, row)), f", KL {number(float(session.codes.kl[row]))} nats", data_at=at)
    found = session.decode(session.codes.mean[row][None], row)[0]
    if session.kind != "image":
        shown = list(range(min(6, session.schema.size)))
        cells = [
            (session.columns[j], cell(session, j, session.data.rows[row, j]), cell(session, j, found[j])) for j in shown
        ]
        return join((title, table(("column", "x", "x̂"), cells)))
    pair = ((session.data.rows[row], "x"), (found, "x̂"))
    return join((title, tag("div", (captioned(datum(session, v, n), n) for v, n in pair), class_="pair")))


def rows_csv(look: Look) -> bytes:
    """The rows in the lasso: number, label, codes, KL, and every column."""
    session, plane = look.session, plane_of(look)
    corners = look.state["lasso"]
    chosen = np.arange(0) if corners is None else inside_polygon(plane.places, np.array(corners))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["row", "label", *(f"mean_{mark}" for mark in session.latent_marks), "kl", *session.columns])
    for row in chosen:
        label = "" if session.labels is None else session.labels[row]
        codes = session.codes.mean[row].tolist()
        writer.writerow([int(row), label, *codes, float(session.codes.kl[row]), *session.data.rows[row].tolist()])
    return stream.getvalue().encode()


def _exact(values: Any) -> str:
    return " ".join(map(repr, values))


def _text(values: Any) -> str:
    return "" if values is None else " ".join(f"{value:.6g}" for value in values)


def _corners(corners: Any) -> str:
    return "" if corners is None else _text([value for corner in corners for value in corner])


MAP = View("The map", "All codes: hover, decode a place, walk a line, choose rows.", _parameters, _controls, _results)
