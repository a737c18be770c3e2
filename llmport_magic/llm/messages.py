"""What is sent to a model: roles, messages, pictures, and the calls that a model asked for."""

from __future__ import annotations

import base64
import json
import mimetypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Self, TypeAlias

from llmport_magic.errors import UsageError
from llmport_magic.secrets import masked_repr


class LLMRole(str, Enum):
    """Who says a message. Members equal their text: `LLMRole.SYSTEM == "system"`."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture in a message: its bytes, or an address that the provider fetches it from.

    Args:
        data: the file's bytes.
        url: an `https` address, instead of the bytes.
        media_type: for example `image/png`.

    Raises:
        ValueError: unless there are either bytes or an address.
    """

    data: bytes = field(default=b"", repr=False)
    url: str = ""
    media_type: str = "image/png"
    __repr__ = masked_repr

    def __post_init__(self) -> None:
        if bool(self.data) == bool(self.url):
            raise ValueError("a picture is either `data` or a `url`")

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a picture; its type is told by the name of the file."""
        kind, _ = mimetypes.guess_type(str(path))
        return cls(data=Path(path).read_bytes(), media_type=kind or "image/png")

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Take an address; a `data:` address is decoded."""
        if not url.startswith("data:"):
            return cls(url=url)
        head, _, text = url.partition(",")
        return cls(data=base64.b64decode(text), media_type=head[5:].partition(";")[0])

    @property
    def base64(self) -> str:
        """The bytes in base64."""
        return base64.b64encode(self.data).decode()

    @property
    def address(self) -> str:
        """The address, or the bytes as a `data:` address."""
        return self.url or f"data:{self.media_type};base64,{self.base64}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A function that a model asks to be called.

    Attributes:
        name: of the tool, as the user named it.
        arguments: by name; empty where the model's text is no JSON object.
        id: the provider's id, which the result names; made up where a provider has none.
        text: the arguments as the model wrote them.
        error: what is wrong with the arguments, or `None`.
        signature: what a provider wants back unread with the call.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    text: str = ""
    error: str | None = None
    signature: str = ""

    @classmethod
    def read(cls, text: str, *, name: str, id: str = "", signature: str = "") -> Self:
        """Make a call of the text of its arguments; bad JSON becomes the call's `error`."""
        error = None
        arguments: Any = {}
        try:
            arguments = json.loads(text) if text.strip() else {}
        except (ValueError, RecursionError) as wrong:
            error = f"the arguments are not JSON: {wrong}"
        if not isinstance(arguments, dict):
            arguments, error = {}, f"the arguments are no JSON object: {text[:200]}"
        return cls(
            name=name, arguments=arguments, id=id, text=text, error=error, signature=signature
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Args:
        role: `system`, `user`, `assistant` or `tool`.
        content: the text.
        name: the speaker's name, where a provider takes one; for a tool's result, the tool's.
        images: pictures, which stand before the text.
        tool_calls: what the assistant asked to be called.
        tool_call_id: the call that a `tool` message answers.
        thinking: blocks of a provider that it wants back unread; others ignore them.

    Raises:
        ValueError: for an unknown role.
    """

    role: LLMRole | str
    content: str = ""
    name: str | None = None
    images: tuple[Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    thinking: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "role", LLMRole(self.role))
        except ValueError:
            known = ", ".join(role.value for role in LLMRole)
            raise ValueError(f"unknown role `{self.role}`: use one of {known}") from None
        for name in ("images", "tool_calls", "thinking"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def tool_result(cls, call: ToolCall, content: Any) -> Self:
        """Answer a call; what is no text is written as JSON, or as Python where JSON cannot."""
        text = content if isinstance(content, str) else _written(content)
        # The name of a file may hold half characters, which no request can.
        text = text.encode("utf-8", "replace").decode()
        return cls(LLMRole.TOOL, text, name=call.name, tool_call_id=call.id)

    def to_dict(self) -> dict[str, Any]:
        """Give the message as a mapping, without the fields that are not set."""
        fields = {"role": str(self.role), "content": self.content, "name": self.name}
        return {key: value for key, value in fields.items() if value is not None}


def _written(value: Any) -> str:
    import msgspec

    def plain(part: Any) -> Any:
        try:
            return msgspec.to_builtins(part)
        except TypeError:
            return str(part)

    try:
        return json.dumps(value, default=plain)
    except (TypeError, ValueError, RecursionError):
        return str(value)


LLMMessage = Message
MessageLike: TypeAlias = "str | Message | Mapping[str, Any]"


def as_messages(messages: MessageLike | Iterable[MessageLike]) -> tuple[Message, ...]:
    """Turn a prompt, a message, a mapping or several of them into messages.

    A bare string is what the user says. A mapping may have the shape of OpenAI's messages:
    content in parts, tool calls with a `function`.

    Raises:
        UsageError: for anything else.
    """
    if isinstance(messages, (str, Message, Mapping)) or not isinstance(messages, Iterable):
        messages = (messages,)
    return tuple(_as_message(message) for message in messages)


def _as_message(message: MessageLike) -> Message:
    if isinstance(message, Message):
        return message
    if isinstance(message, str):
        return Message(LLMRole.USER, message)
    if isinstance(message, Mapping):
        return _of_mapping(message)
    kind = type(message).__name__
    raise UsageError(f"a prompt or message is a str, a Message or a mapping, not {kind}")


def _of_mapping(given: Mapping[str, Any]) -> Message:
    fields = dict(given)
    content = fields.get("content")
    if content is None:
        fields["content"] = ""
    elif isinstance(content, (list, tuple)):
        fields["content"] = "".join(
            part if isinstance(part, str) else part.get("text") or "" for part in content
        )
        pictures = [part["image_url"] for part in content if "image_url" in part]
        addresses = [given if isinstance(given, str) else given["url"] for given in pictures]
        fields["images"] = tuple(Image.from_url(address) for address in addresses)
    fields["tool_calls"] = tuple(map(_as_tool_call, fields.get("tool_calls") or ()))
    return Message(**fields)


def _as_tool_call(given: ToolCall | Mapping[str, Any]) -> ToolCall:
    if isinstance(given, ToolCall):
        return given
    function = given.get("function") or given
    arguments = function.get("arguments") or {}
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall.read(text, name=function["name"], id=given.get("id") or "")
