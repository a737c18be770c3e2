"""The connector over HTTP, against a real server on this machine."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from loopback import CUT, DONE, HANG, Loopback, Script, data, event, events, failure, raw, reply
from loopback import streamed as stream_of

from llmport_magic import bridge
from llmport_magic.errors import (
    ConfigError,
    LLMContentError,
    LLMError,
    LLMStreamError,
    UsageError,
)
from llmport_magic.llm import provider as provider_module
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.transport import (
    LLMConnectionError,
    LLMStatusError,
    LLMTimeoutError,
    Transport,
)
from llmport_magic.llm.wire import Limits

KEY = "test-key-0123456789abcdef"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.fixture(autouse=True)
def _forget_refusals() -> None:
    provider_module._REFUSED.clear()


async def _no_wait(_: float) -> None:
    return None


def asking(server: Loopback, **fields: Any) -> LLMProvider:
    given: dict[str, Any] = {
        "base_url": server.url,
        "model": "m",
        "retry": RetryPolicy(sleep=_no_wait),
    }
    return LLMProvider(LLMConfig(**{**given, **fields}))


async def pieces_of(llm: LLMProvider, **options: Any) -> list[str]:
    return [text async for text in llm.stream("q", **options)]


# Plain calls


async def test_a_plain_call(server: Loopback) -> None:
    """A call gives text, reason, exact usage, and says who answered (S4-05, S4-09, S4-10)."""
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    server.script(reply("hi", usage={**usage, "prompt_tokens_details": {"cached_tokens": 4}}))
    llm = asking(server, api_key=KEY)

    response = await llm.call(messages=[{"role": "user", "content": "q"}])

    assert (response.content, response.finish_reason) == ("hi", "stop")
    assert response.usage == {**usage, "cached_tokens": 4}
    assert (response.model, response.provider) == ("m-1", "custom")
    assert response.metadata["usage_estimated"] is False
    assert response.metadata["raw_finish_reason"] == "stop"
    assert isinstance(response.metadata["latency_ms"], int)
    assert response.raw["id"] == "c1"
    request = server.requests[0]
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["accept-encoding"] == "identity"
    assert request.json == {
        "model": "m",
        "messages": [{"role": "user", "content": "q"}],
        "temperature": 0.7,
        "max_tokens": 4096,
    }


async def test_every_way_to_ask_is_the_same_call(server: Loopback) -> None:
    """call, generate, generate_text and complete send the same request (S1-20, S2-01)."""
    server.always(reply("hi"))
    llm = asking(server)

    assert (await llm.complete("q")).content == "hi"
    assert (await llm.call("q")).content == "hi"
    assert (await llm.generate("q")).content == "hi"
    assert await llm.generate_text("q") == "hi"
    assert await asyncio.to_thread(llm.call_llm, "q") == "hi"
    assert len({request.body for request in server.requests}) == 1
    assert list(inspect.signature(llm.generate_text).parameters)[:2] == ["prompt", "model"]


async def test_no_key_means_no_header(server: Loopback) -> None:
    """A local server without a key gets no Authorization header (S4-13)."""
    server.script(reply())

    await asking(server).call("q")

    assert "authorization" not in server.requests[0].headers


async def test_a_key_is_looked_up_when_it_is_used(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is set after the connector was made is found, one that is empty is none (S4-04)."""
    server.always(reply())
    llm = asking(server, api_key_vars=("FIRST_API_KEY", "SECOND_API_KEY"), key_required=True)
    monkeypatch.setenv("FIRST_API_KEY", "  ")

    with pytest.raises(ConfigError, match="FIRST_API_KEY"):
        await llm.call("q")
    monkeypatch.setenv("SECOND_API_KEY", KEY)
    await llm.call("q")

    assert [r.headers["authorization"] for r in server.requests] == [f"Bearer {KEY}"]


async def test_options_of_a_call_win_and_none_leaves_out(server: Loopback) -> None:
    """What a call says wins over the configuration, and None sends nothing (S2-01, S2-22)."""
    server.script(reply())
    extra = {"top_k": 3}

    await asking(server, extra={"a": 1}).call(
        "q", model="other", temperature=None, max_tokens=None, stop="x", seed=1, extra=extra
    )

    assert server.requests[0].json == {
        "model": "other",
        "messages": [{"role": "user", "content": "q"}],
        "stop": ["x"],
        "seed": 1,
        "a": 1,
        "top_k": 3,
    }
    assert extra == {"top_k": 3}


