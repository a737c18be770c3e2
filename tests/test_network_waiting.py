"""How long is waited: what providers ask for, and every deadline and size, as the settings say."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from email.utils import formatdate
from functools import partial

import pytest
from asking import PATIENT, asking, pieces_of
from leaping import Leap
from loopback import CUT, HANG, Loopback, Script, event, events, failure, reply, streamed

from llmport_magic import configure
from llmport_magic.errors import LLMStreamError
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.registry import connector_for
from llmport_magic.llm.retry import RetryPolicy, backoff
from llmport_magic.llm.transport import LLMConnectionError, LLMStatusError, LLMTimeoutError
from llmport_magic.settings import resolve


class Waits:
    """Takes the place of sleeping, and notes for how long it was asked to."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        """Sleep no time at all."""
        self.seconds.append(seconds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after": "1"}, 1.0), ({"retry-after-ms": "400", "retry-after": "9"}, 0.4)],
)
async def test_what_is_asked_for_is_waited_and_no_more(
    server: Loopback, headers: dict[str, str], seconds: float
) -> None:
    """The next request comes after just the wait that the provider asked for (S3-07)."""
    waits = Waits()
    server.script(failure(429, headers=headers), reply("hi"))

    llm = asking(server, retry=RetryPolicy(sleep=waits))

    assert (await llm.call("q")).content == "hi"
    assert waits.seconds == [seconds]


async def test_a_wait_is_never_early(server: Loopback) -> None:
    """Between the answer that asks for a wait and the next request that wait passes (S3-07)."""
    came: list[float] = []

    def answer(_: object) -> Script:
        came.append(time.monotonic())
        return reply("hi") if came[1:] else failure(429, headers={"retry-after": "0.5"})

    server.always(answer)

    assert (await asking(server, retry=RetryPolicy()).call("q")).content == "hi"
    assert came[1] - came[0] >= 0.5


async def test_a_date_is_waited_for(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait that is given as a date ends with that date (S3-07)."""
    waits, now = Waits(), 1_800_000_000.25
    monkeypatch.setattr(time, "time", lambda: now)
    server.script(
        failure(503, headers={"retry-after": formatdate(now + 20, usegmt=True)}), reply("hi")
    )

    assert (await asking(server, retry=RetryPolicy(sleep=waits)).call("q")).content == "hi"
    # A date has whole seconds.
    assert waits.seconds == [19.75]


@pytest.mark.parametrize(
    ("asked", "waits"), [("60", [60.0]), ("61", []), ("3600", []), ("0", [0.0])]
)
async def test_a_minute_is_the_longest(server: Loopback, asked: str, waits: list[float]) -> None:
    """Sixty seconds are waited; a longer wait fails at once, saying how long it is (S3-07)."""
    slept = Waits()
    server.always(failure(429, headers={"retry-after": asked}))
    retry = RetryPolicy(attempts=2, sleep=slept)

    with pytest.raises(LLMStatusError, match="429") as caught:
        await asking(server, retry=retry).call("q")

    assert slept.seconds == waits
    assert len(server.requests) == 1 + len(waits)
    if asked == "3600":
        assert "in 1 h" in str(caught.value)


async def test_a_connection_that_breaks_before_the_answer_is_made_again(server: Loopback) -> None:
    """A connection that is cut before an answer begins costs a retry, for streams, too (S3-07)."""
    cut = Script((CUT,), silent=True)
    server.script(cut, cut, reply("hi"), cut, streamed("a"), cut, cut, cut)
    llm = asking(server)

    assert (await llm.call("q")).metadata["sends"] == 3
    assert await pieces_of(llm) == ["a"]
    with pytest.raises(LLMConnectionError, match="broke before an answer began") as caught:
        await llm.call("q")
    assert caught.value.attempts == 3


@pytest.mark.parametrize("way", ["call", "stream"])
async def test_one_call_can_have_less_time(server: Loopback, leap: Leap, way: str) -> None:
    """The option `timeout_ms` is for that call alone, and hangs up (S2-23, S4-19)."""
    server.script(Script(silent=True) if way == "call" else streamed("a", HANG), reply("hi"))
    llm = asking(server)
    ask = llm.call if way == "call" else partial(pieces_of, llm)
    asked = asyncio.ensure_future(ask("q", timeout_ms=60_000))
    await asyncio.to_thread(server.wait_for_requests, 1)
    leap(61)

    with pytest.raises(LLMTimeoutError, match=r"60 s.*total_timeout"):
        await asked
    assert await asyncio.to_thread(server.requests[0].closed.wait, 60)
    waiting = asyncio.ensure_future(llm.call("q"))
    leap(61)
    assert (await waiting).content == "hi"


async def test_the_idle_deadline_is_kept(server: Loopback, leap: Leap) -> None:
    """A stream that falls silent ends at the deadline and not before (S4-19)."""
    server.script(streamed("a", HANG))
    pieces = aiter(asking(server, limits=replace(PATIENT, idle=300.0)).stream("q"))
    assert await anext(pieces) == "a"
    waiting = asyncio.ensure_future(anext(pieces))
    leap(200)
    await leap.settled()
    assert not waiting.done()
    leap(101)

    with pytest.raises(LLMTimeoutError, match=r"300 s.*idle_timeout") as caught:
        await waiting
    assert caught.value.partial == "a"


