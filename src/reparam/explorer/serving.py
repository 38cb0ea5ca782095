"""The server: addresses → answers, by the standard library's threads; it reads, and writes nothing.

What it guards: only the given runs and their data can be asked for; every name of an address is checked by
:mod:`reparam.explorer.queries`; a page of another site cannot read it, for the Host must be this machine's (DNS
rebinding) or the reader must bear the token; pages may load nothing but themselves.
"""

from __future__ import annotations

import hmac
import secrets
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from reparam.errors import DataError, ParameterError, ReparamError
from reparam.explorer import page
from reparam.explorer.queries import Parameter, flag, read_query, whole
from reparam.explorer.views import VIEWS
from reparam.explorer.views import map as map_view
from reparam.explorer.views.base import Look
from reparam.insight import Session

LOCAL = ("127.0.0.1", "localhost", "::1")
STATIC = {
    "style.css": "text/css; charset=utf-8",
    "theme.js": "text/javascript; charset=utf-8",
    "explorer.js": "text/javascript; charset=utf-8",
    "map.js": "text/javascript; charset=utf-8",
    "marks.js": "text/javascript; charset=utf-8",
    "pictures.js": "text/javascript; charset=utf-8",
}
SHARED_STYLE = "style.css"
HTML = "text/html; charset=utf-8"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self' http://localhost:* http://127.0.0.1:*"
)
PATIENCE = 30.0


@dataclass(frozen=True)
class Answer:
    """What is sent."""

    status: HTTPStatus
    kind: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Explorer:
    """A running page; ``url`` opens it, :meth:`close` ends it. In a notebook it shows itself.

    Raises:
        DataError: the port is taken, or the host is not this machine's.
    """

    def __init__(self, sessions: Sequence[Session], *, host: str = "127.0.0.1", port: int = 0):
        if not host:  # sockets would take that for every address of this machine
            raise DataError("no host is named. Choose another --host, such as 127.0.0.1, or 0.0.0.0 for every address.")
        self.sessions = tuple(sessions)
        self.host = host
        self.token = None if host in LOCAL else secrets.token_urlsafe(24)
        try:
            self._server = _server_class(host)((host, port), _handler(self))
        except (OSError, OverflowError, TypeError, ValueError) as error:  # a name that is none, too
            reason = getattr(error, "strerror", None) or error
            raise DataError(
                f"cannot serve at port {port} of {host!r:.80} ({reason}). Choose another --port or --host."
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where the page is, with the token where one is needed."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.port}/" + ("" if self.token is None else f"?token={self.token}")

    def serve(self) -> None:
        """Answer until :meth:`close` or an interrupt."""
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            self._server.server_close()

    def start(self) -> Explorer:
        """Answer in a thread of its own."""
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()

    def _repr_html_(self) -> str:
        frame = f'<iframe src="{self.url}" width="100%" height="720" title="reparam explorer"></iframe>'
        return f'{frame}<p><a href="{self.url}" target="_blank" rel="noopener">{self.url}</a></p>'

    # ---- answers

    def answer(self, target: str, *, fragment: bool = False) -> Answer:
        """What an address gives; a fragment is the results without the page around them."""
        parts = urlsplit(target)
        path = parts.path.strip("/") or "trick"
        try:
            if path.startswith("static/"):
                return _static(path.removeprefix("static/"))
            if path in BESIDE:
                kind, compute = BESIDE[path]
                return Answer(HTTPStatus.OK, kind, compute(self._look("map", parts.query)[1]), DOWNLOADS.get(path, ()))
            if path not in VIEWS:
                return _refused(HTTPStatus.NOT_FOUND, "there is no such page")
            run, look = self._look(path, parts.query)
            shown = page.results(path, look) if fragment else page.page(path, run, look)
            return Answer(HTTPStatus.OK, HTML, shown.encode())
        except ParameterError as error:
            return _refused(HTTPStatus.BAD_REQUEST, str(error))
        except ReparamError as error:
            return _refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))

    def _look(self, tab: str, query: str) -> tuple[int, Look]:
        """The run that the query names, and the state that its tab reads from it."""
        run_only = {"run": Parameter(whole(0, len(self.sessions) - 1), "0")}
        show = {"show": Parameter(flag)}
        named = [(name, text) for name, text in parse_qsl(query[:9_000], keep_blank_values=True) if name == "run"]
        run = read_query(urlencode(named), run_only)["run"]
        session = self.sessions[run]
        state = read_query(query, {**run_only, **show, **VIEWS[tab].parameters(session)})
        return run, Look(session, self.sessions, state)


