"""``reparam parts``: every name that a setting takes, its arguments, and what it means."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from functools import partial
from types import FunctionType
from typing import Annotated, Any

import typer

from reparam.cli.options import Json, answer
from reparam.errors import UnknownNameError

INNER = (
    *("self", "latent_dim", "event_size", "objective", "key", "scale", "pseudo_inputs", "beta"),
    *("target", "evaluate", "model", "q", "estimator", "step"),
)
"""What a part is given by the other settings, and not behind its colon."""
MEANINGS = {
    "random": "weights drawn by the seed",
    "linear": "the answer of probabilistic PCA, factor analysis or its like in closed form",
    "auto": "columns of a learned noise are shown to the model shifted and scaled",
    "none": "as they are",
    "fixed": "zeros and ones drawn once of each grey value",
    "dynamic": "zeros and ones drawn anew at every visit",
    "threshold": "one above 1/2",
    "stop": "training ends before a step that leads out of the finite numbers, and says what does",
    "skip": "the step is left out and counted",
}


def parts(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help="A setting, such as posterior.")] = None,
    as_json: Json = False,
) -> None:
    """List the names that settings take: posterior, prior, likelihood, objective, …, with arguments and meanings.

    Arguments stand behind a colon: 'low-rank:2', 'iwae:50'. What has a default may be left out.
    """
    known = registries()
    wanted = None if kind is None else kind.replace("-", "_").removesuffix("s")
    if wanted is not None and wanted not in known:
        raise UnknownNameError("kind of part", kind, known)
    chosen = known if wanted is None else {wanted: known[wanted]}
    found = {name: list(_entries(registry)) for name, registry in chosen.items()}
    if as_json:
        answer(found)
        return
    for name, entries in found.items():
        typer.echo(f"--{name.replace('_', '-')}")
        width = max(len(entry["written"]) for entry in entries)
        for entry in entries:
            typer.echo(f"  {entry['written']:{width}}  {entry['meaning']}".rstrip())


def registries() -> dict[str, Mapping[str, Any]]:
    """By the setting that takes its names, every registry."""
    from reparam.estimator.configuration import JUDGED_AVERAGE, ON_NONFINITE, STANDARDIZATIONS, STARTS
    from reparam.hierarchy import HIERARCHIES
    from reparam.inference import INFERENCE
    from reparam.networks import ACTIVATIONS, NETWORKS
    from reparam.networks.precision import PRECISIONS
    from reparam.objectives import ESTIMATORS, OBJECTIVES
    from reparam.objectives.warmup import WARMUPS
    from reparam.probability.likelihoods import LIKELIHOODS
    from reparam.probability.posteriors import POSTERIORS
    from reparam.probability.priors import PRIORS
    from reparam.probability.scales import SCALES
    from reparam.training.binarization import BINARIZATIONS
    from reparam.training.pace import AVERAGES, OPTIMIZERS, SCHEDULES

    return {
        "posterior": {**POSTERIORS, **HIERARCHIES},
        "scale": SCALES,
        "prior": PRIORS,
        "likelihood": {"auto": "chosen by the data, and told with the reason", **LIKELIHOODS},
        "objective": OBJECTIVES,
        "estimator": ESTIMATORS,
        "warmup": {**WARMUPS, "none": "the same weight from the first step"},
        "inference": INFERENCE,
        "network": {"auto": "conv for images of sides from 16, else mlp, and told with the reason", **NETWORKS},
        "activation": dict.fromkeys(ACTIVATIONS, "between layers, as in jax.nn"),
        "start": {name: MEANINGS.get(name, "") for name in STARTS},
        "standardize": {name: MEANINGS.get(name, "") for name in STANDARDIZATIONS},
        "binarize": {name: MEANINGS.get(name, "") for name in BINARIZATIONS},
        "on_nonfinite": {name: MEANINGS[name] for name in ON_NONFINITE},
        "precision": PRECISIONS,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "average": {"auto": f"{JUDGED_AVERAGE} where folds tell when to stop, else none", **AVERAGES},
    }


def _entries(registry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, part in registry.items():
        arguments = list(_arguments(part)) if _takes_arguments(part) else []
        behind = ",".join(arguments)
        written = f"{name}:{behind}" if behind else name
        yield {"name": name, "written": written, "arguments": arguments, "meaning": _meaning(part)}


def _takes_arguments(part: Any) -> bool:
    """Whether it is what makes a part, not the part itself."""
    return isinstance(part, type | FunctionType | partial)


def _arguments(part: Any) -> Iterator[str]:
    """Of a part's own arguments the name, and the default where there is one."""
    for name, parameter in inspect.signature(part).parameters.items():
        if name in INNER or parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        several = "…" if parameter.kind is parameter.VAR_POSITIONAL else ""
        default = "" if parameter.default is parameter.empty else f"={parameter.default}"
        yield f"{name}{several}{default}"


def _meaning(part: Any) -> str:
    """The first sentence of its docstring, its formulas as plain text."""
    if isinstance(part, str):
        return part
    made = part.func if isinstance(part, partial) else part
    own = made if isinstance(made, type | FunctionType) else type(made)
    text = " ".join((inspect.getdoc(own) or "").split("\n\n")[0].split()).replace(":math:", "").replace("`", "")
    for tex, plain in TEX.items():
        text = re.sub(tex, plain, text)
    return text


TEX = {
    r"\\(?:mathrm|mathcal|overline)\{?(\w+)\}?": r"\1",
    r"\\frac(\w)(\w)": r"\1/\2",
    r"\\frac\{([^}]*)\}\{([^}]*)\}": r"\1/(\2)",
    r"\\sqrt\{([^}]*)\}": r"√(\1)",
    r"\\(?:[,;!]|left|right|Bigl|Bigr)": " ",
    **{rf"\\{name}(?![A-Za-z])": sign for name, sign in {
        "mu": "μ", "sigma": "σ", "epsilon": "ε", "lambda": "λ", "alpha": "α", "beta": "β", "eta": "η", "phi": "φ",
        "pi": "π", "odot": "⊙", "sum": "Σ", "prod": "Π", "le": "≤", "sim": "~", "top": "ᵀ", "max": "max", "ln": "ln",
        "mathrm": "",
    }.items()},
    r"\\\|": "‖",
    r"[{}]": "",
}  # fmt: skip
