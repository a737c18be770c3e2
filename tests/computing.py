"""What the embedded model has computed, which other work beside it does not change."""

from __future__ import annotations

from collections.abc import Awaitable

import psutil

from llmport_magic.llm import embedded, engine


def computed() -> float:
    """Give what the small model has computed so far, in seconds of its own processor time."""
    model = engine._engines[embedded.installed_file("small")].process
    times = psutil.Process(model.pid).cpu_times()
    return float(times.user + times.system)


async def cost_of(call: Awaitable[object]) -> float:
    """Give what the model computes for a call."""
    before = computed()
    await call
    return computed() - before
