"""Known vulnerabilities of what ``constraints.txt`` names, as a service on the internet tells them.

Exit code 0: every package was looked up, and none is known. 1: some are. 3: not every package could be looked up, so
nothing is known; pip-audit itself ends with 0 where a mirror of the index answers for the service and knows nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from release.pins import CONSTRAINTS

CLEAN, VULNERABLE, UNKNOWN = 0, 1, 3
SERVICES: dict[str, tuple[str, ...]] = {"the index": (), "osv": ("--vulnerability-service", "osv")}


def judged(document: dict[str, Any]) -> tuple[int, str]:
    """What pip-audit's JSON says: an exit code, and a line or more.

    >>> judged({"dependencies": [{"name": "jax", "skip_reason": "not found"}]})
    (3, '1 of 1 packages could not be looked up (jax: not found): nothing is known of them')
    >>> judged({"dependencies": [{"name": "jax", "version": "1", "vulns": []}]})
    (0, '1 packages, no known vulnerability')
    """
    packages = document["dependencies"]
    skipped = [package for package in packages if "skip_reason" in package]
    known = [
        f"{package['name']} {package['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'none'}"
        for package in packages
        for fault in package.get("vulns", ())
    ]
    if known:
        return VULNERABLE, "\n".join(known)
    if skipped or not packages:
        first = f" ({skipped[0]['name']}: {skipped[0]['skip_reason']})" if skipped else ""
        told = f"{len(skipped)} of {len(packages)} packages could not be looked up{first}: nothing is known of them"
        return UNKNOWN, told
    return CLEAN, f"{len(packages)} packages, no known vulnerability"


def asked(options: Sequence[str]) -> tuple[int, str]:
    """Ask one service."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", *options]
    answered = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return judged(json.loads(answered.stdout))
    except ValueError:
        told = answered.stderr.strip().splitlines() or ["no answer"]
        return UNKNOWN, f"the service cannot be reached: {told[-1][:200]}"


def main() -> None:
    """Ask one service after the other until one knows.

    Raises:
        SystemExit: with the code of the answer.
    """
    for service, options in SERVICES.items():
        code, told = asked(options)
        print(f"audit by {service}: {told}")
        if code != UNKNOWN:
            break
    sys.exit(code)


if __name__ == "__main__":
    main()
