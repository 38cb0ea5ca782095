"""How a fit shows itself in a notebook, without one: a stand-in for IPython keeps what is displayed."""

from __future__ import annotations

import re
import sys
from types import ModuleType, SimpleNamespace

import pytest

from reparam.estimator import telling
from reparam.estimator.telling import told
from reparam.training import Record


def record(epoch, seconds=2.0, held_out=None):
    validation = None if held_out is None else SimpleNamespace(bound=held_out)
    return Record(epoch, SimpleNamespace(bound=-7.125), validation, seconds, None, {})


@pytest.fixture
def shown(monkeypatch):
    """Every state of the bar, as text and as HTML."""
    states = []
    place = SimpleNamespace(update=lambda data, raw: states.append(data))

    def display(data, *, raw, display_id):
        states.append(data)
        return place

    notebook, displays = ModuleType("IPython"), ModuleType("IPython.display")
    notebook.get_ipython, displays.display = lambda: SimpleNamespace(kernel=object()), display
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", displays)
    monkeypatch.setattr(telling, "PAUSE", 0.0)
    return states


def share(state):
    return float(re.search(r'<progress value="([^"]*)" max="1"', state["text/html"])[1])


def test_a_notebook_has_one_bar_that_moves(shown, capsys):
    with telling.telling(2, 10) as tell:
        for epoch in range(1, 6):
            tell(record(epoch, held_out=-8.25))
    assert [share(state) for state in shown] == [0.0, 0.2, 0.4, 0.5]  # the last epoch is shown whatever its number
    assert re.fullmatch(
        r"epoch 4/10 · bound -7\.12 · held out -8\.25 nats · \d+ s, at most 12 s left", shown[2]["text/plain"]
    )
    assert capsys.readouterr().out == ""


def test_a_bar_is_not_drawn_more_often_than_can_be_seen(shown, monkeypatch):
    monkeypatch.setattr(telling, "PAUSE", 1e9)
    with telling.telling(1, 50) as tell:
        for epoch in range(1, 51):
            tell(record(epoch))
    assert [share(state) for state in shown] == [0.0, 1.0]


@pytest.mark.parametrize(("error", "word"), [(KeyboardInterrupt, "interrupted"), (ValueError, "failed")])
@pytest.mark.parametrize("epochs", [0, 3])
def test_a_bar_that_ends_early_says_why(shown, error, word, epochs):

    def interrupted():
        with telling.telling(1, 10) as tell:
            for epoch in range(1, epochs + 1):
                tell(record(epoch))
            raise error

    with pytest.raises(error):
        interrupted()
    assert shown[-1]["text/plain"].endswith(word)
    assert share(shown[-1]) == epochs / 10


def test_elsewhere_lines_are_printed(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    with telling.telling(2, 4) as tell:
        for epoch in range(1, 5):
            tell(record(epoch))
    assert capsys.readouterr().out.splitlines() == [told(record(2), 4), told(record(4), 4)]
    with telling.telling(0, 4) as tell:
        tell(record(1))
    assert capsys.readouterr().out == ""
