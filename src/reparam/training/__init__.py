"""Training: epochs compiled whole, driven by one key."""

from reparam.training.fit import Record, Task, fit
from reparam.training.metrics import Metrics
from reparam.training.recipe import Recipe, Settings
from reparam.training.rows import Rows, Streamed
from reparam.training.state import TrainState, initial_state

__all__ = ["Metrics", "Recipe", "Record", "Rows", "Settings", "Streamed", "Task", "TrainState", "fit", "initial_state"]
