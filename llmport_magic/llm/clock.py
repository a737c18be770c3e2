"""The deadlines of one call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmport_magic.llm.wire import Limits

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
