"""Google's Gemini API as a real server on this machine would speak it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import KEY, asking, no_wait
from loopback import Loopback, Script, data, events, raw

from llmport_magic.errors import LLMContentError, LLMStreamError
from llmport_magic.llm.messages import Message
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.transport import LLMStatusError

USAGE = {
    "promptTokenCount": 8,
    "candidatesTokenCount": 3,
    "thoughtsTokenCount": 4,
    "totalTokenCount": 15,
}
WEATHER = {
    "name": "get:weather",
    "description": "tells the weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def _gemini(server: Loopback, **fields: Any) -> LLMProvider:
    # Without a path, the base URL gets that of the API.
    given = {
        "base_url": server.url.removesuffix("/v1"),
        "dialect": "gemini_content",
        "provider": "gemini",
        "model": "gemini-3.8-flash",
        "api_key": KEY,
        "api_key_vars": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "temperature": None,
        "max_tokens": None,
    }
    return asking(server, **{**given, **fields})


def _answer(*parts: dict, finish: str | None = "STOP", **fields: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-3.8-flash", **fields}


def _text(text: str, **fields: Any) -> dict[str, Any]:
    return _answer({"text": text}, finish=None, **fields)


def _whole(body: Any, status: int = 200, **fields: Any) -> Script:
    return raw(json.dumps(body), status=status, **fields)


def _failure(status: int, message: str, *details: dict) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "details": list(details)}}


async def test_a_plain_call(server: Loopback) -> None:
    """A whole answer: text, reasoning, exact usage; the key in its header alone (S0-18, S4-09)."""
    thought = {"text": "hm", "thought": True}
    texts = {"text": '{"a":'}, {"text": "1}"}
    server.script(_whole(_answer(thought, *texts, usageMetadata=USAGE)))

    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    response = await _gemini(server).call(messages, json_mode=True)

    assert (response.content, response.reasoning) == ('{"a":1}', "hm")
    assert (response.finish_reason, response.metadata["raw_finish_reason"]) == ("stop", "STOP")
    assert response.usage == {
        "prompt_tokens": 8,
        "completion_tokens": 7,
        "total_tokens": 15,
        "reasoning_tokens": 4,
    }
    assert response.metadata["usage_estimated"] is False
    request = server.requests[0]
    assert request.path == "/v1beta/models/gemini-3.8-flash:generateContent"
    assert request.headers["x-goog-api-key"] == KEY
    assert "authorization" not in request.headers
    assert request.json == {
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [{"role": "user", "parts": [{"text": "q"}]}],
        "generationConfig": {"responseMimeType": "application/json"},
    }


async def test_the_name_of_a_model_arrives_as_one_segment(server: Loopback) -> None:
    """Slashes and colons of a name reach the server encoded (S2-02)."""
    server.always(_whole(_answer({"text": "hi"})))

    await _gemini(server, model="vendor/model:free").call("q")
    await _gemini(server, model="models/m").call("q")

    assert [request.path for request in server.requests] == [
        "/v1beta/models/vendor%2Fmodel%3Afree:generateContent",
        "/v1beta/models/m:generateContent",
    ]


async def test_a_stream(server: Loopback) -> None:
    """Text in pieces, thoughts apart, the last event's counts, the signature kept (S3-01)."""
    server.script(
        events(
            data(_answer({"text": "hm", "thought": True}, finish=None)),
            data(_text("a", usageMetadata={"promptTokenCount": 8, "totalTokenCount": 8})),
            data(_text("ü\u2028")),
            data(_answer({"text": "", "thoughtSignature": "s"}, usageMetadata=USAGE)),
        )
    )
    stream = _gemini(server).stream("q")

    assert [text async for text in stream] == ["a", "ü\u2028"]
    response = stream.response
    assert (response.content, response.reasoning) == ("aü\u2028", "hm")
    assert (response.usage["completion_tokens"], response.usage["total_tokens"]) == (7, 15)
    assert response.finish_reason == "stop"
    assert response.message.thinking[0]["thoughtSignature"] == "s"
    assert server.requests[0].path == (
        "/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse"
    )


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_round_of_tools(server: Loopback, streamed: bool) -> None:
    """Parallel calls come by the user's names, and go back with signatures and results (S4-14)."""
    asked = [
        {"functionCall": {"name": "get_weather", "args": {"city": c}}} for c in ("Köln", "Rom")
    ]
    asked[0]["thoughtSignature"] = "c2ln"
    calls = _answer(*asked, usageMetadata=USAGE)
    server.script(events(data(calls)) if streamed else _whole(calls))
    server.script(_whole(_answer({"text": "warm"})))
    llm = _gemini(server)

    if streamed:
        stream = llm.stream("q", tools=[WEATHER])
        assert [text async for text in stream] == []
        response = stream.response
    else:
        response = await llm.call("q", tools=[WEATHER])
    results = [Message.tool_result(call, "ok") for call in response.tool_calls]
    await llm.call([Message("user", "q"), response.message, *results], tools=[WEATHER])

    assert response.finish_reason == "tool_calls"
    assert [call.name for call in response.tool_calls] == ["get:weather"] * 2
    assert [call.arguments["city"] for call in response.tool_calls] == ["Köln", "Rom"]
    assert len({call.id for call in response.tool_calls}) == 2
    declared = server.requests[0].json["tools"][0]["functionDeclarations"][0]
    assert declared["name"] == "get_weather"
    turns = server.requests[1].json["contents"]
    assert turns[1] == {"role": "model", "parts": asked}
    assert [part["functionResponse"] for part in turns[2]["parts"]] == [
        {"name": "get_weather", "response": {"output": "ok"}}
    ] * 2


