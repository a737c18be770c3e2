"""Failures before an answer, against a real server on this machine."""

from __future__ import annotations

import httpx
import pytest
from asking import KEY, asking, no_wait, pieces_of
from loopback import Loopback, Script, failure, raw, refused_url, reply
from loopback import streamed as stream_of

from llmport_magic.errors import (
    LLMContentError,
    LLMError,
    LLMStreamError,
)
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.transport import (
    LLMConnectionError,
    LLMStatusError,
    Transport,
)

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
    assert response.metadata["sends"] == 3
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
    """A model that refuses parameters is asked again without them, once (S4-07)."""
    said = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    cold = "Unsupported value: 'temperature'. Only the default (1) value is supported."
    server.script(failure(400, said, param="max_tokens"), failure(400, cold, param="temperature"))
    server.always(lambda r: stream_of("a") if r.json.get("stream") else reply())

    response = await asking(server).call("q")
    await pieces_of(asking(server))

    assert response.metadata["sends"] == 1
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


async def test_nobody_answers(server: Loopback) -> None:
    """A refused connection names the address, after three tries (S4-20)."""
    url = refused_url()

    with pytest.raises(httpx.ConnectError) as caught:
        await asking(server, base_url=url).call("q")

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

        config = LLMConfig("https://host.example/v1", "m", retry=RetryPolicy(sleep=no_wait))
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
        response = await other.call("q") if error.response.status_code == 401 else None
    assert response is not None

    assert (response.content, response.provider) == ("from the other", "other")


async def test_openrouter_is_asked_as_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue's row asks the right endpoint, with the key as a bearer token (S0-19)."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"error": {"code": 402, "message": "no credit"}})

    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    row = LLMProvider.from_name(None, "openrouter")
    assert isinstance(row, LLMProvider)
    llm = LLMProvider(row.config, transport=Transport(httpx.MockTransport(handler)))

    with pytest.raises(LLMStatusError, match=r"402.*OPENROUTER_API_KEY"):
        await llm.call("q")

    assert str(seen[0].url) == "https://openrouter.ai/api/v1/chat/completions"
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"
