"""The deadlines of one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from llmport_magic.llm.wire import Limits

T = TypeVar("T")
_FIRST_BYTE = 60.0


class Clock:
    """The deadlines of one call, on the loop's clock."""

    def __init__(self, limits: Limits, *, reasoning: bool = False) -> None:
        self.limits = limits
        self._now = asyncio.get_running_loop().time
        self.end = self._now() + limits.total
        waiting = limits.first_byte_reasoning if reasoning else _FIRST_BYTE
        self.first_byte = waiting if limits.first_byte is None else limits.first_byte
        self._patience = max(limits.idle, self.first_byte) if reasoning else limits.idle
        self.due = self.end

    def sent(self) -> None:
        """Start waiting for the response to begin."""
        self.due = min(self.end, self._now() + self.first_byte)

    def opened(self) -> None:
        """Start waiting for the first content."""
        self.due = min(self.end, self._now() + self._patience)

    def progress(self) -> None:
        """Content arrived: wait anew."""
        self.due = min(self.end, self._now() + self.limits.idle)

    def within(self, seconds: float) -> float:
        """Give the moment in so many seconds, or the end of the call if that is sooner."""
        return min(self.end, self._now() + seconds)

    def left(self) -> float:
        """Give the seconds until the end of the call."""
        return self.end - self._now()

    def what_passed(self, *, begun: bool) -> str:
        """Say which deadline it is that passed, with its number and its setting."""
        if self.due >= self.end:
            return f"the answer took longer than {self.limits.total:g} s (`total_timeout`)"
        if begun:
            waited = self.limits.idle if self._patience == self.limits.idle else self._patience
            return f"no content came for {waited:g} s (`idle_timeout`)"
        return f"no answer began within {self.first_byte:g} s (`first_byte_timeout`)"


async def in_time(
    answer: Awaitable[T], left: float, *, total: float, provider: str, model: str
) -> T:
    """Await the answer of a connector that keeps no deadline itself.

    Args:
        answer: what it gives; it is cancelled when the time is over.
        left: the seconds that are left.
        total: the deadline that they are left of, for the error.
        provider: who answers, for the error.
        model: that is asked, for the error.

    Raises:
        LLMTimeoutError: the time is over.
    """
    try:
        async with asyncio.timeout(max(0.0, left)) as limit:
            return await answer
    except TimeoutError:
        if not limit.expired():
            raise
    from llmport_magic.llm.transport import LLMTimeoutError

    raise LLMTimeoutError(
        f"`{provider}`: the answer took longer than {total:g} s (`total_timeout`); "
        "try again, or raise that setting",
        provider=provider,
        model=model,
    )
