"""The embedded model, with every answer kept: a run that is repeated asks only what is new.

An answer is kept under a hash of all that determines it: the weights, the runtime, the messages
and the options. What is kept counts like the call that it was, tokens and seconds included.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmport_magic.llm import engine
from llmport_magic.llm.embedded import EmbeddedConnector, installed_file
from llmport_magic.llm.messages import as_messages
from llmport_magic.llm.reply import Chunk
from llmport_magic.llm.streams import ResponseStream
from llmport_magic.llm.weights import weights_for

if TYPE_CHECKING:
    from llmport_magic.llm.connector import Messages


@dataclass(frozen=True, slots=True)
class Kept:
    """One answer of the model.

    Attributes:
        content: its text.
        finish_reason: why it ended.
        prompt_tokens: what was read for it.
        completion_tokens: what was written.
        seconds: how long it took when it was asked for, on whatever else the machine did then.
    """

    content: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class Record:
    """The answers in a file of JSON lines, one an answer; it only grows.

    Args:
        path: the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, Kept] = {}
        self.asked = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        # Begun on a line of its own: an interrupted run may have left half a line.
        with path.open("a+", encoding="utf-8") as file:
            file.seek(0)
            for line in file:
                with suppress(ValueError):
                    fields = json.loads(line)
                    key = fields.pop("key")
                    self._kept[key] = Kept(**fields)
            file.write("\n")

    def get(self, key: str) -> Kept | None:
        """Give the answer that is kept under a key."""
        return self._kept.get(key)

    def put(self, key: str, kept: Kept) -> None:
        """Keep an answer, on disk before anything is done with it."""
        self._kept[key] = kept
        self.asked += 1
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, **asdict(kept)}) + "\n")


# Which record is used, and the answers that one road has been given.
record: ContextVar[Record] = ContextVar("record")
answers: ContextVar[list[Kept]] = ContextVar("answers")


class RecordedConnector(EmbeddedConnector):
    """The embedded model as the product asks it, with the record in front."""

    def stream(self, messages: Messages, **options: Any) -> ResponseStream:
        """Give the kept answer, or ask and keep it."""
        given, book, told = as_messages(messages), record.get(), answers.get()
        size = self._wanted or "large"
        determines = {
            "weights": weights_for(size).sha256,
            "runtime": version("xllamacpp"),
            "messages": [message.to_dict() for message in given],
            "temperature": self._temperature,
            "seed": self._seed,
            "max_tokens": self._max_tokens,
            **options,
        }
        text = json.dumps(determines, sort_keys=True, ensure_ascii=False)
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        # Side by side answers round a little otherwise already: the start of a prompt that a slot
        # has read need not be read again.
        again = {**options, "extra": {**options.get("extra", {}), "cache_prompt": True}}
        asking = None if book.get(key) else super().stream(given, **again)

        async def source() -> AsyncGenerator[Chunk, None]:
            kept = book.get(key)
            if kept is None:
                assert asking is not None
                begun = time.monotonic()
                async for _ in asking:
                    pass
                response = asking.response
                kept = Kept(
                    response.content,
                    response.finish_reason,
                    response.usage["prompt_tokens"],
                    response.usage["completion_tokens"],
                    round(time.monotonic() - begun, 1),
                )
                book.put(key, kept)
            told.append(kept)
            usage = {
                "prompt_tokens": kept.prompt_tokens,
                "completion_tokens": kept.completion_tokens,
            }
            yield Chunk(text=kept.content, finish_reason=kept.finish_reason, usage=usage)

        return ResponseStream(source, self.gathering(given, options), self.totals.add)


def serve(size: str, threads: int, slots: int) -> None:
    """Start the engine with several slots: it then answers as many requests side by side.

    Reading the weights is what a step costs on a processor; a step for four answers costs little
    more than one for one. The product has one user and one slot.
    """
    engine.start(installed_file(size), threads, slots=slots)
