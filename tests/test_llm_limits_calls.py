"""Limits as calls meet them: what is counted, who shares them, and what is said."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asking import KEY, asking
from loopback import HANG, Loopback, Request, Script, event, events, failure, reply, streamed

import llmport_magic
from llmport_magic.errors import ConfigError, LLMError, LLMLimitError
from llmport_magic.llm import Image, LLMProvider, Message, Tool, admission, create_llm_handler
from llmport_magic.llm.limits import OwnBuckets, RateLimits
from llmport_magic.llm.registry import PROVIDER_CONFIG
from llmport_magic.llm.wire import Limits
from llmport_magic.secrets import Secret

# 20 ms from one request to the next.
PACED = RateLimits(3_000, burst=1)
STEP = 0.02
# Half a second: far more than a call takes, also on a busy machine.
SLOW = RateLimits(120, burst=1)


@pytest.fixture(autouse=True)
def _forget_accounts() -> Iterator[None]:
    """Let each test find its accounts unused."""
    admission._limiters.clear()
    yield
    admission._limiters.clear()


def owed() -> float:
    """Give how many tokens the one account has taken and not earned yet."""
    (limiter,) = admission._limiters.values()
    return (limiter._buckets.known[1] - time.monotonic()) * 100


async def test_calls_are_spaced(server: Loopback) -> None:
    """The fourth call is sent three intervals after the first, and tells its wait (S1-09)."""
    server.always(reply())
    llm = asking(server, rate_limits=SLOW)

    begun = time.monotonic()
    waited = [(await llm.complete("q")).metadata["waited_ms"] for _ in range(4)]

    assert time.monotonic() - begun >= 1.5
    assert waited[0] == 0
    assert all(0 < each <= 501 for each in waited[1:])


async def test_without_a_limit_nothing_waits_or_is_noted(server: Loopback) -> None:
    """A connector without limits has no line, and its answers say nothing of one."""
    server.always(reply())

    response = await asking(server).complete("q")

    assert "waited_ms" not in response.metadata
    assert admission._limiters == {}


async def test_streams_are_counted_and_say_how_long_they_waited(server: Loopback) -> None:
    """A stream waits for its turn as a call does (S1-09)."""
    server.always(streamed("a"))
    llm = asking(server, rate_limits=SLOW)

    waited = []
    for _ in range(2):
        stream = llm.stream("q")
        async for _ in stream:
            pass
        waited.append(stream.response.metadata["waited_ms"])

    assert waited[0] == 0
    assert 0 < waited[1] <= 501


async def test_each_retry_is_counted(server: Loopback) -> None:
    """A request that is sent three times takes three places (S1-09)."""
    server.script(failure(503), failure(503), reply())
    llm = asking(server, rate_limits=SLOW)

    response = await llm.complete("q")

    assert response.metadata["sends"] == 3
    assert 500 < response.metadata["waited_ms"] <= 1_001


async def test_connectors_of_one_account_share_its_limit(server: Loopback) -> None:
    """Two connectors with one key stand in one line; another key or server has its own (S1-19)."""
    server.always(reply())
    with Loopback() as elsewhere:
        elsewhere.always(reply())
        first, second = (asking(server, api_key=KEY, rate_limits=SLOW, model=m) for m in "ab")
        other_key = asking(server, api_key="another-key-0123456789", rate_limits=SLOW)
        other_server = asking(elsewhere, api_key=KEY, rate_limits=SLOW)
        other_name = asking(server, api_key=KEY, rate_limits=SLOW, provider="proxy")

        await first.complete("q")
        assert (await second.complete("q")).metadata["waited_ms"] > 0
        for llm in (other_key, other_server, other_name):
            assert (await llm.complete("q")).metadata["waited_ms"] == 0

    assert len(admission._limiters) == 4
    assert not any(KEY in name for name, _ in admission._limiters)


async def test_the_same_key_read_twice_is_the_same_account() -> None:
    """An account is known by the key's text, whichever object holds it, and does not show it."""
    assert Secret(KEY).fingerprint() == Secret(KEY).fingerprint() != Secret(KEY + "x").fingerprint()
    assert KEY not in Secret(KEY).fingerprint()


