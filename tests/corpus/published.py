"""Modules of installed packages, by one rule that looks at nothing but their names.

Of each distribution: the modules that are no tests and not somebody else's code, of 200 to 40,000
bytes, in the order of the SHA-256 of their paths; the first 50. They are read where they are
installed, so a newer release brings newer modules, and a label counts for what was found, not for
a version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

DISTRIBUTIONS = (
    "pandas", "matplotlib", "requests", "numpy", "ipython", "nbformat", "rich", "jsonschema",
)  # fmt: skip
EACH = 50
_SMALLEST, _LARGEST = 200, 40_000
_NOT_THEIRS = {"tests", "testing", "_vendor"}


def modules() -> Iterator[tuple[str, str, str]]:
    """Give each module's distribution, its path below the packages, and its text."""
    for name in DISTRIBUTIONS:
        distribution = metadata.distribution(name)
        found: list[tuple[str, Path]] = []
        for file in distribution.files or ():
            place = Path(str(distribution.locate_file(file)))
            if file.suffix != ".py" or _NOT_THEIRS & set(file.parts) or not place.is_file():
                continue
            if _SMALLEST <= place.stat().st_size <= _LARGEST:
                found.append((file.as_posix(), place))
        found.sort(key=lambda item: hashlib.sha256(item[0].encode()).hexdigest())
        for path, place in found[:EACH]:
            yield name, path, place.read_text("utf-8")
