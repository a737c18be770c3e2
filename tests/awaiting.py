"""Waiting for what nothing tells of, for as long as a slow machine may need."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

# So long that only a defect lets it be over; what runs for ever outlasts it.
PATIENCE = 120.0


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


async def soon(holds: Callable[[], object]) -> None:
    """Wait until something holds, and let the loop go on meanwhile."""
    await asyncio.to_thread(until, holds)
