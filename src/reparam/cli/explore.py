"""``reparam explore``: a page in the browser that shows a run, live."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from reparam.cli.options import Labels, answer, check_labels, tell


def explore(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN… [DATA]", help="Run folders, then data if not the rows that the first run held out."
        ),
    ],
    *,
    labels: Labels = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes any that is free.")] = 8765,
    host: Annotated[str, typer.Option(help="Another than this machine's own needs the token that is printed.")] = (
        "127.0.0.1"
    ),
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="The address as JSON, once the page stands.")] = False,
) -> None:
    """Open a page that shows RUN: the trick live, the map of all codes, latents, rows, training.

    Nothing is written, and nothing but RUN and DATA can be asked for. Ctrl-C ends it.
    """
    from reparam.cli.showing import open_sessions, runs_and_data
    from reparam.explorer import explore

    runs, data = runs_and_data(what)
    check_labels(labels, data)
    sessions = open_sessions(runs, data, labels)
    page = explore(sessions, host=host, port=port, start=False)
    for session in sessions:
        tell(f"{session.name}: placing {session.rows:,} rows in the latent space")
        _ = session.codes
    if as_json:
        answer({"url": page.url, "runs": [str(run) for run in runs]})
    else:
        typer.echo(f"{page.url}  (Ctrl-C ends it)")
    if browser:
        import webbrowser

        webbrowser.open(page.url)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Ctrl-C ends the page in order
    try:
        page.serve()
    except KeyboardInterrupt:
        tell("ended")
