"""Spans in memory, for tests of the tracing."""

from __future__ import annotations

import time
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def in_memory(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Trace into memory, for the length of a test."""
    found = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return found


def spans(exporter: InMemorySpanExporter, count: int = 1) -> list[ReadableSpan]:
    """Wait until so many spans have ended; there must not be more."""
    end = time.monotonic() + 60
    while len(exporter.get_finished_spans()) < count and time.monotonic() < end:
        time.sleep(0.002)
    found = list(exporter.get_finished_spans())
    assert len(found) == count, [span.name for span in found]
    return found


def facts(exporter: InMemorySpanExporter) -> dict[str, Any]:
    """Give the attributes of the one span that there is."""
    return dict(spans(exporter)[0].attributes or {})
