"""Limits on requests and tokens a minute: the arithmetic, and the line of those who wait."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmport_magic.llm.limits import (
    UNUSED,
    Charge,
    Limiter,
    OwnBuckets,
    Pair,
    RateLimits,
    TooLongError,
    charge,
    corrected,
    taken,
)


class _Leaping(selectors.DefaultSelector):
    """Waits no time at all: it moves the clock on instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self.now += timeout
        return super().select(0)


def at_once(scene: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Play a scene on a loop with a clock of its own, which begins at 0."""
    selector = _Leaping()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(scene())


def now() -> float:
    """Give the scene's time."""
    return asyncio.get_running_loop().time()


def one(limits: RateLimits, tokens: float = 0) -> Charge:
    """Give what one request takes."""
    return charge(limits, tokens)


def test_the_third_of_two_a_minute_waits_half_a_minute() -> None:
    """With 2 requests a minute, two go at once and the third 30 s later, not 29 or 60 (S1-09)."""
    limits = RateLimits(2)

    async def scene() -> list[float]:
        limiter, sent = Limiter(OwnBuckets()), []
        for _ in range(5):
            await limiter.admit(one(limits), patience=1000)
            sent.append(now())
        return sent

    assert at_once(scene) == [0, 0, 30, 60, 90]


def test_looking_often_loses_nothing() -> None:
    """After 1,000 looks 10 ms apart ten seconds' worth is there, and not one more (S1-09)."""
    wanted = one(RateLimits(60))
    state: Pair = UNUSED
    for _ in range(60):
        state, waits = taken(state, 0.0, wanted)
        assert waits == (0, 0)
    clock = 0.0
    for _ in range(1_000):
        _, waits = taken(state, clock, wanted)
        clock += 0.01

    went = 0
    while taken(state, clock, wanted)[1] == (0, 0):
        state, _ = taken(state, clock, wanted)
        went += 1
    _, (wait, _) = taken(state, clock, wanted)

    assert went == 10
    assert wait == pytest.approx(1.0, abs=1e-9)


def test_a_limit_below_one_a_minute_is_kept() -> None:
    """Half a request a minute is one in two minutes: nothing is cut to whole numbers (S1-09)."""

    async def scene() -> list[float]:
        limiter, sent = Limiter(OwnBuckets()), []
        for _ in range(3):
            await limiter.admit(one(RateLimits(0.5)), patience=1000)
            sent.append(now())
        return sent

    assert at_once(scene) == [0, 120, 240]


weights = st.lists(
    st.tuples(st.floats(0, 30), st.floats(0, 500)),  # seconds since the last, tokens
    min_size=1,
    max_size=60,
)


@given(
    weights,
    st.floats(0.5, 600),
    st.floats(100, 5_000),
    st.one_of(st.none(), st.floats(1, 50)),
    st.booleans(),
)
def test_no_window_holds_more_than_the_bucket_and_what_flows_in(
    asked: list[tuple[float, float]],
    requests: float,
    tokens: float,
    burst: float | None,
    shared: bool,
) -> None:
    """In any window no more goes out than the bucket holds and earns in that time (S1-09)."""
    limits = RateLimits(requests, tokens, burst)
    state, clock, sent = UNUSED, 0.0, []
    for pause, weight in asked:
        clock += pause
        wanted = charge(limits, weight, shared=shared)
        _, waits = taken(state, clock, wanted)
        clock += max(waits)
        state, left = taken(state, clock, wanted)
        assert max(left) == 0, "what it was told to wait was not enough"
        sent.append((clock, wanted))

    for kind in (0, 1):
        for first, (begin, _) in enumerate(sent):
            cost = 0.0
            for end, wanted in sent[first:]:
                cost += wanted.cost[kind]
                biggest = max(each.room[kind] for _, each in sent[first:])
                assert cost <= biggest + (end - begin) + 1e-4


@given(st.lists(st.floats(0, 5), min_size=2, max_size=80), st.integers(1, 300))
def test_where_it_is_shared_no_minute_holds_more_than_the_limit(
    late: list[float], most: int
) -> None:
    """However late each is taken, no 60 s hold more requests than the limit (S1-09)."""
    wanted = charge(RateLimits(most), 0, shared=True)
    state, clock, sent = (0.0, 0.0), 0.0, []
    for pause in late * (2 + 3 * most // len(late)):
        _, waits = taken(state, clock, wanted)
        clock += max(waits) + pause / most
        state, _ = taken(state, clock, wanted)
        sent.append(clock)

    for index in range(len(sent) - most):
        assert sent[index + most] - sent[index] >= 60


def test_more_tokens_than_the_bucket_wait_and_are_paid_for() -> None:
    """A request above the whole limit goes when the bucket is full; the next one waits longer."""
    limits = RateLimits(tokens_per_minute=600)

    async def scene() -> list[float]:
        limiter, sent = Limiter(OwnBuckets()), []
        for tokens in (300, 1_200, 100):
            await limiter.admit(one(limits, tokens), patience=1000)
            sent.append(now())
        return sent

    # 300 leave the bucket half empty: full after 30 s; 1,200 are two minutes, one of them ahead.
    assert at_once(scene) == [0, 30, 100]


def test_twenty_tasks_go_in_the_order_in_which_they_came() -> None:
    """Parallel tasks are let through first come, first served, evenly spaced (S1-09)."""
    limits = RateLimits(60, burst=1)

    async def scene() -> list[tuple[int, float]]:
        limiter, sent = Limiter(OwnBuckets()), []

        async def task(number: int) -> None:
            await limiter.admit(one(limits), patience=1000)
            sent.append((number, now()))

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(task(number))
        return sent

    assert at_once(scene) == [(number, pytest.approx(number)) for number in range(20)]


@pytest.mark.parametrize("cancelled", [0, 1, 2], ids=["the first", "one between", "the last"])
def test_who_leaves_gives_its_place_back(cancelled: int) -> None:
    """Those behind a cancelled task move up, and it took nothing."""
    limits = RateLimits(60, burst=1)

    async def scene() -> list[tuple[int, float]]:
        limiter, sent = Limiter(OwnBuckets()), []

        async def task(number: int) -> None:
            await limiter.admit(one(limits), patience=1000)
            sent.append((number, now()))

        await limiter.admit(one(limits), patience=0)
        tasks = [asyncio.ensure_future(task(number)) for number in range(3)]
        await asyncio.sleep(0.5)
        tasks[cancelled].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await task(3)
        return sent

    rest = [number for number in range(4) if number != cancelled]
    assert at_once(scene) == [(number, pytest.approx(n + 1)) for n, number in enumerate(rest)]


@pytest.mark.parametrize("moment", ["while it is taken", "after it was taken"])
def test_who_is_cancelled_at_the_moment_of_its_turn_gives_it_back(moment: str) -> None:
    """A turn that comes together with the cancellation goes to the next in the line."""
    limits = RateLimits(60, burst=1)
    first: asyncio.Future[None] | None = None

    class Cancelling(OwnBuckets):
        async def attempt(self, wanted: Charge) -> Pair:
            waits = await super().attempt(wanted)
            if first is not None and not any(waits):
                if moment == "while it is taken":
                    first.cancel()
                else:
                    asyncio.get_running_loop().call_soon(first.cancel)
            return waits

    async def scene() -> float:
        nonlocal first
        limiter = Limiter(Cancelling())
        await limiter.admit(one(limits), patience=0)
        first = asyncio.ensure_future(limiter.admit(one(limits), patience=1000))
        second = asyncio.ensure_future(limiter.admit(one(limits), patience=1000))
        await second
        assert first.cancelled()
        return now()

    assert at_once(scene) == pytest.approx(1)


def test_an_answer_shorter_than_reserved_lets_the_next_one_go() -> None:
    """What was reserved and not used is given back, and who waits goes at once (S1-09)."""
    limits = RateLimits(tokens_per_minute=600)

    async def scene() -> tuple[float, float]:
        limiter = Limiter(OwnBuckets())
        reserved = one(limits, 600)
        await limiter.admit(reserved, patience=0)
        second = asyncio.ensure_future(limiter.admit(one(limits, 300), patience=20))
        await asyncio.sleep(2)
        limiter.settle(reserved.cost[1], (100 - 600) * 0.1)
        await second
        sent = now()
        third = limiter.admit(one(limits, 600), patience=1000)
        await third
        return sent, now()

    # 600 reserved, 100 used, 300 more: 40 s of the minute, of which 2 have passed.
    assert at_once(scene) == (2, pytest.approx(40))


def test_an_answer_longer_than_reserved_is_paid_for_by_the_next_one() -> None:
    """More tokens than were reserved count as well (S1-09)."""
    limits = RateLimits(tokens_per_minute=600)

    async def scene() -> float:
        limiter = Limiter(OwnBuckets())
        reserved = one(limits, 100)
        await limiter.admit(reserved, patience=0)
        limiter.settle(reserved.cost[1], (700 - 100) * 0.1)
        await limiter.admit(one(limits, 100), patience=1000)
        return now()

    assert at_once(scene) == pytest.approx(20)


def test_a_full_bucket_does_not_become_fuller() -> None:
    """What comes back to a bucket that is full again is not kept for later."""
    state = corrected((10.0, 10.0), now=100.0, seconds=(0.0, -50.0))

    _, (_, wait) = taken(state, 100.0, one(RateLimits(tokens_per_minute=600), 600))
    after, _ = taken(state, 100.0, one(RateLimits(tokens_per_minute=600), 600))
    _, (_, next_wait) = taken(after, 100.0, one(RateLimits(tokens_per_minute=600), 600))

    assert (wait, next_wait) == (0, 60)


def test_a_wait_that_is_too_long_is_refused_at_once() -> None:
    """Who could not go within its time is told without waiting, also behind others (S1-09)."""
    limits = RateLimits(60, burst=1)

    async def scene() -> None:
        limiter = Limiter(OwnBuckets())
        await limiter.admit(one(limits), patience=0)
        patient = asyncio.ensure_future(limiter.admit(one(limits), patience=10))
        await asyncio.sleep(0)
        with pytest.raises(TooLongError) as caught:
            await limiter.admit(one(limits), patience=1.5)
        assert caught.value.waits == (pytest.approx(2), 0)
        assert now() == 0
        await patient
        assert now() == pytest.approx(1)

    at_once(scene)


def test_who_waits_for_tokens_that_may_come_back_waits_as_long_as_it_can() -> None:
    """A wait that an answer under way can shorten is refused only when the time is over."""
    limits = RateLimits(tokens_per_minute=600)

    async def scene() -> None:
        limiter = Limiter(OwnBuckets())
        await limiter.admit(one(limits, 600), patience=0)
        with pytest.raises(TooLongError):
            await limiter.admit(one(limits, 600), patience=20)
        assert now() == pytest.approx(20)
        await limiter.admit(one(limits, 600), patience=41)
        assert now() == pytest.approx(60)

    at_once(scene)


def test_requests_and_tokens_are_both_kept() -> None:
    """A request goes when both of its limits have room for it (S1-09)."""
    limits = RateLimits(60, 600, burst=1)

    async def scene() -> list[float]:
        limiter, sent = Limiter(OwnBuckets()), []
        for tokens in (600, 10, 10):
            await limiter.admit(one(limits, tokens), patience=1000)
            sent.append(now())
        return sent

    assert at_once(scene) == [0, pytest.approx(1), pytest.approx(2)]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"requests_per_minute": 0}, "`requests_per_minute` must be a number above 0"),
        ({"tokens_per_minute": -1}, "`tokens_per_minute` must be a number above 0"),
        ({"requests_per_minute": "30"}, "above 0, not `30`"),
        ({"requests_per_minute": True}, "above 0, not `True`"),
        ({"requests_per_minute": float("nan")}, "above 0, not `nan`"),
        ({"burst": 0.5}, "`burst` must be 1 or more"),
    ],
)
def test_a_limit_is_a_number_above_0(fields: dict[str, Any], says: str) -> None:
    """A limit that could let nothing through is refused with its name (S1-09)."""
    with pytest.raises(ValueError, match=says):
        RateLimits(**fields)


def test_infinity_is_no_limit() -> None:
    """A user lifts a limit of a row by infinity, which a file of settings can say."""
    assert not RateLimits(float("inf"), float("inf")).limited
    assert not RateLimits(burst=3).limited
    assert RateLimits(1).limited
