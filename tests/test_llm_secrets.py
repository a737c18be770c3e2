"""A planted key, in whatever spelling, leaves by no exit of a call (X-07)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from awaiting import soon
from leaking import FORMS, KEY, everything, exits_of, living_frames, shown
from leaping import Leap
from loopback import Loopback, Script, raw, refused_url
from tracing_in_memory import in_memory
from vendors import VENDORS, asking

from llmport_magic import bridge
from llmport_magic.errors import ConfigError, LLMError
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.streams import ResponseStream

ONCE = RetryPolicy(attempts=1)


@pytest.fixture(autouse=True)
def exits(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Collect what leaves, and look through it."""
    with exits_of(caplog) as found:
        yield found


@pytest.fixture
def traced(exits: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trace what is said, and look through the spans, too."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    exporter = in_memory(monkeypatch)
    yield
    spans = exporter.get_finished_spans()
    assert spans
    exits += [span.to_json() for span in spans]


def _lines(vendor: Any, *texts: str) -> Script:
    """Stream lines that are no JSON."""
    ndjson = vendor.dialect == "ollama_chat"
    kind = "application/x-ndjson" if ndjson else "text/event-stream"
    lines = [f"{text}\n" if ndjson else f"data: {text}\n\n" for text in texts]
    return Script([line.encode() for line in lines], 200, {"content-type": kind}, chunked=True)


# Each writes a failure that quotes a text, and says whether the failure may pass.
FAILURES: dict[str, Any] = {
    "a wrong key": (lambda v, e: v.error(401, f"No: {e}.", {"x-request-id": e}), 401, False),
    "a rate limit": (lambda v, e: v.error(429, e, {"retry-after": e}), 429, True),
    "a failing server": (lambda v, e: v.error(500, f"{e} {e}"), 500, True),
    "an error page": (lambda v, e: raw(f"<html><b>{e}", status=502), 502, True),
    "a redirect": (
        lambda v, e: raw(e, status=307, headers={"location": f"https://x.example/{e}?k={e}"}),
        307,
        False,
    ),
    "HTML": (lambda v, e: raw(f"<html><b>{e}", content_type=f"text/html; x={e}"), 200, False),
    "no JSON": (lambda v, e: raw(f"so: {e}"), 200, False),
    "no answer": (lambda v, e: raw(json.dumps({"said": [e], e: 1})), 200, False),
    "silence": (lambda v, e: Script(silent=True), None, False),
}
IN_STREAMS: dict[str, Any] = {
    "a stream that breaks off": lambda v, e: v.stream(f"so: {e}", finish=None),
    "a stream that fails": lambda v, e: v.broken_stream(f"so: {e}", f"no: {e}"),
    "a stream of no JSON": lambda v, e: _lines(v, *[e] * 12),
    "a stream of other JSON": lambda v, e: _lines(v, json.dumps([e]), json.dumps({"error": e})),
}


async def _ask(llm: LLMProvider, way: str) -> Any:
    if way == "call":
        return await llm.call("q")
    return await anext(aiter(llm.stream("q")))


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("way", ["call", "stream"])
async def test_no_failure_shows_the_key(
    server: Loopback, vendor: Any, kind: str, way: str, exits: list[str], *, leap: Leap
) -> None:
    """Every failure names provider, model and status, and never the key (S3-15, X-07)."""
    make, status, retryable = FAILURES[kind]
    llm = asking(server, vendor, api_key=KEY, retry=ONCE)
    for form in list(FORMS.values())[: 1 if kind == "silence" else None]:
        server.script(make(vendor, form))
        asked = asyncio.ensure_future(_ask(llm, way))
        if kind == "silence":
            await asyncio.to_thread(server.wait_for_requests, 1)
            leap(601)
        with pytest.raises(LLMError) as caught:
            await asked
        exits.append(everything(caught.value))
        error = caught.value
        assert (error.provider, error.model) == ("vendor", "m")
        assert error.status in (status, None if status == 200 else status)
        assert error.retryable is retryable
        assert error.attempts == 1
    assert server.requests[0].headers[vendor.key_header].endswith(KEY)


@pytest.mark.parametrize("kind", FAILURES)
async def test_no_list_of_models_shows_the_key(
    server: Loopback, vendor: Any, kind: str, exits: list[str]
) -> None:
    """Asking which models there are fails as quietly as a call, or gives a masked list."""
    make, _, _ = FAILURES[kind]
    limit = 150 if kind == "silence" else 600_000
    llm = asking(server, vendor, api_key=KEY, retry=ONCE, timeout_ms=limit)
    for form in list(FORMS.values())[: 1 if kind == "silence" else None]:
        server.script(make(vendor, form))
        try:
            exits.append(shown(await llm.models()))
        except LLMError as error:
            exits.append(everything(error))


async def _collect(stream: ResponseStream, exits: list[str]) -> None:
    async for chunk in stream.chunks():
        exits.append(shown(chunk))  # noqa: PERF401 - those before a failure count


@pytest.mark.parametrize("kind", IN_STREAMS)
@pytest.mark.usefixtures("traced")
async def test_no_stream_shows_the_key(
    server: Loopback, vendor: Any, kind: str, exits: list[str]
) -> None:
    """A stream that quotes the key and fails leaves it in no error, partial text or span."""
    llm = asking(server, vendor, api_key=KEY, retry=ONCE)
    for form in FORMS.values():
        server.script(IN_STREAMS[kind](vendor, form))
        stream = llm.stream("q")
        with pytest.raises(LLMError) as caught:
            await _collect(stream, exits)
        exits += [everything(caught.value), shown(stream, stream.arrived), stream.text]


async def test_a_server_that_is_not_there_shows_no_key(
    server: Loopback, vendor: Any, exits: list[str]
) -> None:
    """A connection that cannot be made tells the address and not the key."""
    llm = asking(server, vendor, base_url=refused_url(), api_key=KEY, retry=ONCE)
    for ask in (llm.call("q"), llm.models(), anext(aiter(llm.stream("q")))):
        with pytest.raises(LLMError) as caught:
            await ask
        assert caught.value.retryable is True
        exits.append(everything(caught.value))


# Answers that hold the key


@pytest.mark.usefixtures("traced")
async def test_no_answer_shows_the_key(server: Loopback, vendor: Any, exits: list[str]) -> None:
    """An answer that quotes the key is masked wherever it stands, the provider's object too."""
    llm = asking(server, vendor, api_key=KEY)
    for form in FORMS.values():
        calls = [("c1", "look", {"at": form})] if vendor.dialect != "ollama_chat" else []
        server.script(vendor.whole(f"so: {form}", calls=calls), vendor.stream("so: ", form))
        server.requests.clear()
        response = await llm.call("q")
        stream = llm.stream("q")
        await _collect(stream, exits)

        assert response.content == "so: ********"
        assert stream.response.content == "so: ********"
        exits += [shown(response, response.message, response.raw, response.metadata)]
        exits += [shown(stream, stream.response, stream.arrived, *response.tool_calls)]
        exits += [shown(llm.totals, llm.usage_total)]


async def test_a_key_in_two_pieces_is_one_key(
    server: Loopback, vendor: Any, exits: list[str]
) -> None:
    """A key that comes in two reads or two events is masked in what is put together."""
    script = vendor.stream("so: ", KEY)
    steps = b"".join(step for step in script.steps if isinstance(step, bytes))
    place = steps.index(b"planted-Key") + 9
    end = steps.index(b"\n", place) + 1
    parts = [steps[:place], 0.02, steps[place:end], 0.02, steps[end:]]
    server.script(
        Script(parts, 200, script.headers, chunked=True),
        vendor.stream("so: ", KEY[:10], KEY[10:]),
        vendor.stream("so: ", KEY[:10], KEY[10:], finish=None),
    )
    llm = asking(server, vendor, api_key=KEY, retry=ONCE)

    stream = llm.stream("q")
    await _collect(stream, exits)
    exits.append(shown(stream.response))
    assert stream.response.content == "so: ********"
    whole = llm.stream("q")
    async for _ in whole:
        pass
    exits.append(shown(whole.response))
    with pytest.raises(LLMError) as caught:
        async for _ in llm.stream("q"):
            pass
    exits.append(everything(caught.value))


async def test_a_key_in_unusual_escapes_is_masked(server: Loopback, exits: list[str]) -> None:
    """JSON may write any character as its number: that hides no key."""
    hidden = "".join(f"\\u{ord(c):04x}" if c in "-_/+" else c for c in KEY if c != '"')
    choice = {"message": {"content": "so: KEY"}, "finish_reason": "stop"}
    bodies = [json.dumps(body) for body in ({"choices": [choice]}, {"said": "KEY"})]
    server.script(*[raw(body.replace("KEY", hidden)) for body in bodies])
    plain = KEY.replace('"', "")
    llm = asking(server, VENDORS[0], api_key=plain, retry=ONCE)

    response = await llm.call("q")
    with pytest.raises(LLMError) as caught:
        await llm.call("q")

    assert response.content == "so: ********"
    for text in (shown(response, response.raw), everything(caught.value)):
        assert plain not in text
        assert hidden not in text


# Calls that do not end


@pytest.mark.parametrize("way", ["call", "stream"])
async def test_a_cancelled_call_leaves_no_key_in_memory(
    server: Loopback, vendor: Any, way: str, exits: list[str]
) -> None:
    """No frame that is left after a cancelled call or a dropped stream shows the key."""
    before = asyncio.all_tasks(bridge.loop())
    llm = asking(server, vendor, api_key=KEY)
    server.script(Script(silent=True) if way == "call" else vendor.stream("a", finish=None))
    if way == "stream":
        server.script(Script(silent=True))
        with pytest.raises(LLMError):
            async for _ in llm.stream("q"):
                pass
    task = asyncio.ensure_future(llm.call("q") if way == "call" else _read(llm))
    await asyncio.to_thread(server.wait_for_requests, 1 if way == "call" else 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task

    # The caller goes on at once; its call is hung up in another thread, a moment later.
    await soon(lambda: asyncio.all_tasks(bridge.loop()) <= before)
    exits += [everything(caught.value), repr(task), living_frames()]


async def _read(llm: LLMProvider) -> None:
    async for _ in llm.stream("q"):
        pass


# Objects that hold it


def test_no_object_shows_the_key(server: Loopback, vendor: Any, exits: list[str]) -> None:
    """Configurations, connectors, settings and requests on their way show no key."""
    from llmport_magic.llm.registry import LLMRegistry
    from llmport_magic.llm.wire import Call
    from llmport_magic.settings import configure, get_config, reset_configuration, resolve

    headers = {vendor.key_header: f"Bearer {KEY}", "X-Team-Token": KEY, "x-title": "mine"}
    llm = asking(server, vendor, api_key=KEY, headers=headers)
    ask = llm._asked(Call(model="m", messages=()), llm.config.limits)
    configure(provider="openai", api_key=KEY)
    registry = LLMRegistry()
    row = registry.register_provider("x", base_url="https://x.example", headers=headers)

    exits += [shown(llm, llm.config, ask, ask.target, llm.stream("q"), resolve(), get_config())]
    exits += [shown(row, registry)]
    reset_configuration()


async def test_a_key_among_the_headers_is_sent_and_not_shown(
    server: Loopback, exits: list[str]
) -> None:
    """A header that the user gives reaches the server; what it holds by its name is a secret."""
    vendor = VENDORS[0]
    server.script(vendor.error(401, f"no {KEY}"))
    headers = {"X-Api-Key": KEY, "x-title": "mine"}
    llm = asking(server, vendor, api_key=None, headers=headers, retry=ONCE)

    with pytest.raises(LLMError) as caught:
        await llm.call("q")

    exits += [everything(caught.value), shown(llm.config)]
    assert server.requests[0].headers["x-api-key"] == KEY
    assert server.requests[0].headers["x-title"] == "mine"
    assert "'mine'" in repr(llm.config)


@pytest.mark.parametrize("name", ["key", "api_key", "access_token", "X-Goog-Signature"])
async def test_a_key_in_a_url_is_refused(name: str) -> None:
    """A URL stands in every log: a key in its query is refused before anything is sent."""
    llm = LLMProvider(LLMConfig(f"https://x.example/v1?{name}=planted-in-a-url", "m"))

    with pytest.raises(ConfigError, match="holds credentials") as caught:
        await llm.call("q")

    assert "planted-in-a-url" not in str(caught.value)
