"""`create_llm_interface`: a connector out of a registry and an agent's configuration."""

from __future__ import annotations

import asyncio
import json
import warnings
from dataclasses import dataclass, replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from loopback import Loopback, failure, raw, reply
from vendors import VENDORS

from llmport_magic.errors import ConfigError
from llmport_magic.llm import create_llm_interface, retirement
from llmport_magic.llm.capabilities import LLMProfile, ModelFamily
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.registry import LLMRegistry
from llmport_magic.llm.reply import LLMResponse

KEY = "planted-key-0123456789abcdef"

pytestmark = pytest.mark.usefixtures("own_registry")


@dataclass
class AgentConfig:
    """As an agent may have it; what is not about the model is its own."""

    model: str = "m-1"
    provider: str | None = None
    max_tokens: int = 100
    temperature: float = 0.25
    stream: bool = False
    name: str = "scout"


def _registry(server: Loopback, **fields: Any) -> LLMRegistry:
    registry = LLMRegistry.create_default(
        auto_update_capabilities=fields.pop("auto_update_capabilities", False)
    )
    models = {"m-1": {"capabilities": {"max_context_window": 9_000, "max_output_tokens": 50}}}
    row = {"base_url": server.url, "api_key_vars": ("MINE_API_KEY",), "models": models, **fields}
    registry.register_provider("mine", **row)
    registry.initialize_provider("mine", KEY)
    return registry


@pytest.fixture(autouse=True)
def _nobody_is_told_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test see the warnings that a session has once."""
    monkeypatch.setattr(retirement, "_told", set())


# Configurations


@pytest.mark.parametrize(
    "config",
    [
        {"model": "m-1", "max_tokens": 30, "temperature": 0.25, "stream": True, "name": "scout"},
        AgentConfig(max_tokens=30),
        SimpleNamespace(provider="Mine", model="m-1", max_tokens=30, temperature=0.25),
    ],
    ids=["mapping", "dataclass", "object"],
)
async def test_any_configuration_will_do(server: Loopback, config: Any) -> None:
    """A mapping, a dataclass and an object name the model; its provider is found (S1-18, S1-20)."""
    server.script(reply("hi"))

    interface = await create_llm_interface(config=config, llm_registry=_registry(server))
    response = await interface.generate("Your prompt here")

    assert isinstance(response, LLMResponse)
    assert (response.content, interface.provider_name) == ("hi", "mine")
    sent = server.requests[0]
    assert (sent.json["model"], sent.json["max_tokens"]) == ("m-1", 30)
    assert sent.json["temperature"] == 0.25
    assert sent.headers["authorization"] == f"Bearer {KEY}"


async def test_a_provider_alone_means_its_default_model(server: Loopback) -> None:
    """Without a model the provider's own default is asked (S1-18)."""
    server.script(reply())
    registry = _registry(server, default_model="m-1")

    await (await create_llm_interface({"provider": "mine"}, registry)).generate("q")

    assert server.requests[0].json["model"] == "m-1"


async def test_a_provider_must_be_initialised(server: Loopback) -> None:
    """One that is only registered is refused, with the call that is missing (S1-18)."""
    registry = _registry(server)
    registry.deinitialize_provider("mine")

    with pytest.raises(ConfigError, match=r'initialize_provider\("mine", api_key\)` first'):
        await create_llm_interface(AgentConfig(), registry)

    assert server.requests == []


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model": "m-11"}, "unknown model `m-11`: did you mean `m-1`"),
        ({"model": "m-1", "max_token": 5}, "unknown field `max_token`.*did you mean `max_tokens`"),
        ({"provider": "mien", "model": "m-1"}, "unknown provider `mien`: did you mean `mine`"),
        ({"temperature": 1}, "give it a `model` or a `provider`"),
        ({"model": "m-1", "max_tokens": "many"}, "`max_tokens`"),
    ],
)
async def test_a_wrong_configuration_is_helped(
    server: Loopback, config: dict[str, Any], says: str
) -> None:
    """Misspelt names and bad values are told before anything is sent (S1-18)."""
    with pytest.raises(ConfigError, match=says):
        await create_llm_interface(config, _registry(server))


# What it carries


async def test_the_seeds_flow(server: Loopback) -> None:
    """The seed's snippets in their order, `claude-3-opus` included (S1-03, S1-11, S1-19)."""
    vendor = next(vendor for vendor in VENDORS if vendor.dialect == "anthropic_messages")
    server.always(vendor.whole("hello"))
    registry = LLMRegistry.create_default()
    row = registry.provider("anthropic")
    registry.register_provider(replace(row, base_url=server.url), replace=True)

    registry.initialize_provider(provider_name="anthropic", api_key=KEY)
    assert registry.is_provider_initialized("anthropic")
    model = registry.get_model("claude-3-opus")
    agent_config = AgentConfig(model=model.name, max_tokens=100_000)
    with pytest.warns(DeprecationWarning, match="ended on 2026-01-05: use `claude-opus-5-5`"):
        interface = await create_llm_interface(config=agent_config, llm_registry=registry)
    response = await interface.generate("Your prompt here")

    assert (model.family, model.available) == (ModelFamily.CLAUDE, True)
    assert interface.capabilities.max_context_window == 200_000
    assert response.content == "hello"
    assert server.requests[0].json["max_tokens"] == 4096, "cut to what the model can write"