async def test_an_unknown_option_is_helped(server: Loopback) -> None:
    """A misspelt option is refused before anything is sent (S2-22)."""
    with pytest.raises(UsageError, match="did you mean `temperature`"):
        await asking(server).call("q", temprature=1)
    with pytest.raises(UsageError, match="start of the answer"):
        await asking(server).call("q", prefill="```python")

    assert server.requests == []


async def test_the_answer_is_never_longer_than_the_model_can(server: Loopback) -> None:
    """max_tokens is clipped to what the model can write (S1-19)."""
    server.script(reply())

    await asking(server, capabilities=LLMCapabilities(max_output_tokens=100)).call("q")

    assert server.requests[0].json["max_tokens"] == 100


async def test_missing_usage_is_estimated_and_says_so(server: Loopback) -> None:
    """Counts that the provider does not give are estimates, and marked (S4-09)."""
    server.script(reply("x" * 40, usage=None), stream_of("x" * 40, usage=None))
    llm = asking(server)

    plain = await llm.call("y" * 20)
    stream = llm.stream("y" * 20)
    async for _ in stream:
        pass

    for response in (plain, stream.response):
        assert response.metadata["usage_estimated"] is True
        assert response.usage == {
            "prompt_tokens": 5,
            "completion_tokens": 10,
            "total_tokens": 15,
        }


async def test_totals_add_up_in_parallel(server: Loopback) -> None:
    """The tokens of parallel and streamed calls are all counted (S4-26, S4-27, S4-33)."""
    server.always(lambda r: stream_of("a") if r.json.get("stream") else reply())
    llm = asking(server)

    await asyncio.gather(*(llm.call("q") for _ in range(20)), *(pieces_of(llm) for _ in range(20)))

    assert llm.usage_total == {
        "prompt_tokens": 280,
        "completion_tokens": 120,
        "total_tokens": 400,
    }


# One client, any loop


def test_calls_share_a_connection_over_loops_and_threads(server: Loopback) -> None:
    """Two asyncio.run in a row, a thread and sync calls use one connection (S4-31, S0-27, S4-06)."""
    server.always(lambda r: stream_of("a", "b") if r.json.get("stream") else reply("hi"))
    first, second = asking(server), asking(server)

    assert first.call_llm("q") == "hi"
    assert asyncio.run(first.call("q")).content == "hi"
    assert asyncio.run(pieces_of(second)) == ["a", "b"]
    thread = threading.Thread(target=lambda: asyncio.run(second.call("q")))
    thread.start()
    thread.join()
    assert bridge.run(pieces_of(first)) == ["a", "b"]

    assert len(server.requests) == 5
    assert server.accepts == 1


async def test_the_sync_face_does_not_hang_on_the_bridge(server: Loopback) -> None:
    """A sync call where waiting would never end raises instead (S4-06)."""

    async def inside() -> str:
        return asking(server).call_llm("q")

    with pytest.raises(RuntimeError, match="await"):
        await bridge.in_bridge(inside())


async def test_cookies_of_one_provider_are_not_kept(server: Loopback) -> None:
    """A shared client does not carry one provider's cookies to another (S2-15)."""
    server.script(raw(reply().steps[0], headers={"set-cookie": "id=1; Path=/"}), reply())

    await asking(server).call("q")
    await asking(server).call("q")

    assert "cookie" not in server.requests[1].headers


async def test_a_local_server_is_asked_what_it_serves(server: Loopback) -> None:
    """Without a model's name the first one that the server lists is asked, once (S4-03)."""
    server.script(raw('{"data": [{"id": "qwen"}, {"id": "other"}]}'), reply(), reply())
    llm = asking(server, model="")

    await llm.call("q")
    await llm.call("q")

    assert [r.path for r in server.requests] == ["/v1/models"] + ["/v1/chat/completions"] * 2
    assert server.requests[2].json["model"] == llm.model_name_for_api == "qwen"


# Failures before an answer


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "`SOME_API_KEY`"),
        (402, "credit"),
        (403, "`m`"),
        (404, "no model `m`"),
        (413, "too long"),
        (400, "not accepted"),
        (422, "not accepted"),
    ],
)
async def test_what_is_wrong_is_not_sent_again(server: Loopback, status: int, says: str) -> None:
    """These fail at once, with the provider's words and what to do (S4-18, S3-15, S3-51)."""
    server.script(failure(status, f"because {KEY}", headers={"x-request-id": "req-7"}))

    with pytest.raises(httpx.HTTPStatusError) as caught:
        await asking(server, api_key=KEY, api_key_vars=("SOME_API_KEY",)).call("q")

    error = caught.value
    assert isinstance(error, LLMStatusError)
    assert error.response.status_code == error.status == status
    assert "because" in error.response.text
    assert says in str(error)
    assert "because ********" in str(error)
    assert (error.request_id, error.provider, error.model) == ("req-7", "custom", "m")
    assert error.attempts == 1
    assert len(server.requests) == 1
    assert KEY not in f"{error} {error.response.text} {error.request.headers}"


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
async def test_trouble_passes(server: Loopback, status: int) -> None:
    """After trouble at the provider the same request is sent again (S3-07)."""
    server.script(failure(status), failure(status), reply("hi"))

    response = await asking(server).call("q")

    assert response.content == "hi"
    assert response.metadata["attempts"] == 3
    assert len({request.body for request in server.requests}) == 1


