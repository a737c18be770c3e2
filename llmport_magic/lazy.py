"""Names of a package that are imported on first use: importing the package costs nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any


def first_use(package: str, homes: Mapping[str, Sequence[str]], name: str) -> Any:
    """Give what a package offers from the module that has it, and keep it in the package.

    Args:
        package: its full name.
        homes: for each module of the package, named below it, what the package offers of it.
        name: what is asked for.

    Raises:
        AttributeError: the package offers nothing of that name.
    """
    for home, names in homes.items():
        if name in names:
            value = getattr(import_module(f"{package}.{home}"), name)
            setattr(sys.modules[package], name, value)
            return value
    raise AttributeError(f"module {package!r} has no attribute {name!r}")
