"""Server-sent events, split anywhere."""

from __future__ import annotations

from itertools import pairwise

import httpx
import httpx_sse
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmport_magic.llm.sse import LineSplitter, LineTooLongError, SSEDecoder

_LINES = st.lists(
    st.sampled_from(
        [
            b"",
            b"",
            b": keep-alive",
            b"data: {}",
            b"data:x",
            b"data:  two spaces",
            b"data",
            "data: \u2028\u0085 ü".encode(),
            b"event: error",
            b"id: 7",
            b"retry: 10",
            b"nonsense",
        ]
    ),
    max_size=12,
)
_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def _ours(pieces: list[bytes]) -> list[tuple[str, bytes]]:
    decoder = SSEDecoder()
    return [(e.event, e.data) for piece in pieces for e in decoder.feed(piece)]


def _theirs(content: bytes) -> list[tuple[str, bytes]]:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=content)
    events = httpx_sse.EventSource(response).iter_sse()
    # The library also gives events that hold an id or a retry and no data.
    return [("" if e.event == "message" else e.event, e.data.encode()) for e in events if e.data]


def _cut(content: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(content), *(p for p in places if p <= len(content))})
    return [content[a:b] for a, b in pairwise(marks)]


@given(lines=_LINES, end=_ENDS, places=st.lists(st.integers(0, 200), max_size=30))
@settings(max_examples=300, deadline=None)
def test_events_are_those_of_httpx_sse(lines: list[bytes], end: bytes, places: list[int]) -> None:
    """Every split of every stream gives the events that httpx-sse gives (S3-60, S4-12)."""
    content = b"".join(line + end for line in lines) + end

    ours = [event for event in _ours(_cut(content, places)) if event[1]]

    assert ours == _theirs(content)


def test_every_split_into_two_and_single_bytes_is_the_same() -> None:
    """One stream cut at every byte, and into single bytes, gives the same events (S4-12)."""
    content = "\ufeff: hi\r\ndata: a\u2028b\r\ndata: ü\r\n\r\nevent: e\ndata: 2\r\r".encode()
    whole = _ours([content])

    assert whole == [("", "a\u2028b\nü".encode()), ("e", b"2")]
    for place in range(len(content) + 1):
        assert _ours([content[:place], content[place:]]) == whole
    assert _ours([content[i : i + 1] for i in range(len(content))]) == whole


def test_the_last_event_counts_without_its_empty_line() -> None:
    """A server that does not write the last line feed still says its last word (S4-12)."""
    decoder = SSEDecoder()

    assert decoder.feed(b"data: [DONE]") == []
    assert [event.data for event in decoder.flush()] == [b"[DONE]"]
    assert decoder.flush() == []


def test_json_that_is_no_event_comes_last() -> None:
    """An error object that a server writes into its stream bare is not lost (S0-19)."""
    bare = b'{\n  "error": {\n    "data": 1\n  }\n}\n'
    content = b"data: 1\n\n" + bare + b": ping\n\ndata: 2\n\n"
    for place in range(len(content) + 1):
        decoder = SSEDecoder()

        events = decoder.feed(content[:place]) + decoder.feed(content[place:])

        assert [event.data for event in events] == [b"1", b"2"]
        assert [event.data for event in decoder.flush()] == [bare.strip()]
        assert decoder.flush() == []


def test_bare_json_is_stopped_at_the_limit() -> None:
    """What is no event cannot fill the memory either."""
    decoder = SSEDecoder(max_line_bytes=100)

    with pytest.raises(LineTooLongError, match="100"):
        decoder.feed(b"[\n" * 60)


def test_a_line_without_an_end_is_stopped_at_the_limit() -> None:
    """A line of unbounded length is refused before it fills the memory."""
    splitter = LineSplitter(max_line_bytes=100)

    splitter.feed(b"x" * 100)
    with pytest.raises(LineTooLongError, match="100"):
        splitter.feed(b"x")


def test_an_event_of_many_lines_is_stopped_at_the_limit() -> None:
    """An event cannot pass the limit by being cut into short lines."""
    decoder = SSEDecoder(max_line_bytes=100)

    with pytest.raises(LineTooLongError, match="100"):
        decoder.feed(b"data: 0123456789\n" * 11)
