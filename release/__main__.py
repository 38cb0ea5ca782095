"""Everything that a release must pass on this machine."""

from __future__ import annotations

import subprocess
import sys

from release import installed, licences, pins, sbom, wheel


def main() -> None:
    """One step after the other; the first that fails ends it.

    Raises:
        SystemExit: a step failed, and said why.
    """
    try:
        steps()
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed with exit code {error.returncode}: {' '.join(map(str, error.cmd))[:500]}")


def steps() -> None:
    """What stands between the repository and a release.

    Raises:
        SystemExit, subprocess.CalledProcessError: a step failed.
    """
    pins.main()
    licences.main()
    files = wheel.build_twice(pins.ROOT / "dist")
    print(*(f"{digest}  dist/{name}" for name, digest in wheel.digests(files).items()), sep="\n")
    wheel.check(files)
    print(f"bill of materials: {sbom.write(pins.ROOT / 'dist').relative_to(pins.ROOT)}")
    installed.main(next(path for name, path in files.items() if name.endswith(".whl")).resolve())


if __name__ == "__main__":
    main()
