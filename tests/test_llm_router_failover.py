"""The router: what another provider is asked after, what nobody else is, and for how long."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from asking import PATIENT, no_wait
from leaping import Leap
from loopback import CUT, HANG, USAGE, Loopback, Script, failure, raw, refused_url, reply, streamed
from two_providers import asked, both, one, two, unwarned

from llmport_magic.errors import (
    LLMConnectionError,
    LLMContentError,
    LLMError,
    LLMFailoverError,
    LLMOutputError,
    LLMStatusError,
    LLMTimeoutError,
    UsageError,
)
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.mock import MockConnector
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.routing import route
from llmport_magic.llm.routing.health import HealthBook
from llmport_magic.llm.routing.router import LLMProviderFactory

pytestmark = unwarned

BLOCKED = raw(
    '{"error": {"message": "blocked", "code": "content_filter"}}',
    status=400,
)


async def text_of(router: LLMProviderFactory, way: str, **options: Any) -> str:
    """Ask for a whole answer or for a stream."""
    if way == "stream":
        return "".join([text async for text in router.stream("q", **options)])
    return (await router.complete("q", **options)).content


# What fails over


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (failure(500), 500),
        (failure(503), 503),
        (failure(529), 529),
        (failure(401), 401),
        (failure(403), 403),
        (failure(404), 404),
        (failure(402), 402),
        (failure(429), 429),
        (failure(400, "API key not valid", code="API_KEY_INVALID"), 400),
        (raw("<html>a login page</html>", content_type="text/html"), 200),
        (raw('{"error": {"message": "upstream", "code": 502}}'), 502),
        (Script((CUT,), silent=True), None),
        (Script((HANG,), silent=True), None),
    ],
    ids=[
        "500",
        "503",
        "529",
        "401",
        "403",
        "404 model",
        "402",
        "429",
        "bad key by another name",
        "html",
        "error in a success",
        "broken connection",
        "timeout",
    ],
)
@pytest.mark.parametrize("way", ["complete", "stream"])
async def test_another_provider_answers(
    server: Loopback, second: Loopback, script: Script, status: int | None, way: str
) -> None:
    """Where the first fails in a way that another may not, the second answers (S3-05, S3-60)."""
    server.always(script)
    second.always(streamed("hello", " you") if way == "stream" else reply("hello you"))
    # Who answers has all the time; who never does, a moment.
    limits = PATIENT if status else replace(PATIENT, first_byte=0.3)
    router = LLMProviderFactory(connectors=[one(server, limits=limits), two(second)])

    if way == "stream":
        stream = router.stream("q")
        assert "".join([text async for text in stream]) == "hello you"
        response = stream.response
    else:
        response = await router.complete("q")

    assert response.content == "hello you"
    assert (response.provider, response.model) == ("two", "m-1")
    assert asked(response) == [("one", status), ("two", None)]
    first, last = response.metadata["attempts"]
    assert first["error"]
    assert first["model"] == "m-one"
    assert last["error"] is None
    assert last["model"] == "m-two"
    assert {"seconds", "sends"} <= first.keys()
    assert response.usage == USAGE


async def test_a_refused_connection_is_not_tried_again(second: Loopback) -> None:
    """Where nobody listens the next is asked at once; without a next, it tries again (S3-05)."""
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    patient = RetryPolicy(sleep=wait)
    second.always(reply("there"))
    url = refused_url()
    first = one(second, base_url=url, retry=patient)
    response = await LLMProviderFactory(connectors=[first, two(second)]).complete("q")

    assert response.content == "there"
    assert response.metadata["attempts"][0]["sends"] == 1
    assert waits == []
    with pytest.raises(LLMConnectionError) as caught:
        await LLMProviderFactory(connectors=[first]).complete("q")
    assert caught.value.attempts == 3
    assert len(waits) == 2


async def test_the_connector_tries_again_first(server: Loopback, second: Loopback) -> None:
    """A provider that is busy is asked as often as its connector does before the next (S3-05)."""
    server.always(failure(429))
    second.always(reply("there"))
    router = LLMProviderFactory(
        connectors=[one(server, retry=RetryPolicy(sleep=no_wait)), two(second)]
    )
    response = await router.complete("q")

    assert len(server.requests) == 3
    assert [each["sends"] for each in response.metadata["attempts"]] == [3, 1]


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (failure(400, "bad request"), LLMStatusError),
        (failure(422), LLMStatusError),
        (failure(413), LLMStatusError),
        (BLOCKED, LLMContentError),
    ],
    ids=["400", "422", "413", "refusal"],
)
@pytest.mark.parametrize("way", ["complete", "stream"])
async def test_what_no_other_can_better_is_raised(
    server: Loopback, second: Loopback, script: Script, kind: type[LLMError], way: str
) -> None:
    """A bad request and a refusal go to nobody else: the error is that provider's own (S3-05)."""
    server.always(script)
    router = both(server, second)
    with pytest.raises(kind) as caught:
        await text_of(router, way)

    assert caught.value.provider == "one"
    assert [each["provider"] for each in caught.value.attempts_made] == ["one"]
    assert second.requests == []


