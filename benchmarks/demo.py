"""The whole way, on real handwriting: ``make demo`` runs this.

Every step is a command line that a reader can type; it is shown before what it prints.
"""

from __future__ import annotations

import shlex

from reparam.cli import main

FOLDER = "demo-run"
RUN = f"{FOLDER}/model"
COMMANDS = (
    "reparam inspect digits",
    f"reparam train digits --out {RUN} --overwrite",
    f"reparam evaluate {RUN} --samples 5000",
    f"reparam reconstruct {RUN} digits -o {FOLDER}/reconstructions.png",
    f"reparam sample {RUN} -n 64 --seed 1 -o {FOLDER}/samples.png",
    f"reparam encode {RUN} digits -o {FOLDER}/codes.csv",
    f"reparam decode {RUN} {FOLDER}/codes.csv -o {FOLDER}/decoded.npy",
    f"reparam score {RUN} digits -o {FOLDER}/scores.csv",
    f"reparam plot {RUN} -o {FOLDER}/pictures",
)


def demonstrate() -> None:
    """Run the commands one after another, and stop at the first that fails."""
    for command in COMMANDS:
        print(f"\n$ {command}", flush=True)
        try:
            main(shlex.split(command)[1:])
        except SystemExit as end:
            if end.code:
                raise


if __name__ == "__main__":
    demonstrate()
    print(f"\nThe pictures are in {FOLDER}/pictures.")
