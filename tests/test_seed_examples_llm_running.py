"""The document's examples of what goes wrong, what it costs, and many calls, run as written.

Only the imports are ours, and the addresses lead to a server on this machine.
"""

# ruff: noqa: T201 - the document prints

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from asking import KEY
from leaping import Leap, slowly
from loopback import Loopback, Script, failure, refused_url, reply
from seed_llm import Agent, asks_for_a_search, presets_at, search

from llmport_magic.llm import (
    CognitiveAgent,
    CognitiveConfig,
    LLMConfig,
    LLMProvider,
    LLMResponse,
    estimate_cost,
)
from llmport_magic.llm.registry import default_registry


@pytest.fixture
def presets(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the presets of the document lead to the server."""
    with presets_at(server, monkeypatch):
        yield


@pytest.fixture
def llm(server: Loopback) -> LLMProvider:
    """Give the connector that the examples call `llm`."""
    config = LLMConfig(base_url=server.url, model="m", timeout_ms=600_000)
    return LLMProvider(None, config)


# Error handling


@pytest.mark.parametrize("status", [429, 401])
async def test_api_errors(
    server: Loopback, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    """The document's `except` catches a status, and its body can be read (S4-18)."""
    server.always(failure(status, "in the provider's words", headers={"retry-after": "0"}))
    llm = LLMProvider(None, LLMConfig(base_url=server.url, model="m", api_key=KEY))
    slept, caught = False, None

    try:
        await llm.call(messages=[{"role": "user", "content": "q"}])
    except httpx.HTTPStatusError as e:
        caught = e
        if e.response.status_code == 429:
            # Rate limit - backoff and retry
            await asyncio.sleep(0.005)
            slept = True
        elif e.response.status_code == 401:
            # Invalid API key
            print("Check your API key")

    assert caught is not None
    assert caught.response.json()["error"]["message"] == "in the provider's words"
    assert "in the provider's words" in caught.response.text
    assert KEY not in f"{caught!r} {caught.request.headers} {caught.response.headers}"
    assert slept is (status == 429)
    assert capsys.readouterr().out == ("Check your API key\n" if status == 401 else "")
    assert len(server.requests) == (3 if status == 429 else 1)


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "dripping"])
async def test_timeouts(
    server: Loopback, leap: Leap, capsys: pytest.CaptureFixture[str], silent: bool
) -> None:
    """timeout_ms is for the whole call: bytes that keep dripping do not prolong it (S4-19)."""
    drip = [step for _ in range(100_000) for step in (b" ", 0.001)]
    json_type = {"content-type": "application/json"}
    server.always(Script(drip, 200, json_type, chunked=True, silent=silent))
    ctx = None

    config = LLMConfig(
        base_url=server.url,
        model="m",
        timeout_ms=50_000,
    )

    llm = LLMProvider(ctx, config)

    async def pass_the_time() -> None:
        await asyncio.to_thread(server.wait_for_requests, 1)
        await slowly(leap, 51)

    passing = asyncio.ensure_future(pass_the_time())
    try:
        await llm.call(messages=[{"role": "user", "content": "q"}])
    except httpx.TimeoutException:
        print("LLM call timed out")

    await passing
    assert capsys.readouterr().out == "LLM call timed out\n"
    assert server.requests[0].closed.wait(60)