async def test_a_stream_is_retried_before_its_first_piece(server: Loopback) -> None:
    """A stream that could not begin begins again; nothing is shown twice (S3-07)."""
    server.script(failure(503), stream_of("a", "b"))

    assert await pieces_of(asking(server)) == ["a", "b"]


async def test_a_long_wait_is_told_and_not_waited(server: Loopback) -> None:
    """A provider that wants an hour fails at once, saying so (S3-07)."""
    server.script(failure(429, headers={"retry-after": "3600"}))

    with pytest.raises(LLMStatusError, match="in 1 h") as caught:
        await asking(server).call("q")

    assert caught.value.retry_after == 3600
    assert len(server.requests) == 1


async def test_an_error_in_a_success_is_an_error(server: Loopback) -> None:
    """HTTP 200 with an error object is that error, with its own code (S0-19)."""
    server.script(raw('{"error": {"code": 402, "message": "no credit"}}'))

    with pytest.raises(LLMStatusError, match="no credit") as caught:
        await asking(server).call("q")

    assert caught.value.status == 402


async def test_a_blocked_prompt_is_a_refusal(server: Loopback) -> None:
    """A provider that blocks what was asked raises the error of refusals (S3-05)."""
    server.script(failure(400, "policy", code="content_filter"))

    with pytest.raises(LLMContentError, match="policy"):
        await asking(server).call("q")


async def test_refused_parameters_are_learnt_once(server: Loopback) -> None:
    """A model that takes neither max_tokens nor temperature is asked again without, once (S4-07)."""
    said = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    cold = "Unsupported value: 'temperature'. Only the default (1) value is supported."
    server.script(failure(400, said, param="max_tokens"), failure(400, cold, param="temperature"))
    server.always(lambda r: stream_of("a") if r.json.get("stream") else reply())

    response = await asking(server).call("q")
    await pieces_of(asking(server))

    assert response.metadata["attempts"] == 1
    assert len(server.requests) == 4
    for request in server.requests[2:]:
        assert request.json["max_completion_tokens"] == 4096
        assert not {"max_tokens", "temperature"} & request.json.keys()


async def test_a_redirect_is_not_followed(server: Loopback) -> None:
    """A redirect would carry the prompt elsewhere: it is an error that names the host."""
    server.script(Script((), 307, {"location": "https://evil.example/v1"}, False, 0))

    with pytest.raises(LLMStatusError, match=r"evil\.example"):
        await asking(server, api_key=KEY).call("q")

    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [200, 502])
async def test_html_is_told_in_one_line(server: Loopback, status: int) -> None:
    """A web page instead of an answer is named, its tags and its length left out."""
    page = "<html><head><script>alert(1)</script></head><body><h1>Bad gateway</h1>" + "x" * 10**5
    server.always(raw(page, status=status, content_type="text/html"))

    with pytest.raises(LLMError, match="Bad gateway") as caught:
        await asking(server).call("q")
    with pytest.raises(LLMError, match="Bad gateway") as streamed:
        await pieces_of(asking(server))

    for error in (caught.value, streamed.value):
        assert len(str(error)) < 500
        assert "<" not in str(error)
        assert "alert" not in str(error)


@pytest.mark.parametrize("body", [b"", b"  ", b"null", b"[]", b"not json", b'{"choices": []}'])
async def test_a_success_that_is_no_answer(server: Loopback, body: bytes) -> None:
    """An empty or foreign body is told, not a crash and not an empty answer (S0-25)."""
    server.always(raw(body))

    with pytest.raises(LLMStreamError):
        await asking(server).call("q")
    with pytest.raises(LLMStreamError):
        await pieces_of(asking(server))


async def test_a_compressed_answer_is_refused(server: Loopback) -> None:
    """A body that could inflate without bounds is not inflated."""
    server.script(raw(b"\x1f\x8b" + b"0" * 100, headers={"content-encoding": "gzip"}))

    with pytest.raises(LLMStreamError, match="gzip"):
        await asking(server).call("q")