async def test_twenty_tasks_are_sent_in_order(server: Loopback) -> None:
    """Parallel calls reach the server in the order in which they were made (S1-09)."""
    server.always(reply())
    llm = asking(server, rate_limits=PACED)

    await asyncio.gather(*(llm.complete(f"{number}") for number in range(20)))

    asked = [request.json["messages"][0]["content"] for request in server.requests]
    assert asked == [str(number) for number in range(20)]


def test_threads_with_loops_of_their_own_share_the_limit(server: Loopback) -> None:
    """Eight threads, each with its own loop, never get more than the limit together (S1-09)."""
    server.always(reply())
    granted: list[float] = []
    whole = OwnBuckets.attempt

    async def noted(self: OwnBuckets, wanted: Any) -> Any:
        waits = await whole(self, wanted)
        if not any(waits):
            granted.append(self.now())
        return waits

    def work() -> None:
        async def calls() -> None:
            llm = asking(server, rate_limits=PACED)
            for _ in range(3):
                await llm.complete("q")

        asyncio.run(calls())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OwnBuckets, "attempt", noted)
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(granted) == len(server.requests) == 24
    for number, early in enumerate(granted):
        for apart, late in enumerate(granted[number:]):
            assert late - early >= apart * STEP - 1e-4


async def test_a_wait_that_is_too_long_is_an_error_before_sending(server: Loopback) -> None:
    """It names the limit, the wait and the settings, and nothing is sent (S1-09)."""
    server.always(reply())
    llm = asking(server, provider="mine", rate_limits=RateLimits(2, burst=1), timeout_ms=5_000)
    await llm.complete("q")

    begun = time.monotonic()
    with pytest.raises(LLMLimitError) as caught:
        await llm.complete("q")

    assert time.monotonic() - begun < 2
    said = str(caught.value)
    assert "`mine`: the limit of 2 requests a minute (`requests_per_minute`)" in said
    assert "wait 30.0 s" in said or "wait 29." in said
    assert "5 s that it may take (`total_timeout`)" in said
    assert "\n" not in said
    assert (caught.value.provider, caught.value.retryable) == ("mine", False)
    assert len(server.requests) == 1


async def test_waiting_counts_into_the_total_time_only(server: Loopback) -> None:
    """The wait is part of the call's whole time, not of the time until the first byte."""
    server.always(reply())
    llm = asking(
        server,
        rate_limits=SLOW,
        limits=Limits(first_byte=0.25),
    )
    await llm.complete("q")

    response = await llm.complete("q")

    assert response.metadata["waited_ms"] > 250


async def test_a_cancelled_call_leaves_the_line(server: Loopback) -> None:
    """A call that is cancelled while it waits is not sent, and takes nobody's place."""
    server.always(reply())
    llm = asking(server, rate_limits=SLOW)
    await llm.complete("first")
    waiting = [asyncio.ensure_future(llm.complete(f"{number}")) for number in range(2)]
    await asyncio.sleep(0.05)

    waiting[0].cancel()
    response = await waiting[1]

    assert waiting[0].cancelled()
    assert response.metadata["waited_ms"] <= 501
    assert [r.json["messages"][0]["content"] for r in server.requests] == ["first", "1"]


# A hundred a second: what a test takes is nothing beside what it asks.
TOKENS = RateLimits(tokens_per_minute=6_000)


async def test_tokens_are_reserved_and_then_settled_with_the_exact_count(server: Loopback) -> None:
    """While it runs a call holds prompt and longest answer, after it what it took (S1-09)."""
    during = 0.0

    def answer(_: Request) -> Script:
        nonlocal during
        during = owed()
        return reply(usage={"prompt_tokens": 1_500, "completion_tokens": 2_500})

    server.always(answer)
    llm = asking(server, rate_limits=TOKENS, max_tokens=20_000)

    await llm.complete("x" * 40_000)

    assert 28_000 < during <= 30_000
    assert 2_000 < owed() <= 4_000


async def test_a_stream_is_settled_with_the_count_at_its_end(server: Loopback) -> None:
    """The token counts that end a stream are what it took (S1-09)."""
    server.script(streamed("a", usage={"prompt_tokens": 3_000, "completion_tokens": 5_000}))
    llm = asking(server, rate_limits=TOKENS, max_tokens=20_000)

    async for _ in llm.stream("q"):
        pass

    assert 6_000 < owed() <= 8_000