@pytest.mark.usefixtures("presets")
async def test_network_errors_and_a_fallback(
    server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody answers, user code goes on with another provider (S4-20, S4-21)."""
    server.script(reply("from here"))
    ctx = None
    llm: Any = LLMProvider(ctx, LLMConfig(base_url=refused_url(), model="m"))

    try:
        response = await llm.call(messages=[{"role": "user", "content": "q"}])
    except httpx.ConnectError:
        print("Failed to connect to LLM API")
        # Fallback to different provider
        llm = LLMProvider.from_name(ctx, "local")
        response = await llm.call(messages=[{"role": "user", "content": "q"}])

    assert capsys.readouterr().out == "Failed to connect to LLM API\n"
    assert (response.content, response.provider) == ("from here", "local")


# The agent


@pytest.mark.usefixtures("presets")
async def test_the_cognitive_agent(server: Loopback) -> None:
    """The document's agent runs; with an approved tool it uses it (S4-23, S4-36)."""
    server.script(reply("Three."), asks_for_a_search(), reply("Two."))
    agent = Agent()

    cognitive = CognitiveAgent(
        ctx=agent.ctx,
        llm=LLMProvider.from_name(agent.ctx, "deepseek"),
        config=CognitiveConfig(
            system_prompt="You are a research assistant...",
            max_iterations=5,
        ),
    )

    result = await cognitive.run("Research AI frameworks")

    assert (result.answer, result.stop) == ("Three.", "done")
    assert "tools" not in server.requests[0].json
    agent.ctx.add(search, name="web:search")
    cognitive = CognitiveAgent(agent.ctx, cognitive.llm, CognitiveConfig(approved={"web:search"}))
    assert (await cognitive.run("Research AI frameworks")).answer == "Two."
    assert server.requests[2].json["messages"][-1] == {
        "role": "tool",
        "content": "found: AI frameworks",
        "tool_call_id": "call_7",
    }


class MockLLM:
    """The document's own mock, letter by letter."""

    async def call(self, messages, **kwargs):  # noqa: D102
        return LLMResponse(
            content="Mock response",
            finish_reason="stop",
            usage={"prompt_tokens": 10, "completion_tokens": 5},
        )


async def test_the_mock_for_tests() -> None:
    """The agent works with any object that has an async `call` (S4-23, S4-29)."""
    agent = Agent()

    # Use in tests
    cognitive = CognitiveAgent(ctx=agent.ctx, llm=MockLLM())

    result = await cognitive.run("Anything")
    assert (result.answer, result.usage["total_tokens"]) == ("Mock response", 15)


# Cost tracking


async def test_cost_tracking(
    server: Loopback, llm: LLMProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tokens add up; a price that is not known is None and not a number (S4-09, S4-28)."""
    server.script(reply())
    total_prompt_tokens = 0
    total_completion_tokens = 0

    response = await llm.call(messages=[{"role": "user", "content": "q"}])
    total_prompt_tokens += response.usage["prompt_tokens"]
    total_completion_tokens += response.usage["completion_tokens"]

    print(f"Total tokens: {total_prompt_tokens + total_completion_tokens}")
    print(f"Estimated cost: ${estimate_cost(total_prompt_tokens, total_completion_tokens)}")

    assert capsys.readouterr().out == "Total tokens: 10\nEstimated cost: $None\n"
    profile = default_registry().find_model("gpt-4o-mini")
    assert profile is not None
    prices = profile.capabilities
    assert estimate_cost(2000, 500, "gpt-4o-mini") == pytest.approx(
        2 * prices.input_cost_per_1k_tokens + 0.5 * prices.output_cost_per_1k_tokens
    )


# Performance tips


async def test_connection_pooling(server: Loopback) -> None:
    """A hundred calls in a row use one connection (S4-31)."""
    server.always(reply())
    ctx = None
    config = LLMConfig(base_url=server.url, model="m")

    llm = LLMProvider(ctx, config)
    # Multiple calls reuse connection
    for _ in range(100):
        await llm.call(messages=[{"role": "user", "content": "q"}])  # Fast!

    assert (len(server.requests), server.accepts) == (100, 1)


async def test_parallel_calls() -> None:
    """Several connectors answer side by side, each with its own server and key (S4-02, S4-33)."""
    with Loopback() as one, Loopback() as two, Loopback() as three:
        servers = (one, two, three)
        for number, server in enumerate(servers):
            server.always(reply(f"answer {number}"))
        llm1, llm2, llm3 = (
            LLMProvider(None, LLMConfig(server.url, f"m{number}", api_key=f"{KEY}-{number}"))
            for number, server in enumerate(servers)
        )
        messages = [{"role": "user", "content": "q"}]

        # Call multiple LLMs in parallel
        tasks = [
            llm1.call(messages=messages),
            llm2.call(messages=messages),
            llm3.call(messages=messages),
        ]
        responses = await asyncio.gather(*tasks)

        assert [r.content for r in responses] == ["answer 0", "answer 1", "answer 2"]
        for number, server in enumerate(servers):
            (request,) = server.requests
            assert request.json["model"] == f"m{number}"
            assert request.headers["authorization"] == f"Bearer {KEY}-{number}"


async def test_parallel_totals(server: Loopback, llm: LLMProvider) -> None:
    """The totals of a hundred calls at once are exact (S4-26, S4-27)."""
    server.always(reply())

    responses = await asyncio.gather(*(llm.call("q") for _ in range(100)))

    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert llm.usage_total[name] == sum(r.usage[name] for r in responses)
    assert llm.usage_total["total_tokens"] == 1000