async def test_nobody_answers() -> None:
    """A refused connection names the address, after three tries (S4-20)."""
    with Loopback() as server:
        url = server.url
    llm = LLMProvider(LLMConfig(base_url=url, model="m", retry=RetryPolicy(sleep=_no_wait)))

    with pytest.raises(httpx.ConnectError) as caught:
        await llm.call("q")

    assert isinstance(caught.value, LLMConnectionError)
    assert url in str(caught.value)
    assert caught.value.attempts == 3


async def test_unknown_hosts_and_bad_certificates_are_told_apart() -> None:
    """A wrong name, a bad certificate and a proxy's refusal are different sentences (S4-20)."""
    said = {
        "[Errno -2] Name or service not known": "no such host",
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed": "certificate",
        "All connection attempts failed": "nobody answers",
    }
    for text, expected in said.items():

        def refuse(_: httpx.Request, text: str = text) -> httpx.Response:
            raise httpx.ConnectError(text)

        config = LLMConfig("https://host.example/v1", "m", retry=RetryPolicy(sleep=_no_wait))
        llm = LLMProvider(config, transport=Transport(httpx.MockTransport(refuse)))
        with pytest.raises(LLMConnectionError, match=expected):
            await llm.call("q")


async def test_a_user_can_fall_back(server: Loopback) -> None:
    """The seeds' own except clauses work, and another connector takes over (S4-21)."""
    server.script(failure(401), reply("from the other"))
    llm, other = asking(server), asking(server, provider="other")

    try:
        response = await llm.call("q")
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 401
        response = await other.call("q")

    assert (response.content, response.provider) == ("from the other", "other")


# Streams


async def test_a_stream_gives_text_then_the_whole(server: Loopback) -> None:
    """Text arrives in pieces, token counts and reason with the end (S4-12, S3-60)."""
    server.script(stream_of("a", "ü\u2028b", "c", finish="length"))
    stream = asking(server).stream("q")

    with pytest.raises(LLMError, match="not whole"):
        _ = stream.response
    pieces = [text async for text in stream]

    assert pieces == ["a", "ü\u2028b", "c"]
    response = stream.response
    assert (response.content, response.finish_reason) == ("aü\u2028bc", "length")
    assert response.usage == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert response.metadata["usage_estimated"] is False
    assert server.requests[0].json["stream"] is True
    assert server.requests[0].headers["accept"] == "text/event-stream"


async def test_the_first_text_is_there_before_the_last_is_sent(server: Loopback) -> None:
    """Text is shown while the server still holds the rest back (S4-32)."""
    server.script(stream_of("a", HANG))
    stream = asking(server).stream("q")

    async for text in stream:
        assert text == "a"
        break

    assert await asyncio.to_thread(server.requests[0].closed.wait, 2)


async def test_a_stream_arrives_whole_however_it_is_cut(server: Loopback) -> None:
    """Events cut into single bytes, half characters included, give the same text (S3-60)."""
    content = b": hi\r\n\r\n" + event("ü\u2028") + event("🙂") + event(finish="stop") + DONE
    server.script(events(*(content[i : i + 1] for i in range(len(content)))))

    assert await pieces_of(asking(server)) == ["ü\u2028", "🙂"]


async def test_half_characters_in_two_events_are_joined(server: Loopback) -> None:
    """A surrogate pair that a server cuts in two becomes the character again (S3-60)."""
    halves = [
        b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % h for h in (b"\\ud83d", b"\\ude42")
    ]
    server.script(stream_of(*halves, "!"))

    assert "".join(await pieces_of(asking(server))) == "🙂!"


