"""What makes a request another one than that whose answer is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from asking import KEY, asking
from keeping import TOOL
from loopback import Loopback, raw, reply

from llmport_magic.errors import UsageError
from llmport_magic.llm.cache import request_key
from llmport_magic.llm.messages import Image, LLMRole, Message, ToolCall
from llmport_magic.llm.provider import LLMConfig
from llmport_magic.llm.wire import Call

CONFIG = LLMConfig(base_url="http://127.0.0.1:1/v1", model="m", api_key=KEY)
CALL = Call(model="m", messages=(Message(LLMRole.USER, "q"),), temperature=0.5, max_tokens=10)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "m2"},
        {"messages": (Message(LLMRole.USER, "p"),)},
        {"messages": (Message(LLMRole.SYSTEM, "q"),)},
        {"messages": (Message(LLMRole.USER, "q", images=(Image(data=b"1"),)),)},
        {"messages": (Message(LLMRole.USER, "q", images=(Image(data=b"2"),)),)},
        {"messages": (Message(LLMRole.USER, "q", tool_calls=(ToolCall(name="f"),)),)},
        {"messages": (Message(LLMRole.USER, "q", thinking=({"a": 1},)),)},
        {"messages": (Message(LLMRole.USER, "q"), Message(LLMRole.ASSISTANT, "a"))},
        {"temperature": 0.6},
        {"temperature": None},
        {"max_tokens": 11},
        {"stop": ("x",)},
        {"seed": 1},
        {"top_p": 0.5},
        {"prefill": "x"},
        {"tools": (TOOL,)},
        {"tools": (replace(TOOL, description="d"),)},
        {"tools": (replace(TOOL, parameters={"type": "object"}),)},
        {"tools": (TOOL,), "tool_choice": "required"},
        {"json_mode": True},
        {"json_mode": True, "json_schema": {"type": "object"}},
        {"options": {"num_ctx": 1}},
        {"extra": {"a": 1}},
    ],
)
def test_whatever_shapes_the_answer_is_in_the_key(fields: dict[str, Any]) -> None:
    """A request that differs in anything is another one (S3-62)."""
    assert request_key(CONFIG, replace(CALL, **fields)) != request_key(CONFIG, CALL)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("provider", "p"),
        ("dialect", "ollama_chat"),
        ("base_url", "http://127.0.0.1:2/v1"),
        ("headers", {"x-version": "2"}),
    ],
)
def test_who_is_asked_is_in_the_key(field: str, value: Any) -> None:
    """The same words to another server or in another format are another request (S3-62)."""
    other = replace(CONFIG, **{field: value})

    assert request_key(other, CALL) != request_key(CONFIG, CALL)


def test_no_key_is_in_the_key() -> None:
    """Another API key, also one in a header, and how an answer travels change nothing (S3-62)."""
    other = replace(CONFIG, api_key="other-key-0123456789", headers={"x-api-key": "k-987654321"})

    assert request_key(other, CALL) == request_key(CONFIG, CALL)
    assert request_key(CONFIG, replace(CALL, stream=True, refused=frozenset({"seed"}))) == (
        request_key(CONFIG, CALL)
    )
    assert request_key(CONFIG, replace(CALL, tools=(replace(TOOL, function=print),))) == (
        request_key(CONFIG, replace(CALL, tools=(TOOL,)))
    )


def test_the_order_of_a_mapping_is_no_difference() -> None:
    """Options that are the same are so in any order."""
    one = replace(CALL, options={"a": 1, "b": {"c": 1, "d": 2}})
    two = replace(CALL, options={"b": {"d": 2, "c": 1}, "a": 1})

    assert request_key(CONFIG, one) == request_key(CONFIG, two)


async def test_another_temperature_asks_again(server: Loopback) -> None:
    """The same prompt at another temperature is not answered from the cache (S3-62)."""
    server.script(reply("1"), reply("2"))
    llm = asking(server, cache=True)

    assert (await llm.call("q", temperature=0.1)).content == "1"
    assert (await llm.call("q", temperature=0.2)).content == "2"
    assert (await llm.call("q", temperature=0.1)).metadata["cached"] is True


async def test_a_discovered_model_is_in_the_key(server: Loopback) -> None:
    """Where the server says which model there is, its answer is kept under that name."""
    served = raw(json.dumps({"data": [{"id": "small"}]}))
    other = raw(json.dumps({"data": [{"id": "large"}]}))
    server.script(served, reply("1"), other, reply("2"), served)

    assert (await asking(server, cache=True, model="").call("q")).content == "1"
    assert (await asking(server, cache=True, model="").call("q")).content == "2"
    assert (await asking(server, cache=True, model="").call("q")).content == "1"


async def test_what_cannot_be_sent_has_no_key(server: Loopback) -> None:
    """A request that no JSON can hold is refused as it is without a cache."""
    llm = asking(server, cache=True)

    with pytest.raises(UsageError, match="cannot be written as JSON"):
        await llm.call("q", extra={"a": object()})
    assert request_key(CONFIG, replace(CALL, extra={"a": object()})) is None