@pytest.mark.parametrize("error", [LLMContentError("refused"), LLMOutputError("no JSON")])
async def test_a_refusal_without_a_status_is_raised(second: Loopback, error: LLMError) -> None:
    """What a model refused inside a success is refused: nobody else is asked (S3-05)."""
    with pytest.raises(type(error)):
        await LLMProviderFactory(connectors=[MockConnector([error]), two(second)]).complete("q")

    assert second.requests == []


async def test_a_wrong_option_goes_to_nobody(server: Loopback, second: Loopback) -> None:
    """A mistake of the caller is told, and neither counts nor fails over (S3-05)."""
    book = HealthBook()
    with pytest.raises(UsageError, match="did you mean `temperature`"):
        await both(server, second, health=book).complete("q", temprature=1)

    assert book.of("one", server.url).facts()["requests"] == 0
    assert server.requests == second.requests == []


async def test_a_bug_in_a_connector_is_not_hidden(second: Loopback) -> None:
    """An error that is not about the network is raised, of whoever's connector (S3-05)."""

    class Buggy(BaseLLMConnector):
        def call_llm(self, prompt: str) -> str:
            raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        await LLMProviderFactory(connectors=[Buggy(), two(second)]).complete("q")
    assert second.requests == []


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), TimeoutError("slow")])
async def test_connectors_of_third_parties_fail_over(second: Loopback, error: Exception) -> None:
    """A class with nothing but `call_llm` takes part, with the errors of its own (S0-17)."""

    class Theirs(BaseLLMConnector):
        def call_llm(self, prompt: str) -> str:
            raise error

    second.always(reply("there"))
    response = await LLMProviderFactory(connectors=[Theirs(), two(second)]).complete("q")

    assert response.content == "there"
    assert asked(response) == [("theirs", None), ("two", None)]


async def test_cancelling_stops(server: Loopback, second: Loopback) -> None:
    """A cancelled call hangs up and asks nobody else (S3-05)."""
    server.always(Script((HANG,), silent=True))
    task = asyncio.ensure_future(both(server, second).complete("q"))
    await asyncio.to_thread(server.wait_for_requests, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await asyncio.to_thread(server.requests[0].closed.wait, 60)
    assert second.requests == []


async def test_an_interrupt_stops(second: Loopback) -> None:
    """A KeyboardInterrupt of a connector asks nobody else (S3-05)."""

    class Interrupted(BaseLLMConnector):
        async def complete(self, messages: Any, **options: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await LLMProviderFactory(connectors=[Interrupted(), two(second)]).complete("q")
    assert second.requests == []


def test_synchronous_code_uses_it(server: Loopback, second: Loopback) -> None:
    """`call_llm` fails over, too, and the router counts what its calls took (S0-16)."""
    server.always(failure(500))
    second.always(reply("there"))
    router = both(server, second)

    assert router.call_llm("q") == "there"
    assert router.usage_total == USAGE


# Deadline


async def test_the_deadline_is_for_the_whole_chain(
    server: Loopback, second: Loopback, leap: Leap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time that one provider took is gone for the next; then nobody is asked (S3-05)."""
    monkeypatch.setattr(route, "time", SimpleNamespace(monotonic=leap.now))
    for each in (server, second):
        each.always(Script((HANG,), silent=True))
    third = MockConnector(["late"])
    limits = replace(PATIENT, first_byte=200.0)
    router = LLMProviderFactory(connectors=[one(server, limits=limits), two(second), third])
    asked = asyncio.ensure_future(router.complete("q", timeout_ms=300_000))
    await asyncio.to_thread(server.wait_for_requests, 1)
    leap(201)
    await asyncio.to_thread(second.wait_for_requests, 1)
    leap(100)

    with pytest.raises(LLMFailoverError, match="no time was left for mock") as caught:
        await asked
    assert third.calls == []
    # What the steps between them took is not told as a part of the time.
    assert re.search(r"took longer than \d+(\.\d)? s \(`total_timeout`\)", str(caught.value))


@pytest.mark.parametrize("way", ["complete", "stream"])
async def test_connectors_without_a_deadline_get_one(way: str) -> None:
    """A third party's connector that hangs is left when the call's time is over (S3-05)."""
    slow = MockConnector(["late"], delay=3_600)
    router = LLMProviderFactory(connectors=[slow])

    with pytest.raises(LLMTimeoutError, match="total_timeout"):
        await text_of(router, way, timeout_ms=200)
