"""Whose part a span is, in which connectors, and what is there without OpenTelemetry."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from asking import asking, pieces_of
from loopback import Loopback, reply
from loopback import streamed as stream_of
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tracing_in_memory import in_memory, spans

from llmport_magic import bridge
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.messages import as_messages
from llmport_magic.llm.mock import MockConnector
from llmport_magic.llm.reply import Chunk, LLMResponse
from llmport_magic.llm.streams import ResponseStream


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Trace into memory."""
    return in_memory(monkeypatch)


# Whose part a span is


async def test_the_caller_is_the_parent(server: Loopback, exporter: InMemorySpanExporter) -> None:
    """The span of the caller's task is the parent, though the call runs in another thread."""
    server.always(lambda request: reply() if b'"stream"' not in request.body else stream_of("a"))
    llm = asking(server)
    tracer = trace.get_tracer("test")
    parents = []

    async def one(number: int) -> None:
        with tracer.start_as_current_span(f"parent {number}") as span:
            parents.append(span.get_span_context())
            await (llm.call("q") if number % 2 else pieces_of(llm))

    await asyncio.gather(*(one(number) for number in range(10)))

    made = [span for span in spans(exporter, 20) if span.name == "chat m"]
    assert len(made) == 10
    assert {span.parent.span_id for span in made if span.parent} == {p.span_id for p in parents}
    assert not trace.get_current_span().get_span_context().is_valid


def test_the_caller_is_the_parent_in_synchronous_code(
    server: Loopback, exporter: InMemorySpanExporter
) -> None:
    """Synchronous calls and streams, in any thread, are children of that thread's own span."""
    server.always(lambda request: reply() if b'"stream"' not in request.body else stream_of("a"))
    llm = asking(server)
    tracer = trace.get_tracer("test")

    def work(number: int) -> None:
        with tracer.start_as_current_span(f"parent {number}"):
            llm.call_llm("q")
            list(bridge.iterate(aiter(llm.stream("q"))))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = spans(exporter, 12)
    parents = {span.context.span_id for span in found if span.name.startswith("parent")}
    children = [span.parent.span_id for span in found if span.name == "chat m" and span.parent]
    assert sorted(children) == sorted([*parents, *parents])


async def test_a_gateway_is_told_the_trace(
    server: Loopback, exporter: InMemorySpanExporter
) -> None:
    """The request names its own span to the server, and keeps the application's baggage (S4-24)."""
    server.script(reply(), stream_of("a"))
    llm = asking(server)
    token = context.attach(baggage.set_baggage("user", "somebody"))

    await llm.call("q")
    async for _ in llm.stream("q"):
        pass
    context.detach(token)

    for request, span in zip(server.requests, spans(exporter, 2), strict=True):
        version, trace_id, span_id, flags = request.headers["traceparent"].split("-")
        assert version == "00"
        assert int(flags, 16) & 1
        assert int(trace_id, 16) == span.context.trace_id
        assert int(span_id, 16) == span.context.span_id
        assert "baggage" not in request.headers


# Every connector


class OnlyCall(BaseLLMConnector):
    """The shortest connector."""

    def call_llm(self, prompt: str) -> str:
        """Answer, inside a span of its own."""
        with trace.get_tracer("test").start_as_current_span("inside"):
            return prompt.upper()


class OnlyComplete(BaseLLMConnector):
    """A connector that answers whole."""

    async def complete(self, messages: Any, **_: Any) -> LLMResponse:
        """Answer."""
        return LLMResponse("hello", usage={"prompt_tokens": 4, "completion_tokens": 2})


class OnlyStream(BaseLLMConnector):
    """A connector that answers in pieces."""

    def stream(self, messages: Any, **options: Any) -> ResponseStream:
        """Answer."""

        async def pieces() -> AsyncGenerator[Chunk | list[Chunk], None]:
            yield Chunk("hel")
            yield [Chunk("lo", finish_reason="stop")]

        return ResponseStream(pieces, self.gathering(as_messages(messages), options))


