"""`create_llm_handler`: one call gives the connector for any provider."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from asking import KEY
from leaping import Leap
from loopback import HANG, Loopback, Script, raw, reply

import llmport_magic
from llmport_magic.errors import ConfigError
from llmport_magic.llm import LLMProvider, MockConnector, create_llm_handler, selection
from llmport_magic.llm.registry import default_registry
from llmport_magic.llm.selection import close_connectors


@pytest.fixture(autouse=True)
async def _close() -> AsyncIterator[None]:
    """Forget the connectors of a test."""
    yield
    await close_connectors()


async def test_arguments_reach_the_connector(server: Loopback) -> None:
    """Provider, model, key and address are as given, and the name is taken in any case (S2-07)."""
    server.script(reply("hi"))

    handler = await create_llm_handler(
        provider_name="Groq", model_name="vendor/model:free", api_key=KEY, base_url=server.url
    )

    assert await handler.generate_text(prompt="q", model=None) == "hi"
    assert (handler.provider_name, handler.model_name_for_api) == ("groq", "vendor/model:free")
    assert server.requests[0].json["model"] == "vendor/model:free"
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_model_is_another_word_for_the_models_name() -> None:
    """`model` is `model_name`, as it is everywhere else; two that differ are one clear line."""
    handler = await create_llm_handler("groq", model="x", api_key=KEY)
    same = await create_llm_handler("groq", "x", api_key=KEY, model="x")

    assert handler.model_name_for_api == "x"
    assert same is handler
    with pytest.raises(ConfigError, match=r"^`model` and `model_name` .*give one$"):
        await create_llm_handler("groq", "x", api_key=KEY, model="y")


async def test_the_seeds_task_runs(server: Loopback) -> None:
    """The document's own function works as it is written there (S2-07)."""
    server.always(reply("sorted"))

    async def example_task_execution(
        prompt: str, preferred_provider: str | None = None, specific_model: str | None = None
    ) -> str | None:
        handler = await create_llm_handler(
            provider_name=preferred_provider, model_name=specific_model
        )
        api_call_model = specific_model or handler.model_name_for_api
        response = await handler.generate_text(
            prompt=prompt, model=api_call_model, max_tokens=1024, temperature=0.5
        )
        if response and not response.startswith("Error:"):
            return f"Response from {handler.provider_name}/{api_call_model}:\n{response}"
        return None

    llmport_magic.configure(provider="local", base_url=server.url, model="served")
    said = await example_task_execution("Write quicksort.")
    named = await example_task_execution("Write quicksort.", specific_model="deepseek-coder:6.7b")

    assert said == "Response from local/served:\nsorted"
    assert named == "Response from local/deepseek-coder:6.7b:\nsorted"
    assert [r.json["model"] for r in server.requests] == ["served", "deepseek-coder:6.7b"]
    assert server.requests[0].json["max_tokens"] == 1024
    assert server.requests[0].json["temperature"] == 0.5


