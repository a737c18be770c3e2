"""Warnings of the code under test, apart from those of the garbage collector.

It may collect at any moment what another test has left, and warn of it then and there.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


def of_ours(caught: Iterable[warnings.WarningMessage]) -> list[warnings.WarningMessage]:
    """Leave out what was said of things that nobody had closed."""
    return [each for each in caught if not issubclass(each.category, ResourceWarning)]


@contextmanager
def no_warning() -> Iterator[None]:
    """Let every warning be an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)
        yield
