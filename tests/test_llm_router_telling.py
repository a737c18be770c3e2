"""What the router tells: errors of a whole chain, warnings, turns and spans."""

from __future__ import annotations

from typing import Any

import pytest
from asking import KEY
from loopback import Loopback, failure, reply, streamed
from tracing_in_memory import in_memory, spans
from two_providers import asked, both, one, two, unwarned
from warned import no_warning

from llmport_magic.errors import ConfigError, LLMFailoverError, LLMStatusError
from llmport_magic.llm.routing.router import LLMFailoverWarning, LLMProviderFactory

pytestmark = unwarned


# Nobody


async def test_all_failed_says_who_and_why(server: Loopback, second: Loopback) -> None:
    """One line names every provider and its reason; the error carries who was asked (S3-05)."""
    server.always(failure(500, "out of order"))
    second.always(failure(401, f"no such key {KEY}"))
    with pytest.raises(LLMFailoverError) as caught:
        await LLMProviderFactory(
            connectors=[one(server), two(second, api_key=KEY)], provider="auto"
        ).complete("q")

    error = caught.value
    assert "\n" not in str(error)
    assert KEY not in str(error)
    assert "`one` answered 500 (out of order)" in str(error)
    assert "`two` answered 401" in str(error)
    assert [each["provider"] for each in error.attempts_made] == ["one", "two"]
    assert [type(each) for each in error.failures] == [LLMStatusError, LLMStatusError]
    assert (error.provider, error.status, error.retryable) == ("two", 401, True)


async def test_one_alone_raises_its_own_error(server: Loopback) -> None:
    """A chain of one is that provider: its error is raised as it is (S3-06)."""
    server.always(failure(500))
    with pytest.raises(LLMStatusError) as caught:
        await LLMProviderFactory(connectors=[one(server)]).complete("q")

    assert caught.value.status == 500
    assert len(caught.value.attempts_made) == 1


async def test_one_without_a_key_is_passed_over(server: Loopback, second: Loopback) -> None:
    """A provider whose key is missing is noted and not asked (S3-05, S3-51)."""
    second.always(reply("there"))
    keyless = one(server, key_required=True, api_key_vars=("ONE_API_KEY",))
    router = LLMProviderFactory(connectors=[keyless, two(second)])
    with pytest.warns(
        LLMFailoverWarning, match=r"`one` is passed over.*ONE_API_KEY.*`two` answers"
    ):
        response = await router.complete("q")

    assert "ONE_API_KEY" in response.metadata["passed_over"]["one"]
    assert asked(response) == [("two", None)]
    assert server.requests == []
    with pytest.raises(ConfigError, match="ONE_API_KEY"):
        await LLMProviderFactory(connectors=[keyless]).complete("q")


# Telling


async def test_a_warning_says_who_answered(server: Loopback, second: Loopback) -> None:
    """It names who failed, why and who answers; the same cause is told once (S3-05)."""
    server.always(failure(500))
    second.always(reply())
    router = both(server, second, unhealthy_after=100)
    with pytest.warns(LLMFailoverWarning, match=r"`one` failed \(.*500.*\): `two` answers"):
        await router.complete("q")
    with no_warning():
        await router.complete("q")
    server.always(failure(401))
    with pytest.warns(LLMFailoverWarning, match="401"):
        await router.complete("q")


async def test_whoever_is_told_of_each_turn_gets_no_warning(
    server: Loopback, second: Loopback
) -> None:
    """`on_ask` hears of every provider before it is sent anything (S3-05)."""
    server.always(failure(500))
    second.always(reply())
    heard: list[tuple[str, str, int, int]] = []

    async def on_ask(asking: Any) -> None:
        sent = len(server.requests) + len(second.requests)
        heard.append((asking.provider, asking.model, len(asking.failed), sent))

    with no_warning():
        await both(server, second).complete("q", on_ask=on_ask)

    assert heard == [("one", "m-one", 0, 0), ("two", "m-two", 1, 1)]


async def test_each_provider_that_is_asked_is_one_span(
    server: Loopback, second: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A router adds no span of its own to those of the connectors (X-02)."""
    exporter = in_memory(monkeypatch)
    server.always(failure(500))
    second.always(reply())
    await both(server, second).complete("q")
    found = spans(exporter, 2)
    assert [(span.attributes or {})["llm.provider"] for span in found] == ["one", "two"]

    exporter.clear()
    second.always(streamed("a"))
    [_ async for _ in both(server, second).stream("q")]
    assert len(spans(exporter, 2)) == 2
