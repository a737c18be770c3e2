"""Bytes on their way in: what arrives together is read together.

A task takes the pieces of a response as they come. Whoever reads gets all that is here, so that
what a piece costs (a deadline, a switch of tasks, a wake-up) is paid once for many of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class Inflow:
    """Reads an iterator of bytes ahead; for one reader, on the loop that it is made on.

    Args:
        source: gives the bytes.

    Attributes:
        whole: whether the source has come to its own end.
    """

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._pieces: list[bytes] = []
        self._failure: Exception | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.whole = False

    async def take(self, due: float) -> bytes | None:
        """Give what has arrived since the last time, or `None` at the end.

        Args:
            due: until when to wait, on the loop's clock.

        Raises:
            TimeoutError: nothing came until then.
            Exception: whatever the source raised.
        """
        if self._task is None:
            self._task = self._loop.create_task(self._collect())
        if not self._pieces and not self._task.done():
            await self._wait(due)
        if self._pieces:
            pieces = self._pieces
            given = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            return given
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return None

    async def close(self) -> None:
        """Stop reading; returns when the source has come to rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _wait(self, due: float) -> None:
        self._due = due
        if self._timer is None or self._timer.when() > due:
            self._arm()
        self._waiting = self._loop.create_future()
        try:
            if not await self._waiting:
                raise TimeoutError
        finally:
            self._waiting = None

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        """Tell the reader that its time is over, or come back when it is: deadlines move on."""
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() < self._due:
            self._arm()
        elif not self._waiting.done():
            self._waiting.set_result(False)

    async def _collect(self) -> None:
        try:
            async for piece in self._source:
                self._pieces.append(piece)
                self._wake()
            self.whole = True
        except Exception as error:  # noqa: BLE001 - raised where the bytes are read
            self._failure = error
        finally:
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(True)