async def test_a_stream_that_is_broken_off_is_settled_with_what_came(server: Loopback) -> None:
    """Leaving a stream gives back what was reserved and had not been written (S1-09)."""
    server.script(events(event("y" * 16_000), HANG))
    llm = asking(server, rate_limits=TOKENS, max_tokens=50_000)
    stream = llm.stream("x" * 8_000)

    async for _ in stream:
        break
    await stream.aclose()

    assert 4_000 < owed() <= 6_000


async def test_a_call_that_failed_keeps_its_prompt_only(server: Loopback) -> None:
    """A request that brought no answer gives back what was reserved for one (S1-09)."""
    server.script(failure(400))
    llm = asking(server, rate_limits=TOKENS, max_tokens=50_000)

    with pytest.raises(LLMError):
        await llm.complete("x" * 8_000)

    assert 0 < owed() <= 2_000


async def test_without_a_longest_answer_a_likely_one_is_reserved(server: Loopback) -> None:
    """Where nobody limits the answer a thousand tokens are reserved, and the rest paid after."""
    during = 0.0

    def answer(_: Request) -> Script:
        nonlocal during
        during = owed()
        return reply(usage={"prompt_tokens": 10, "completion_tokens": 30_000})

    server.always(answer)
    llm = asking(server, rate_limits=TOKENS, max_tokens=None)

    await llm.complete("q")

    assert 0 < during <= 1_010
    assert 28_000 < owed() <= 30_010


async def test_pictures_and_tools_are_reserved_for(server: Loopback) -> None:
    """A picture counts as a thousand tokens, whatever its bytes, and tools by their text."""
    during = 0.0

    def answer(_: Request) -> Script:
        nonlocal during
        during = owed()
        return reply()

    server.always(answer)
    llm = asking(server, rate_limits=TOKENS, max_tokens=1)
    picture = Image(data=bytes(400_000))
    tool = Tool(name="look", description="d" * 8_000)

    await llm.complete(Message("user", "q", images=(picture,)), tools=[tool])

    assert 2_000 < during <= 3_100


@pytest.mark.usefixtures("own_registry")
async def test_settings_are_obeyed(server: Loopback) -> None:
    """What the settings say of requests, tokens and burst are the limits (S1-09)."""
    llmport_magic.configure(requests_per_minute=600, tokens_per_minute=90_000, burst=2)

    llm = await create_llm_handler("local", "m", base_url=server.url)

    assert isinstance(llm, LLMProvider)
    assert llm.config.rate_limits == RateLimits(600, 90_000, 2)
    assert not llm.config.shared_limits
    again = await create_llm_handler("local", "m", base_url=server.url, shared_limits=True)
    assert isinstance(again, LLMProvider)
    assert again.config.shared_limits


@pytest.mark.usefixtures("own_registry")
async def test_a_setting_that_lets_nothing_through_names_its_source(server: Loopback) -> None:
    """A limit of 0 is an error that says where it stands and what would be no limit (S1-09)."""
    with pytest.raises(ConfigError, match=r"`requests_per_minute` must be .* above 0.*argument"):
        await create_llm_handler("local", "m", base_url=server.url, requests_per_minute=0)


@pytest.mark.usefixtures("own_registry")
async def test_a_row_holds_the_limits_of_its_provider(server: Loopback) -> None:
    """`rate_limits` of a row are kept, a setting goes before them, infinity lifts them (S1-09)."""
    PROVIDER_CONFIG["mine"] = {
        "base_url": server.url,
        "key_required": False,
        "default_model": "m",
        "rate_limits": {"requests_per_minute": 600, "tokens_per_minute": 90_000},
    }

    row = LLMProvider.from_name("mine")
    stricter = LLMProvider.from_name("mine", requests_per_minute=30)
    lifted = LLMProvider.from_name(
        "mine", requests_per_minute=float("inf"), tokens_per_minute=float("inf")
    )

    assert isinstance(row, LLMProvider)
    assert row.config.rate_limits == RateLimits(600, 90_000)
    assert isinstance(stricter, LLMProvider)
    assert stricter.config.rate_limits == RateLimits(30, 90_000)
    assert isinstance(lifted, LLMProvider)
    assert lifted.config.rate_limits is None


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize("name", ["local", "ollama"])
def test_servers_of_this_machine_have_no_limit_by_default(name: str) -> None:
    """Nobody limits what runs on one's own machine unless it is asked for."""
    llm = LLMProvider.from_name(name)

    assert isinstance(llm, LLMProvider)
    assert llm.config.rate_limits is None