@pytest.mark.parametrize("kind", [OnlyCall, OnlyComplete, OnlyStream, MockConnector])
@pytest.mark.parametrize("way", ["call", "stream", "call_llm"])
async def test_every_connector_is_traced_once(
    exporter: InMemorySpanExporter, kind: type[BaseLLMConnector], way: str
) -> None:
    """Whatever a connector class defines and however it is called, a call is one span (S4-24)."""
    llm = kind()
    if way == "call":
        await llm.call("q")
    elif way == "stream":
        async for _ in llm.stream("q"):
            pass
    else:
        await asyncio.to_thread(llm.call_llm, "q")

    inner = 1 if kind is OnlyCall else 0
    found = spans(exporter, 1 + inner)
    own = found[-1]
    assert own.name.startswith("chat")
    assert own.parent is None
    assert (own.attributes or {})["llm.tokens.prompt"] == (4 if kind is OnlyComplete else 1)
    if inner:
        assert found[0].parent is not None
        assert found[0].parent.span_id == own.context.span_id


async def test_a_call_of_another_provider_inside_a_call_is_its_own(
    exporter: InMemorySpanExporter,
) -> None:
    """A connector that asks another provider has a span, and so has what it asks."""

    class Router(BaseLLMConnector):
        async def complete(self, messages: Any, **options: Any) -> LLMResponse:
            return await MockConnector("hello").complete(messages, **options)

    await Router().call("q")

    inner, outer = spans(exporter, 2)
    assert (inner.attributes or {})["llm.provider"] == "mock"
    assert (outer.attributes or {})["llm.provider"] == "router"
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id


# Without it


_CODE = """
import asyncio, sys, time
{first}
sys.path.insert(0, {tests!r})
from asking import asking, pieces_of
from loopback import Loopback, reply, streamed
with Loopback() as server:
    server.script(reply("hi"), streamed("a", "b"))
    llm = asking(server)
    print(llm.call_llm("q"), asyncio.run(pieces_of(llm)))
    print(any(name.startswith("opentelemetry") for name in sys.modules if sys.modules[name]))
    print("traceparent" in server.requests[0].headers)
"""
_BLOCKED = "sys.modules['opentelemetry'] = None"


def _run(first: str, **environment: str) -> list[str]:
    code = _CODE.format(first=first, tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("first", ["", _BLOCKED])
def test_nothing_is_loaded_where_nobody_traces(first: str) -> None:
    """Calls work without the package, and do not load it where only they would (S4-24, X-01)."""
    assert _run(first) == ["hi ['a', 'b']", "False", "False"]


def test_a_blocked_package_is_no_failure_although_a_tracer_is_named() -> None:
    """A variable that names a tracer changes nothing where the package is missing."""
    found = _run(_BLOCKED, OTEL_PYTHON_TRACER_PROVIDER="sdk_tracer_provider")

    assert found == ["hi ['a', 'b']", "False", "False"]


_TRACED = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
"""


def test_the_standard_variables_count() -> None:
    """The SDK traces as `OTEL_SDK_DISABLED` and `OTEL_PROPAGATORS` say (S4-24)."""
    assert _run(_TRACED)[2] == "True"
    assert _run(_TRACED, OTEL_SDK_DISABLED="true")[2] == "False"
    assert _run(_TRACED, OTEL_PROPAGATORS="none")[2] == "False"


def test_the_page_about_traces_runs() -> None:
    """The example of `docs/tracing.md` prints the span that the page describes (S4-24)."""
    page = (Path(__file__).parent.parent / "docs" / "tracing.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    span = json.loads(done.stdout)
    assert span["name"] == "chat mock"
    named = re.findall(r"`((?:llm|gen_ai)\.[a-z_.]+)`", page)
    # What this call has not is about failures, streams, servers and real models.
    assert {"llm.provider", "llm.tokens.prompt", "llm.latency.ms"} <= set(named)
    assert {name for name in span["attributes"] if name.startswith("llm.")} <= set(named)
