"""A connector that answers what a test has scripted; it never leaves the process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from llmport_magic.errors import LLMError
from llmport_magic.llm.connector import BaseLLMConnector, Messages
from llmport_magic.llm.messages import Message, as_messages
from llmport_magic.llm.methods import answers_to
from llmport_magic.llm.reply import Chunk, LLMResponse
from llmport_magic.llm.streams import ResponseStream

if TYPE_CHECKING:
    from llmport_magic.settings import Settings

Answer: TypeAlias = "str | BaseException | LLMResponse | Callable[[tuple[Message, ...]], Any]"

_DEFAULT = '''"""A module that the mock connector wrote; no model was asked."""


def words() -> int:
    """Count the words of the prompt that it was written for."""
    return {words}
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """What the mock was asked: the messages and the options of one call."""

    messages: tuple[Message, ...]
    options: dict[str, Any]


class MockConnector(BaseLLMConnector):
    """Gives scripted answers in turn; without a script, one small module for each prompt.

    Asked for a specification of an agent, it writes one that is valid and runs.

    Args:
        answers: texts, responses, errors to raise, or functions of the messages that give one.
        delay: seconds before each piece.
        chunk_size: characters of a piece; `None` gives the answer in one.
        model: the name of the model that it claims to be.
        error_rate: the share of calls that fail, from 0 to 1, as a busy server's do; which ones is
            the same in each run.

    Raises:
        ValueError: `error_rate` is no share.

    Attributes:
        calls: what was asked, the first call first.
    """

    provider_name = "mock"

    def __init__(
        self,
        answers: Iterable[Answer] | str | None = None,
        *,
        delay: float = 0.0,
        chunk_size: int | None = None,
        model: str = "mock",
        error_rate: float = 0.0,
    ) -> None:
        if not 0 <= error_rate <= 1:
            raise ValueError(f"`error_rate` is a share from 0 to 1, not {error_rate}")
        scripted = (answers,) if isinstance(answers, str) else answers
        self._answers = None if scripted is None else list(scripted)
        self._delay = delay
        self._chunk_size = chunk_size
        self._error_rate = error_rate
        self._chance = random.Random(0)  # noqa: S311 - nothing secret
        self.model_name_for_api = model
        self.calls: list[RecordedCall] = []

    @classmethod
    def from_settings(cls, settings: Settings) -> MockConnector:
        """Make the mock that answers when somebody names it as the provider."""
        return cls(model=settings.model or "mock")

    def stream(self, messages: Messages, **options: Any) -> ResponseStream:
        """Give the next answer, in pieces."""
        given = as_messages(messages)

        async def pieces() -> AsyncGenerator[Chunk | list[Chunk], None]:
            self.calls.append(RecordedCall(messages=given, options=dict(options)))
            if self._chance.random() < self._error_rate:
                raise LLMError(
                    "the mock is made to fail now and then (`error_rate`): ask again",
                    provider=self.provider_name,
                    retryable=True,
                )
            answer = self._next(given)
            if isinstance(answer, BaseException):
                raise answer
            response = answer if isinstance(answer, LLMResponse) else LLMResponse(str(answer))
            size = self._chunk_size or max(1, len(response.content))
            for start in range(0, len(response.content), size):
                await asyncio.sleep(self._delay)
                yield Chunk(text=response.content[start : start + size])
            # An answer without token counts gets estimates.
            counted = response.usage if response.usage["total_tokens"] else None
            yield replace(response.as_chunk(), text="", usage=counted)

        return ResponseStream(pieces, self.gathering(given, options), self.totals.add)

    def _next(self, given: tuple[Message, ...]) -> Any:
        if self._answers is None:
            written = next(answers_to(given), None)
            if written is not None:
                return written
            words = sum(len(message.content.split()) for message in given)
            return _DEFAULT.replace("{words}", str(words))
        if not self._answers:
            raise LLMError("the mock has no answer left: script one more", provider="mock")
        answer = self._answers.pop(0)
        if callable(answer) and not isinstance(answer, BaseException):
            return answer(given)
        return answer