# Provider, where its path leads, and where its model and key stand in the request.
WIRE = {
    "groq": ("/v1/chat/completions", "authorization", f"Bearer {KEY}"),
    "gemini": ("/v1/models/m:generateContent", "x-goog-api-key", KEY),
    "anthropic": ("/v1/messages", "x-api-key", KEY),
    "ollama": ("/api/chat", None, None),
}
ANSWERS = {
    "gemini": {"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}]},
    "anthropic": {
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "ollama": {
        "model": "m",
        "message": {"role": "assistant", "content": "hi"},
        "done": True,
        "done_reason": "stop",
    },
}


@pytest.mark.parametrize("provider", WIRE)
async def test_each_provider_speaks_its_own_format(server: Loopback, provider: str) -> None:
    """Groq, Gemini, Anthropic and Ollama are asked by their own paths and headers (S2-04)."""
    answer = ANSWERS.get(provider)
    server.script(raw(json.dumps(answer)) if answer else reply("hi"))
    path, header, key = WIRE[provider]

    handler = await create_llm_handler(
        provider, "m", api_key=KEY if key else None, base_url=server.url
    )

    assert await handler.generate_text("q") == "hi"
    assert (handler.provider_name, type(handler)) == (provider, LLMProvider)
    assert server.requests[0].path == path
    if header:
        assert server.requests[0].headers[header] == key
    assert KEY not in server.requests[0].path


async def test_the_mock_answers_only_by_name() -> None:
    """The mock is a provider of its own that the user names (S2-04, S2-08)."""
    handler = await create_llm_handler("mock")

    assert isinstance(handler, MockConnector)
    assert handler.provider_name == "mock"
    assert await handler.generate_text("q")


async def test_a_timeout_hangs_up(server: Loopback, leap: Leap) -> None:
    """The timeout ends a whole call and closes its connection (S2-23)."""
    server.script(Script((b"{", HANG), 200, {"content-type": "application/json"}, chunked=True))
    handler = await create_llm_handler("local", "m", base_url=server.url, timeout=50)
    asked = asyncio.ensure_future(handler.generate_text("q"))
    await asyncio.to_thread(server.wait_for_requests, 1)
    leap(51)

    with pytest.raises(httpx.TimeoutException, match=r"50 s.*total_timeout"):
        await asked
    assert server.requests[0].closed.wait(60)


async def test_a_cancelled_call_hangs_up(server: Loopback) -> None:
    """Cancelling a call to a slow server closes its connection (S2-23)."""
    server.script(Script(silent=True))
    handler = await create_llm_handler(
        "local", "m", base_url=server.url, first_byte_timeout=600.0, idle_timeout=600.0
    )

    task = asyncio.ensure_future(handler.generate_text("q"))
    await asyncio.to_thread(server.wait_for_requests, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert server.requests[0].closed.wait(60)


async def test_looking_for_a_server_does_not_hold_up_the_loop(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While `auto` waits for a local server to answer, other tasks go on."""
    monkeypatch.setattr(selection, "_PROBE_SECONDS", 60.0)
    seen = threading.Event()
    json_type = {"content-type": "application/json"}
    server.script(Script((seen, b"{}"), 200, json_type, length=2))
    registry = default_registry()
    row = registry.provider("local")
    registry.register_provider(replace(row, base_url=server.url), replace=True)

    async def elsewhere() -> None:
        while not server.requests:  # noqa: ASYNC110 - it comes in another thread
            await asyncio.sleep(0.001)
        seen.set()

    try:
        handler, _ = await asyncio.gather(create_llm_handler(), elsewhere())
    finally:
        registry.register_provider(row, replace=True)

    assert handler.provider_name == "local"


async def test_rate_limit_profiles_have_names(server: Loopback) -> None:
    """A known profile is taken, an unknown one refused with those that there are (S2-23)."""
    handler = await create_llm_handler("mock", rate_limit_profile="default")

    assert handler.provider_name == "mock"
    with pytest.raises(ConfigError, match=r"profile `high_volume`: there is default"):
        await create_llm_handler("mock", rate_limit_profile="high_volume")


async def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    """An unknown provider, a missing key and a misspelt setting are one clear line each."""
    with pytest.raises(ConfigError, match="did you mean `groq`"):
        await create_llm_handler("grok")
    with pytest.raises(ConfigError, match="GROQ_API_KEY"):
        await create_llm_handler("groq")
    with pytest.raises(ConfigError, match="did you mean `temperature`"):
        await create_llm_handler("mock", temprature=0)
    with pytest.raises(ConfigError, match="not for whom"):
        await create_llm_handler(api_key=KEY)


def test_it_is_async_and_runs_from_synchronous_code() -> None:
    """It is awaited in a cell, and `llmport_magic.run` does the same elsewhere (S2-13)."""
    assert inspect.iscoroutinefunction(create_llm_handler)
    assert llmport_magic.run(create_llm_handler("mock")).provider_name == "mock"
