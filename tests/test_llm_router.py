"""The router: who is asked after whom, what is recorded, and what is never asked again."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from asking import KEY, asking, no_wait
from loopback import (
    CUT,
    HANG,
    USAGE,
    Loopback,
    Script,
    event,
    events,
    failure,
    raw,
    reply,
    streamed,
)
from tracing_in_memory import in_memory, spans

from llmport_magic.errors import (
    ConfigError,
    LLMConnectionError,
    LLMContentError,
    LLMError,
    LLMFailoverError,
    LLMOutputError,
    LLMStatusError,
    LLMStreamError,
    LLMTimeoutError,
    UsageError,
)
from llmport_magic.llm.capabilities import LLMCapabilities, ProviderType
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.mock import MockConnector
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.routing.health import HealthBook
from llmport_magic.llm.routing.router import LLMFailoverWarning, LLMProviderFactory
from llmport_magic.llm.streams import ResponseStream
from llmport_magic.llm.wire import Limits

pytestmark = pytest.mark.filterwarnings(
    "ignore::llmport_magic.llm.routing.router.LLMFailoverWarning"
)

BLOCKED = raw(
    '{"error": {"message": "blocked", "code": "content_filter"}}',
    status=400,
)


@pytest.fixture
def second() -> Iterator[Loopback]:
    """Serve as the provider that is asked after the first."""
    with Loopback() as running:
        yield running


def refused_url() -> str:
    """Give the address of a server that has just gone."""
    with Loopback() as gone:
        return gone.url


def one(server: Loopback, **fields: Any) -> LLMProvider:
    """Make the first provider; it sends a request once unless it is told otherwise."""
    given = {"provider": "one", "model": "m-one", "retry": RetryPolicy(attempts=1, sleep=no_wait)}
    return asking(server, **{**given, **fields})


def two(server: Loopback, **fields: Any) -> LLMProvider:
    """Make the second provider."""
    return one(server, **{"provider": "two", "model": "m-two", **fields})


def both(server: Loopback, second: Loopback, **settings: Any) -> LLMProviderFactory:
    """Make a router of the two."""
    return LLMProviderFactory(connectors=[one(server), two(second)], **settings)


def asked(response: Any) -> list[tuple[str, int | None]]:
    """Give who was asked, and the status of what they answered."""
    return [(each["provider"], each["status"]) for each in response.metadata["attempts"]]


async def text_of(router: LLMProviderFactory, way: str, **options: Any) -> str:
    """Ask for a whole answer or for a stream."""
    if way == "stream":
        return "".join([text async for text in router.stream("q", **options)])
    return (await router.complete("q", **options)).content


async def read_into(seen: list[str], stream: ResponseStream) -> None:
    """Note each piece as it comes."""
    async for text in stream:
        seen.append(text)  # noqa: PERF401 - what came before a failure counts


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
    router = LLMProviderFactory(
        connectors=[one(server, limits=Limits(first_byte=0.3)), two(second)]
    )

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

    assert await asyncio.to_thread(server.requests[0].closed.wait, 2)
    assert second.requests == []


async def test_an_interrupt_stops(second: Loopback) -> None:
    """A KeyboardInterrupt of a connector asks nobody else (S3-05)."""

    class Interrupted(BaseLLMConnector):
        async def complete(self, messages: Any, **options: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await LLMProviderFactory(connectors=[Interrupted(), two(second)]).complete("q")
    assert second.requests == []


# Streams


@pytest.mark.parametrize("rest", [CUT, HANG], ids=["cut", "stalled"])
async def test_what_was_shown_is_not_asked_for_again(
    server: Loopback, second: Loopback, rest: Any
) -> None:
    """A stream that fails after its first piece is raised with what had arrived (S3-05, S3-60)."""
    server.always(events(event("half"), rest))
    router = LLMProviderFactory(connectors=[one(server, limits=Limits(idle=0.3)), two(second)])
    stream = router.stream("q")
    seen: list[str] = []
    with pytest.raises((LLMStreamError, LLMTimeoutError)) as caught:
        await read_into(seen, stream)

    assert seen == ["half"]
    assert caught.value.partial == "half"
    assert [each["provider"] for each in caught.value.attempts_made] == ["one"]
    assert stream.arrived is not None
    assert stream.arrived.content == "half"
    assert stream.arrived.metadata["cut_off"]
    assert second.requests == []


async def test_an_empty_piece_is_no_answer(server: Loopback, second: Loopback) -> None:
    """A stream that fails before anything of it could be seen goes on elsewhere (S3-60)."""
    server.always(events(event(""), CUT))
    second.always(streamed("whole"))
    stream = both(server, second).stream("q")

    assert [text async for text in stream] == ["whole"]
    assert asked(stream.response) == [("one", None), ("two", None)]


async def test_pieces_come_as_they_arrive(server: Loopback, second: Loopback) -> None:
    """The router does not wait for the whole: the first piece is there long before the last."""
    server.always(streamed("first", 0.5, "last"))
    seen = [time.monotonic() async for _ in both(server, second).stream("q")]

    assert len(seen) == 2
    assert seen[1] - seen[0] > 0.3


async def test_leaving_a_stream_hangs_up(server: Loopback, second: Loopback) -> None:
    """Breaking off closes the connection of the provider that answers, and asks nobody (S3-60)."""
    server.always(events(event("a"), HANG))
    stream = both(server, second).stream("q")
    async for _ in stream:
        break
    await stream.aclose()

    assert await asyncio.to_thread(server.requests[0].closed.wait, 2)
    assert second.requests == []
    assert stream.arrived is not None
    assert stream.arrived.metadata["attempts"][0]["error"] == "closed before its end"


def test_synchronous_code_uses_it(server: Loopback, second: Loopback) -> None:
    """`call_llm` fails over, too, and the router counts what its calls took (S0-16)."""
    server.always(failure(500))
    second.always(reply("there"))
    router = both(server, second)

    assert router.call_llm("q") == "there"
    assert router.usage_total == USAGE


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
    with warnings.catch_warnings():
        warnings.simplefilter("error")
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

    with warnings.catch_warnings():
        warnings.simplefilter("error")
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


# Deadline


async def test_the_deadline_is_for_the_whole_chain(server: Loopback, second: Loopback) -> None:
    """The time that one provider took is gone for the next; then nobody is asked (S3-05)."""
    for each in (server, second):
        each.always(Script((HANG,), silent=True))
    third = MockConnector(["late"])
    router = LLMProviderFactory(
        connectors=[one(server, limits=Limits(first_byte=1.0)), two(second), third]
    )
    began = time.monotonic()
    with pytest.raises(LLMFailoverError, match="no time was left for mock"):
        await router.complete("q", timeout_ms=1_500)

    assert 1.4 < time.monotonic() - began < 2.3
    assert third.calls == []


@pytest.mark.parametrize("way", ["complete", "stream"])
async def test_connectors_without_a_deadline_get_one(way: str) -> None:
    """A third party's connector that hangs is left when the call's time is over (S3-05)."""
    slow = MockConnector(["late"], delay=5)
    router = LLMProviderFactory(connectors=[slow])
    began = time.monotonic()
    with pytest.raises(LLMTimeoutError, match="total_timeout"):
        await text_of(router, way, timeout_ms=200)

    assert time.monotonic() - began < 2


# What each is asked


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


async def test_health_is_looked_at_all_at_once(server: Loopback, second: Loopback) -> None:
    """Lists of models are asked for all at once, never tokens, and nothing raises (S3-10)."""
    models = b'{"data": [{"id": "m"}]}'
    server.always(Script((0.5, models), 200, {"content-type": "application/json"}))
    second.always(failure(401, f"bad key {KEY}"))
    with Loopback() as slow:
        slow.always(Script((HANG,), silent=True))
        router = LLMProviderFactory(
            connectors=[
                one(server),
                two(second, api_key=KEY),
                one(slow, provider="slow"),
                one(server, provider="gone", base_url=refused_url()),
                one(server, provider="keyless", key_required=True, api_key_vars=("X_KEY",)),
                MockConnector(),
            ]
        )
        began = time.monotonic()
        health = await router.health_check(timeout=1.0)
        took = time.monotonic() - began

    assert 0.9 < took < 1.4
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
    assert "within 1 s" in health["providers"]["slow"]["error"]
    assert KEY not in str(health)
    assert health["providers"]["one"]["probe_ms"] >= 400


async def test_a_look_says_who_is_passed_over(server: Loopback) -> None:
    """A provider that failed too often is unhealthy although its list of models comes (S3-10)."""
    server.always(failure(500))
    router = LLMProviderFactory(connectors=[one(server)])
    for _ in range(3):
        with pytest.raises(LLMStatusError):
            await router.complete("q")
    server.always(raw('{"data": []}'))
    facts = (await router.health_check())["providers"]["one"]

    assert facts["status"] == "unhealthy"
    assert "passed over" in facts["error"]
    assert facts["consecutive_failures"] == 3
    assert facts["success_rate"] == 0.0


async def test_a_server_without_a_list_is_healthy(server: Loopback) -> None:
    """A 404 for the list of models still is an answer (S3-10)."""
    server.always(failure(404))
    health = await LLMProviderFactory(connectors=[one(server)]).health_check()

    assert health["providers"]["one"]["status"] == "healthy"
