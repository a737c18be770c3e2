"""When a failed request is sent again, and after how long.

One loop for the whole package. It runs only before the first content byte: what a user has seen
is never asked for twice.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

from llmport_magic.errors import LLMError

T = TypeVar("T")

RETRIED_STATUS = frozenset({408, 409, 429, 529})
_FIRST_SERVER_ERROR, _LAST_SERVER_ERROR = 500, 599
# Whether somebody else can be asked: then nobody waits for a server that is not there.
elsewhere: ContextVar[bool] = ContextVar("llmport_elsewhere", default=False)


def is_retried(status: int) -> bool:
    """Tell whether a request that got this HTTP status may be sent again."""
    return status in RETRIED_STATUS or _FIRST_SERVER_ERROR <= status <= _LAST_SERVER_ERROR


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Read how many seconds a provider asks to wait, or `None` where it does not say.

    Args:
        headers: of the response; names in lower case, or a mapping that ignores case.
        now: the time of day, for an HTTP date.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def backoff(retry: int, first: float = 0.5, most: float = 8.0) -> float:
    """Draw the wait before retry number `retry` (from 0), in seconds: full jitter.

    Args:
        retry: how many retries there were.
        first: the longest wait before the first; it doubles with each.
        most: the longest wait of all.
    """
    return random.uniform(0, min(most, first * 2.0 ** min(retry, 60)))  # noqa: S311 - no secret


class RetryBudget:
    """Keeps a provider that is down from being hammered: successes earn retries.

    Args:
        capacity: how many retries there are to begin with, and at most.
    """

    def __init__(self, capacity: float = 10) -> None:
        self._capacity = float(capacity)
        self._tokens = float(capacity)

    def take(self) -> bool:
        """Spend one retry, if there is one."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def earn(self) -> None:
        """Count a success: a tenth of a retry."""
        self._tokens = min(self._capacity, self._tokens + 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and how patiently.

    Attributes:
        attempts: how often one request is sent at most, the first time included.
        retry_after_max: the longest wait that a provider may ask for, in seconds.
        backoff: the longest first wait where the provider asks for none; it doubles.
        backoff_max: the longest wait where the provider asks for none.
        sleep: waits; tests give their own.
    """

    attempts: int = 3
    retry_after_max: float = 60.0
    backoff: float = 0.5
    backoff_max: float = 8.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


async def with_retries(
    send: Callable[[int], Awaitable[T]],
    policy: RetryPolicy,
    budget: RetryBudget,
    left: Callable[[], float] = lambda: float("inf"),
) -> T:
    """Send until it succeeds, fails for good, or the attempts or the budget are used up.

    Args:
        send: makes one attempt, given its number from 1; what it raises says by `retryable`
            whether to go on, and by `retry_after` how long the provider asks to wait.
        policy: how often and how patiently.
        budget: shared by the calls of one connector.
        left: gives the seconds that the call may still take; a longer wait is not begun.

    Raises:
        LLMError: of the last attempt, with `attempts` set.
    """
    number = 0
    while True:
        number += 1
        try:
            result = await send(number)
        except LLMError as error:
            error.attempts = number
            hopeless = not error.retryable or (elsewhere.get() and error.unreachable)
            if hopeless or number >= policy.attempts or not budget.take():
                raise
            asked: float | None = getattr(error, "retry_after", None)
            wait = asked
            if wait is None:
                wait = backoff(number - 1, policy.backoff, policy.backoff_max)
            if (asked or 0) > policy.retry_after_max or wait > left():
                raise
            error.__traceback__ = None
        else:
            budget.earn()
            return result
        await policy.sleep(wait)
