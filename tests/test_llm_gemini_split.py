"""Streams of Google's Gemini API, cut anywhere, against a library that decodes them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import httpx
import httpx_sse
from hypothesis import given, settings
from hypothesis import strategies as st

from llmport_magic.llm.dialects import gemini_content
from llmport_magic.llm.gathering import Gathering
from llmport_magic.llm.reply import Chunk
from llmport_magic.llm.sse import SSEDecoder

_PARTS = st.one_of(
    st.builds(lambda t: {"text": t}, st.sampled_from(["a", "ü", "🙂", "\u2028", "\u0085", "\r\n"])),
    st.builds(lambda t: {"text": t, "thought": True}, st.sampled_from(["hm", "\u2028?"])),
    st.builds(
        lambda t: {"functionCall": {"name": "f", "args": {"q": t}}},
        st.sampled_from(["x", "Köln\u2028", '"\\']),
    ),
)
_STREAMS = st.lists(st.lists(_PARTS, min_size=1, max_size=3), max_size=6)


def _bytes(turns: list[list[dict]], end: bytes) -> bytes:
    pieces: list[dict] = [{"candidates": [{"content": {"parts": parts}}]} for parts in turns]
    pieces.append({"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}]})
    lines = [json.dumps(piece, ensure_ascii=False).encode() for piece in pieces]
    return b"".join(b"data: " + line + end + end for line in lines)


def _gathered(chunks: list[Any]) -> Any:
    gathering = Gathering("gemini", "m", "q", {})
    for chunk in chunks:
        if isinstance(chunk, Chunk):
            gathering.add(chunk)
    return gathering.response()


@given(
    turns=_STREAMS,
    end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    places=st.lists(st.integers(0, 1500), max_size=40),
)
@settings(max_examples=200, deadline=None)
def test_every_split_gives_what_a_library_reads(
    turns: list[list[dict]], end: bytes, places: list[int]
) -> None:
    """Text, thoughts and calls are exact wherever the bytes are cut (S4-14, S3-60)."""
    content = _bytes(turns, end)
    reader, decoder = gemini_content.stream_reader(), SSEDecoder()
    marks = sorted({0, len(content), *(p for p in places if p <= len(content))})
    cut = [event for a, b in pairwise(marks) for event in decoder.feed(content[a:b])]
    response = _gathered([reader.read(json.loads(event.data), "") for event in cut])

    served = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=content)
    theirs = [json.loads(event.data) for event in httpx_sse.EventSource(served).iter_sse()]
    parts = [part for event in theirs for part in event["candidates"][0]["content"]["parts"]]
    texts = [part["text"] for part in parts if "text" in part and not part.get("thought")]
    thoughts = [part["text"] for part in parts if part.get("thought")]
    calls = [part["functionCall"]["args"] for part in parts if "functionCall" in part]
    assert parts == [part for turn in turns for part in turn]
    assert response.content == "".join(texts)
    assert response.reasoning == "".join(thoughts)
    assert [dict(call.arguments) for call in response.tool_calls] == calls
    assert reader.complete
