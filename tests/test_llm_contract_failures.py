"""How every dialect fails: the same words, the same classes, whatever the vendor's format."""

from __future__ import annotations

import asyncio
import json
import pickle
from dataclasses import replace
from typing import Any

import httpx
import pytest
from asking import KEY, PATIENT
from loopback import HANG, Loopback, Request, Script, raw
from vendors import VENDORS, asking

from llmport_magic.errors import LLMError, LLMStreamError
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.transport import LLMStatusError, LLMTimeoutError

ONCE = RetryPolicy(attempts=1)
# Ollama passes over what a model does not know.
NEGOTIATING = [vendor for vendor in VENDORS if vendor.dialect != "ollama_chat"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_a_refused_request_is_sent_once(server: Loopback, vendor: Any, status: int) -> None:
    """A request that is wrong is not repeated, and says what the vendor said (S3-07, S3-15)."""
    server.always(vendor.error(status, f"No: {KEY} is not good"))

    with pytest.raises(LLMStatusError) as caught:
        await asking(server, vendor).call("q")

    assert len(server.requests) == 1
    _check(caught.value, status, retryable=False)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
@pytest.mark.parametrize("way", ["call", "stream"])
async def test_a_passing_failure_is_tried_three_times(
    server: Loopback, vendor: Any, status: int, way: str
) -> None:
    """What may pass is asked three times in all, then told (S3-07, S3-15, S4-18)."""
    server.always(vendor.error(status, f"No: {KEY} is not good"))
    llm = asking(server, vendor)

    with pytest.raises(LLMStatusError) as caught:
        await (llm.call("q") if way == "call" else anext(aiter(llm.stream("q"))))

    assert len(server.requests) == 3
    assert caught.value.attempts == 3
    _check(caught.value, status, retryable=True)


def _check(error: LLMStatusError, status: int, *, retryable: bool) -> None:
    assert isinstance(error, (LLMError, httpx.HTTPStatusError))
    assert (error.provider, error.model) == ("vendor", "m")
    assert (error.status, error.response.status_code) == (status, status)
    assert error.retryable is retryable
    assert "is not good" in str(error)
    assert "is not good" in error.response.text
    assert "\n" not in str(error)
    for shown in (str(error), repr(error), repr(error.__dict__), error.response.text):
        assert KEY not in shown
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


async def test_a_second_try_succeeds(server: Loopback, vendor: Any) -> None:
    """One overloaded answer costs nothing but a retry."""
    server.script(vendor.error(529, "busy"), vendor.stream("fine"))
    assert [text async for text in asking(server, vendor).stream("q")] == ["fine"]


async def test_an_error_in_the_stream_keeps_what_came(server: Loopback, vendor: Any) -> None:
    """A failure in the middle is told in the vendor's words, with the text before it (N36)."""
    server.script(vendor.broken_stream("half", "we are full"))
    stream = asking(server, vendor).stream("q")

    with pytest.raises(LLMStreamError, match="we are full") as caught:
        async for _ in stream:
            pass

    assert caught.value.partial == "half"
    assert len(server.requests) == 1


async def test_an_end_that_is_none_is_an_error(server: Loopback, vendor: Any) -> None:
    """A stream that stops without the vendor's end is broken off, never an answer (N37)."""
    server.script(vendor.stream("half", finish=None))
    stream = asking(server, vendor).stream("q")

    with pytest.raises(LLMStreamError, match="broke off") as caught:
        async for _ in stream:
            pass

    assert caught.value.partial == "half"


async def test_an_error_inside_a_success_is_an_error(server: Loopback, vendor: Any) -> None:
    """A status of 200 does not make an error object an answer (S0-19)."""
    body = b"".join(vendor.error(500, "not today").steps)
    server.always(raw(body))
    with pytest.raises(LLMError, match="not today"):
        await asking(server, vendor).call("q")


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", "null", "7", '"x"', "<html>hi</html>", "{", "\x00"]
)
@pytest.mark.parametrize("way", ["call", "stream"])
async def test_garbage_is_an_error(server: Loopback, vendor: Any, body: str, way: str) -> None:
    """What is no answer of the format is told as that, in one line (N43)."""
    server.always(raw(body))
    llm = asking(server, vendor)
    with pytest.raises(LLMError) as caught:
        await (llm.call("q") if way == "call" else anext(aiter(llm.stream("q"))))
    assert "\n" not in str(caught.value)


async def test_a_silent_server_runs_into_the_deadline(server: Loopback, vendor: Any) -> None:
    """A server that never answers ends at the deadline, as httpx's timeout (S4-19)."""
    server.always(Script(silent=True))
    llm = asking(server, vendor, limits=replace(PATIENT, first_byte=0.05), retry=ONCE)
    with pytest.raises(httpx.TimeoutException) as caught:
        await llm.call("q")
    assert isinstance(caught.value, LLMTimeoutError)
    assert "first_byte_timeout" in str(caught.value)


async def test_leaving_early_hangs_up(server: Loopback, vendor: Any) -> None:
    """Leaving the loop closes the socket, so that the vendor stops (S4-12)."""
    whole = vendor.stream("a", finish=None)
    server.script(Script([*whole.steps, HANG], 200, whole.headers, chunked=True))
    stream = asking(server, vendor).stream("q")
    async for _ in stream:
        break
    await stream.aclose()
    request: Request = server.requests[0]
    assert await asyncio.to_thread(request.closed.wait, 60)


@pytest.mark.parametrize("vendor", NEGOTIATING, ids=lambda vendor: vendor.dialect)
async def test_a_parameter_that_is_refused_is_left_out(server: Loopback, vendor: Any) -> None:
    """A model that refuses the temperature is asked without it, and that is remembered (S4-07)."""
    refusal = vendor.error(400, "`temperature` is not supported with this model.")
    server.script(refusal, vendor.whole("one"), vendor.whole("two"))
    llm = asking(server, vendor, temperature=0.5)

    answers = [(await llm.call("q")).content for _ in range(2)]

    assert answers == ["one", "two"]
    assert len(server.requests) == 3
    assert ["temperature" in json.dumps(sent.json) for sent in server.requests] == [
        True,
        False,
        False,
    ]
