"""Runs whose files say other things, with checksums and seals as if they had been written so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

from reparam.runs.folder import seal


def rewrite(run: Path, name: str, **changes: Any) -> None:
    document = json.loads((run / name).read_text())
    (run / name).write_text(json.dumps({**document, **changes}))
    resummed(run)


def resummed(run: Path) -> None:
    """The checksums as if the files had been written so: whoever tampers can do that too."""
    config = json.loads((run / "config.json").read_text())
    for name, entry in config["files"].items():
        content = (run / name).read_bytes()
        entry |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if config["format"] > 2:
        documents = (("data.json", json.loads((run / "data.json").read_text())), ("config.json", config))
        config["seals"] = {name: seal(name, document) for name, document in documents}
    (run / "config.json").write_text(json.dumps(config))


def put_weight(run: Path, name: str, value: float) -> str:
    """Put a value into a weight of a file of tensors; its name."""
    tensors = load_file(run / name)
    where = next(key for key in tensors if "decoder" in key and key.endswith("layers.0.weight"))
    tensors[where][0, 0] = value
    save_file(tensors, run / name)
    resummed(run)
    return where
