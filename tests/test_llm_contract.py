"""What every dialect keeps, asked over real sockets of a server that speaks its vendor's format."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from asking import KEY
from loopback import Loopback
from vendors import COMPLETION, PROMPT, asking

from llmport_magic.errors import LLMOutputError, UsageError
from llmport_magic.llm.messages import Image, Message

USAGE = {
    "prompt_tokens": PROMPT,
    "completion_tokens": COMPLETION,
    "total_tokens": PROMPT + COMPLETION,
}
CONVERSATION = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Grüße 😀\u2028!"},
]
WEATHER = {
    "name": "web:weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
CALLS = [("c0", "web_weather", {"city": "Köln"}), ("c1", "web_weather", {"city": 'O"slo'})]
PIXEL = base64.b64decode("R0lGODlhAQABAAAAACwAAAAAAQABAAA=")


# Text


async def test_a_conversation_gets_an_answer(server: Loopback, vendor: Any) -> None:
    """System, turns and text arrive whole; text, reason and exact usage come back (S3-01)."""
    server.script(vendor.whole("Grüße\u2028 zurück 😀"))

    response = await asking(server, vendor).call(CONVERSATION)

    assert response.content == "Grüße\u2028 zurück 😀"
    assert (response.finish_reason, response.model) == ("stop", "m-1")
    assert {name: response.usage[name] for name in USAGE} == USAGE
    assert response.metadata["usage_estimated"] is False
    sent = server.requests[0]
    assert vendor.prompt_of(sent.json) == [(turn["role"], turn["content"]) for turn in CONVERSATION]
    assert sent.headers[vendor.key_header].endswith(KEY)
    assert KEY not in sent.path


async def test_a_stream_says_the_same(server: Loopback, vendor: Any) -> None:
    """A stream brings the same text in pieces, the same usage and the same reason (S4-12)."""
    pieces = ("Grü", "ße\u2028", " ", "zurück\r\n", "😀")
    server.script(vendor.stream(*pieces))

    stream = asking(server, vendor).stream(CONVERSATION)
    arrived = [text async for text in stream]

    assert "".join(arrived) == "".join(pieces)
    assert len(arrived) > 1
    assert {name: stream.response.usage[name] for name in USAGE} == USAGE
    assert stream.response.metadata["usage_estimated"] is False
    assert (stream.response.finish_reason, stream.response.model) == ("stop", "m-1")


async def test_sampling_parameters_are_sent(server: Loopback, vendor: Any) -> None:
    """Length, temperature and stop texts are in the request under the vendor's names (S3-01)."""
    server.script(vendor.whole("x"))
    llm = asking(server, vendor)

    await llm.call("q", max_tokens=77, temperature=0.25, stop=["END"], top_p=0.5)

    said = json.dumps(server.requests[0].json)
    for value in ("77", "0.25", '["END"]'):
        assert value in said


async def test_what_is_none_is_not_sent(server: Loopback, vendor: Any) -> None:
    """Parameters that are `None` leave no trace in the request (S2-01)."""
    server.script(vendor.whole("x"))

    await asking(server, vendor, temperature=None, max_tokens=None).call("q")

    assert "null" not in json.dumps(server.requests[0].json)
    assert "temperature" not in json.dumps(server.requests[0].json)


async def test_extra_goes_into_the_body(server: Loopback, vendor: Any) -> None:
    """What only this vendor knows goes into the body, and the caller's mapping stays (S2-22)."""
    server.script(vendor.whole("x"))
    extra = {"only_here": {"deep": [1, 2]}}

    await asking(server, vendor).call("q", extra=extra)

    assert server.requests[0].json["only_here"] == {"deep": [1, 2]}
    assert extra == {"only_here": {"deep": [1, 2]}}


async def test_every_finish_reason_is_normalised(server: Loopback, vendor: Any) -> None:
    """Each documented reason gets one of five words, and the vendor's own is kept (S4-10)."""
    llm = asking(server, vendor)
    for raw_reason, reason in vendor.FINISH.items():
        server.script(vendor.whole("x", finish=raw_reason), vendor.stream("x", finish=raw_reason))
        whole = await llm.call("q")
        stream = llm.stream("q")
        async for _ in stream:
            pass
        for response in (whole, stream.response):
            assert response.finish_reason == reason, raw_reason
            assert response.metadata["raw_finish_reason"] == raw_reason


async def test_reasoning_is_no_answer(server: Loopback, vendor: Any) -> None:
    """What a model thinks is given apart from what it says, whole and streamed."""
    server.script(
        vendor.whole("42", thought="six times seven"),
        vendor.stream("4", "2", thought="six times seven"),
    )
    llm = asking(server, vendor)

    whole = await llm.call("q")
    stream = llm.stream("q")
    texts = [text async for text in stream]

    assert (whole.content, whole.reasoning) == ("42", "six times seven")
    assert "".join(texts) == stream.response.content == "42"
    assert stream.response.reasoning == "six times seven"


