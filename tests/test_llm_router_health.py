"""The router and health: who is passed over, until when, and how all of them are."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from asking import KEY
from awaiting import PATIENCE, soon
from loopback import HANG, Loopback, Script, failure, raw, refused_url, reply
from two_providers import asked, both, one, two, unwarned

from llmport_magic.errors import ConfigError, LLMFailoverError, LLMStatusError
from llmport_magic.llm.capabilities import ProviderType
from llmport_magic.llm.mock import MockConnector
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.routing.health import HealthBook
from llmport_magic.llm.routing.router import LLMProviderFactory

pytestmark = unwarned


# Health


async def test_one_that_is_down_is_passed_over(server: Loopback, second: Loopback) -> None:
    """After three failures in a row it rests for five minutes, then gets one call (S3-09)."""
    now = [0.0]
    server.always(failure(500))
    second.always(reply())
    router = both(server, second, health=HealthBook(lambda: now[0]))
    for _ in range(5):
        await router.complete("q")
    assert len(server.requests) == 3

    now[0] = 299
    await router.complete("q")
    assert len(server.requests) == 3
    now[0] = 300
    await asyncio.gather(*(router.complete("q") for _ in range(4)))
    assert len(server.requests) == 4
    server.always(reply("back"))
    now[0] = 600
    assert (await router.complete("q")).content == "back"
    assert (await router.complete("q")).content == "back"


@pytest.mark.parametrize("script", [failure(401), failure(404), failure(429)])
async def test_what_one_user_gets_passes_nobody_over(
    server: Loopback, second: Loopback, script: Script
) -> None:
    """Bad keys and the like fail over every time and never open the breaker (S3-09, case 40)."""
    server.always(script)
    second.always(reply())
    router = both(server, second)
    for _ in range(5):
        await router.complete("q")

    assert len(server.requests) == 5


async def test_all_unhealthy_are_asked_all_the_same(server: Loopback, second: Loopback) -> None:
    """Where nobody is healthy all are asked in order, and the error says why (S3-09)."""
    server.always(failure(500))
    second.always(failure(500))
    router = both(server, second)
    for _ in range(4):
        with pytest.raises(LLMFailoverError, match="500"):
            await router.complete("q")
    assert (len(server.requests), len(second.requests)) == (4, 4)

    second.always(reply("back"))
    response = await router.complete("q")
    assert response.content == "back"
    assert asked(response) == [("one", 500), ("two", None)]


async def test_one_that_is_passed_over_is_the_last_resort(
    server: Loopback, second: Loopback
) -> None:
    """Before a call fails, those are asked that were passed over (S3-09)."""
    server.always(failure(500))
    second.always(reply())
    router = both(server, second)
    for _ in range(3):
        await router.complete("q")
    second.always(failure(401))
    server.always(reply("back"))
    response = await router.complete("q")

    assert response.content == "back"
    assert asked(response) == [("two", 401), ("one", None)]


async def test_a_forced_call_is_tried(server: Loopback, second: Loopback) -> None:
    """Naming a provider asks it and nobody else, healthy or not; its error is raised (S3-06)."""
    server.always(failure(500))
    second.always(reply())
    router = both(server, second)
    for _ in range(3):
        await router.complete("q")
    for name in ("one", "ONE".lower()):
        with pytest.raises(LLMStatusError) as caught:
            await router.generate("q", provider_type=name)
        assert caught.value.provider == "one"
    assert len(server.requests) == 5
    assert len(second.requests) == 3
    response = await router.generate("q", "two")
    assert asked(response) == [("two", None)]
    assert (await router.generate("q", provider_type=ProviderType.AUTO)).provider == "two"
    with pytest.raises(ConfigError, match="no provider `three`: it was given one, two"):
        await router.generate("q", provider_type="three")


async def test_the_provider_that_would_be_asked_is_given(
    server: Loopback, second: Loopback
) -> None:
    """`get_provider()` gives the first that is healthy, or the one that is named (S3-11)."""
    server.always(failure(500))
    second.always(reply())
    router = both(server, second)

    assert (await router.get_provider()).provider_name == "one"
    assert (await router.get_provider("two")).provider_name == "two"
    for _ in range(3):
        await router.complete("q")
    assert (await router.get_provider()).provider_name == "two"
    assert len(server.requests) == 3


# How they are


async def test_health_is_looked_at_all_at_once(
    server: Loopback, second: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists of models are asked for all at once, never tokens, and nothing raises (S3-10)."""
    ahead, together, told = 0.0, threading.Event(), []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda: time.monotonic() + ahead, raising=False)
    json_type = {"content-type": "application/json"}
    server.always(Script((together, b'{"data": [{"id": "m"}]}'), 200, json_type))
    refused = failure(401, f"bad key {KEY}")
    second.always(replace(refused, steps=(together, *refused.steps)))

    class Telling(LLMProvider):
        async def models(self) -> Any:
            try:
                return await super().models()
            finally:
                told.append(self.provider_name)

    with Loopback() as slow:
        slow.always(Script((HANG,), silent=True))
        keyless = one(server, provider="keyless", key_required=True, api_key_vars=("X_KEY",))
        router = LLMProviderFactory(
            connectors=[
                Telling(one(server).config),
                Telling(two(second, api_key=KEY).config),
                one(slow, provider="slow"),
                Telling(one(server, provider="gone", base_url=refused_url()).config),
                Telling(keyless.config),
                MockConnector(),
            ]
        )
        looking = asyncio.ensure_future(router.health_check(timeout=300.0))
        # Nobody answers before all of them are asked, and 50 ms are to be measured.
        for each in (server, second, slow):
            await asyncio.to_thread(each.wait_for_requests, 1)
        await asyncio.sleep(0.05)
        together.set()
        await soon(lambda: {"one", "two", "gone", "keyless"} <= set(told))
        ahead += 301
        health = await looking

    assert health["primary_provider"] == "one"
    assert health["fallback_chain"] == ["two", "slow", "gone", "mock"]
    found = {name: facts["status"] for name, facts in health["providers"].items()}
    assert found == {
        "one": "healthy",
        "two": "unhealthy",
        "slow": "unhealthy",
        "gone": "unhealthy",
        "keyless": "unconfigured",
        "mock": "healthy",
    }
    assert all(facts["requests"] == 0 for facts in health["providers"].values())
    assert all(request.path == "/v1/models" for request in server.requests)
    assert "nobody answers" in health["providers"]["gone"]["error"]
    assert "X_KEY" in health["providers"]["keyless"]["error"]
    assert "within 300 s" in health["providers"]["slow"]["error"]
    assert KEY not in str(health)
    assert health["providers"]["one"]["probe_ms"] >= 50


async def test_a_look_says_who_is_passed_over(server: Loopback) -> None:
    """A provider that failed too often is unhealthy although its list of models comes (S3-10)."""
    server.always(failure(500))
    router = LLMProviderFactory(connectors=[one(server)])
    for _ in range(3):
        with pytest.raises(LLMStatusError):
            await router.complete("q")
    server.always(raw('{"data": []}'))
    facts = (await router.health_check(PATIENCE))["providers"]["one"]

    assert facts["status"] == "unhealthy"
    assert "passed over" in facts["error"]
    assert facts["consecutive_failures"] == 3
    assert facts["success_rate"] == 0.0


async def test_a_server_without_a_list_is_healthy(server: Loopback) -> None:
    """A 404 for the list of models still is an answer (S3-10)."""
    server.always(failure(404))
    health = await LLMProviderFactory(connectors=[one(server)]).health_check(PATIENCE)

    assert health["providers"]["one"]["status"] == "healthy"
