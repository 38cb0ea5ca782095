"""One picture of what was measured: how many times as fast as each contender reparam is, with quartiles."""

from __future__ import annotations

from typing import Any

SHOWN = {
    "jax-by-hand": ("JAX by hand", "#0072B2"),
    "numpyro": ("NumPyro", "#56B4E9"),
    "keras-on-jax": ("Keras on JAX", "#CC79A7"),
    "torch-eager": ("PyTorch by hand", "#D55E00"),
    "torch-compiled": ("PyTorch compiled", "#E69F00"),
    "pythae": ("Pythae", "#009E73"),
    "pyro": ("Pyro", "#7A5C00"),
    "bound": ("the matrix products alone", "#000000"),
}


def draw(told: dict[str, Any], file: str) -> None:
    """A row for each configuration, a point for each contender: right of 1 reparam is the faster."""
    from matplotlib.figure import Figure

    found = told["found"]
    figure = Figure(figsize=(9.0, 1.2 + 0.55 * len(found)), dpi=130, layout="constrained", facecolor="white")
    axes = figure.subplots()
    for place, (name, (label, colour)) in enumerate(SHOWN.items()):
        height = 0.7 * (place / (len(SHOWN) - 1) - 0.5)
        there = [(row + height, of[name]) for row, of in enumerate(found.values()) if "quartiles" in of.get(name, {})]
        ratios = [of["reparam_is_times_as_fast"] for _, of in there]
        errors = [[abs(of["reparam_is_times_as_fast"] - of["quartiles"][side]) for _, of in there] for side in (0, 1)]
        marker = "|" if name == "bound" else "o"
        axes.errorbar(
            ratios,
            [y for y, _ in there],
            xerr=errors,
            fmt=marker,
            color=colour,
            label=label,
            markersize=5,
            linewidth=1.2,
        )
    axes.axvline(1.0, color="#222222", linewidth=1.0)
    axes.hlines(
        [row + 0.5 for row in range(len(found) - 1)], 0, 1, transform=axes.get_yaxis_transform(), color="#DDDDDD"
    )
    axes.set_xscale("log")
    ticks = [0.3, 0.5, 1, 2, 3]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(found)), list(found), fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("reparam is so many times as fast (quartiles of the rounds)")
    axes.set_title(told["processor"], fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(file)
