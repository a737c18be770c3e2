"""A scripted model that asks for tools, and tools that note what acted."""

from __future__ import annotations

from typing import Any

from llmport_magic.llm import LLMResponse, Message, ToolBox, ToolCall

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 2}


class Scripted:
    """A model of the user's own: nothing but an async `call`."""

    def __init__(self, *answers: LLMResponse | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[list[Message], dict[str, Any]]] = []

    async def call(self, messages: list[Message], **options: Any) -> LLMResponse:
        """Give the next answer."""
        self.asked.append((messages, options))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def asks(*calls: ToolCall, text: str = "", finish: str = "tool_calls", **fields: Any) -> Any:
    """Answer with calls."""
    return LLMResponse(text, finish, dict(USAGE), tool_calls=calls, **fields)


def says(text: str = "done") -> LLMResponse:
    """Answer in words."""
    return LLMResponse(text, "stop", dict(USAGE))


def call(name: str = "double", id: str = "c1", **arguments: Any) -> ToolCall:
    """Ask for a tool."""
    return ToolCall(name=name, id=id, arguments=arguments)


class Acts:
    """A box of tools that notes what acted."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.box = ToolBox([self.double])
        self.box.add(self.note, name="web:note")

    def double(self, x: int) -> int:
        """Double a number."""
        self.done.append(("double", x))
        return 2 * x

    async def note(self, words: list[str]) -> dict[str, Any]:
        """Note some words."""
        self.done.append(("note", words))
        words.append("changed by the tool")
        return {"noted": len(words) - 1}


def results_in(messages: list[Message]) -> list[tuple[str | None, str]]:
    """Give the results that a model is sent, by the call's id."""
    return [(m.tool_call_id, m.content) for m in messages if m.role == "tool"]
