"""Answers that are kept and given again for the same request: on disk, the last ones in memory.

An answer is found by a hash of everything that shapes it; a key is no part of that, and what was
asked is not written down. `Keeping` stands around the exchange with a provider, so that whole
answers and streams share what is kept.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import time
import warnings
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable, Mapping, MutableMapping
from contextlib import aclosing, suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llmport_magic.errors import StoreError
from llmport_magic.files import Folder
from llmport_magic.llm.json_replies import read_json
from llmport_magic.llm.messages import ToolCall
from llmport_magic.llm.reply import Chunk, ToolCallDelta
from llmport_magic.llm.wire import Call
from llmport_magic.locks import lock
from llmport_magic.secrets import Secret, redact

if TYPE_CHECKING:
    from llmport_magic.llm.exchange import Ask
    from llmport_magic.llm.provider import LLMConfig
    from llmport_magic.llm.reply import LLMResponse

# Counted up when what is hashed or written changes its meaning: older files are then no answers.
FORMAT = 1
_ENDING = ".json"
_LARGEST = 16 << 20
_REMEMBERED = 64
_LARGEST_REMEMBERED = 256 << 10
_USE_COUNTS_SECONDS = 60
# How often the folder is looked through: when this part of its limit was written since.
_SHARE = 0.01
# What does not shape the answer: how it travels, what is learnt, and names that only we use.
_NOT_SAID = {"stream", "refused", "tools", "tool_names"}
_SAID = tuple(field.name for field in fields(Call) if field.name not in _NOT_SAID)
_NOTES = ("request_id", "response_id")


class Answer(msgspec.Struct, frozen=True):
    """One file of the cache.

    Attributes:
        format: `FORMAT` when it was written.
        key: of the request; the file's name.
        created: seconds since the epoch.
        chunk: the whole answer in one piece, tools by the names that were sent.
        notes: of the response's metadata, what stays true.
    """

    format: int
    key: str
    created: float
    chunk: Chunk
    notes: dict[str, str] = {}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Answer).decode


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


_canonical = msgspec.json.Encoder(order="sorted", enc_hook=_plain).encode


def request_key(config: LLMConfig, call: Call) -> str | None:
    """Give the hash of everything that shapes an answer; `None` for what cannot be sent either.

    Args:
        config: who is asked, and how: of its headers only those that hold no key.
        call: what is asked.
    """
    headers = {n: v for n, v in config.headers.items() if not isinstance(v, Secret)}
    said = {name: getattr(call, name) for name in _SAID}
    tools = [(tool.name, tool.description, tool.parameters) for tool in call.tools]
    who = (FORMAT, config.provider, config.dialect, config.base_url, headers)
    try:
        return hashlib.sha256(_canonical((who, said, tools))).hexdigest()
    except (TypeError, ValueError, RecursionError):
        return None


def answers_folder() -> Path:
    """Give the folder of the user's cache where answers are kept; it may not be there yet."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("llmport_magic", appauthor=False)) / "answers"


def kept_answers() -> KeptAnswers:
    """Give what is kept for this user."""
    return _kept_in(answers_folder())


@functools.cache
def _kept_in(folder: Path) -> KeptAnswers:
    return KeptAnswers(folder)


def clear_cache() -> int:
    """Delete every answer that is kept for this user; gives how many there were."""
    return kept_answers().clear()


def forget(response: LLMResponse) -> None:
    """Let an answer be asked for anew: it was no good, whatever its finish reason says."""
    key = response.metadata.get("cache_key")
    if key:
        kept_answers().forget(key)


