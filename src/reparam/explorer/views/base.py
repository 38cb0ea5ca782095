"""What every tab is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reparam.explorer import controls
from reparam.explorer.queries import Parameter
from reparam.insight import Session
from reparam.markup import Html

State = Mapping[str, Any]


@dataclass(frozen=True)
class Look:
    """What a tab is asked: the run that is chosen, all runs, and the state that the address holds."""

    session: Session
    sessions: Sequence[Session]
    state: State


def latent_control(session: Session, name: str, label: str, value: int, count: int) -> Html:
    """A field for one of the first latents: its number, or where there are several layers its name."""
    if session.explaining == session.latents:
        return controls.whole(name, label, value, 0, count - 1)
    return controls.choice(name, label, str(value), [(str(k), session.latent_names[k]) for k in range(count)])


@dataclass(frozen=True)
class View:
    """A tab.

    Attributes:
        title: on the tab.
        told: a sentence below it.
        parameters: what its address may hold, for a run.
        controls: the form.
        results: what the form asks for.
    """

    title: str
    told: str
    parameters: Callable[[Session], dict[str, Parameter]]
    controls: Callable[[Look], Html]
    results: Callable[[Look], Html]
