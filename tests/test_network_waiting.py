"""How long is waited: what providers ask for, and every deadline and size, as the settings say."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import pytest
from asking import asking, pieces_of
from loopback import CUT, HANG, Loopback, Script, event, events, failure, reply, streamed

from llmport_magic import configure
from llmport_magic.errors import LLMStreamError
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.registry import connector_for
from llmport_magic.llm.retry import RetryPolicy, backoff
from llmport_magic.llm.transport import LLMConnectionError, LLMStatusError, LLMTimeoutError
from llmport_magic.llm.wire import Limits
from llmport_magic.settings import resolve


def _noting(server: Loopback, *scripts: Script) -> list[float]:
    """Answer with these in turn, and note when each request came."""
    came: list[float] = []
    left = list(scripts)

    def answer(_: object) -> Script:
        came.append(time.monotonic())
        return left.pop(0)

    server.always(answer)
    return came


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after": "1"}, 1.0), ({"retry-after-ms": "400", "retry-after": "9"}, 0.4)],
)
async def test_a_wait_is_never_early_and_hardly_late(
    server: Loopback, headers: dict[str, str], seconds: float
) -> None:
    """The next request comes after the wait that was asked for, at most a tenth later (S3-07)."""
    came = _noting(server, failure(429, headers=headers), reply("hi"))

    assert (await asking(server, retry=RetryPolicy()).call("q")).content == "hi"

    waited = came[1] - came[0]
    assert waited >= seconds
    # A busy machine may need a moment for the request itself.
    assert waited <= seconds * 1.1 + 0.1


async def test_a_date_is_waited_for(server: Loopback) -> None:
    """A wait that is given as a date ends with that date, not before (S3-07)."""
    until = int(time.time()) + 2
    headers = {"retry-after": formatdate(until, usegmt=True)}
    _noting(server, failure(503, headers=headers), reply("hi"))

    assert (await asking(server, retry=RetryPolicy()).call("q")).content == "hi"

    assert until <= time.time() < until + 0.4


@pytest.mark.parametrize(
    ("asked", "waits"), [("60", [60.0]), ("61", []), ("3600", []), ("0", [0.0])]
)
async def test_a_minute_is_the_longest(server: Loopback, asked: str, waits: list[float]) -> None:
    """Sixty seconds are waited; a longer wait fails at once, saying how long it is (S3-07)."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    server.always(failure(429, headers={"retry-after": asked}))
    retry = RetryPolicy(attempts=2, sleep=sleep)

    with pytest.raises(LLMStatusError, match="429") as caught:
        await asking(server, retry=retry, timeout_ms=120_000).call("q")

    assert slept == waits
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


async def test_one_call_can_have_less_time(server: Loopback) -> None:
    """The option `timeout_ms` is for that call alone, and hangs up (S2-23, S4-19)."""
    server.script(Script(silent=True), streamed("a", HANG), reply("hi"))
    llm = asking(server, timeout_ms=60_000)

    for ask in (llm.call("q", timeout_ms=150), pieces_of(llm, timeout_ms=150)):
        begun = time.monotonic()
        with pytest.raises(LLMTimeoutError, match=r"0\.15 s.*total_timeout"):
            await ask
        assert time.monotonic() - begun < 2
    assert all(request.closed.wait(2) for request in server.requests)
    assert (await llm.call("q")).content == "hi"


async def test_the_idle_deadline_is_kept(server: Loopback) -> None:
    """A stream that falls silent ends at the deadline, not before and hardly after (S4-19)."""
    server.script(streamed("a", HANG))
    pieces = aiter(asking(server, limits=Limits(idle=1.0)).stream("q"))
    assert await anext(pieces) == "a"
    came = time.monotonic()

    with pytest.raises(LLMTimeoutError) as caught:
        await anext(pieces)

    # The piece came a moment before it was seen here.
    assert 0.9 < time.monotonic() - came < 1.05 + 0.1
    assert caught.value.partial == "a"


async def test_a_line_without_an_end_is_left_at_a_megabyte(server: Loopback) -> None:
    """A hundred megabytes in one line are not read: the stream ends at the limit (S4-19)."""
    piece = b"x" * 65_536
    server.script(events(event("a"), b"data: ", *[piece] * 1_600, HANG))

    with pytest.raises(LLMStreamError, match="max_line_bytes") as caught:
        await pieces_of(asking(server))

    assert caught.value.partial == "a"
    assert server.requests[0].closed.wait(2)


async def test_valid_tokens_without_an_end_are_left_at_the_limit(server: Loopback) -> None:
    """Tokens for ever end at `max_body_bytes`, and what had come is kept (S4-19)."""
    server.script(events(*[event("word ") * 500] * 400, HANG))

    with pytest.raises(LLMStreamError, match="max_body_bytes") as caught:
        await pieces_of(asking(server))

    assert caught.value.partial.startswith("word word ")
    assert server.requests[0].closed.wait(2)


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


async def test_a_model_that_thinks_may_begin_later(server: Loopback) -> None:
    """Where only the deadline of thinking models is longer, it is the one that counts (S4-19)."""
    from llmport_magic.llm.capabilities import LLMCapabilities

    server.always(Script(silent=True))
    limits = Limits(first_byte_reasoning=0.3)
    llm = asking(server, limits=limits, capabilities=LLMCapabilities(reasoning=True))

    with pytest.raises(LLMTimeoutError, match=r"0\.3 s.*first_byte_timeout"):
        await llm.call("q")


async def test_a_pool_is_not_outgrown(server: Loopback) -> None:
    """More calls at once than `pool_size` wait for a connection; all are answered (S4-31)."""
    server.always(Script((0.05, *reply("hi").steps), length=len(reply("hi").steps[0])))
    llm = asking(server, limits=Limits(pool_size=3))

    answers = await asyncio.gather(*(llm.call("q") for _ in range(12)))

    assert {answer.content for answer in answers} == {"hi"}
    assert server.accepts == 3


async def test_who_stops_waiting_for_a_connection_takes_none(server: Loopback) -> None:
    """Calls that are cancelled before they got a connection leave it to those after them."""
    server.script(Script(silent=True))
    llm = asking(server, limits=Limits(pool_size=1))
    stuck = asyncio.create_task(llm.call("q"))
    await asyncio.to_thread(server.wait_for_requests, 1)
    waiting = [asyncio.create_task(llm.call("q")) for _ in range(3)]
    await asyncio.sleep(0.05)

    for call in (*waiting, stuck):
        call.cancel()
    server.always(reply("hi"))

    assert (await llm.call("q")).content == "hi"
    assert len(server.requests) == 2