async def test_empty_events_are_passed_over(server: Loopback) -> None:
    """Empty choices, null deltas, comments and usage beside choices are no trouble (S4-12)."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    server.script(
        events(
            b": comment\n\n",
            data({"choices": []}),
            data({"choices": [{"delta": None}]}),
            event("a"),
            event(finish="stop", usage=usage),
            DONE,
        )
    )
    stream = asking(server).stream("q")

    assert [text async for text in stream] == ["a"]
    assert stream.response.usage == usage


async def test_a_finish_reason_is_an_end(server: Loopback) -> None:
    """A server that sends no [DONE] has still finished when it says why (S4-12)."""
    server.script(events(event("a"), event(finish="stop")))

    assert await pieces_of(asking(server)) == ["a"]


@pytest.mark.parametrize("end", [(), (CUT,)])
async def test_an_end_without_an_end_is_an_error(server: Loopback, end: tuple) -> None:
    """A stream that just stops is not taken for a whole answer; its text is kept (S0-24, S3-60)."""
    server.script(events(event("half"), *end))
    stream = asking(server).stream("q")

    with pytest.raises(LLMStreamError, match="broke off") as caught:
        async for _ in stream:
            pass

    assert caught.value.partial == stream.text == "half"
    assert len(server.requests) == 1


async def test_an_error_in_a_stream_is_shown_and_not_retried(server: Loopback) -> None:
    """An error event after some text ends the stream with the provider's words (S3-60)."""
    server.script(events(event("half"), data({"error": {"message": "overloaded", "code": 529}})))

    with pytest.raises(LLMStreamError, match="overloaded") as caught:
        await pieces_of(asking(server))

    assert (caught.value.partial, caught.value.status) == ("half", 529)
    assert len(server.requests) == 1


async def test_bad_events_are_skipped_and_counted_until_there_are_ten(server: Loopback) -> None:
    """One broken event costs nothing but itself; ten in a row end the stream (S3-60)."""
    bad = b"data: {broken\n\n"
    server.script(stream_of("a", bad, bad, "b"), stream_of("a", *(bad,) * 10, "b"))
    stream = asking(server).stream("q")

    assert [text async for text in stream] == ["a", "b"]
    assert stream.response.metadata["skipped_events"] == 2
    with pytest.raises(LLMStreamError, match="10 events"):
        await pieces_of(asking(server))


async def test_a_server_that_does_not_stream_is_read_all_the_same(server: Loopback) -> None:
    """A plain answer to a request for a stream is one piece (S4-12)."""
    server.script(reply("hi"))
    stream = asking(server).stream("q")

    assert [text async for text in stream] == ["hi"]
    assert stream.response.usage["total_tokens"] == 10


async def test_a_refused_stream_fails_before_its_first_piece(server: Loopback) -> None:
    """A 401 is raised when the first piece is asked for, not shown as text (S4-12)."""
    server.script(failure(401))

    with pytest.raises(LLMStatusError):
        await pieces_of(asking(server))


async def test_reasoning_is_given_apart(server: Loopback) -> None:
    """What the model thinks is in the chunks and the metadata, never in the text (S4-12)."""
    think = data({"choices": [{"delta": {"reasoning_content": "hm"}}]})
    server.script(stream_of(think, "a"))
    stream = asking(server).stream("q")

    chunks = [chunk async for chunk in stream.chunks()]

    assert [chunk.reasoning for chunk in chunks][:1] == ["hm"]
    assert stream.response.content == "a"
    assert stream.response.metadata["reasoning"] == "hm"


async def test_limits_stop_what_has_no_end(server: Loopback) -> None:
    """A line or an answer over its limit ends the stream, with what had arrived (S4-19)."""
    limits = Limits(max_line_bytes=1000, max_body_bytes=5000)
    server.script(events(event("a"), b"data: " + b"x" * 2000, HANG))
    server.script(events(*(event("b" * 100) for _ in range(200)), HANG))
    server.script(raw(b"x" * 6000))
    llm = asking(server, limits=limits)

    with pytest.raises(LLMStreamError, match="max_line_bytes") as line:
        await pieces_of(llm)
    with pytest.raises(LLMStreamError, match="max_body_bytes") as body:
        await pieces_of(llm)
    with pytest.raises(LLMStreamError, match="max_body_bytes"):
        await llm.call("q")

    assert line.value.partial == "a"
    assert body.value.partial.startswith("bbbb")
    assert all(request.closed.wait(2) for request in server.requests[:2])


def test_the_configuration_is_safe_to_show() -> None:
    """A key given as text is a secret from then on, in every representation (S1-07)."""
    config = LLMConfig("https://host.example/v1", "m", api_key=KEY)

    assert KEY not in f"{config!r} {config} {replace(config)!r} {LLMProvider(None, config)!r}"
    assert config.timeout_ms == 30_000
    assert (config.temperature, config.max_tokens) == (0.7, 4096)
    with pytest.raises(UsageError, match="LLMConfig"):
        LLMProvider("https://host.example")


def test_timeouts_are_httpx_timeouts(server: Loopback) -> None:
    """A server that never answers ends with the seeds' own exception (S4-19)."""
    server.script(Script(silent=True))
    llm = asking(server, timeout_ms=200)

    with pytest.raises(httpx.TimeoutException) as caught:
        llm.call_llm("q")

    assert isinstance(caught.value, LLMTimeoutError)
