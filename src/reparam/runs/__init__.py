"""A run folder: what was trained, on what, and where training stands. Opening one executes no code.

======================  =============================================================
``config.json``         the format, the version, every setting, what ``auto`` chose; checksums
``data.json``           the schema and preprocessing, the source, the rows held out
``model.safetensors``   the weights that are used
``state.safetensors``   the newest weights, the optimiser, the key, the position
``metrics.jsonl``       one line per epoch
``previous/``           the same of the checkpoint before, where there was one
======================  =============================================================
"""

from reparam.runs.documents import FORMAT, Config, Source
from reparam.runs.folder import CONFIG, DATA, FILES, METRICS, MODEL, STATE, Checkpoint, Run, checkpoints
from reparam.runs.place import (
    PICTURES,
    REPORT,
    ForeignRunError,
    Place,
    check_place,
    check_room,
    is_run,
    mark,
    reserve,
    write_run,
)

__all__ = [
    "CONFIG",
    "DATA",
    "FILES",
    "FORMAT",
    "METRICS",
    "MODEL",
    "PICTURES",
    "REPORT",
    "STATE",
    "Checkpoint",
    "Config",
    "ForeignRunError",
    "Place",
    "Run",
    "Source",
    "check_place",
    "check_room",
    "checkpoints",
    "is_run",
    "mark",
    "reserve",
    "write_run",
]
