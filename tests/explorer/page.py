"""Asking a page, and reading what it says."""

from __future__ import annotations

import re
from html import unescape
from http.client import HTTPConnection


def ask(page, path, *, host=None, headers=None, method="GET"):
    connection = HTTPConnection("127.0.0.1", page.port, timeout=120)
    connection.request(
        method, path, headers={"Host": host or f"127.0.0.1:{page.port}", "X-Fragment": "1", **(headers or {})}
    )
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body.decode("utf-8", "replace"), dict(answer.getheaders())


def fact(html, id_):
    """The text of a number on the page."""
    return re.search(rf'id="fact-{id_}">([^<]*)<', html)[1]


def code_blocks(html):
    return [unescape(block) for block in re.findall(r"<pre><code>(.*?)</code></pre>", html, re.DOTALL)]
