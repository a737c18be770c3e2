"""Time that passes at once, for the loop that all input and output runs on.

What waits there for minutes is due as soon as a test says so, however fast the machine is.
"""

from __future__ import annotations

import asyncio
import threading
import time

from llmport_magic import bridge

# More than any call here takes from its deadline to its end.
_TURNS = 200


class Leap:
    """The clock of the bridge's loop, which a test can put forward."""

    def __init__(self) -> None:
        self._loop = bridge.loop()
        self._ahead = 0.0
        self._loop.time = self.now  # type: ignore[method-assign]

    def now(self) -> float:
        """Give the loop's time."""
        return time.monotonic() + self._ahead

    def __call__(self, seconds: float) -> None:
        """Let so many seconds pass, between two steps of the loop."""
        done = threading.Event()

        def leap() -> None:
            self._ahead += seconds
            done.set()

        self._loop.call_soon_threadsafe(leap)
        assert done.wait(60)

    async def settled(self) -> None:
        """Wait until what was due has had its turn, on the loop of the calls and on this one."""

        async def turns() -> None:
            for _ in range(_TURNS):
                await asyncio.sleep(0)

        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(turns(), self._loop))
        await turns()

    def until(self, moment: float) -> None:
        """Let pass what is left until a moment of the loop's time; called on the loop."""
        self._ahead += max(0.0, moment - self.now())

    def end(self) -> None:
        """Give the loop its own clock back."""
        del self._loop.time  # type: ignore[method-assign]


async def slowly(leap: Leap, seconds: float, steps: int = 20) -> None:
    """Let time pass in steps, with a moment in between for what comes and goes."""
    for _ in range(steps):
        leap(seconds / steps)
        await asyncio.sleep(0.02)
