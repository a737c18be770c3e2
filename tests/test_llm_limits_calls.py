"""Limits as calls meet them: what is counted, who shares them, and what is said."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from asking import KEY, PATIENT, asking
from leaping import Leap
from loopback import Loopback, failure, reply, streamed

import llmport_magic
from llmport_magic.errors import ConfigError, LLMLimitError
from llmport_magic.llm import (
    LLMConfig,
    LLMProvider,
    admission,
    create_llm_handler,
)
from llmport_magic.llm.limits import Charge, Limiter, OwnBuckets, Pair, RateLimits
from llmport_magic.llm.registry import PROVIDER_CONFIG
from llmport_magic.llm.transport import Transport
from llmport_magic.secrets import Secret

# 20 ms from one request to the next.
PACED = RateLimits(3_000, burst=1)
STEP = 0.02
# A minute: far more than a call takes, also on a busy machine.
SLOW = RateLimits(1, burst=1)
MINUTE = 60_000


@pytest.fixture(autouse=True)
def _forget_accounts() -> Iterator[None]:
    """Let each test find its accounts unused."""
    admission._limiters.clear()
    yield
    admission._limiters.clear()


@pytest.fixture
def hurried(leap: Leap, monkeypatch: pytest.MonkeyPatch) -> Leap:
    """Let the time for which a request must wait pass at once, by the clock that limits go by."""
    whole = OwnBuckets.attempt

    async def attempt(self: OwnBuckets, wanted: Charge) -> Pair:
        waits = await whole(self, wanted)
        if any(waits):
            # A moment later, when the request stands in the line.
            due = self.now() + max(waits)
            asyncio.get_running_loop().call_later(0.01, leap.until, due)
        return waits

    monkeypatch.setattr(OwnBuckets, "attempt", attempt)
    return leap


def about(waited: float, minutes: int = 1) -> bool:
    """Tell whether a wait was that long, save for what a busy machine takes."""
    return (minutes - 0.5) * MINUTE < waited < (minutes + 0.5) * MINUTE


def at_once(waited: float) -> bool:
    """Tell whether there was no wait, save for what a busy machine takes."""
    return 0 <= waited < 0.5 * MINUTE


async def test_calls_are_spaced(server: Loopback, hurried: Leap) -> None:
    """The fourth call is sent three intervals after the first, and tells its wait (S1-09)."""
    server.always(reply())
    llm = asking(server, rate_limits=SLOW)

    begun = hurried.now()
    waited = [(await llm.complete("q")).metadata["waited_ms"] for _ in range(4)]

    assert hurried.now() - begun >= 3 * 60
    assert at_once(waited[0])
    assert all(map(about, waited[1:]))


async def test_without_a_limit_nothing_waits_or_is_noted(server: Loopback) -> None:
    """A connector without limits has no line, and its answers say nothing of one."""
    server.always(reply())

    response = await asking(server).complete("q")

    assert "waited_ms" not in response.metadata
    assert admission._limiters == {}


@pytest.mark.usefixtures("hurried")
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

    assert at_once(waited[0])
    assert about(waited[1])


@pytest.mark.usefixtures("hurried")
async def test_each_retry_is_counted(server: Loopback) -> None:
    """A request that is sent three times takes three places (S1-09)."""
    server.script(failure(503), failure(503), reply())
    llm = asking(server, rate_limits=SLOW)

    response = await llm.complete("q")

    assert response.metadata["sends"] == 3
    assert about(response.metadata["waited_ms"], 2)


@pytest.mark.usefixtures("hurried")
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
        assert about((await second.complete("q")).metadata["waited_ms"])
        for llm in (other_key, other_server, other_name):
            assert at_once((await llm.complete("q")).metadata["waited_ms"])

    assert len(admission._limiters) == 4
    assert not any(KEY in name for name, _ in admission._limiters)


async def test_the_same_key_read_twice_is_the_same_account() -> None:
    """An account is known by the key's text, whichever object holds it, and does not show it."""
    assert Secret(KEY).fingerprint() == Secret(KEY).fingerprint() != Secret(KEY + "x").fingerprint()
    assert KEY not in Secret(KEY).fingerprint()


