"""Functions that a model may ask to be called, and the box that calls Python functions."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from llmport_magic import bridge
from llmport_magic.errors import UsageError
from llmport_magic.llm.messages import Message
from llmport_magic.secrets import redact

if TYPE_CHECKING:
    from llmport_magic.llm.agent import CognitiveAgent, CognitiveConfig, CognitiveResult

__all__ = [
    "CognitiveAgent",
    "CognitiveConfig",
    "CognitiveResult",
    "Tool",
    "ToolBox",
    "ToolFailure",
    "ToolLike",
    "as_tools",
    "legal_names",
    "renamed",
    "with_tool_names",
]

_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]+")
_LONGEST_NAME = 64
Function = TypeVar("Function", bound=Callable[..., Any])


def _no_parameters() -> Mapping[str, Any]:
    return {"type": "object", "properties": {}}


class ToolFailure(str):
    """What went wrong in a tool, in the words that the model is told.

    A `ctx` of one's own may return one, as `ToolFailure("error: no such file")`.
    """

    __slots__ = ()

    @classmethod
    def because(cls, what: str) -> Self:
        """Make one; a secret that the words hold is taken out of them."""
        return cls(f"error: {redact(what)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that a model may ask to be called.

    Args:
        name: as the user calls it, for example `web:search`.
        description: what it does, for the model.
        parameters: the JSON schema of its arguments, an object.
        function: what a `ToolBox` calls, by the names of the arguments.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=_no_parameters)
    function: Callable[..., Any] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def from_function(
        cls,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
    ) -> Self:
        """Make a tool of a Python function, synchronous or not.

        Args:
            function: its parameters need annotations; a docstring in Google's style describes
                them, or `Annotated[str, msgspec.Meta(description="...")]`.
            name: what the model calls it; the function's own name unless it is given.
            description: what it does; the docstring unless it is given.

        Raises:
            UsageError: a parameter has no annotation, or one that JSON has no word for.
        """
        from llmport_magic.llm.tool_schema import description_of, schema_of

        return cls(
            name=name or str(getattr(function, "__name__", type(function).__name__)),
            description=description_of(function) if description is None else description,
            parameters=schema_of(function),
            function=function,
        )


ToolLike: TypeAlias = "Tool | Mapping[str, Any] | Callable[..., Any]"


def as_tools(given: Iterable[ToolLike]) -> tuple[Tool, ...]:
    """Turn functions and mappings into tools.

    A mapping has `name`, `description` and `parameters`; OpenAI's
    `{"type": "function", "function": ...}` is one, too.

    Raises:
        UsageError: a tool has no name or no schema, two have the same name, or it is no list.
    """
    if not isinstance(given, Iterable):
        raise UsageError(f"`tools` is a list of functions or tools, not {type(given).__name__}")
    tools = tuple(_as_tool(tool) for tool in given)
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two tools are called `{name}`: rename one")
    return tools


def _as_tool(given: ToolLike) -> Tool:
    if isinstance(given, Tool):
        return given
    if callable(given):
        return Tool.from_function(given)
    fields = (given.get("function") or given) if isinstance(given, Mapping) else None
    if not isinstance(fields, Mapping) or not fields.get("name"):
        raise UsageError(
            "a tool is a function, or a mapping with `name`, `description` and `parameters`"
        )
    return Tool(
        name=str(fields["name"]),
        description=str(fields.get("description") or ""),
        parameters=fields.get("parameters") or _no_parameters(),
    )


class ToolBox:
    """Python functions that can be called by the name and arguments that a model gives.

    It is a `ctx` for `CognitiveAgent`, and for code that calls the tools of an answer itself:
    `await ctx.tool(call.name, payload=call.arguments)`. It calls whatever it is asked to call:
    who asks decides before.

    Args:
        tools: functions, or tools that have one.

    Raises:
        UsageError: one has no function or no schema, or two have the same name.
    """

    def __init__(self, tools: Iterable[Tool | Callable[..., Any]] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in as_tools(tools):
            self._put(tool)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools, as `call(tools=...)` takes them."""
        return tuple(self._tools.values())

    def add(
        self,
        function: Function,
        *,
        name: str | None = None,
        description: str | None = None,
    ) -> Function:
        """Add a function and give it back, so that `@box.add` can stand above one.

        Raises:
            UsageError: it has no schema, or its name is taken.
        """
        self._put(Tool.from_function(function, name=name, description=description))
        return function

    async def tool(self, name: str, payload: Mapping[str, Any] | None = None) -> Any:
        """Call a function; a synchronous one runs in a thread of its own.

        Args:
            name: the tool's.
            payload: the arguments, by name.

        Returns:
            What the function returns; a `ToolFailure` where there is no such tool, the arguments
            do not fit, or the function raises: the model reads it and may do better.
        """
        from llmport_magic.llm.tool_schema import converted, problem

        tool = self._tools.get(name)
        if tool is None or tool.function is None:
            return ToolFailure.because(unknown_tool(name, self._tools))
        arguments = dict(payload or {})
        wrong = problem(arguments, tool.parameters)
        if wrong is not None:
            return ToolFailure.because(f"the arguments of `{name}` do not fit: {wrong}")
        try:
            values = converted(tool.function, arguments)
        except ValueError as error:
            return ToolFailure.because(f"the arguments of `{name}` do not fit: {error}")
        try:
            return await _outcome(tool.function, values)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the model is told
            return ToolFailure.because(f"`{name}` raised {type(error).__name__}: {error}")

    def _put(self, tool: Tool) -> None:
        if tool.function is None:
            raise UsageError(f"`{tool.name}` has no function: use `Tool.from_function(...)`")
        if tool.name in self._tools:
            raise UsageError(f"two tools are called `{tool.name}`: rename one")
        self._tools[tool.name] = tool


async def _outcome(function: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(**values)
    result = await bridge.in_thread(lambda: function(**values))
    return await result if inspect.isawaitable(result) else result


def unknown_tool(name: str, known: Iterable[str]) -> str:
    """Say that there is no tool of a name, and which there are."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(names) or 'none'}"
    return f"there is no tool `{name}`: {hint}"


def legal_names(names: Iterable[str]) -> dict[str, str]:
    """Give each tool's name one that every provider takes: letters, digits, `_` and `-`."""
    legal: dict[str, str] = {}
    for name in dict.fromkeys(names):
        base = _ILLEGAL.sub("_", name) or "tool"
        # Gemini wants a letter or `_` first: https://ai.google.dev/api/caching#FunctionDeclaration
        base = base if base[0].isalpha() or base[0] == "_" else f"_{base}"
        base = base[:_LONGEST_NAME]
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


def __getattr__(name: str) -> Any:
    """Give the agent, which stands on this file, when it is first named."""
    if name in ("CognitiveAgent", "CognitiveConfig", "CognitiveResult"):
        from llmport_magic.llm import agent

        return getattr(agent, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