BESIDE: dict[str, tuple[str, Callable[[Look], bytes]]] = {
    "map/marks": ("application/octet-stream", map_view.marks),
    "map/hover": (HTML, lambda look: map_view.hover(look).encode()),
    "map/rows.csv": ("text/csv; charset=utf-8", map_view.rows_csv),
}
DOWNLOADS = {"map/rows.csv": (("Content-Disposition", 'attachment; filename="rows.csv"'),)}


def explore(sessions: Sequence[Session], *, host: str = "127.0.0.1", port: int = 0, start: bool = True) -> Explorer:
    """The page of runs; it answers at once in a thread of its own, unless ``start`` is False.

    Raises:
        DataError: the port is taken, or the host is not this machine's.
    """
    opened = Explorer(sessions, host=host, port=port)
    return opened.start() if start else opened


def _static(name: str) -> Answer:
    """A file of the page by its name: no path is ever made of what was asked for."""
    if name not in STATIC:
        return _refused(HTTPStatus.NOT_FOUND, "there is no such file")
    return Answer(HTTPStatus.OK, STATIC[name], _file(name), (("Cache-Control", "max-age=60"),))


@lru_cache
def _file(name: str) -> bytes:
    home = files("reparam.markup") if name == SHARED_STYLE else files("reparam.explorer").joinpath("static")
    return home.joinpath(name).read_bytes()


def _refused(status: HTTPStatus, text: str) -> Answer:
    return Answer(status, HTML, page.refusal(status.phrase, text).encode())


def _server_class(host: str) -> type[ThreadingHTTPServer]:
    if ":" not in host:
        return ThreadingHTTPServer
    import socket

    return type("SixServer", (ThreadingHTTPServer,), {"address_family": socket.AF_INET6})


def _handler(explorer: Explorer) -> type[BaseHTTPRequestHandler]:
    """The class of what answers one connection, as the standard library wants it."""

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE
        server_version = "reparam"
        sys_version = ""
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Answer an address."""
            self._send(self._answer())

        def do_HEAD(self) -> None:
            """Answer without the body."""
            self._send(self._answer(), body=False)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing of every request."""

        def _answer(self) -> Answer:
            refusal = _gate(explorer, self.path, self.headers.get("Host", ""), self.headers.get("Cookie", ""))
            if refusal is not None:
                return refusal
            fragment = self.headers.get("X-Fragment") == "1"
            try:
                return explorer.answer(self.path, fragment=fragment)
            except Exception as error:  # one request must not end the page
                print(f"reparam: explorer: {type(error).__name__}: {error}", file=sys.stderr)
                text = "a fault of reparam itself; where the page was started it says more"
                return _refused(HTTPStatus.INTERNAL_SERVER_ERROR, text)

        def _send(self, answer: Answer, *, body: bool = True) -> None:
            try:
                self.send_response(answer.status)
                for name, value in (*_headers(answer), *answer.headers):
                    self.send_header(name, value)
                self.end_headers()
                if body:
                    self.wfile.write(answer.body)
            except (BrokenPipeError, ConnectionResetError, TimeoutError):
                self.close_connection = True

    return Handler


def _headers(answer: Answer) -> tuple[tuple[str, str], ...]:
    return (
        ("Content-Type", answer.kind),
        ("Content-Length", str(len(answer.body))),
        ("Content-Security-Policy", POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        *((("Cache-Control", "no-store"),) if not any(n == "Cache-Control" for n, _ in answer.headers) else ()),
    )


def _gate(explorer: Explorer, target: str, host: str, cookies: str) -> Answer | None:
    """Refuse who may not ask; turn the token of the first address into a cookie. None lets the request through."""
    if explorer.token is None:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        known = name.strip("[]") in LOCAL
        return None if known else _refused(HTTPStatus.FORBIDDEN, "this page is for this machine only")
    parts = urlsplit(target)
    given = dict(parse_qsl(parts.query[:9_000])).get("token")
    if given is not None and hmac.compare_digest(given.encode(), explorer.token.encode()):
        rest = urlencode([pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "token"])
        cookie = f"{_cookie_name(explorer)}={explorer.token}; HttpOnly; SameSite=Strict; Path=/"
        place = "/" + parts.path.strip("/") + (f"?{rest}" if rest else "")
        return Answer(HTTPStatus.SEE_OTHER, HTML, b"", (("Set-Cookie", cookie), ("Location", place)))
    if hmac.compare_digest(_cookie(cookies, _cookie_name(explorer)).encode(), explorer.token.encode()):
        return None
    return _refused(HTTPStatus.FORBIDDEN, "the address lacks the token that was printed where the page was started")


def _cookie_name(explorer: Explorer) -> str:
    """Browsers keep cookies by host and not by port."""
    return f"reparam-{explorer.port}"


def _cookie(text: str, name: str) -> str:
    try:
        found = SimpleCookie(text).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value