class KeptAnswers:
    """The answers of one folder, a file each; several processes may use it at once.

    Args:
        folder: it is made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder
        # Where the user's cache is a link to a larger disk, that disk is meant.
        self._folder = Folder(Path(os.path.realpath(folder.parent)), folder.name)
        self._lock = lock()
        self._remembered: OrderedDict[str, tuple[tuple[int, ...], bytes]] = OrderedDict()
        self._unseen = float("inf")

    def remembered(self, key: str, seconds: float) -> Answer | None:
        """Give an answer out of memory, as long as its file lies there as it was."""
        with self._lock:
            kept = self._remembered.get(key)
        if kept is None:
            return None
        seen = self._look(key)
        if seen != kept[0]:
            with self._lock:
                self._remembered.pop(key, None)
            return None
        return self._valid(key, kept[1], seconds)

    def find(self, key: str, seconds: float) -> Answer | None:
        """Give an answer that is not older than so many seconds; a foreign file is none."""
        found = self.remembered(key, seconds)
        if found is not None:
            return found
        seen = self._look(key)
        try:
            data = self._folder.read(key + _ENDING, limit=_LARGEST)
        except (OSError, StoreError):
            return None
        found = self._valid(key, data, seconds)
        if found is not None and seen is not None:
            self._remember(key, seen, data)
        return found

    def keep(self, answer: Answer, seconds: float, megabytes: float) -> bool:
        """Write an answer, and delete what is too old or too much; tells whether it was kept.

        Args:
            answer: the answer.
            seconds: what is older is deleted.
            megabytes: of what is left, the longest unused goes until it fits.

        Raises:
            OSError: the folder cannot be written.
            StoreError: the folder is a link.
        """
        try:
            data = _encode(answer)
        except (TypeError, ValueError):
            # Half a character, or a provider's own object, which no file can hold.
            return False
        limit = int(megabytes * 1e6)
        # What looks like a key is neither written nor changed: another text would be wrong.
        if len(data) > min(limit, _LARGEST) or redact(text := data.decode()) != text:
            return False
        self._folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not over the old one: where another process keeps the same answer now, its is as good.
        self.forget(answer.key)
        self._folder.create(answer.key + _ENDING, data)
        self._unseen += len(data)
        if self._unseen > limit * _SHARE:
            self._unseen = 0.0
            self._tidy(seconds, limit)
        return True

    def forget(self, key: str) -> None:
        """Delete one answer; one that is not there is fine."""
        with self._lock:
            self._remembered.pop(key, None)
        with suppress(OSError, StoreError):
            self._folder.remove(key + _ENDING)

    def clear(self) -> int:
        """Delete every answer; gives how many there were."""
        files = self._files()
        for _, name, _ in files:
            self.forget(name.removesuffix(_ENDING))
        return len(files)

    def size(self) -> tuple[int, int]:
        """Count the answers and their bytes."""
        files = self._files()
        return len(files), sum(found.st_size for _, _, found in files)

    def _look(self, key: str) -> tuple[int, ...] | None:
        """Tell one file from another of the same name, and note that it is used."""
        # Joined by hand and through links: this is most of what a hit takes, and reads nothing.
        path = f"{self.path}/{key}{_ENDING}"
        try:
            found = os.stat(path)  # noqa: PTH116 - of every call
            now = time.time()
            if now - found.st_atime > _USE_COUNTS_SECONDS:
                # The time of the last change stays: it tells the files apart.
                os.utime(path, ns=(int(now * 1e9), found.st_mtime_ns))
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _valid(self, key: str, data: bytes, seconds: float) -> Answer | None:
        try:
            answer = _decode(data)
        except (ValueError, RecursionError):
            return None
        known = (answer.format, answer.key) == (FORMAT, key)
        return answer if known and 0 <= time.time() - answer.created < seconds else None

    def _remember(self, key: str, seen: tuple[int, ...], data: bytes) -> None:
        if len(data) > _LARGEST_REMEMBERED:
            return
        with self._lock:
            self._remembered[key] = (seen, data)
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)

    def _files(self) -> list[tuple[float, str, os.stat_result]]:
        """List the answers with the time of their last use, the longest unused first."""
        names = (name for name in self._folder.names() if name.endswith(_ENDING))
        found = ((name, self._folder.stat(name)) for name in names)
        return sorted((seen.st_atime, name, seen) for name, seen in found if seen is not None)

    def _tidy(self, seconds: float, limit: int) -> None:
        self._folder.sweep()
        files = self._files()
        size = sum(found.st_size for _, _, found in files)
        now = time.time()
        for _, name, found in files:
            if size > limit or now - found.st_mtime > seconds:
                self.forget(name.removesuffix(_ENDING))
                size -= found.st_size


class Keeping:
    """Asks a provider only for what is not kept.

    Args:
        config: who is asked, how long answers are kept, and how many.
    """

    def __init__(self, config: LLMConfig) -> None:
        self._config = config
        self._answers = kept_answers()

    def remembered(self, call: Call, notes: MutableMapping[str, Any]) -> Chunk | None:
        """Give an answer that is in memory; its notes are added to the others."""
        key = request_key(self._config, call)
        answer = self._answers.remembered(key, self._config.cache_seconds) if key else None
        return _given(answer, notes)

    async def whole(self, ask: Ask) -> tuple[Chunk, Any]:
        """Get the whole answer at once, as `exchange.whole` does."""
        from llmport_magic.llm.exchange import whole

        key = request_key(self._config, ask.call)
        chunk = await self._found(key, ask.notes)
        if chunk is not None:
            return chunk, None
        chunk, raw = await whole(ask)
        await self._keep(key, ask, chunk)
        return chunk, raw

    async def streamed(self, ask: Ask) -> AsyncGenerator[list[Chunk], None]:
        """Get the answer in pieces, as `exchange.streamed` does; a kept one is one piece."""
        from llmport_magic.llm.exchange import streamed

        key = request_key(self._config, ask.call)
        chunk = await self._found(key, ask.notes)
        if chunk is not None:
            yield [chunk]
            return
        arrived: list[Chunk] = []
        async with aclosing(streamed(ask)) as pieces:
            async for piece in pieces:
                arrived += piece
                yield piece
        await self._keep(key, ask, joined(arrived))

    async def _found(self, key: str | None, notes: MutableMapping[str, Any]) -> Chunk | None:
        if key is None:
            return None
        seconds = self._config.cache_seconds
        found = self._answers.remembered(key, seconds)
        if found is None:
            # In a thread: a home directory may be far away.
            found = await asyncio.to_thread(self._answers.find, key, seconds)
        return _given(found, notes)

    async def _keep(self, key: str | None, ask: Ask, chunk: Chunk) -> None:
        if key is None or not is_good(chunk, ask.call):
            return
        notes = {name: told for name in _NOTES if (told := ask.notes.get(name))}
        answer = Answer(FORMAT, key, time.time(), chunk, notes)
        config = self._config
        try:
            kept = await asyncio.to_thread(
                self._answers.keep, answer, config.cache_seconds, config.cache_megabytes
            )
        except (OSError, StoreError) as error:
            _warn(self._answers.path, getattr(error, "strerror", None) or str(error))
            return
        if kept:
            ask.notes["cache_key"] = key


def _given(answer: Answer | None, notes: MutableMapping[str, Any]) -> Chunk | None:
    if answer is None:
        return None
    notes.update(answer.notes, cached=True, sends=0, cache_key=answer.key)
    return answer.chunk


def joined(chunks: Iterable[Chunk]) -> Chunk:
    """Put the pieces of a stream together into one."""
    pieces = tuple(chunks)
    usage: dict[str, int] = {}
    for piece in pieces:
        usage.update(piece.usage or {})
    ends = [piece for piece in pieces if piece.finish_reason]
    return Chunk(
        text="".join(piece.text for piece in pieces),
        reasoning="".join(piece.reasoning for piece in pieces),
        finish_reason=ends[-1].finish_reason if ends else None,
        usage=usage or None,
        raw_finish_reason=ends[-1].raw_finish_reason if ends else None,
        model=next((piece.model for piece in reversed(pieces) if piece.model), None),
        tool_calls=tuple(delta for piece in pieces for delta in piece.tool_calls),
        thinking=tuple(block for piece in pieces for block in piece.thinking),
    )


def is_good(chunk: Chunk, call: Call) -> bool:
    """Tell whether an answer is worth giving again: whole, not empty, and what was asked for."""
    # Without the provider's own word it is not known how the answer ended.
    if chunk.finish_reason not in ("stop", "tool_calls") or not chunk.raw_finish_reason:
        return False
    if chunk.tool_calls:
        return all(ToolCall.read(text, name="").error is None for text in _arguments(chunk))
    if call.json_mode:
        try:
            read_json((call.prefill or "") + chunk.text, call.json_schema)
        except ValueError:
            return False
    return bool(chunk.text.strip())


def _arguments(chunk: Chunk) -> Iterable[str]:
    parts: dict[int, list[ToolCallDelta]] = {}
    for delta in chunk.tool_calls:
        parts.setdefault(delta.index, []).append(delta)
    return ("".join(delta.arguments for delta in deltas) for deltas in parts.values())


@functools.cache
def _warn(folder: Path, why: str) -> None:
    """Say once why nothing is kept; the answer itself is fine."""
    message = f"answers cannot be kept in `{folder}` ({why}): free it, or set `cache` to false"
    warnings.warn_explicit(message, RuntimeWarning, "llmport_magic", 1, "__main__")
