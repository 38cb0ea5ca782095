"""The licence of every dependency: listed, and refused where it asks more of a user than to keep its notice."""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution

from release.dependencies import dependencies
from release.pins import extras

PERMISSIVE = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Unlicense", "Zlib",
}  # fmt: skip
"""By SPDX; ``BSD`` where a package does not say which of the two."""
EXCEPTIONS = {
    ("certifi", "MPL-2.0"): "used as it is",
    ("hypothesis", "MPL-2.0"): "tests alone; used as it is",
    ("legacy-api-wrap", "MPL-2.0"): "tests and .h5ad files; used as it is",
    ("pathspec", "MPL-2.0"): "checks alone; used as it is",
    ("tqdm", "MPL-2.0 AND MIT"): "used as it is",
    ("docutils", "Public Domain AND BSD AND GPL"): "releases alone; the GPL is that of a mode for an editor",
}
"""Copyleft that ends with the package's own files, which nobody here changes."""
SPDX = {
    "apache software license": "Apache-2.0", "apache license": "Apache-2.0", "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "bsd license": "BSD", "3-clause bsd license": "BSD-3-Clause", "bsd 3-clause license": "BSD-3-Clause",
    "bsd 2-clause license": "BSD-2-Clause", "isc license (iscl)": "ISC", "isc license": "ISC",
    "mit license": "MIT", "the mit license (mit)": "MIT", "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0", "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "gnu general public license (gpl)": "GPL",
}  # fmt: skip
"""What packages call their licence, and what it is."""
LONGEST = 80
UNKNOWN = "unknown"


def licence(package: Distribution) -> str:
    """What a package says of its licence, as SPDX where that is clear.

    The expression of its metadata; else a short text there that is an expression; else its classifiers, all of them.
    """
    expression, text = (" ".join(_fields(package, name)) for name in ("License-Expression", "License"))
    if expression:
        return expression
    plain = " ".join(text.split())
    short = SPDX.get(plain.lower(), plain) if len(plain) <= LONGEST else ""
    if is_permissive(short):
        return short
    told = [line.split(" :: ")[-1] for line in _fields(package, "Classifier") if line.startswith("License")]
    return " AND ".join(SPDX.get(name.lower(), name) for name in told) or short or UNKNOWN


def _fields(package: Distribution, name: str) -> list[str]:
    """Every value of a field of a package's metadata."""
    return [str(value) for value in package.metadata.get_all(name) or ()]


def is_permissive(expression: str) -> bool:
    """Whether one may choose permissive licences alone; where there are parentheses, all must be.

    >>> [is_permissive(text) for text in ("MIT OR GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT OR GPL) AND MIT")]
    [True, False, False]
    """
    if "(" in expression:
        return all(name in PERMISSIVE for name in re.split(r" AND | OR |[()]", expression) if name.strip())
    return any(all(name in PERMISSIVE for name in choice.split(" AND ")) for choice in expression.split(" OR "))


def refused(found: dict[str, str]) -> list[str]:
    """Of licences by package those that are neither permissive nor an exception, a line each."""
    return [
        f"{name}: the licence {told!r} is not among those that are allowed"
        for name, told in found.items()
        if not is_permissive(told) and (name, told) not in EXCEPTIONS
    ]


def main() -> None:
    """List the licences of reparam's dependencies and of those of its extras that are installed.

    Raises:
        SystemExit: one is not allowed.
    """
    runtime, everything = dependencies(), dependencies(extras())
    found = {name: licence(package) for name, package in everything.items()}
    for name, told in found.items():
        used = "" if name in runtime else "extras"
        print(f"{name:<26}{everything[name].version:<16}{used:<8}{told}  {EXCEPTIONS.get((name, told), '')}".rstrip())
    wrong = refused(found)
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"licences: {len(found)} packages, {len(runtime)} of them under reparam itself; all are allowed")


if __name__ == "__main__":
    main()
