"""``reparam train``: data → a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from reparam.cli.options import (
    ChannelsFirst,
    Columns,
    Crop,
    Delimiter,
    Drop,
    Gray,
    Index,
    Json,
    Kept,
    Labels,
    Missing,
    NoHeader,
    Quote,
    Resize,
    Shape,
    SkipBroken,
    Streamed,
)
from reparam.cli.sharing import SHARING, Coordinator, Count, Processes, ProcessId, sharing
from reparam.errors import ParameterError
from reparam.location import check_data


def setting(help: str, default: str, **more: Any) -> Any:
    """An option that sets a parameter of ``reparam.VAE``; its default is the estimator's, and here only told."""
    return typer.Option(help=f"{help} [default: {default}]", **more)


NOT_SETTINGS = (
    *("context", "data", "out", "config", "save_config", "resume", "resume_if_there", "overwrite"),
    *("checkpoint_every", "log_every", "quiet", "as_json", "stream", "return"),
)


def train(
    context: typer.Context,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", help="A path, file.npz:array, or a name such as digits; --resume knows its own."
        ),
    ] = None,
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="RUN", help="The run folder to write.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of these settings; flags go before it.")] = None,
    save_config: Annotated[
        Path | None, typer.Option(metavar="TOML", help="Write the settings given to a file for --config.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run to --epochs, with its own settings.")
    ] = False,
    resume_if_there: Annotated[
        bool,
        typer.Option("--resume-if-there", help="Continue RUN if it is there, else begin it: a command to start again."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that is there.")] = False,
    checkpoint_every: Annotated[
        str, typer.Option(metavar="N|Ns", help="Epochs, or a time such as 30s or 5m, between checkpoints.")
    ] = "30s",
    log_every: Annotated[
        int | None,
        typer.Option(min=1, metavar="EPOCHS", help="A line for every so many; by default ten where no terminal is."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; warnings and errors alone.")] = False,
    as_json: Json = False,
    stream: Streamed = None,
    labels: Labels = None,
    index: Index = None,
    column: Columns = None,
    drop: Drop = None,
    missing: Missing = None,
    no_header: NoHeader = None,
    delimiter: Delimiter = None,
    quote: Quote = None,
    shape: Shape = None,
    channels_first: ChannelsFirst = None,
    resize: Resize = None,
    crop: Crop = None,
    gray: Gray = None,
    skip_broken: SkipBroken = None,
    devices: Count = None,
    shard_model: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="So many devices share the weights of each wide layer.")
    ] = None,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process_id: ProcessId = None,
    latent_dim: Annotated[
        str | None,
        typer.Option(
            "--latent-dim",
            "--latents",
            metavar="K|K1,K2,…|auto",
            help="Latents; 32,16 are two layers, the first next to the data; auto tries some and says. [default: 2]",
        ),
    ] = None,
    posterior: Annotated[
        str | None, setting("Family of q(z|x): diagonal, full, …; of several layers diagonal, ladder.", "diagonal")
    ] = None,
    scale: Annotated[
        str | None, setting("Coordinates of σ: log-variance, log-std, softplus, …", "log_variance")
    ] = None,
    prior: Annotated[str | None, setting("p(z): standard-normal, gaussian-mixture:10, …", "standard_normal")] = None,
    likelihood: Annotated[
        str | None, setting("p(x|z): bernoulli, gaussian, …; auto looks at the data and says.", "auto")
    ] = None,
    objective: Annotated[str | None, setting("What is maximised: elbo, iwae:50, …", "elbo")] = None,
    estimator: Annotated[str | None, setting("Of its gradient: pathwise, stl, dreg, …", "pathwise")] = None,
    beta: Annotated[
        float | None, setting("Coefficient of the KL in training; the bound is told at 1.", "1, of beta-tcvae 6")
    ] = None,
    warmup: Annotated[str | None, setting("Of that weight: none, linear:10, cyclic:10, …", "none")] = None,
    inference: Annotated[str | None, setting("How q is found.", "amortized")] = None,
    network: Annotated[
        str | None, setting("mlp; for images conv, conv:32, resnet; auto looks at the data and says.", "auto")
    ] = None,
    hidden: Annotated[
        str | None,
        setting(
            "Widths of an MLP's encoder, reversed in the decoder: 400, 200,200 or none; auto goes by the rows.", "auto"
        ),
    ] = None,
    activation: Annotated[str | None, setting("relu, tanh, elu, gelu, …", "gelu")] = None,
    condition: Annotated[
        list[str] | None,
        setting("A column that is given, not explained; sample asks for it. Repeatable.", "none", metavar="COLUMN"),
    ] = None,
    start: Annotated[
        str | None,
        setting("Where weights begin: linear, at the answer of PCA or factor analysis; random; auto.", "auto"),
    ] = None,
    standardize: Annotated[
        str | None,
        setting("Show the model shifted and scaled columns: auto (densities stay the data's), none.", "auto"),
    ] = None,
    binarize: Annotated[
        str | None, setting("Grey values in [0, 1] as zeros and ones: none, fixed, dynamic, threshold.", "none")
    ] = None,
    epochs: Annotated[
        str | None,
        setting("Passes over the data; auto stops when rows left out gain no more.", "auto", metavar="INTEGER|auto"),
    ] = None,
    batch_size: Annotated[int | None, setting("Rows per step.", "128")] = None,
    learning_rate: Annotated[float | None, setting("Step size of the optimiser.", "0.003")] = None,
    optimizer: Annotated[str | None, setting("adam, adam:1e-4 (its ε), adamw:0.01, sgd:0.9, …", "adam")] = None,
    schedule: Annotated[
        str | None,
        setting("Of the step size: constant, cosine, linear (:warm-up steps), stages:9,1,3,0.1", "constant:500,6"),
    ] = None,
    clip_norm: Annotated[
        float | None, setting("What longer gradients are shortened to; 0 leaves them.", "10.0")
    ] = None,
    average: Annotated[
        str | None,
        setting("Of the weights: auto (ema:0.98 where folds judge), none, ema:0.999, last:10 (epochs).", "auto"),
    ] = None,
    on_nonfinite: Annotated[
        str | None, setting("A step out of the finite numbers: stop before it, or skip and count it.", "stop")
    ] = None,
    precision: Annotated[
        str | None, setting("Of the networks' matrix products in training: float32, bfloat16.", "float32")
    ] = None,
    validation_fraction: Annotated[
        float | None,
        setting(
            "Of the rows held out, to evaluate on, and to stop by where --epochs are counted; 0 trains on every row.",
            "0.1",
        ),
    ] = None,
    patience: Annotated[int | None, setting("Epochs without a better held-out bound.", "10")] = None,
    bound_samples: Annotated[int | None, setting("K of the K-sample bound when the run is scored.", "100")] = None,
    seed: Annotated[int | None, setting("The one seed of everything.", "0", min=0, max=2**32 - 1)] = None,
) -> int:
    """Train a model on DATA and keep it in RUN.

    Ctrl-C ends training after the epoch, and keeps what is trained. 'reparam parts' lists the names that settings take.
    """
    if data is None and not resume:
        raise ParameterError("Missing argument 'DATA'. Try 'reparam train --help'.")
    if out is None:
        raise ParameterError("Missing option '--out' / '-o'. Try 'reparam train --help'.")
    if data is not None:
        check_data(data)
    from reparam.cli import training
    from reparam.cli.keeper import Every
    from reparam.cli.settings import check_config_place, parameters, read_config, write_config
    from reparam.cli.sources import READING
    from reparam.devices.processes import first, share
    from reparam.runs import is_run

    if (resume or resume_if_there) and overwrite:
        raise ParameterError("--resume continues a run and --overwrite replaces it: choose one of them.")
    kinds = {name: kind for name, kind in get_type_hints(train).items() if name not in NOT_SETTINGS}
    flags = {name: context.params[name] for name in kinds if context.params[name] is not None}
    settings = {**({} if config is None else read_config(config, kinds)), **flags}
    reading: dict[str, Any] = {name: settings.pop(name) for name in READING if name in settings}
    every = Every.of(checkpoint_every)
    if save_config is not None:
        check_config_place(save_config)
    given = {**settings, **reading}
    among = {name: settings.pop(name) for name in SHARING if name in settings}
    with sharing(**among):
        if data is None or resume or (resume_if_there and first(is_run(out))):
            beginning = training.resume(out, data, parameters(settings), reading)
        else:
            beginning = training.begin(out, data, parameters(settings), reading, overwrite=overwrite, streamed=stream)
        with beginning as job:
            if save_config is not None and share().leads:
                write_config(save_config, given)
            code = training.run(job, every=every, log_every=log_every, quiet=quiet, as_json=as_json)
    return Kept(code)
