"""When a request is sent again, and how long is waited."""

from __future__ import annotations

import pytest

from llmport_magic.errors import LLMError
from llmport_magic.llm.retry import (
    RetryBudget,
    RetryPolicy,
    backoff,
    is_retried,
    retry_after,
    with_retries,
)


class _Waits:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def _failing(times: int, **details: object):
    made: list[int] = []

    async def send(number: int) -> str:
        made.append(number)
        if len(made) <= times:
            error = LLMError("no", retryable=True)
            for name, value in details.items():
                setattr(error, name, value)
            raise error
        return "yes"

    return send, made


async def test_three_attempts_in_all() -> None:
    """A request that keeps failing is sent three times, and the error says so (S3-07)."""
    waits = _Waits()
    send, made = _failing(9)

    with pytest.raises(LLMError) as caught:
        await with_retries(send, RetryPolicy(sleep=waits), RetryBudget())

    assert made == [1, 2, 3]
    assert caught.value.attempts == 3
    assert len(waits.seconds) == 2


async def test_what_cannot_succeed_is_not_sent_again() -> None:
    """An error that is not retryable ends the call at once (S3-07)."""
    waits = _Waits()
    send, made = _failing(9, retryable=False)

    with pytest.raises(LLMError):
        await with_retries(send, RetryPolicy(sleep=waits), RetryBudget())

    assert made == [1]
    assert waits.seconds == []


async def test_the_provider_says_how_long_to_wait() -> None:
    """Retry-After is waited exactly, up to the longest wait that is allowed (S3-07)."""
    waits = _Waits()
    send, _ = _failing(1, retry_after=2.0)

    assert await with_retries(send, RetryPolicy(sleep=waits), RetryBudget()) == "yes"
    assert waits.seconds == [2.0]


async def test_an_hour_is_not_waited() -> None:
    """A wait over the limit fails at once instead of sleeping in a notebook (S3-07)."""
    waits = _Waits()
    send, made = _failing(1, retry_after=3600.0)

    with pytest.raises(LLMError):
        await with_retries(send, RetryPolicy(sleep=waits), RetryBudget())

    assert (made, waits.seconds) == ([1], [])


async def test_a_wait_past_the_end_of_the_call_is_not_begun() -> None:
    """A wait that the total deadline would cut off fails with the reason at once (S4-19)."""
    waits = _Waits()
    send, made = _failing(1, retry_after=20.0)

    with pytest.raises(LLMError):
        await with_retries(send, RetryPolicy(sleep=waits), RetryBudget(), lambda: 10.0)

    assert (made, waits.seconds) == ([1], [])


async def test_the_budget_stops_a_storm() -> None:
    """A provider that is down gets ten retries, then one for ten successes (S3-07)."""
    waits, budget = _Waits(), RetryBudget(10)
    for _ in range(8):
        send, _ = _failing(9)
        with pytest.raises(LLMError):
            await with_retries(send, RetryPolicy(sleep=waits), budget)

    assert len(waits.seconds) == 10
    for _ in range(11):
        budget.earn()
    assert budget.take()
    assert not budget.take()


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_these_are_retried(status: int) -> None:
    """Overload and trouble at the provider are worth another try (S3-07)."""
    assert is_retried(status)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 200, 307])
def test_these_are_not(status: int) -> None:
    """A request that is wrong stays wrong (S3-07)."""
    assert not is_retried(status)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 60.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "abc"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates are understood, nonsense is ignored (S3-07)."""
    assert retry_after(headers, now=40.0) == seconds


def test_jitter_stays_in_its_bounds() -> None:
    """The wait is drawn anew each time and never longer than eight seconds (S3-07)."""
    drawn = [backoff(retry) for retry in range(20) for _ in range(20)]

    assert all(0 <= wait <= 8 for wait in drawn)
    assert all(backoff(0) <= 0.5 for _ in range(50))
    assert len(set(drawn)) > 300
