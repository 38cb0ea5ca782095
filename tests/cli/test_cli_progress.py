"""Progress over rows: seldom, and only of what takes long."""

from __future__ import annotations

from reparam.cli import options


def test_rows_done_speaks_every_few_seconds_and_not_at_the_end(monkeypatch, capsys):
    clock = {"now": 0.0}
    monkeypatch.setattr(options.time, "monotonic", lambda: clock["now"])
    report = options.rows_done("scored")
    for clock["now"], done in ((1.0, 100), (5.0, 200), (6.0, 300), (11.0, 1400), (20.0, 1500)):
        report(done, 1500)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["scored: 200 of 1,500 rows", "scored: 1,400 of 1,500 rows"]
    assert captured.out == ""
