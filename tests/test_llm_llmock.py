"""Our client before a judge: llmock breaks its answers as the vendors do, and grades us."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from asking import PATIENT, no_wait
from awaiting import PATIENCE
from llmock import pytest_plugin, testing
from llmock.pytest_plugin import LLMock
from llmock.testing import BASE_PATHS, LLMockServer
from test_llm_contract import WEATHER

from llmport_magic.errors import LLMError, LLMStreamError
from llmport_magic.llm.messages import Message
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.transport import LLMStatusError, LLMTimeoutError

# The vendors' own libraries add these themselves.
VERSIONS = {"anthropic": "/v1", "gemini": "/v1beta"}
DIALECTS = {
    "openai": "openai_chat",
    "groq": "openai_chat",
    "anthropic": "anthropic_messages",
    "gemini": "gemini_content",
}


@pytest.fixture(scope="module")
def running() -> Iterator[LLMockServer]:
    """Run the server once, however late it begins and tells of what it was asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testing, "_STARTUP_TIMEOUT", PATIENCE)
        patch.setattr(pytest_plugin, "_WAIT_SECONDS", PATIENCE)
        with LLMockServer() as server:
            yield server


@pytest.fixture
def judge(running: LLMockServer) -> LLMock:
    """Give the server a clean slate."""
    return LLMock(running).reset()


@pytest.fixture(params=DIALECTS)
def provider(request: pytest.FixtureRequest) -> str:
    """Take each provider in turn."""
    return str(request.param)


def asking(judge: LLMock, provider: str, **fields: Any) -> LLMProvider:
    """Make a connector for one of the server's providers; it waits as long as it is asked to."""
    given: dict[str, Any] = {
        "base_url": judge.url + BASE_PATHS[provider] + VERSIONS.get(provider, ""),
        "model": "m",
        "dialect": DIALECTS[provider],
        "provider": provider,
        "api_key": "llmock-key-0123456789",
        "timeout_ms": 600_000,
        "limits": PATIENT,
    }
    return LLMProvider(LLMConfig(**{**given, **fields}))


async def read(llm: LLMProvider, **options: Any) -> str:
    """Read a stream to its end."""
    return "".join([text async for text in llm.stream("Tell me a story.", **options)])


async def test_whole_and_streamed_are_the_same(judge: LLMock, provider: str) -> None:
    """The same request gives the same text, plain and streamed (S3-01)."""
    llm = asking(judge, provider)
    whole = await llm.call("Tell me a story.")
    assert whole.content
    assert whole.metadata["usage_estimated"] is False
    assert await read(llm) == whole.content
    judge.assert_resilient(strict=True)


async def test_a_limit_is_waited_for(judge: LLMock, provider: str) -> None:
    """Two limits with a Retry-After are waited out, not a moment too early (S3-07)."""
    judge.rate_limit(times=2, retry_after=0.2)
    assert (await asking(judge, provider).call("Hello")).content
    judge.assert_resilient(strict=True)


@pytest.mark.parametrize("status", [500, 503, 529])
async def test_a_failure_is_outlived(judge: LLMock, provider: str, status: int) -> None:
    """One failing answer is followed by a good one."""
    judge.fail(status, times=1)
    assert (await asking(judge, provider).call("Hello")).content
    judge.assert_resilient(strict=True)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_refusal_is_not_repeated(judge: LLMock, provider: str, status: int) -> None:
    """What cannot succeed is sent once (S3-07)."""
    judge.fail(status, times=None, message="that is wrong")
    with pytest.raises(LLMStatusError, match="that is wrong"):
        await asking(judge, provider, retry=RetryPolicy(sleep=no_wait)).call("Hello")
    assert len(judge.requests) == 1
    judge.assert_resilient(strict=True)


@pytest.mark.parametrize("fault", ["disconnect", "truncate"])
async def test_half_a_stream_is_no_answer(judge: LLMock, provider: str, fault: str) -> None:
    """A stream that ends early is an error with the text so far, never an answer (N37)."""
    # Before its text the server sends events of other kinds, or none.
    getattr(judge, fault)(after_chunks={"anthropic": 4, "gemini": 1}.get(provider, 3))
    with pytest.raises(LLMStreamError) as caught:
        await read(asking(judge, provider))
    assert caught.value.partial


async def test_a_stalled_stream_ends(judge: LLMock, provider: str) -> None:
    """A stream that stops sending ends at the idle deadline (N29)."""
    judge.stall(after_chunks=2, seconds=60)
    with pytest.raises(LLMTimeoutError, match="idle_timeout"):
        await read(asking(judge, provider, limits=replace(PATIENT, idle=0.2)))


async def test_a_broken_event_is_counted(judge: LLMock, provider: str) -> None:
    """One event that is no JSON is skipped, and the response says so (N35)."""
    judge.corrupt(after_chunks=2)
    stream = asking(judge, provider).stream("Tell me a story.")
    try:
        async for _ in stream:
            pass
    except LLMError:
        return
    assert stream.response.metadata["skipped_events"] >= 1


async def test_a_tool_is_called_and_answered(judge: LLMock, provider: str) -> None:
    """A scripted call arrives, plain and streamed, and its result is taken (S4-14)."""
    tools = [{**WEATHER, "name": "get_weather"}]
    llm = asking(judge, provider)
    judge.call_tool("get_weather", {"city": "Köln"}, times=2)
    whole = await llm.call("weather", tools=tools)
    stream = llm.stream("weather", tools=tools)
    async for _ in stream:
        pass
    for response in (whole, stream.response):
        (call,) = response.tool_calls
        assert (call.name, dict(call.arguments)) == ("get_weather", {"city": "Köln"})
    result = Message.tool_result(whole.tool_calls[0], {"sky": "rain"})
    judge.tool_mode("off")
    assert (await llm.call(["weather", whole.message, result], tools=tools)).content


async def test_broken_arguments_stay_in_their_call(judge: LLMock, provider: str) -> None:
    """Arguments that are no JSON are an error of the call, not a crash (S4-14)."""
    tools = [{**WEATHER, "name": "get_weather"}]
    judge.break_tool_call("malformed_arguments")
    response = await asking(judge, provider).call("weather", tools=tools)
    (call,) = response.tool_calls
    if call.error is None:
        # Formats that send arguments as an object cannot break them.
        assert provider in ("anthropic", "gemini")
