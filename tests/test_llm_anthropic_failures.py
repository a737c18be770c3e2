"""Failures in Anthropic's messages format: read, and met over real sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import KEY, asking
from loopback import Loopback, Script, events, raw

from llmport_magic.errors import LLMContentError, LLMError, LLMStreamError, UsageError
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.dialects import anthropic_messages as dialect
from llmport_magic.llm.wire import ErrorDetails
from llmport_magic.secrets import Secret

# Read


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("invalid_request_error", 400),
        ("authentication_error", 401),
        ("billing_error", 402),
        ("permission_error", 403),
        ("not_found_error", 404),
        ("request_too_large", 413),
        ("rate_limit_error", 429),
        ("api_error", 500),
        ("timeout_error", 504),
        ("overloaded_error", 529),
        ("invented_error", None),
    ],
)
def test_failures_have_the_status_of_their_kind(kind: str, status: int | None) -> None:
    """A failure inside a success is known by its type (S0-19)."""
    body = {"type": "error", "error": {"type": kind, "message": "m"}, "request_id": "req_1"}

    assert dialect.read_error(body) == ErrorDetails(message="m", code=kind, status=status)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": "m"}, "m"),
        ({"error": {"message": "m"}}, "m"),
        ({"error": {"type": "overloaded_error"}}, "overloaded_error"),
        ({"detail": "m"}, "m"),
        ({"message": "m"}, "m"),
    ],
)
def test_failures_are_read_in_the_shapes_of_proxies(body: dict[str, Any], said: str) -> None:
    """A server in between may write its failures otherwise (S3-15)."""
    details = dialect.read_error(body)

    assert details is not None
    assert details.message == said


@pytest.mark.parametrize("body", [None, "x", [], {}, {"content": [], "message": 1}, {"data": []}])
def test_an_answer_is_no_failure(body: object) -> None:
    """Nothing but a failure is read as one."""
    assert dialect.read_error(body) is None


def test_a_blocked_answer_is_told_from_a_bad_request() -> None:
    """Blocked content and an empty account come as a 400 like any other."""
    blocked = "Output blocked by content filtering policy"
    poor = "Your credit balance is too low to access the Anthropic API."
    kind = "invalid_request_error"

    first = dialect.read_error({"type": "error", "error": {"type": kind, "message": blocked}})
    second = dialect.read_error({"type": "error", "error": {"type": kind, "message": poor}})

    assert first is not None
    assert second is not None
    assert first.code == "content_filter"
    assert (second.code, second.advice) == (kind, "add credit to the account of the key")


_BODY = {
    "messages": [{"role": "user"}, {"role": "assistant"}],
    "temperature": 0.7,
    "top_p": 0.9,
    "tool_choice": {"type": "any"},
    "output_config": {"format": {}, "effort": "low"},
}


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("`temperature` is deprecated for this model.", "temperature"),
        ("top_p: Extra inputs are not permitted", "top_p"),
        (
            "`temperature` and `top_p` cannot both be specified for this model.",
            "temperature with top_p",
        ),
        (
            'tool_choice: type "tool" and "any" are not supported for this model.',
            "forced tool_choice",
        ),
        ("Thinking may not be enabled when tool_choice forces tool use.", "forced tool_choice"),
        (
            "This model does not support assistant message prefill.",
            "prefill",
        ),
        ("output_config.format: Extra inputs are not permitted", "output_config.format"),
        ("output_config: Extra inputs are not permitted", "output_config.format"),
        ("'claude-x' does not support output format", "output_config.format"),
        ("temperature: Input should be less than or equal to 1", None),
        ("output_config.format.schema: 'pattern' is not supported", None),
        ("output_config.effort: level 'max' is not supported", None),
        ('"thinking.type.enabled" is not supported for this model.', None),
        ("messages: at least one message is required", None),
        ("max_tokens: 200000 > 64000, which is the maximum allowed", None),
    ],
)
def test_a_refused_parameter_is_told_from_a_bad_value(said: str, name: str | None) -> None:
    """Only what the model does not take is left out, never a wrong value (S4-07)."""
    assert dialect.refused_parameter(ErrorDetails(message=said), _BODY) == name


def test_nothing_is_refused_that_was_not_sent() -> None:
    """A failure about something that is not in the request is not negotiated."""
    bare = {"messages": [{"role": "user"}], "tool_choice": {"type": "auto"}}

    for said in (
        "`temperature` is deprecated for this model.",
        "Thinking may not be enabled when tool_choice forces tool use.",
        "This model does not support assistant message prefill.",
        "output_config.format: Extra inputs are not permitted",
    ):
        assert dialect.refused_parameter(ErrorDetails(message=said), bare) is None


# Over real sockets


def claude(server: Loopback, **fields: Any) -> Any:
    """Make a connector that asks the server in this format."""
    given = {"dialect": "anthropic_messages", "provider": "anthropic", "api_key": KEY}
    return asking(server, **{**given, "api_key_vars": ("ANTHROPIC_API_KEY",), **fields})


def answer(said: str = "hello") -> Script:
    """Answer with a whole message."""
    content = [{"type": "text", "text": said}]
    usage = {"input_tokens": 7, "output_tokens": 3}
    body = {"type": "message", "content": content, "stop_reason": "end_turn", "usage": usage}
    return raw(json.dumps(body))


def failure(status: int, kind: str, said: str, **headers: str) -> Script:
    """Answer with a failure."""
    body = {"type": "error", "error": {"type": kind, "message": said}, "request_id": "req_1"}
    return raw(json.dumps(body), status=status, headers={"request-id": "req_1", **headers})


def stream_of(*pieces: dict[str, Any]) -> Script:
    """Answer as a stream of these events."""
    return events(
        *(f"event: {piece['type']}\ndata: {json.dumps(piece)}\n\n".encode() for piece in pieces)
    )


BEGUN = (
    {"type": "message_start", "message": {"model": "m-1", "usage": {"input_tokens": 7}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hel"}},
)


async def test_a_wrong_key_is_told_with_its_variable(server: Loopback) -> None:
    """A 401 is one line with the variable and the request, and never the key (S4-18)."""
    server.script(failure(401, "authentication_error", "invalid x-api-key"))

    with pytest.raises(LLMError, match="ANTHROPIC_API_KEY") as caught:
        await claude(server).call("q")

    assert "invalid x-api-key" in str(caught.value)
    assert "req_1" in str(caught.value)
    assert KEY not in str(caught.value)
    assert server.requests[0].headers["x-api-key"] == KEY
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, "rate_limit_error"), (529, "overloaded_error"), (500, "api_error")],
)
async def test_what_passes_is_tried_again(server: Loopback, status: int, kind: str) -> None:
    """Too many requests and an overloaded API are retried, plain and streamed (S3-01)."""
    refusal = failure(status, kind, "Overloaded", **{"retry-after": "0"})
    done = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    server.script(refusal, answer(), refusal, stream_of(*BEGUN, done))

    response = await claude(server).call("q")
    pieces = [piece async for piece in claude(server).stream("q")]

    assert response.content == "hello"
    assert response.metadata["sends"] == 2
    assert pieces == ["hel"]
    assert len(server.requests) == 4


async def test_a_failure_inside_a_success_is_one(server: Loopback) -> None:
    """An error object in a 200 has the status of its kind, and is retried by it (S3-15)."""
    server.script(failure(200, "overloaded_error", "Overloaded"), answer())

    assert (await claude(server).call("q")).content == "hello"

    server.script(failure(200, "invalid_request_error", "max_tokens: too many"))
    with pytest.raises(LLMError, match=r"answered 400 .*max_tokens: too many"):
        await claude(server).call("q")


async def test_an_error_in_the_stream_ends_it_with_the_vendors_words(server: Loopback) -> None:
    """An overloaded API in the middle of an answer is no end of it (S4-12)."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    server.script(stream_of(*BEGUN, error))

    with pytest.raises(LLMStreamError, match="Overloaded") as caught:
        _ = [piece async for piece in claude(server).stream("q")]

    assert caught.value.partial == "hel"
    assert caught.value.status == 529


