"""HTML as values: text is escaped where it enters, so no page needs to remember to."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

VOID = ("input", "img", "br", "meta", "link", "circle", "line", "path", "rect", "image", "polyline", "ellipse", "col")


class Html(str):
    """Markup that may be sent as it is; any other text is escaped by :func:`tag`."""

    __slots__ = ()


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element: children are markup, text, numbers, or iterables of them; None is nothing.

    An attribute that is True stands bare, one that is None or False is left out; ``class_`` is class and
    ``aria_label`` is aria-label.

    >>> tag("p", "a < b", class_="note", hidden=True)
    '<p class="note" hidden>a &lt; b</p>'
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID and not children:
        return Html(f"<{name}{written}/>")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Any) -> Html:
    """Children side by side."""
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, str) or not isinstance(children, Iterable):
        return Html(html.escape(str(children), quote=False))
    return Html("".join(join(child) for child in children))


def number(value: float | None, digits: int = 4) -> str:
    """A number for a reader: so many significant digits, a true minus sign, a dash for none or NaN.

    >>> number(-1234.5678), number(0.00012345), number(None), number(2.0)
    ('−1235', '0.0001234', '–', '2')
    """
    if value is None or math.isnan(value):
        return "–"
    size = abs(value)
    if size >= 10**digits and size < 1e7:
        return f"{value:.0f}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def clock(seconds: float) -> str:
    """Seconds as a person reads them.

    >>> clock(7.4), clock(3725)
    ('7 s', '1:02:05')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def table(
    header: Sequence[Any], rows: Iterable[Sequence[Any]], *, caption: str | None = None, class_: str | None = None
) -> Html:
    """A table whose first column names its rows; numbers stand to the right."""
    head = tag("thead", tag("tr", (tag("th", cell, scope="col") for cell in header)))
    body = tag("tbody", (tag("tr", _cells(row)) for row in rows))
    text = tag("caption", caption) if caption else None
    return tag("div", tag("table", text, head, body, class_=class_), class_="scroll")


def _cells(row: Sequence[Any]) -> Iterable[Html]:
    first, *rest = row
    yield tag("th", _shown(first), scope="row")
    for cell in rest:
        yield tag("td", _shown(cell), class_="number" if isinstance(cell, int | float) else None)


def _shown(cell: Any) -> Any:
    return number(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else cell


def _attribute(name: str, value: Any) -> str:
    key = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {key}"
    return f' {key}="{html.escape(str(value), quote=True)}"'
