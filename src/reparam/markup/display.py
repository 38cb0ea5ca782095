"""Fitted things shown in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reparam.markup.html import Html


def display_vae(parameters: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> Html:
    return Html("")


def display_evaluation(document: Mapping[str, Any]) -> Html:
    return Html("")