@pytest.mark.parametrize("events_before", [1, len(BEGUN)])
async def test_a_stream_without_an_end_is_truncated(server: Loopback, events_before: int) -> None:
    """Neither a bare beginning nor a first word is an answer (S4-12)."""
    server.script(stream_of(*BEGUN[:events_before]))

    with pytest.raises(LLMStreamError, match="broke off"):
        _ = [piece async for piece in claude(server).stream("q")]


async def test_a_blocked_answer_is_the_contents_fault(server: Loopback) -> None:
    """The filter's 400 is told from a bad request."""
    said = "Output blocked by content filtering policy"
    server.script(failure(400, "invalid_request_error", said))

    with pytest.raises(LLMContentError, match="filtering policy"):
        await claude(server).call("q")


async def test_refused_sampling_is_left_out_and_remembered(server: Loopback) -> None:
    """A newer model's 400s cost one request each, once in a session (S4-07)."""
    kind = "invalid_request_error"
    server.script(
        failure(400, kind, "`temperature` is deprecated for this model."),
        failure(400, kind, "`top_p` is deprecated for this model."),
    )
    server.always(answer())
    llm = claude(server)

    first = await llm.call("q", top_p=0.9)
    await llm.call("q", top_p=0.9)

    assert first.metadata["refused_parameters"] == ["temperature", "top_p"]
    sent = [request.json for request in server.requests]
    assert [("temperature" in body, "top_p" in body) for body in sent] == [
        (True, True),
        (False, True),
        (False, False),
        (False, False),
    ]


