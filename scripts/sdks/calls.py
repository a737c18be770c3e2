"""Everything that a call may carry, for each dialect to write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmport_magic.llm.messages import Image, Message, ToolCall
from llmport_magic.llm.tools import Tool
from llmport_magic.llm.wire import Call

PICTURE = Image(data=b"\x89PNG picture", media_type="image/png")
FAR = Image(url="https://example.org/picture.jpg", media_type="image/jpeg")
SCHEMA = {
    "title": "Answer",
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
    },
    "required": ["city", "tags"],
    "additionalProperties": False,
}
TOOLS = (
    Tool(name="weather", description="The weather of a city.", parameters=SCHEMA),
    Tool(name="now"),
)
ASKED = (
    ToolCall(name="weather", arguments={"city": "Rom"}, id="call_a", signature="c2lnbmF0dXJl"),
    ToolCall(name="now", id="call_b"),
)
BROKEN = ToolCall.read("{broken", name="weather", id="call_c")
SYSTEM, USER = Message("system", "Be brief."), Message("user", "q")


def conversations(thinking: tuple[Mapping[str, Any], ...]) -> Iterator[tuple[str, Any]]:
    """Give conversations, with what they are; `thinking` is what this provider wants back."""
    said = Message("assistant", "Let me see.", thinking=thinking)
    asking = Message("assistant", "Let me see.", tool_calls=ASKED, thinking=thinking)
    silent = Message("assistant", "", tool_calls=ASKED, thinking=thinking)
    results = (Message.tool_result(ASKED[0], {"rain": 1}), Message.tool_result(ASKED[1], "noon"))
    shown = Message("tool", "look", name="weather", images=(PICTURE,), tool_call_id="call_a")
    yield "a question", (USER,)
    yield "a system's message", (SYSTEM, USER)
    yield "two system's messages", (SYSTEM, USER, SYSTEM, USER)
    yield "only a system's message", (SYSTEM,)
    yield "several turns", (SYSTEM, USER, said, USER)
    yield "the same role twice", (USER, USER, said, said, USER)
    yield "an answer first", (said, USER)
    yield "an answer last", (USER, said)
    yield "a named speaker", (Message("user", "q", name="ada"),)
    yield "a picture", (Message("user", "q", images=(PICTURE,)),)
    yield "a picture alone", (Message("user", "", images=(PICTURE,)),)
    yield "a picture's address", (Message("user", "q", images=(FAR, PICTURE)),)
    yield "an empty message", (Message("user", ""),)
    yield "calls answered", (SYSTEM, USER, asking, *results)
    yield "calls without words answered", (USER, silent, *results, said, USER)
    yield "a tool's picture", (USER, asking, shown, results[1])
    yield "a tool's silence", (USER, asking, Message.tool_result(ASKED[0], ""), results[1])
    broken = Message("assistant", "", tool_calls=(BROKEN,))
    yield "a broken call answered", (USER, broken, Message.tool_result(BROKEN, "error: no JSON"))


def wishes(options: Mapping[str, Any], extra: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give what else a call may carry; `options` and `extra` are the provider's own words."""
    yield "nothing else", {}
    yield "sampling", {"max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "seed": 7}
    yield "zeros", {"temperature": 0.0, "seed": 0}
    yield "stop", {"stop": ("END", "\n\n")}
    yield "a prefill", {"prefill": "Sure:"}
    for choice in ("", "auto", "none", "required", "weather"):
        yield f"tools, choice {choice!r}", {"tools": TOOLS, "tool_choice": choice}
    yield "JSON", {"json_mode": True}
    yield "a schema", {"json_mode": True, "json_schema": SCHEMA}
    open_schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}}
    yield "an open schema", {"json_mode": True, "json_schema": open_schema}
    yield "a schema and tools", {"json_mode": True, "json_schema": SCHEMA, "tools": TOOLS}
    yield "options", {"options": options}
    yield "extra", {"extra": extra}


def calls(
    thinking: tuple[Mapping[str, Any], ...],
    options: Mapping[str, Any],
    extra: Mapping[str, Any],
    refused: tuple[str, ...],
) -> Iterator[tuple[str, Call]]:
    """Give every conversation with every wish, streamed and not, and again with each refusal."""
    for said, messages in conversations(thinking):
        for wished, fields in wishes(options, extra):
            for stream in (False, True):
                for name in ("",) if stream else ("", *refused):
                    what = f"{said}, {wished}{', streamed' if stream else ''}"
                    yield (
                        f"{what}, without {name}" if name else what,
                        Call(
                            model="m",
                            messages=messages,
                            stream=stream,
                            refused=frozenset({name} - {""}),
                            **fields,
                        ),
                    )