async def test_a_picture_is_sent(server: Loopback, vendor: Any) -> None:
    """A picture's bytes and the text about it are in one request."""
    server.script(vendor.whole("a dot"))
    message = Message("user", "What is it?", images=[Image(data=PIXEL, media_type="image/gif")])

    await asking(server, vendor).call(message)

    said = json.dumps(server.requests[0].json)
    assert base64.b64encode(PIXEL).decode() in said
    assert "What is it?" in said


# JSON


async def test_json_mode_gives_an_object(server: Loopback, vendor: Any) -> None:
    """`json_mode` gives text that is a JSON object, and the request says JSON (S2-03)."""
    server.script(vendor.whole('```json\n{"colour": "red"}\n```'))

    response = await asking(server, vendor).call("A colour.", json_mode=True)

    assert json.loads(response.content) == {"colour": "red"}
    assert "json" in json.dumps(server.requests[0].json).lower()


async def test_json_that_breaks_its_schema_is_asked_for_again(
    server: Loopback, vendor: Any
) -> None:
    """An answer beside the schema is repaired once; usage counts both calls (S2-03)."""
    schema = {
        "type": "object",
        "properties": {"colour": {"type": "string"}},
        "required": ["colour"],
        "additionalProperties": False,
    }
    server.script(vendor.whole('{"color": 1}'), vendor.whole('{"colour": "red"}'))

    response = await asking(server, vendor).call("A colour.", json_schema=schema)

    assert json.loads(response.content) == {"colour": "red"}
    assert response.usage["total_tokens"] == 2 * USAGE["total_tokens"]
    assert "colour" in json.dumps(server.requests[0].json)


async def test_what_never_is_json_is_an_error(server: Loopback, vendor: Any) -> None:
    """Two answers without an object are an LLMOutputError (S2-03)."""
    server.script(vendor.whole("red"), vendor.whole("still red"))

    with pytest.raises(LLMOutputError):
        await asking(server, vendor).call("A colour.", json_mode=True)


# Tools


def _ids(response: Any) -> list[tuple[str, dict[str, Any]]]:
    assert len({call.id for call in response.tool_calls}) == len(response.tool_calls)
    return [(call.name, dict(call.arguments)) for call in response.tool_calls]


async def test_parallel_calls_are_read(server: Loopback, vendor: Any) -> None:
    """Parallel calls come under the user's names with their arguments; no text is fine (S4-14)."""
    server.script(vendor.whole("", calls=CALLS), vendor.stream(calls=CALLS))
    llm = asking(server, vendor)

    whole = await llm.call("q", tools=[WEATHER])
    stream = llm.stream("q", tools=[WEATHER])
    async for _ in stream:
        pass

    for response in (whole, stream.response):
        assert _ids(response) == [("web:weather", arguments) for _, _, arguments in CALLS]
        assert response.finish_reason == "tool_calls"
        assert response.content == ""
    assert "web_weather" in json.dumps(server.requests[0].json)
    assert "web:weather" not in json.dumps(server.requests[0].json)


async def test_results_go_back(server: Loopback, vendor: Any) -> None:
    """The calls and their results are sent back in order, and the model goes on (S4-14)."""
    server.script(vendor.whole("", calls=CALLS, thought="hm"), vendor.whole("Rain in both."))
    llm = asking(server, vendor)

    first = await llm.call("q", tools=[WEATHER])
    results = [
        Message.tool_result(call, {"sky": f"rain {n}"}) for n, call in enumerate(first.tool_calls)
    ]
    second = await llm.call(["q", first.message, *results], tools=[WEATHER])

    assert second.content == "Rain in both."
    said = json.dumps(server.requests[1].json, ensure_ascii=False)
    places = [said.index(word) for word in ("Köln", "slo", "rain 0", "rain 1")]
    assert places == sorted(places)
    assert "web:weather" not in said


@pytest.mark.parametrize("choice", ["auto", "none", "required", "web:weather"])
async def test_the_choice_of_tools_is_sent(server: Loopback, vendor: Any, choice: str) -> None:
    """Each way to choose among the tools makes a request of its own (S4-14)."""
    server.always(vendor.whole("x"))
    llm = asking(server, vendor)

    await llm.call("q", tools=[WEATHER])
    if vendor.dialect == "ollama_chat" and choice not in ("auto", "none"):
        with pytest.raises(UsageError, match="cannot be told to call a tool"):
            await llm.call("q", tools=[WEATHER], tool_choice=choice)
        return
    await llm.call("q", tools=[WEATHER], tool_choice=choice)

    if choice != "auto":
        assert server.requests[0].json != server.requests[1].json
