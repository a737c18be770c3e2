"""Functions that a model may ask to be called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from llmport_magic.errors import UsageError
from llmport_magic.llm.messages import Message

_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]+")
_LONGEST_NAME = 64


def _no_parameters() -> Mapping[str, Any]:
    return {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that a model may ask to be called.

    Args:
        name: as the user calls it, for example `web:search`.
        description: what it does, for the model.
        parameters: the JSON schema of its arguments, an object.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=_no_parameters)


ToolLike: TypeAlias = "Tool | Mapping[str, Any]"


def as_tools(given: Iterable[ToolLike]) -> tuple[Tool, ...]:
    """Turn mappings into tools; OpenAI's `{"type": "function", "function": ...}` is one, too.

    Raises:
        UsageError: a tool has no name, or two have the same.
    """
    tools = tuple(_as_tool(tool) for tool in given)
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two tools are called `{name}`: rename one")
    return tools


def _as_tool(given: ToolLike) -> Tool:
    if isinstance(given, Tool):
        return given
    fields = given.get("function") or given
    if not isinstance(fields, Mapping) or not fields.get("name"):
        raise UsageError("a tool is a mapping with `name`, `description` and `parameters`")
    return Tool(
        name=str(fields["name"]),
        description=str(fields.get("description") or ""),
        parameters=fields.get("parameters") or _no_parameters(),
    )


def legal_names(names: Iterable[str]) -> dict[str, str]:
    """Give each tool's name one that every provider takes: letters, digits, `_` and `-`."""
    legal: dict[str, str] = {}
    for name in dict.fromkeys(names):
        base = _ILLEGAL.sub("_", name)[:_LONGEST_NAME] or "tool"
        free, number = base, 1
        while free in legal.values():
            number += 1
            free = f"{base[: _LONGEST_NAME - 3]}_{number}"
        legal[name] = free
    return legal


def renamed(tools: Iterable[Tool], names: Mapping[str, str]) -> tuple[Tool, ...]:
    """Give the tools under other names."""
    return tuple(replace(tool, name=names[tool.name]) for tool in tools)


def with_tool_names(messages: tuple[Message, ...], names: Mapping[str, str]) -> tuple[Message, ...]:
    """Give the messages with other names in their tool calls and results."""
    if not names:
        return messages
    return tuple(
        replace(
            message,
            name=names.get(message.name or "", message.name),
            tool_calls=tuple(
                replace(call, name=names.get(call.name, call.name)) for call in message.tool_calls
            ),
        )
        if message.tool_calls or message.tool_call_id
        else message
        for message in messages
    )
