"""The connector over HTTP, against a real server on this machine."""

from __future__ import annotations

import asyncio
import inspect
import threading
from dataclasses import replace
from typing import Any

import httpx
import pytest
from asking import KEY, asking, pieces_of
from loopback import USAGE, Loopback, Script, raw, reply
from loopback import streamed as stream_of

from llmport_magic import bridge
from llmport_magic.errors import (
    ConfigError,
    UsageError,
)
from llmport_magic.llm import transport
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.transport import (
    LLMTimeoutError,
)

# Plain calls


async def test_a_plain_call(server: Loopback) -> None:
    """A call gives text, reason, exact usage, and says who answered (S4-05, S4-09, S4-10)."""
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    server.script(reply("hi", usage={**usage, "prompt_tokens_details": {"cached_tokens": 4}}))
    llm = asking(server, api_key=KEY)

    response = await llm.call(messages=[{"role": "user", "content": "q"}])

    assert (response.content, response.finish_reason) == ("hi", "stop")
    assert response.usage == {**usage, "cached_tokens": 4}
    assert (response.model, response.provider) == ("m-1", "custom")
    assert response.metadata["usage_estimated"] is False
    assert response.metadata["raw_finish_reason"] == "stop"
    assert isinstance(response.metadata["latency_ms"], int)
    assert response.raw["id"] == "c1"
    request = server.requests[0]
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["accept-encoding"] == "identity"
    assert request.json == {
        "model": "m",
        "messages": [{"role": "user", "content": "q"}],
        "temperature": 0.7,
        "max_tokens": 4096,
    }


async def test_every_way_to_ask_is_the_same_call(server: Loopback) -> None:
    """call, generate, generate_text and complete send the same request (S1-20, S2-01)."""
    server.always(reply("hi"))
    llm = asking(server)

    assert (await llm.complete("q")).content == "hi"
    assert (await llm.call("q")).content == "hi"
    assert (await llm.generate("q")).content == "hi"
    assert await llm.generate_text("q", max_tokens=4096, temperature=0.7) == "hi"
    assert await asyncio.to_thread(llm.call_llm, "q") == "hi"
    assert len({request.body for request in server.requests}) == 1
    assert list(inspect.signature(llm.generate_text).parameters)[:2] == ["prompt", "model"]


async def test_no_key_means_no_header(server: Loopback) -> None:
    """A local server without a key gets no Authorization header (S4-13)."""
    server.script(reply())

    await asking(server).call("q")

    assert "authorization" not in server.requests[0].headers