async def test_a_line_without_an_end_is_left_at_a_megabyte(server: Loopback) -> None:
    """A hundred megabytes in one line are not read: the stream ends at the limit (S4-19)."""
    piece = b"x" * 65_536
    server.script(events(event("a"), b"data: ", *[piece] * 1_600, HANG))

    with pytest.raises(LLMStreamError, match="max_line_bytes") as caught:
        await pieces_of(asking(server))

    assert caught.value.partial == "a"
    assert server.requests[0].closed.wait(60)


async def test_valid_tokens_without_an_end_are_left_at_the_limit(server: Loopback) -> None:
    """Tokens for ever end at `max_body_bytes`, and what had come is kept (S4-19)."""
    server.script(events(*[event("word ") * 500] * 400, HANG))

    with pytest.raises(LLMStreamError, match="max_body_bytes") as caught:
        await pieces_of(asking(server))

    assert caught.value.partial.startswith("word word ")
    assert server.requests[0].closed.wait(60)


_NUMBERS = {
    "connect_timeout": 1.5,
    "first_byte_timeout": 2.5,
    "reasoning_timeout": 3.5,
    "idle_timeout": 4.5,
    "total_timeout": 5.5,
    "attempts": 7,
    "retry_budget": 8,
    "retry_after_max": 9.5,
    "backoff": 0.25,
    "backoff_max": 10.5,
    "max_line_bytes": 1_111,
    "max_body_bytes": 2_222,
    "pool_size": 11,
    "keep_alive": 12.5,
}


def test_every_number_is_a_setting() -> None:
    """What the settings say about deadlines, sizes and retries is what a connector has (S2-23)."""
    configure(provider="openai", model="m", api_key="test-key-0123456789", **_NUMBERS)
    llm = connector_for(resolve())
    assert isinstance(llm, LLMProvider)
    config = llm.config
    assert config.network is not None

    found = {
        "connect_timeout": config.limits.connect,
        "first_byte_timeout": config.limits.first_byte,
        "reasoning_timeout": config.limits.first_byte_reasoning,
        "idle_timeout": config.limits.idle,
        "total_timeout": config.limits.total,
        "attempts": config.retry.attempts,
        "retry_budget": config.retry_budget,
        "retry_after_max": config.retry.retry_after_max,
        "backoff": config.retry.backoff,
        "backoff_max": config.retry.backoff_max,
        "max_line_bytes": config.limits.max_line_bytes,
        "max_body_bytes": config.limits.max_body_bytes,
        "pool_size": config.limits.pool_size,
        "keep_alive": config.network.keep_alive,
    }

    assert found == _NUMBERS


def test_the_backoff_doubles_up_to_its_longest() -> None:
    """Waits are drawn from 0 to a bound that doubles and has an end, however many there were."""
    bounds = [max(backoff(retry, 0.1, 1.0) for _ in range(300)) for retry in (0, 1, 2, 9, 5_000)]

    assert all(
        0.6 * most < bound <= most
        for bound, most in zip(bounds, (0.1, 0.2, 0.4, 1.0, 1.0), strict=True)
    )


async def test_a_model_that_thinks_may_begin_later(server: Loopback, leap: Leap) -> None:
    """Where only the deadline of thinking models is longer, it is the one that counts (S4-19)."""
    server.always(Script(silent=True))
    limits = replace(PATIENT, first_byte=None, first_byte_reasoning=300.0)
    llm = asking(server, limits=limits, capabilities=LLMCapabilities(reasoning=True))
    asked = asyncio.ensure_future(llm.call("q"))
    await asyncio.to_thread(server.wait_for_requests, 1)
    leap(301)

    with pytest.raises(LLMTimeoutError, match=r"300 s.*first_byte_timeout"):
        await asked


async def test_a_pool_is_not_outgrown(server: Loopback) -> None:
    """More calls at once than `pool_size` wait for a connection; all are answered (S4-31)."""
    go, body = threading.Event(), reply("hi")
    server.always(replace(body, steps=(go, *body.steps)))
    llm = asking(server, limits=replace(PATIENT, pool_size=3))
    asked = [asyncio.ensure_future(llm.call("q")) for _ in range(12)]
    await asyncio.to_thread(server.wait_for_requests, 3)
    await asyncio.sleep(0.05)
    go.set()

    assert {answer.content for answer in await asyncio.gather(*asked)} == {"hi"}
    assert server.accepts == 3


async def test_who_stops_waiting_for_a_connection_takes_none(server: Loopback) -> None:
    """Calls that are cancelled before they got a connection leave it to those after them."""
    server.script(Script(silent=True))
    llm = asking(server, limits=replace(PATIENT, pool_size=1))
    stuck = asyncio.create_task(llm.call("q"))
    await asyncio.to_thread(server.wait_for_requests, 1)
    waiting = [asyncio.create_task(llm.call("q")) for _ in range(3)]
    # Time for them to stand in the line for a connection; who does not yet is cancelled as well.
    await asyncio.sleep(0.05)

    for call in (*waiting, stuck):
        call.cancel()
    server.always(reply("hi"))

    assert (await llm.call("q")).content == "hi"
    assert len(server.requests) == 2