async def test_a_model_of_ones_own_may_end(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of this registry only is warned of once, by its own day, and asked (S1-15)."""
    monkeypatch.setattr(retirement, "_today", lambda: date(2026, 11, 21))
    server.always(reply())
    ends = {"retired_on": "2026-11-22", "replacement": "m-1"}
    registry = _registry(server, models={"m-0": ends, "m-1": {}})

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            await (await create_llm_interface({"model": "m-0"}, registry)).generate("q")
        await (await create_llm_interface({"model": "m-1"}, registry)).generate("q")

    told = [each for each in caught if each.category is DeprecationWarning]
    assert [str(each.message) for each in told] == ["`m-0` of `mine` ends on 2026-11-22: use `m-1`"]
    assert [request.json["model"] for request in server.requests] == ["m-0", "m-0", "m-1"]


async def test_it_carries_what_its_registry_knows(server: Loopback) -> None:
    """Capabilities, headers and limits are those of the registry that is given (S1-19)."""
    server.script(reply())
    registry = _registry(
        server, headers={"x-team": "a"}, rate_limits={"requests_per_minute": 6_000}
    )

    interface = await create_llm_interface(AgentConfig(max_tokens=80), registry)
    again = await create_llm_interface(AgentConfig(max_tokens=80), registry)
    await interface.generate("q")

    assert interface is again
    assert interface.capabilities.max_context_window == 9_000
    assert isinstance(interface, LLMProvider)
    assert interface.config.rate_limits.requests_per_minute == 6_000
    sent = server.requests[0]
    assert sent.json["max_tokens"] == 50, "cut to what the model can write"
    assert sent.headers["x-team"] == "a"
    told = registry.get_api_config("m-1")
    assert told["base_url"] == interface.config.base_url
    assert told["rate_limits"]["requests_per_minute"] == 6_000


async def test_json_that_a_model_refuses_is_asked_for_in_words(server: Loopback) -> None:
    """A 400 for the wish for JSON is not the user's; the next call says it in words (S1-19)."""
    server.script(failure(400, "response_format is not supported", param="response_format"))
    server.always(reply('{"a": 1}'))
    interface = await create_llm_interface(AgentConfig(), _registry(server))

    for _ in range(2):
        assert json.loads((await interface.generate("q", json_mode=True)).content) == {"a": 1}

    bodies = [request.json for request in server.requests]
    assert ["response_format" in body for body in bodies] == [True, False, False]
    assert "JSON" in json.dumps(bodies[2]["messages"])


async def test_json_that_the_vendor_rules_out_is_never_asked_for(server: Loopback) -> None:
    """Where detection says that a model cannot, not even the first call tries (S1-19)."""
    told = {"id": "m-9", "supported_parameters": ["max_tokens"]}
    server.script(raw(json.dumps(told)))
    server.always(reply('{"a": 1}'))
    registry = _registry(server)
    await registry.detect_and_register_model("mine", "m-9")

    interface = await create_llm_interface({"model": "m-9"}, registry)
    await interface.generate("q", json_mode=True)

    assert "response_format" not in server.requests[1].json
    assert "JSON" in json.dumps(server.requests[1].json["messages"])


# Updated by itself


async def test_the_first_use_asks_what_the_model_can_do(server: Loopback) -> None:
    """With `auto_update_capabilities` the vendor is asked once, before the first call (S1-16)."""
    told = {"id": "m-1", "context_window": 77_000, "max_completion_tokens": 70}
    server.script(raw(json.dumps(told)))
    server.always(reply())
    registry = _registry(server, auto_update_capabilities=True)
    assert server.requests == []

    interfaces = await asyncio.gather(
        *(create_llm_interface(AgentConfig(max_tokens=90), registry) for _ in range(5))
    )
    await interfaces[0].generate("q")

    assert len({id(interface) for interface in interfaces}) == 1
    assert interfaces[0].capabilities.max_context_window == 77_000
    assert [request.method for request in server.requests] == ["GET", "POST"]
    assert server.requests[1].json["max_tokens"] == 70


async def test_a_model_of_ones_own_is_found_by_its_registry_only(server: Loopback) -> None:
    """A model of one registry is not known to another (S1-01, S1-11)."""
    registry = _registry(server)
    registry.register_model(LLMProfile(name="only-here", provider="mine"))

    interface = await create_llm_interface({"model": "only-here"}, registry)

    assert interface.model_name_for_api == "only-here"
    with pytest.raises(ConfigError, match="unknown model `only-here`"):
        await create_llm_interface({"model": "only-here"})
