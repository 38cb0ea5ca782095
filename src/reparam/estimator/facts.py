"""What is known of a fitted model, by the names that scikit-learn's conventions give."""

from __future__ import annotations

from typing import Any

from reparam.data import Schema
from reparam.estimator.fitting import Fitted
from reparam.model import Model
from reparam.networks import Architecture
from reparam.probability.likelihoods import Likelihood
from reparam.training import TrainState


class Facts:
    """The attributes of a fitted estimator, and of a run that was opened."""

    fitted_: Fitted
    source_: dict[str, Any]
    """Of a run that was opened: where its rows came from."""
    frame_: Any = None
    """A frame without rows, like the one that was given to ``fit``: new rows are given in its like."""
    shape_: tuple[int, ...] | None = None
    """The shape of one datum of an array (N, H, W) or (N, H, W, C) that was given to ``fit``: new rows have it."""

    @property
    def model_(self) -> Model:
        """The weights to use."""
        return self._fitted().model

    @property
    def state_(self) -> TrainState:
        """Where training stands."""
        return self._fitted().state

    @property
    def history_(self) -> list[dict[str, Any]]:
        """A line for each epoch: means over training and validation rows, nats per datum."""
        return list(self._fitted().history)

    @property
    def schema_(self) -> Schema:
        """What a row means, and what the model sees of it."""
        return self._fitted().schema

    @property
    def likelihood_(self) -> str | Likelihood:
        """The likelihood that was used."""
        return self._fitted().likelihood

    @property
    def likelihood_reason_(self) -> str:
        """Why."""
        return self._fitted().likelihood_reason

    @property
    def network_(self) -> str | Architecture:
        """How the networks were built."""
        return self._fitted().configuration.network

    @property
    def network_reason_(self) -> str:
        """Why."""
        return self._fitted().network_reason

    @property
    def latent_path_(self) -> list[dict[str, Any]]:
        """With ``latent_dim="auto"`` every K that was tried: the fields of ``reparam.estimator.latents.Trial``."""
        return list(self._fitted().latent_path)

    @property
    def n_iter_(self) -> int:
        """Epochs done."""
        return int(self._fitted().state.epoch)

    def _fitted(self) -> Fitted:
        """What was fitted.

        Raises:
            NotFittedError: nothing was; it is scikit-learn's, and an AttributeError.
        """
        if "fitted_" not in vars(self):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(f"this {type(self).__name__} is not fitted: call fit first.")
        return self.fitted_