# Blocks


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_blocked_prompt_is_a_refusal(server: Loopback, streamed: bool) -> None:
    """No candidate and a reason for it is the error of refusals, with that reason (S0-18)."""
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": USAGE}
    server.script(events(data(body)) if streamed else _whole(body))
    llm = _gemini(server)

    with pytest.raises(LLMContentError, match="PROHIBITED_CONTENT"):
        await (_read(llm) if streamed else llm.call("q"))

    assert len(server.requests) == 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_stopped_answer_says_so(server: Loopback, streamed: bool) -> None:
    """A candidate that was stopped for safety has no parts and is still an answer (S4-10)."""
    body = {"candidates": [{"finishReason": "SAFETY", "index": 0}], "usageMetadata": USAGE}
    server.script(events(data(body)) if streamed else _whole(body))
    llm = _gemini(server)

    response = await (_read(llm) if streamed else llm.call("q"))

    assert (response.content, response.finish_reason) == ("", "content_filter")
    assert response.metadata["raw_finish_reason"] == "SAFETY"


async def _read(llm: LLMProvider) -> Any:
    stream = llm.stream("q")
    async for _ in stream:
        pass
    return stream.response


# Failures


async def test_a_bad_key_names_its_variable(server: Loopback) -> None:
    """The API answers 400 to a bad key; the message says which variable to check (S3-01)."""
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    server.script(_whole([_failure(400, f"API key not valid: {KEY}", detail)], 400))

    with pytest.raises(LLMStatusError, match="`GEMINI_API_KEY` or `GOOGLE_API_KEY`") as caught:
        await _gemini(server).call("q")

    assert caught.value.status == 400
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "says"),
    [(401, "GEMINI_API_KEY"), (403, "may not use"), (404, "no model"), (400, "not accepted")],
)
async def test_what_is_wrong_is_not_sent_again(server: Loopback, status: int, says: str) -> None:
    """These fail at once with the API's words (S3-01)."""
    server.script(_whole(_failure(status, "because"), status))

    with pytest.raises(LLMStatusError, match=rf"because.*{says}"):
        await _gemini(server).call("q")

    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_trouble_passes(server: Loopback, status: int) -> None:
    """After trouble at the provider the same request is sent again (S3-01)."""
    server.script(_whole(_failure(status, "m"), status), _whole(_answer({"text": "hi"})))

    assert (await _gemini(server).call("q")).content == "hi"
    assert len(server.requests) == 2


