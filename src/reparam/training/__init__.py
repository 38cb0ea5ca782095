"""Training: epochs compiled whole, driven by one key."""

from reparam.training.fit import Record, Settings, fit
from reparam.training.metrics import Metrics
from reparam.training.state import TrainState, initial_state

__all__ = ["Metrics", "Record", "Settings", "TrainState", "fit", "initial_state"]
