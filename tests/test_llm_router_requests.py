"""What each provider of a router is asked, and what the router is as a connector."""

from __future__ import annotations

import pytest
from loopback import Loopback, failure, reply
from two_providers import both, one, two, unwarned

from llmport_magic.errors import LLMOutputError, UsageError
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.routing.router import LLMProviderFactory

pytestmark = unwarned


async def test_models_and_temperatures_stay_with_their_provider(
    server: Loopback, second: Loopback
) -> None:
    """Each provider is asked for its own model at its own temperature (S3-03)."""
    server.always(failure(500))
    second.always(reply())
    router = LLMProviderFactory(
        connectors=[one(server, temperature=0.3), two(second, temperature=0.2)]
    )
    await router.complete("q")
    await router.complete("q", model="named", temperature=0.9)

    sent = [(each.json["model"], each.json["temperature"]) for each in server.requests]
    assert sent == [("m-one", 0.3), ("named", 0.9)]
    sent = [(each.json["model"], each.json["temperature"]) for each in second.requests]
    assert sent == [("m-two", 0.2), ("m-two", 0.9)]


async def test_messages_that_can_be_read_once_reach_the_next(
    server: Loopback, second: Loopback
) -> None:
    """An iterator of messages is kept for the provider that is asked next (S3-12)."""
    server.always(failure(500))
    second.always(reply())
    await both(server, second).complete(iter(["a", "b"]))

    assert [message["content"] for message in second.requests[0].json["messages"]] == ["a", "b"]


async def test_it_is_asked_as_all_of_them_can_be(server: Loopback) -> None:
    """Capabilities are the first model's; the start of an answer only where all take one."""
    small = LLMCapabilities(prefill=True, completion_style=True, size="small")
    router = LLMProviderFactory(
        connectors=[one(server, capabilities=small), two(server, capabilities=LLMCapabilities())]
    )

    assert router.capabilities == LLMCapabilities(size="small")
    assert router.model_name_for_api == "m-one"
    alone = LLMProviderFactory(connectors=[one(server, capabilities=small)])
    assert alone.capabilities == small
    with pytest.raises(UsageError, match="model=x"):
        router.model_name_for_api = "x"


def test_connectors_are_checked_and_named(server: Loopback) -> None:
    """Two of one name are told apart; what is no connector is refused (S3-02)."""
    router = LLMProviderFactory(connectors=[one(server), one(server, model="other")])

    assert router.primary == "one"
    assert router.fallback_chain == ("one-2",)
    assert repr(router) == "LLMProviderFactory(one -> one-2)"
    with pytest.raises(UsageError, match="not str"):
        LLMProviderFactory(connectors=["openai"])  # type: ignore[list-item]
    with pytest.raises(UsageError):
        LLMProviderFactory(connectors=[])


async def test_json_is_checked_once(server: Loopback, second: Loopback) -> None:
    """A bad answer is asked for once more, not once for each connector around it (S2-16)."""
    server.always(reply("no json"))
    with pytest.raises(LLMOutputError):
        await both(server, second).complete("q", json_mode=True)

    assert len(server.requests) == 2
    assert second.requests == []
    server.always(reply('```json\n{"a": 1}\n```'))
    assert (await both(server, second).complete("q", json_mode=True)).content == '{"a": 1}'
    assert len(server.requests) == 3
