"""How many requests and tokens a minute go to one account: who asks first is sent first.

A limit is a bucket that fills by itself, and its whole state is one number: the moment at which it
is full again. To take something moves that moment on; to look at it changes nothing, so nothing
is lost to rounding however often one looks. The buckets of an account lie in this process, or in
a file that all kernels of the user share (`shared_limits.py`); the arithmetic is the same.

Everything here runs on the bridge's loop, whichever thread or loop a call came from.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, fields
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple, Protocol

from llmport_magic.errors import ConfigError

if TYPE_CHECKING:
    from llmport_magic.settings import Settings

_MINUTE = 60.0
# No timer is as exact; what is left of a wait by the rounding of its parts is less.
_INSTANT = 1e-6
# Where kernels share a limit this much of it is not used, and a kernel may be so late, in seconds,
# to take what was its turn. With both, 60 s never hold more than the limit: at most 0.99 of it in
# 60.3 s, and one more.
_USED_WHERE_SHARED = 0.99
_LATE_WHERE_SHARED = 0.3


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How fast an account may be asked; `None` is no limit, and so is infinity.

    Attributes:
        requests_per_minute: how often a request may be sent, retries included.
        tokens_per_minute: how many tokens may be sent and received.
        burst: how many requests may go out at once before they are spaced; `None` is a minute's
            worth, and 1 where kernels share the limit.

    Raises:
        ValueError: a value is no number above 0, or `burst` is below 1.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst: float | None = None

    def __post_init__(self) -> None:
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            least = 1 if name == "burst" else 0
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and value > 0 and value >= least):
                what = "1 or more" if least else "a number above 0"
                raise ValueError(f"`{name}` must be {what}, not `{value}`")
            if value == float("inf"):
                object.__setattr__(self, name, None)

    @classmethod
    def of(cls, settings: Settings) -> RateLimits | None:
        """Take the values that the settings have; `None` where they are no limit.

        Raises:
            ConfigError: a value is not above 0.
        """
        names = [each.name for each in fields(cls)]
        try:
            found = cls(**{name: getattr(settings, name) for name in names})
        except ValueError as error:
            source = next(settings.source(name) for name in names if f"`{name}`" in str(error))
            raise ConfigError(f"{error} ({source}); infinity is no limit") from None
        return found if found.limited else None

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all."""
        return self.requests_per_minute is not None or self.tokens_per_minute is not None


# One number for requests and one for tokens, everywhere below.
Pair = tuple[float, float]
UNUSED: Pair = (float("-inf"), float("-inf"))


class Charge(NamedTuple):
    """What one request takes of its limits, in the seconds in which they earn it.

    Attributes:
        cost: what it takes.
        room: how much may be taken ahead of time: the size of the bucket.
    """

    cost: Pair
    room: Pair


def charge(limits: RateLimits, tokens: float, *, shared: bool = False) -> Charge:
    """Give what a request with so many tokens takes of the limits."""
    minute, late = _MINUTE, 0.0
    if shared:
        minute, late = _MINUTE / _USED_WHERE_SHARED, _LATE_WHERE_SHARED
    requests = limits.requests_per_minute
    each, room = 0.0, float("inf")
    if requests is not None:
        each = minute / requests
        room = each * max(1.0, limits.burst or (1.0 if shared else requests)) + late
    cost = tokens * seconds_each(limits, shared=shared)
    tokens_room = float("inf")
    if limits.tokens_per_minute is not None:
        # More tokens than the bucket holds wait until it is full; who comes next pays for them.
        tokens_room = max(0.0 if shared else minute, cost) + late
    return Charge((each, cost), (room, tokens_room))


def seconds_each(limits: RateLimits, *, shared: bool = False) -> float:
    """Give the seconds in which the limit earns one token; 0 without a limit."""
    if limits.tokens_per_minute is None:
        return 0.0
    return _MINUTE / (_USED_WHERE_SHARED if shared else 1.0) / limits.tokens_per_minute


def taken(state: Pair, now: float, wanted: Charge, ahead: Pair = (0.0, 0.0)) -> tuple[Pair, Pair]:
    """Take something out of the buckets.

    Args:
        state: when each is full again.
        now: by the clock of the state.
        wanted: what is taken.
        ahead: what others take before, in seconds.

    Returns:
        The state after it, and the waits in seconds until it may be taken: 0 is now.
    """
    requests = max(state[0], now) + ahead[0] + wanted.cost[0]
    tokens = max(state[1], now) + ahead[1] + wanted.cost[1]
    waits = _wait(requests - wanted.room[0] - now), _wait(tokens - wanted.room[1] - now)
    return (requests, tokens), waits


def corrected(state: Pair, now: float, seconds: Pair) -> Pair:
    """Take more, or give back where it is negative: a bucket that is full stays full."""
    requests, tokens = (
        (max(at, now) if more > 0 else at) + more for at, more in zip(state, seconds, strict=True)
    )
    return requests, tokens


def _wait(seconds: float) -> float:
    return seconds if seconds > _INSTANT else 0.0