async def test_the_wait_that_the_body_asks_for_is_kept(server: Loopback) -> None:
    """A 429 says in its body how long to wait; a header would win, an hour is not waited."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await no_wait(seconds)

    def busy(seconds: str, headers: dict[str, str] | None = None) -> Script:
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        body = _failure(429, "slow down", {"@type": kind, "retryDelay": seconds})
        return _whole(body, 429, headers=headers)

    server.script(busy("7.5s"), busy("9s", {"retry-after": "2"}), _whole(_answer({"text": "hi"})))
    server.script(busy("3600s"))
    llm = _gemini(server, retry=RetryPolicy(sleep=sleep))

    assert (await llm.call("q")).content == "hi"
    assert waits == [7.5, 2.0]
    with pytest.raises(LLMStatusError, match="in 1 h") as caught:
        await llm.call("q")
    assert caught.value.retry_after == 3600


async def test_an_error_in_a_success_is_an_error(server: Loopback) -> None:
    """HTTP 200 with an error inside, or a list of one, is that error (S0-19)."""
    server.script(_whole([_failure(404, "gone")]))

    with pytest.raises(LLMStatusError, match="gone") as caught:
        await _gemini(server).call("q")

    assert caught.value.status == 404


_BUSY = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize(
    "end",
    [
        data(_BUSY),
        data([_BUSY]),
        # As seen in the wild: no event at all, https://github.com/vercel/ai/issues/5217
        json.dumps(_BUSY, indent=2).encode() + b"\n",
        json.dumps([_BUSY], indent=2).encode(),
    ],
)
@pytest.mark.parametrize("finish", [None, "STOP"])
async def test_a_failure_in_a_stream_is_raised(
    server: Loopback, end: bytes, finish: str | None
) -> None:
    """However the API writes it, also after a finish reason, it is no end of an answer (S3-01)."""
    server.script(events(data(_text("a")), data(_answer({"text": "b"}, finish=finish)), end))

    with pytest.raises(LLMStreamError, match="overloaded") as caught:
        await _read(_gemini(server))

    assert (caught.value.partial, caught.value.status) == ("ab", 503)


async def test_what_a_model_refuses_is_left_out_and_remembered(server: Loopback) -> None:
    """One refusal costs one request in a session; the system text is said by the user (S4-07)."""
    said = ["Developer instruction is not enabled for models/m", "Unknown name \"seed\" at 'x'"]
    server.script(*(_whole(_failure(400, what), 400) for what in said))
    server.always(_whole(_answer({"text": "hi"})))
    llm = _gemini(server)
    messages = [Message("system", "s"), Message("user", "q")]

    response = await llm.call(messages, seed=1, top_p=0.5)
    await llm.call(messages, seed=1, top_p=0.5)

    assert response.metadata["refused_parameters"] == ["seed", "systemInstruction"]
    assert len(server.requests) == 4
    for request in server.requests[2:]:
        assert request.json == {
            "contents": [{"role": "user", "parts": [{"text": "s"}, {"text": "q"}]}],
            "generationConfig": {"topP": 0.5},
        }


async def test_models_are_listed(server: Loopback) -> None:
    """The list is asked for in one page, with the key in the header."""
    row = {"name": "models/a", "supportedGenerationMethods": ["generateContent"]}
    server.script(_whole({"models": [row]}))

    assert await _gemini(server).models() == ("a",)
    assert server.requests[0].path == "/v1beta/models?pageSize=1000"
    assert server.requests[0].headers["x-goog-api-key"] == KEY


async def test_a_stream_cut_into_single_bytes(server: Loopback) -> None:
    """The same through the network, one byte at a time (S3-60)."""
    call = {"functionCall": {"name": "f", "args": {"q": "Köln"}}}
    pieces = [_text("ü\u2028🙂"), _answer(call, usageMetadata=USAGE)]
    content = b"".join(data(piece).replace(b"\n", b"\r\n") for piece in pieces)
    server.script(events(*(content[i : i + 1] for i in range(len(content)))))

    response = await _read(_gemini(server))

    assert response.content == "ü\u2028🙂"
    assert [call.arguments for call in response.tool_calls] == [{"q": "Köln"}]
    assert response.usage["total_tokens"] == 15
