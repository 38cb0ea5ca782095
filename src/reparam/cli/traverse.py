"""``reparam traverse``: what each latent does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reparam.cli.options import Given, Json, OwnData, RowsOrPictures, RunPath, check_output, given_values, tell_written

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reparam.insight import Session


def traverse(
    run: RunPath,
    data: OwnData = None,
    *,
    out: RowsOrPictures,
    latents: Annotated[int, typer.Option(min=1, max=1000, help="At most so many latents, the most used.")] = 20,
    steps: Annotated[int, typer.Option(min=2, max=100, help="How many quantiles of the prior.")] = 9,
    given: Given = None,
    as_json: Json = False,
) -> None:
    """Decode every latent on its way through the prior, the others in the prior's middle.

    Latents stand in the order of their mean KL over DATA, the most used first, each a row. A latent takes the quantiles
    1/(2·STEPS), 3/(2·STEPS), … of the prior. A table has latent, kl, quantile and z beside every row. Of several
    layers those below a latent's own follow it, each at its mean.
    """
    check_output(out, *([] if data is None else [data]), pictures=True)
    import numpy as np

    from reparam.cli.sources import rows_for
    from reparam.data import check_pictures, is_folder, write_rows
    from reparam.estimator import load
    from reparam.insight import Session
    from reparam.insight.latents import middles, moved, quantiles, start_code

    vae, conditions = load(run), given_values(given or []) or None
    check_pictures(out, vae.schema_)
    rows, source = rows_for(vae, data, supported=True)
    session = Session(vae, rows, run.name, source, conditions)
    chosen, levels = session.order[:latents], middles(steps)
    places = quantiles(session, levels)[chosen]
    codes = [
        session.followed(moved(start_code(session), latent, place), latent)
        for latent, place in zip(chosen, places, strict=True)
    ]
    decoded: NDArray[Any] = vae.inverse_transform(np.concatenate(codes), conditions)
    if out.suffix.lower() == ".png" and not is_folder(out):
        _draw(out, session, chosen, levels, decoded)
    else:
        quantity = "kl" if session.codes.kl_per_latent is not None else "variance"
        told = {"latent": chosen, quantity: session.use[chosen]}
        beside = {name: np.repeat(values, steps) for name, values in told.items()}
        beside |= {"quantile": np.tile(levels, len(chosen)), "z": places.ravel()}
        write_rows(out, decoded, session.schema, beside=beside)
    document = {"latents": chosen.tolist(), "use": session.use[chosen].tolist(), "quantiles": list(levels)}
    what = f"{len(chosen)} of {session.latents} latents at {steps} quantiles of the prior"
    tell_written(out, what, document, as_json=as_json)


def _draw(
    out: Path, session: Session, chosen: NDArray[np.intp], levels: tuple[float, ...], decoded: NDArray[Any]
) -> None:
    """Write the picture: a row for each latent, a column for each quantile."""
    from reparam import plots
    from reparam.data.writing import atomic

    known = session.codes.kl_per_latent is not None
    names = [f"{session.latent_names[k]}\n{'KL' if known else 'variance'} {session.use[k]:.2f}" for k in chosen]
    images = decoded.reshape(len(decoded), *session.schema.event_shape)
    title = f"What each latent decodes to, the most used first: {session.name}"
    figure = plots.traversals(images, names, levels, title=title, limits=session.limits)
    plots.drawn_as_text(figure)
    with atomic(out.expanduser()) as file:
        figure.savefig(file, format="png")
