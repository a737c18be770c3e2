"""The tokens of a limit: what a call reserves of them, and what it gives back or pays after."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asking import asking
from loopback import HANG, Loopback, Request, Script, event, events, failure, reply, streamed

from llmport_magic import bridge
from llmport_magic.errors import LLMError
from llmport_magic.llm import Image, Message, Tool, admission
from llmport_magic.llm.limits import RateLimits

# Ten a second: what a test takes is nothing beside what it asks.
TOKENS = RateLimits(tokens_per_minute=600)


@pytest.fixture(autouse=True)
def _forget_accounts() -> Iterator[None]:
    """Let each test find its accounts unused."""
    admission._limiters.clear()
    yield
    admission._limiters.clear()


def owed() -> float:
    """Give how many tokens the one account has taken and not earned yet."""
    (limiter,) = admission._limiters.values()
    return (limiter._buckets.known[1] - bridge.loop().time()) * 10


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
