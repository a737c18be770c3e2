"""Spans of calls, against a real server and OpenTelemetry's own SDK."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pytest
from asking import asking, pieces_of
from loopback import DONE, HANG, USAGE, Loopback, Script, data, event, failure, reply
from loopback import streamed as stream_of
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tracing_in_memory import facts, in_memory, spans

from llmport_magic.errors import LLMError
from llmport_magic.llm import gathering
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.mock import MockConnector
from llmport_magic.llm.provider import LLMProvider

PROMPT = "a very private question"
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Trace into memory."""
    return in_memory(monkeypatch)


# What a span says


async def test_a_call_is_a_span(server: Loopback, exporter: InMemorySpanExporter) -> None:
    """A call is one client span with the seed's attributes and the conventions' own (S4-24)."""
    server.script(reply("hello", model="m-1"))
    llm = asking(server, provider="deepseek")

    response = await llm.call(PROMPT, temperature=0.5, max_tokens=99, stop="END", seed=4)

    [span] = spans(exporter)
    assert (span.name, span.kind, span.status.status_code) == (
        "chat m",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    found = dict(span.attributes or {})
    latency = found.pop("llm.latency.ms")
    assert isinstance(latency, int)
    # The span ends when the answer is there, and its latency is whole milliseconds.
    assert latency >= response.metadata["latency_ms"] - 1
    assert found == {
        "llm.provider": "deepseek",
        "llm.model": "m",
        "llm.tokens.prompt": 7,
        "llm.tokens.completion": 3,
        "llm.tokens.estimated": False,
        "llm.attempts": 1,
        "llm.cost.source": "unknown",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "deepseek",
        "gen_ai.system": "deepseek",
        "gen_ai.request.model": "m",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 99,
        "gen_ai.request.seed": 4,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.response.model": "m-1",
        "gen_ai.response.id": "c1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "server.address": "127.0.0.1",
        "server.port": int(server.url.split(":")[2].split("/")[0]),
    }


async def test_the_span_of_a_kept_answer_counts_no_tokens(
    server: Loopback, exporter: InMemorySpanExporter
) -> None:
    """A trace tells a kept answer from a call, and its sums of tokens and cost stay right."""
    server.script(reply())
    llm = asking(server, cache=True)

    await llm.call(PROMPT)
    await llm.call(PROMPT)
    async for _ in llm.stream(PROMPT):
        pass

    asked, *kept = (dict(span.attributes or {}) for span in spans(exporter, 3))
    assert "llm.cached" not in asked
    assert len(kept) == 2
    for found in kept:
        assert found["llm.cached"] is True
        assert (found["llm.cost.usd"], found["llm.cost.source"]) == (0.0, "cached")
        assert not [name for name in found if "usage" in name or name == "llm.tokens.prompt"]


async def test_a_stream_is_a_span(server: Loopback, exporter: InMemorySpanExporter) -> None:
    """A stream's span ends with the stream and knows its tokens and its first piece (S4-24)."""
    counted = data({"id": "c9", "choices": [], "usage": USAGE})
    ended = [event("b", id="c9"), event(finish="length", id="c9"), counted, DONE]
    server.script(stream_of(event("a", id="c9"), *ended, finish=None))

    await pieces_of(asking(server))

    found = facts(exporter)
    assert found["gen_ai.request.stream"] is True
    assert found["gen_ai.response.id"] == "c9"
    assert found["gen_ai.response.finish_reasons"] == ("length",)
    assert (found["llm.tokens.prompt"], found["llm.tokens.completion"]) == (7, 3)
    assert 0 <= found["gen_ai.response.time_to_first_chunk"] * 1000 <= found["llm.latency.ms"] + 1


async def test_a_span_counts_the_parts_of_the_tokens(
    server: Loopback, exporter: InMemorySpanExporter
) -> None:
    """Tokens read from a cache and spent on reasoning are told apart where they are known."""
    usage = {
        "prompt_tokens": 50,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 15},
    }
    server.script(reply(usage=usage))

    await asking(server).call("q")

    found = facts(exporter)
    assert found["gen_ai.usage.cache_read.input_tokens"] == 30
    assert found["gen_ai.usage.reasoning.output_tokens"] == 15


async def test_latency_is_measured_on_a_clock_that_never_jumps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The latency is whole milliseconds of the monotonic clock, from the sending on (S4-25)."""
    now = 100.0
    monkeypatch.setattr(gathering.time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "time", lambda: 0.0)

    def late(_: Any) -> str:
        nonlocal now
        now += 1.5236
        return "hello"

    stream = MockConnector([late]).stream("q")
    now += 50
    async for _ in stream:
        pass

    assert stream.response.metadata["latency_ms"] == 1524
    assert type(stream.response.metadata["latency_ms"]) is int


@pytest.mark.parametrize("whole", [True, False])
async def test_a_failure_is_recorded_without_what_was_said(
    server: Loopback, exporter: InMemorySpanExporter, *, whole: bool
) -> None:
    """A failed call's span is an error with its status, and quotes neither prompt nor key."""
    key = "planted-key-0123456789abcdef"
    for _ in range(3):
        server.script(failure(503, f"no {PROMPT} for {key}"))
    llm = asking(server, api_key=key)

    with pytest.raises(LLMError):
        await (llm.call(PROMPT) if whole else pieces_of(llm))

    [span] = spans(exporter)
    assert span.status.status_code is StatusCode.ERROR
    found = dict(span.attributes or {})
    assert (found["error.type"], found["http.response.status_code"]) == ("503", 503)
    assert found["llm.attempts"] == 3
    assert PROMPT not in span.to_json()
    assert key not in span.to_json()


