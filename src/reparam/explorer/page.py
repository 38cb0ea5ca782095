"""The frame around every tab."""

from __future__ import annotations

from collections.abc import Sequence

from reparam.explorer.views import VIEWS
from reparam.explorer.views.base import Look
from reparam.insight import Session
from reparam.markup import Html, tag
from reparam.version import __version__


def page(tab: str, run: int, look: Look) -> Html:
    """The whole page of a tab."""
    view = VIEWS[tab]
    body = tag(
        "body",
        tag("a", "Skip to the results", href="#results", class_="skip"),
        _header(tab, run, look),
        tag("main", tag("div", _form(tab, run, look), _told(tab, look), class_="layout")),
        data_tab=tab,
    )
    title = f"{view.title} · {look.session.name} · reparam"
    return document(title, body)


def document(title: str, body: Html) -> Html:
    """A document that loads the page's own style and script, and nothing else."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("link", rel="stylesheet", href="/static/style.css"),
        tag("script", src="/static/theme.js"),
        tag("script", src="/static/explorer.js", type="module"),
    )
    return Html("<!doctype html>\n" + tag("html", head, body, lang="en"))


def refusal(title: str, text: str) -> Html:
    """A page that says what was wrong with an address."""
    back = tag("p", tag("a", "To the beginning", href="/"))
    return document(title, tag("body", tag("main", tag("h1", title), tag("p", text, role="alert", id="refusal"), back)))


def results(tab: str, look: Look) -> Html:
    """What a tab's form asks for."""
    return VIEWS[tab].results(look)


def _header(tab: str, run: int, look: Look) -> Html:
    links = (
        tag(
            "a",
            view.title,
            href=f"/{name}" + (f"?run={run}" if run else ""),
            aria_current="page" if name == tab else None,
        )
        for name, view in VIEWS.items()
    )
    session = look.session
    about = f"{session.name} · {session.source} · reparam {__version__}"
    theme = tag("button", "Light or dark", type="button", id="theme")
    return tag(
        "header",
        tag("div", tag("h1", "reparam"), tag("p", about), theme, class_="top"),
        tag("nav", links, aria_label="tabs"),
    )


def _form(tab: str, run: int, look: Look) -> Html:
    view = VIEWS[tab]
    return tag(
        "form",
        tag("p", view.told, class_="note"),
        _runs(run, look.sessions),
        view.controls(look),
        tag("noscript", tag("button", "Show", type="submit", name="show", value="1")),
        action=f"/{tab}",
        method="get",
        id="controls",
        aria_label="what is shown",
        autocomplete="off",
    )


def _runs(run: int, sessions: Sequence[Session]) -> Html | None:
    if len(sessions) == 1:
        return None
    options = (tag("option", s.name, value=i, selected=i == run) for i, s in enumerate(sessions))
    select = tag("select", options, name="run", id="control-run")
    return tag("p", tag("label", "run", for_="control-run"), select, class_="control")


def _told(tab: str, look: Look) -> Html:
    """The results, which the page's script asks for once the frame is there; a form without a script asks at once."""
    if look.state["show"]:
        return tag("div", results(tab, look), id="results", tabindex="-1", aria_live="polite", aria_busy="false")
    busy = tag("p", "computing …", class_="note")
    return tag("div", busy, id="results", tabindex="-1", aria_live="polite", aria_busy="true")
