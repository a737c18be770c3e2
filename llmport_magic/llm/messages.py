"""What is sent to a model: roles and messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias


class LLMRole(str, Enum):
    """Who says a message. Members equal their text: `LLMRole.SYSTEM == "system"`."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Args:
        role: `system`, `user`, `assistant` or `tool`.
        content: the text.
        name: the speaker's name, where a provider takes one.

    Raises:
        ValueError: for an unknown role.
    """

    role: LLMRole | str
    content: str = ""
    name: str | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "role", LLMRole(self.role))
        except ValueError:
            known = ", ".join(role.value for role in LLMRole)
            raise ValueError(f"unknown role `{self.role}`: use one of {known}") from None

    def to_dict(self) -> dict[str, Any]:
        """Give the message as a mapping, without the fields that are not set."""
        fields = {"role": str(self.role), "content": self.content, "name": self.name}
        return {key: value for key, value in fields.items() if value is not None}


LLMMessage = Message
MessageLike: TypeAlias = "str | Message | Mapping[str, Any]"


def as_messages(messages: MessageLike | Iterable[MessageLike]) -> tuple[Message, ...]:
    """Turn a prompt, a message, a mapping or several of them into messages.

    A bare string is what the user says. Raises `TypeError` for anything else.
    """
    if isinstance(messages, (str, Message, Mapping)):
        messages = (messages,)
    return tuple(_as_message(message) for message in messages)


def _as_message(message: MessageLike) -> Message:
    if isinstance(message, Message):
        return message
    if isinstance(message, str):
        return Message(LLMRole.USER, message)
    if isinstance(message, Mapping):
        return Message(**message)
    raise TypeError(f"a message is a str, a Message or a mapping, not {type(message).__name__}")