async def test_a_key_is_looked_up_when_it_is_used(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is set after the connector was made is found, an empty one is none (S4-04)."""
    server.always(reply())
    llm = asking(server, api_key_vars=("FIRST_API_KEY", "SECOND_API_KEY"), key_required=True)
    monkeypatch.setenv("FIRST_API_KEY", "  ")

    with pytest.raises(ConfigError, match="FIRST_API_KEY"):
        await llm.call("q")
    monkeypatch.setenv("SECOND_API_KEY", KEY)
    await llm.call("q")

    assert [r.headers["authorization"] for r in server.requests] == [f"Bearer {KEY}"]


async def test_options_of_a_call_win_and_none_leaves_out(server: Loopback) -> None:
    """What a call says wins over the configuration, and None sends nothing (S2-01, S2-22)."""
    server.script(reply())
    extra = {"top_k": 3}

    await asking(server, extra={"a": 1}).call(
        "q", model="other", temperature=None, max_tokens=None, stop="x", seed=1, extra=extra
    )

    assert server.requests[0].json == {
        "model": "other",
        "messages": [{"role": "user", "content": "q"}],
        "stop": ["x"],
        "seed": 1,
        "a": 1,
        "top_k": 3,
    }
    assert extra == {"top_k": 3}


async def test_an_unknown_option_is_helped(server: Loopback) -> None:
    """A misspelt option is refused before anything is sent (S2-22)."""
    with pytest.raises(UsageError, match="did you mean `temperature`"):
        await asking(server).call("q", temprature=1)
    with pytest.raises(UsageError, match="start of the answer"):
        await asking(server).call("q", prefill="```python")

    assert server.requests == []


async def test_the_answer_is_never_longer_than_the_model_can(server: Loopback) -> None:
    """max_tokens is clipped to what the model can write (S1-19)."""
    server.script(reply())

    await asking(server, capabilities=LLMCapabilities(max_output_tokens=100)).call("q")

    assert server.requests[0].json["max_tokens"] == 100


@pytest.mark.parametrize("told", [None, dict.fromkeys(USAGE, 0)], ids=["nothing", "zeros"])
async def test_missing_usage_is_estimated_and_says_so(server: Loopback, told: Any) -> None:
    """Counts that the provider does not give, or gives as 0, are estimates, and marked (S4-09)."""
    server.script(reply("x" * 40, usage=told), stream_of("x" * 40, usage=told))
    llm = asking(server)

    plain = await llm.call("y" * 20)
    stream = llm.stream("y" * 20)
    async for _ in stream:
        pass

    for response in (plain, stream.response):
        assert response.metadata["usage_estimated"] is True
        assert response.usage == {
            "prompt_tokens": 5,
            "completion_tokens": 10,
            "total_tokens": 15,
        }


async def test_totals_add_up_in_parallel(server: Loopback) -> None:
    """The tokens of parallel and streamed calls are all counted (S4-26, S4-27, S4-33)."""
    server.always(lambda r: stream_of("a") if r.json.get("stream") else reply())
    llm = asking(server)

    await asyncio.gather(*(llm.call("q") for _ in range(20)), *(pieces_of(llm) for _ in range(20)))

    assert llm.usage_total == {
        "prompt_tokens": 280,
        "completion_tokens": 120,
        "total_tokens": 400,
    }


# One client, any loop


def test_calls_share_a_connection_over_loops_and_threads(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two asyncio.run in a row, a thread and sync calls use one connection (S4-31, S4-06)."""
    # The last bytes of an answer may be late on a busy machine.
    monkeypatch.setattr(transport, "_DRAIN_SECONDS", 60.0)
    server.always(lambda r: stream_of("a", "b") if r.json.get("stream") else reply("hi"))
    first, second = asking(server), asking(server)

    assert first.call_llm("q") == "hi"
    assert asyncio.run(first.call("q")).content == "hi"
    assert asyncio.run(pieces_of(second)) == ["a", "b"]
    thread = threading.Thread(target=lambda: asyncio.run(second.call("q")))
    thread.start()
    thread.join()
    assert bridge.run(pieces_of(first)) == ["a", "b"]

    assert len(server.requests) == 5
    assert server.accepts == 1


async def test_the_sync_face_does_not_hang_on_the_bridge(server: Loopback) -> None:
    """A sync call where waiting would never end raises instead (S4-06)."""

    async def inside() -> str:
        return asking(server).call_llm("q")

    with pytest.raises(RuntimeError, match="await"):
        await bridge.in_bridge(inside())


async def test_cookies_of_one_provider_are_not_kept(server: Loopback) -> None:
    """A shared client does not carry one provider's cookies to another (S2-15)."""
    server.script(raw(reply().steps[0], headers={"set-cookie": "id=1; Path=/"}), reply())

    await asking(server).call("q")
    await asking(server).call("q")

    assert "cookie" not in server.requests[1].headers


async def test_a_local_server_is_asked_what_it_serves(server: Loopback) -> None:
    """Without a model's name the first one that the server lists is asked, once (S4-03)."""
    server.script(raw('{"data": [{"id": "qwen"}, {"id": "other"}]}'), reply(), reply())
    llm = asking(server, model="")

    await llm.call("q")
    await llm.call("q")

    assert [r.path for r in server.requests] == ["/v1/models"] + ["/v1/chat/completions"] * 2
    assert server.requests[2].json["model"] == llm.model_name_for_api == "qwen"


def test_the_configuration_is_safe_to_show() -> None:
    """A key given as text is a secret from then on, in every representation (S1-07)."""
    config = LLMConfig("https://host.example/v1", "m", api_key=KEY)

    assert KEY not in f"{config!r} {config} {replace(config)!r} {LLMProvider(None, config)!r}"
    assert config.timeout_ms == 30_000
    assert (config.temperature, config.max_tokens) == (0.7, 4096)
    with pytest.raises(UsageError, match="LLMConfig"):
        LLMProvider("https://host.example")


def test_timeouts_are_httpx_timeouts(server: Loopback) -> None:
    """A server that never answers ends with the seeds' own exception (S4-19)."""
    server.script(Script(silent=True))
    llm = asking(server, timeout_ms=200)

    with pytest.raises(httpx.TimeoutException) as caught:
        llm.call_llm("q")

    assert isinstance(caught.value, LLMTimeoutError)
