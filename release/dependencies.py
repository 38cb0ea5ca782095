"""What reparam rests on, as it is installed here: followed from its own requirements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

from release.pins import canonical, project


def required(texts: Sequence[str], extras: Sequence[str] = ()) -> Iterator[Requirement]:
    """Of the requirements of a package those that hold on this machine, with the extras that are asked of it."""
    for requirement in map(Requirement, texts):
        asked = [{"extra": extra} for extra in ("", *extras)]
        if requirement.marker is None or any(requirement.marker.evaluate(extra) for extra in asked):
            yield requirement


def dependencies(extras: Sequence[str] = ()) -> dict[str, Distribution]:
    """Every package under reparam, by canonical name; of the extras' packages those that are installed."""
    told = project()
    of_extras = [text for name in extras for text in told["optional-dependencies"][name]]
    waiting = list(required([*told["dependencies"], *of_extras]))
    found: dict[str, Distribution] = {}
    visited: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonical(requirement.name)
        if (name, frozenset(requirement.extras)) in visited:
            continue
        visited.add((name, frozenset(requirement.extras)))
        try:
            found[name] = distribution(requirement.name)
        except PackageNotFoundError:  # of an extra that is not installed here
            continue
        waiting += required(found[name].requires or (), sorted(requirement.extras))
    return dict(sorted(found.items()))
