"""Answers that are broken on purpose end in an answer or in an error of ours, and they end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from asking import KEY, no_wait
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import DONE, USAGE, data, event

from llmport_magic import bridge
from llmport_magic.errors import LLMError, UsageError
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.transport import Transport
from llmport_magic.llm.wire import Limits

_STREAM = b"".join(
    [
        b": hi\n\n",
        event("a\u2028ü🙂"),
        event("b", usage=None),
        event(finish="stop"),
        data({"choices": [], "usage": USAGE}),
        DONE,
    ]
)
_WHOLE = json.dumps(
    {"choices": [{"message": {"content": "ab"}, "finish_reason": "stop"}], "usage": USAGE}
).encode()

_FIELDS = [
    "choices",
    "delta",
    "message",
    "content",
    "finish_reason",
    "usage",
    "error",
    "code",
    "text",
    "reasoning",
    "refusal",
    "prompt_tokens",
    "x_groq",
    "model",
    "object",
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def _answering(body: bytes, status: int = 200, kind: str = "text/event-stream") -> LLMProvider:
    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"content-type": kind}, content=body)

    config = LLMConfig(
        "http://localhost:1/v1",
        "m",
        api_key=KEY,
        timeout_ms=600_000,
        limits=Limits(max_line_bytes=2000, max_body_bytes=20_000),
        retry=RetryPolicy(attempts=1, sleep=no_wait),
    )
    return LLMProvider(config, transport=Transport(httpx.MockTransport(handler)))


async def _ends(llm: LLMProvider, *, stream: bool) -> str | None:
    """Ask; give the text, or nothing where an error of ours came. Anything else is a failure."""
    try:
        if not stream:
            return (await llm.complete("q")).content
        answer = llm.stream("q")
        return "".join([text async for text in answer])
    except LLMError as error:
        said = str(error)
    assert KEY not in said
    assert "\n" not in said
    return None


def _both_end(body: bytes, status: int, kind: str) -> None:
    async def ask() -> None:
        async with asyncio.timeout(60):
            llm = _answering(body, status, kind)
            for stream in (True, False):
                text = await _ends(llm, stream=stream)
                assert text is None or isinstance(text, str)
            await llm.aclose()

    bridge.run(ask())


@given(
    place=st.integers(0, len(_STREAM)),
    size=st.integers(0, 40),
    noise=st.binary(max_size=40),
    whole=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_answer_ends(place: int, size: int, noise: bytes, whole: bool) -> None:
    """Bytes lost, changed or put in anywhere give an answer or an error of ours (S3-60)."""
    body = _WHOLE if whole else _STREAM
    damaged = body[:place] + noise + body[place + size :]

    _both_end(damaged, 200, "application/json" if whole else "text/event-stream")


@given(values=st.lists(_JSON, max_size=4), status=st.sampled_from([200, 200, 400, 404, 500]))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_json_of_any_shape_ends(values: list[Any], status: int) -> None:
    """Values of the wrong type in every field are no foreign exception (S0-19, S3-60)."""
    _both_end(b"".join(data(value) for value in values) + DONE, status, "text/event-stream")
    _both_end(json.dumps(values[0] if values else {}).encode(), status, "application/json")


@pytest.mark.parametrize("place", range(0, len(_STREAM), 7))
async def test_a_stream_cut_anywhere_is_whole_or_an_error(place: int) -> None:
    """A stream that ends too soon never passes for a whole answer with less text (S0-24)."""
    text = await _ends(_answering(_STREAM[:place]), stream=True)

    assert text in (None, "a\u2028ü🙂b")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"choices":' * 3_000,
        b"data: " + b"[" * 1_900 + b"\n\n",
        b"data: {}\n\n" * 3_000,
        b"\n" * 15_000,
        b": x\n" * 4_000,
        b"data:\n\n" * 2_000,
        b"\x00" * 5_000,
        b'data: {"choices":[{"delta":{"content":"\\ud800"}}]}\n\n',
        b'data: {"error":{"message":{"message":"x"}}}\n\n',
        b'data: {"error":[1,2]}\n\n',
        b"event: error\ndata: {}\n\n",
    ],
)
async def test_known_bombs_end(body: bytes) -> None:
    """Deep nesting, floods of nothing and half characters end in an error of ours."""
    for kind in ("text/event-stream", "application/json", "text/plain", ""):
        for stream in (True, False):
            async with asyncio.timeout(60):
                assert await _ends(_answering(body, kind=kind), stream=stream) is None


@pytest.mark.parametrize("status", [204, 206, 304, 418, 451, 511])
async def test_unusual_statuses_end(status: int) -> None:
    """A status that no provider should send is an error that names it, not a crash."""
    for stream in (True, False):
        assert await _ends(_answering(b"", status), stream=stream) is None


async def test_an_answer_that_nobody_damaged_is_whole() -> None:
    """The answers that the other tests damage are good ones to begin with."""
    assert await _ends(_answering(_STREAM), stream=True) == "a\u2028ü🙂b"
    whole = _answering(_WHOLE, kind="application/json")
    assert await _ends(whole, stream=False) == "ab"


async def test_a_prompt_that_cannot_be_sent_is_the_users_error() -> None:
    """Half a character in a prompt, or a value that is no JSON, is told before sending."""
    llm = _answering(_WHOLE, kind="application/json")

    with pytest.raises(UsageError, match="JSON"):
        await llm.call("\ud800")
    with pytest.raises(UsageError, match="JSON"):
        await llm.call("q", extra={"x": object()})