async def test_two_that_do_not_go_together_are_not_both_given_up(server: Loopback) -> None:
    """Where only one may be sent, `top_p` stays; alone, the temperature is sent again (S4-07)."""
    said = "`temperature` and `top_p` cannot both be specified for this model."
    server.script(failure(400, "invalid_request_error", said))
    server.always(answer())
    llm = claude(server)

    await llm.call("q", top_p=0.9)
    await llm.call("q")

    both, one, alone = (request.json for request in server.requests)
    assert {"temperature", "top_p"} <= both.keys()
    assert ("temperature" in one, one["top_p"]) == (False, 0.9)
    assert ("top_p" in alone, alone["temperature"]) == (False, 0.7)


async def test_a_forced_tool_is_asked_for_in_words(server: Loopback) -> None:
    """A model that refuses the force is told what to call (S4-07, S4-14)."""
    said = 'tool_choice: type "tool" and "any" are not supported for this model.'
    server.script(failure(400, "invalid_request_error", said), answer())

    await claude(server).call("q", tools=[{"name": "web:weather"}], tool_choice="web:weather")

    assert server.requests[0].json["tool_choice"] == {"type": "tool", "name": "web_weather"}
    assert server.requests[1].json["tool_choice"] == {"type": "auto"}
    assert "`web_weather`" in server.requests[1].json["system"]


async def test_a_start_of_the_answer_is_never_dropped_in_silence(server: Loopback) -> None:
    """A prefill is refused here where a model is known not to take it, else by the vendor."""
    said = "This model does not support assistant message prefill."
    server.always(failure(400, "invalid_request_error", said))

    with pytest.raises(UsageError, match="start of the answer"):
        await claude(server).call("q", prefill="```")
    assert server.requests == []
    with pytest.raises(LLMError, match="assistant message prefill"):
        await claude(server, capabilities=LLMCapabilities(prefill=True)).call("q", prefill="```")


async def test_the_models_are_asked_for_with_key_and_version(server: Loopback) -> None:
    """The list of models needs the same headers as an answer."""
    server.script(raw(json.dumps({"data": [{"type": "model", "id": "claude-x"}]})))

    assert await claude(server, api_key=Secret(KEY)).models() == ("claude-x",)
    asked = server.requests[0]
    assert (asked.method, asked.path) == ("GET", "/v1/models?limit=1000")
    assert asked.headers["x-api-key"] == KEY
    assert asked.headers["anthropic-version"] == "2023-06-01"
