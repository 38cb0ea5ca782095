"""A page that stands alone: one file, no server, no network."""

from __future__ import annotations

from importlib.resources import files

from reparam.markup import Html, tag


def page(title: str, inside: Html) -> Html:
    """A whole HTML document with the house's style and the script that walks its grids."""
    style = files("reparam.markup").joinpath("style.css").read_text(encoding="utf-8")
    script = files("reparam.markup").joinpath("grid.js").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        Html(f"<style>{style}</style>"),
    )
    body = tag("body", tag("main", tag("h1", title), inside), Html(f"<script>{script}</script>"), class_="report")
    return Html("<!doctype html>\n" + tag("html", head, body, lang="en", data_theme="light"))