class Buckets(Protocol):
    """Where the state of an account lies.

    Attributes:
        known: the state when it was last seen.
        shared: whether others take out of it, too.
        look: how long a wait may be until the state is looked at again, in seconds.
    """

    known: Pair
    shared: bool
    look: float

    def now(self) -> float:
        """Give the time by the clock of the state."""

    async def attempt(self, wanted: Charge) -> Pair:
        """Take it if its turn has come; give the waits until then, 0 where it was taken."""

    def correct(self, seconds: Pair) -> None:
        """Take more, or give back, without waiting."""

    async def leave(self) -> None:
        """Wait no longer for what was attempted last."""


class OwnBuckets:
    """The buckets of an account that this process has for itself."""

    shared = False
    look = float("inf")

    def __init__(self) -> None:
        self.known = UNUSED

    def now(self) -> float:
        """Give the loop's time."""
        return asyncio.get_running_loop().time()

    async def attempt(self, wanted: Charge) -> Pair:
        """Take it if it is there."""
        state, waits = taken(self.known, self.now(), wanted)
        if not any(waits):
            self.known = state
        return waits

    def correct(self, seconds: Pair) -> None:
        """Take more, or give back."""
        self.known = corrected(self.known, self.now(), seconds)

    async def leave(self) -> None:
        """Do nothing: nobody else waits for these."""


class TooLongError(Exception):
    """A place in the line would come too late.

    Attributes:
        waits: how long it would take by each limit, in seconds, as far as is known.
    """

    def __init__(self, waits: Pair) -> None:
        self.waits = waits
        super().__init__()


@dataclass(eq=False, slots=True)
class _Waiting:
    """One request in the line."""

    wanted: Charge
    until: float
    granted: asyncio.Future[None]


class Limiter:
    """The line of those who want to ask one account.

    Args:
        buckets: where its state lies.
    """

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._line: deque[_Waiting] = deque()
        self._news = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        # Seconds of tokens that are reserved and may come back; what other kernels have reserved
        # is not known, and may be anything.
        self._open = float("inf") if buckets.shared else 0.0

    async def admit(self, wanted: Charge, patience: float) -> None:
        """Wait until a request may be sent; a cancelled one gives its place back.

        Args:
            wanted: what it takes.
            patience: the longest wait, in seconds.

        Raises:
            TooLongError: the wait is longer, at once where that is sure.
            ConfigError: the limit is to be shared, and there is no place for that.
        """
        if self._line or self._buckets.shared or any(await self._buckets.attempt(wanted)):
            await self._stand_in_line(wanted, patience)
        self._open += wanted.cost[1]

    def settle(self, reserved: float, more: float) -> None:
        """Correct what a request took of the tokens.

        Args:
            reserved: seconds that were reserved until now.
            more: seconds that it took besides, or gives back where it is negative.
        """
        self._open -= reserved
        if more:
            self._buckets.correct((0.0, more))
            self._news.set()

    async def _stand_in_line(self, wanted: Charge, patience: float) -> None:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(wanted, loop.time() + patience, loop.create_future())
        waits = self._waits(waiting)
        if self._sure(waits) > patience:
            raise TooLongError(waits)
        self._line.append(waiting)
        if self._serving is None:
            self._serving = loop.create_task(self._serve())
        try:
            async with asyncio.timeout(patience):
                await waiting.granted
        except BaseException as error:
            requests, tokens = self._waits(waiting)
            self._step_out(waiting)
            if isinstance(error, TimeoutError):
                raise TooLongError((requests + patience, tokens + patience)) from None
            raise

    def _waits(self, waiting: _Waiting) -> Pair:
        """Give the waits of one in the line, or at its end, as far as is known."""
        before = [
            each.wanted.cost for each in takewhile(lambda each: each is not waiting, self._line)
        ]
        ahead = (sum(cost[0] for cost in before), sum(cost[1] for cost in before))
        return taken(self._buckets.known, self._buckets.now(), waiting.wanted, ahead)[1]

    def _sure(self, waits: Pair) -> float:
        """Give the wait that nothing can shorten: answers are shorter than what is reserved."""
        reserved = self._open + sum(each.wanted.cost[1] for each in self._line)
        return max(waits[0], waits[1] - reserved)

    def _step_out(self, waiting: _Waiting) -> None:
        if waiting in self._line:
            self._line.remove(waiting)
            self._news.set()
        elif not waiting.granted.cancelled() and waiting.granted.exception() is None:
            self._give_back(waiting)

    def _give_back(self, waiting: _Waiting) -> None:
        requests, tokens = waiting.wanted.cost
        self._buckets.correct((-requests, -tokens))
        self._news.set()

    async def _serve(self) -> None:
        """Let the first of the line go when its turn has come, until nobody waits."""
        try:
            while self._line:
                while self._line:
                    await self._serve_first()
                await self._buckets.leave()
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            while self._line:
                waiting = self._line.popleft()
                if not waiting.granted.done():
                    waiting.granted.set_exception(type(error)(*error.args))
        finally:
            self._serving = None

    async def _serve_first(self) -> None:
        first = self._line[0]
        if first.granted.done():
            # Cancelled, and its task does not know yet.
            self._line.popleft()
            return
        self._news.clear()
        waits = await self._buckets.attempt(first.wanted)
        if first.granted.done():
            if not any(waits):
                self._give_back(first)
        elif not any(waits):
            self._line.popleft()
            first.granted.set_result(None)
        elif asyncio.get_running_loop().time() + self._sure(waits) > first.until:
            self._line.popleft()
            first.granted.set_exception(TooLongError(waits))
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(waits), self._buckets.look)):
                    await self._news.wait()