async def test_twenty_tasks_are_sent_in_order() -> None:
    """Parallel calls are sent in the order in which they were made (S1-09)."""
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content)["messages"][0]["content"])
        return httpx.Response(200, content=reply().steps[0])

    url = "http://localhost:1/v1"
    config = LLMConfig(url, "m", rate_limits=PACED, timeout_ms=600_000)
    llm = LLMProvider(config, transport=Transport(httpx.MockTransport(answer)))

    await asyncio.gather(*(llm.complete(f"{number}") for number in range(20)))

    assert sent == [str(number) for number in range(20)]


@pytest.fixture
def granted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note when requests are let go, as the limit itself reads the clock."""
    looks: list[float] = []
    found: list[float] = []
    attempt, clock = OwnBuckets.attempt, OwnBuckets.now

    def now(self: OwnBuckets) -> float:
        looks.append(clock(self))
        return looks[-1]

    async def noted(self: OwnBuckets, wanted: Charge) -> Pair:
        waits = await attempt(self, wanted)
        if not any(waits):
            found.append(looks[-1])
        return waits

    monkeypatch.setattr(OwnBuckets, "now", now)
    monkeypatch.setattr(OwnBuckets, "attempt", noted)
    return found


def test_threads_with_loops_of_their_own_share_the_limit(
    server: Loopback, granted: list[float]
) -> None:
    """Eight threads, each with its own loop, never get more than the limit together (S1-09)."""
    server.always(reply())

    def work() -> None:
        async def calls() -> None:
            llm = asking(server, rate_limits=PACED)
            for _ in range(3):
                await llm.complete("q")

        asyncio.run(calls())

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
    # Ten minutes may be waited, which no test has.
    llm = asking(server, provider="mine", rate_limits=RateLimits(0.05, burst=1))
    await llm.complete("q")

    with pytest.raises(LLMLimitError) as caught:
        await llm.complete("q")

    said = str(caught.value)
    assert "`mine`: the limit of 0.05 requests a minute (`requests_per_minute`)" in said
    assert re.search(r"wait 1(200|1\d\d)\.\d s", said)
    assert "600 s that it may take (`total_timeout`)" in said
    assert "\n" not in said
    assert (caught.value.provider, caught.value.retryable) == ("mine", False)
    assert len(server.requests) == 1


@pytest.mark.usefixtures("hurried")
async def test_waiting_counts_into_the_total_time_only(server: Loopback) -> None:
    """The wait is part of the call's whole time, not of the time until the first byte."""
    server.always(reply())
    llm = asking(server, rate_limits=SLOW, limits=replace(PATIENT, first_byte=29.0))
    await llm.complete("q")

    response = await llm.complete("q")

    assert about(response.metadata["waited_ms"])


async def test_a_cancelled_call_leaves_the_line(server: Loopback, leap: Leap) -> None:
    """A call that is cancelled while it waits is not sent, and takes nobody's place."""
    server.always(reply())
    llm = asking(server, rate_limits=SLOW)
    await llm.complete("first")
    (limiter,) = admission._limiters.values()
    waiting = []
    for number in range(2):
        waiting.append(asyncio.ensure_future(llm.complete(f"{number}")))
        await in_line(limiter, number + 1)

    waiting[0].cancel()
    await in_line(limiter, 1)
    leap(60)
    response = await waiting[1]

    assert waiting[0].cancelled()
    assert about(response.metadata["waited_ms"])
    assert [r.json["messages"][0]["content"] for r in server.requests] == ["first", "1"]


async def in_line(limiter: Limiter, count: int) -> None:
    """Wait until so many requests stand in the line."""
    while len(limiter._line) != count:  # noqa: ASYNC110 - they do so in another thread
        await asyncio.sleep(0.001)


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
