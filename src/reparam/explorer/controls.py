"""Native form controls, each with its label: keyboards and screen readers know them already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reparam.markup import Html, tag


def slider(
    name: str,
    label: Any,
    value: float,
    ends: tuple[float, float, float],
    *,
    dead: bool = False,
    middle: float | None = None,
) -> Html:
    """A range from, to, by steps of ``ends``, with its value beside it; ``middle`` is where a reset puts it."""
    written = dict(zip(("min", "max", "step", "value"), (f"{end:g}" for end in (*ends, value)), strict=True))
    control = tag("input", type="range", name=name, id=f"control-{name}", data_middle=middle, **written)
    shown = tag("output", f"{value:g}", for_=f"control-{name}")
    return _labelled(name, label, control, shown, class_="dead" if dead else None)


def whole(name: str, label: str, value: int, low: int, high: int) -> Html:
    """A field for a whole number."""
    control = tag(
        "input", type="number", name=name, id=f"control-{name}", min=low, max=high, step=1, value=value, required=True
    )
    return _labelled(name, label, control)


def text(name: str, label: str, value: str, hint: str) -> Html:
    """A field for numbers, typed or put there by a gesture; empty means none."""
    described = f"hint-{name}"
    control = tag(
        "input",
        type="text",
        name=name,
        id=f"control-{name}",
        value=value,
        aria_describedby=described,
        autocomplete="off",
        spellcheck="false",
        inputmode="text",
    )
    return _labelled(name, label, control, tag("small", hint, id=described))


def choice(name: str, label: str, value: str, options: Sequence[tuple[str, str]], *, off: Sequence[str] = ()) -> Html:
    """One of several, by value and text; those in ``off`` cannot be chosen."""
    items = (tag("option", shown, value=key, selected=key == value, disabled=key in off) for key, shown in options)
    return _labelled(name, label, tag("select", items, name=name, id=f"control-{name}"))


def tick(name: str, label: str, value: bool) -> Html:
    """Yes or no."""
    control = tag("input", type="checkbox", name=name, id=f"control-{name}", value="1", checked=value)
    return tag("p", tag("label", control, " ", label), class_="control tick")


def button(id_: str, label: str, hint: str | None = None) -> Html:
    """A button that the page's script gives its meaning."""
    return tag("button", label, type="button", id=id_, title=hint)


def group(legend: str, *controls: Any) -> Html:
    """Controls that belong together."""
    return tag("fieldset", tag("legend", legend), controls)


def fact(id_: str, formula: str, value: str, remark: str = "", code: str | None = None) -> Html:
    """A number beside its formula, with the lines that compute it."""
    lines = None if code is None else tag("details", tag("summary", "code"), tag("pre", tag("code", code)))
    return tag(
        "div",
        tag("span", formula, class_="formula"),
        tag("output", value, id=f"fact-{id_}"),
        tag("small", remark) if remark else None,
        lines,
        class_="fact",
    )


def _labelled(name: str, label: Any, *parts: Any, class_: str | None = None) -> Html:
    classes = "control" + (f" {class_}" if class_ else "")
    return tag("p", tag("label", label, for_=f"control-{name}"), *parts, class_=classes)
