"""How much Python a piece of work runs, which is the same on any machine."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

# What a linear growth stays below; ours are between 1 and 2.01.
LINEAR = 2.2


def steps(work: Callable[[], object]) -> int:
    """Count the lines of the package that run, and every call that is made meanwhile."""
    count = 0

    def step(frame: FrameType, _event: str, _argument: Any) -> Any:
        nonlocal count
        count += 1
        return step if "llmport_magic" in frame.f_code.co_filename else None

    # What a collection ends is another test's, and ends whenever it comes.
    before, collects = sys.gettrace(), gc.isenabled()
    gc.disable()
    sys.settrace(step)
    try:
        work()
    finally:
        sys.settrace(before)
        if collects:
            gc.enable()
    return count


def growth(work: Callable[[int], object], size: int) -> float:
    """Give how many times more steps twice the size takes: 2 if linear, up to 4 if quadratic."""
    work(size)  # what is made once is made before anything is counted
    return steps(lambda: work(2 * size)) / steps(lambda: work(size))


class Compared(str):  # noqa: SLOT000 - few are made
    """A text that counts how often one of its kind is compared, and stays of its kind."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        return str.__hash__(self)

    def __str__(self) -> str:
        return self