async def test_an_error_of_a_third_party_is_recorded_by_its_kind(
    exporter: InMemorySpanExporter,
) -> None:
    """A connector class that raises its own error gives a span that names its kind only."""

    class Broken(BaseLLMConnector):
        def call_llm(self, prompt: str) -> str:
            raise KeyError(prompt)

    with pytest.raises(KeyError):
        await Broken().call(PROMPT)

    [span] = spans(exporter)
    assert (span.attributes or {})["error.type"] == "KeyError"
    assert PROMPT not in span.to_json()


# What was said


@pytest.mark.parametrize("asked", ["", "false", "NO_CONTENT", "EVENT_ONLY"])
async def test_what_was_said_stays_out(
    server: Loopback,
    exporter: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
) -> None:
    """Neither prompt nor answer is in a span unless somebody asks for it (S4-24, X-07)."""
    monkeypatch.setenv(CONTENT, asked)
    server.script(reply("a private answer"), stream_of("a private ", "answer"))
    llm = asking(server)

    await llm.call([{"role": "system", "content": "private"}, PROMPT])
    async for _ in llm.stream(PROMPT):
        pass

    assert not any("private" in span.to_json() for span in spans(exporter, 2))


@pytest.mark.parametrize("asked", ["true", "SPAN_ONLY", "span_and_event"])
async def test_what_was_said_is_recorded_where_it_is_asked_for(
    server: Loopback,
    exporter: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
) -> None:
    """The conventions' variable records prompt and answer; a key in them is masked all the same."""
    monkeypatch.setenv(CONTENT, asked)
    key = "planted-key-0123456789abcdef"
    server.script(stream_of("an answer with ", key))
    given = ({"role": role, "content": f"{PROMPT} {key}"} for role in ("system", "user"))

    async for _ in asking(server, api_key=key).stream(given):
        pass

    found = facts(exporter)
    assert found["gen_ai.input.messages"].count(PROMPT) == 2
    assert '"role": "system"' in found["gen_ai.input.messages"]
    assert "an answer with ********" in found["gen_ai.output.messages"]
    assert key not in spans(exporter)[0].to_json()
    assert [m["content"] for m in server.requests[0].json["messages"]] == [f"{PROMPT} {key}"] * 2


# How a span ends


async def read(llm: LLMProvider, begun: asyncio.Event) -> None:
    """Read a stream, and tell when its first piece is here."""
    async for _ in llm.stream("q"):
        begun.set()


async def test_a_stream_that_is_left_ends_its_span(
    server: Loopback, exporter: InMemorySpanExporter
) -> None:
    """Closing, leaving, dropping and cancelling a stream end its span, marked so (S4-24)."""
    server.always(stream_of("some text", HANG))
    llm = asking(server)

    async for _ in llm.stream("q"):
        break
    closed = llm.stream("q")
    async for _ in closed:
        await closed.aclose()
        break
    dropped = aiter(llm.stream("q"))
    await anext(dropped)
    del dropped
    gc.collect()
    begun = asyncio.Event()
    task = asyncio.ensure_future(read(llm, begun))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])

    for span in await asyncio.to_thread(spans, exporter, 4):
        found = dict(span.attributes or {})
        assert found["llm.cancelled"] is True
        assert found["llm.tokens.estimated"] is True
        assert found["llm.tokens.completion"] == 3
        assert "gen_ai.response.finish_reasons" not in found
        assert span.status.status_code is StatusCode.UNSET


async def test_a_cancelled_call_ends_its_span(
    server: Loopback, exporter: InMemorySpanExporter
) -> None:
    """A call that is cancelled while it waits ends its span, which is no error."""
    server.script(Script(silent=True))
    task = asyncio.ensure_future(asking(server).call("q"))
    await asyncio.to_thread(server.wait_for_requests, 1)
    task.cancel()
    await asyncio.wait([task])

    found = facts(exporter)
    assert found["llm.cancelled"] is True
    assert "error.type" not in found


async def test_a_stream_that_breaks_off_ends_its_span(
    server: Loopback, exporter: InMemorySpanExporter
) -> None:
    """A stream that the provider breaks off ends its span as an error, with what had come."""
    server.script(stream_of("some text", finish=None))

    with pytest.raises(LLMError):
        await pieces_of(asking(server))

    found = facts(exporter)
    assert found["error.type"] == "LLMStreamError"
    assert found["llm.tokens.completion"] == 3


async def test_a_stream_that_nobody_reads_has_no_span(
    server: Loopback, exporter: InMemorySpanExporter
) -> None:
    """Where nothing is sent there is no span."""
    stream = asking(server).stream("q")
    await stream.aclose()

    assert spans(exporter, 0) == []
