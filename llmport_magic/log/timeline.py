"""The events of all sessions in one order, known by where they lie rather than by their texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from llmport_magic.errors import StoreError
from llmport_magic.files import Folder
from llmport_magic.log.events import Event, Kind
from llmport_magic.log.lines import Blob, Head, decode
from llmport_magic.log.reader import Found, scan, session_files


@dataclass(slots=True)
class Place:
    """Where an event lies.

    Attributes:
        moment: when it happened, by its session's own steady clock.
        session: the session's id.
        head: what the line says before its body.
        folder: the journal folder.
        offset: where the line begins in the session's file.
        length: the line's length in bytes.
        parts: for a prompt without an answer, what had arrived.
        answered: for a prompt, whether its answer was recorded.
    """

    moment: float
    session: str
    head: Head
    folder: Folder
    offset: int
    length: int
    parts: list[Place] = field(default_factory=list)
    answered: bool = False

    @property
    def order(self) -> tuple[float, str, int]:
        """What events are sorted by."""
        return (self.moment, self.session, self.head.seq)


@dataclass(slots=True)
class _Session:
    """How far a file was read."""

    offset: int = 0
    number: int = 0
    start: tuple[float, int] | None = None
    latest: float = float("-inf")
    prompts: dict[str, Place] = field(default_factory=dict)


class Timeline:
    """All sessions of some journal folders, read on as they grow.

    Args:
        folders: where journals lie.
    """

    def __init__(self, folders: Sequence[Folder]) -> None:
        self.places: list[Place] = []
        self.problems: list[str] = []
        self.newer = False
        self._folders = folders
        self._sessions: dict[tuple[str, str], _Session] = {}
        self._seen: set[str] = set()

    def refresh(self) -> None:
        """Read what was written since the last time."""
        for folder in self._folders:
            for path in session_files(folder):
                state = self._sessions.setdefault((str(folder.path), path.name), _Session())
                found = folder.stat(path.name)
                if found is not None and found.st_size == state.offset:
                    continue
                if found is not None and found.st_size < state.offset:
                    self._start_again()
                    self.refresh()
                    return
                try:
                    self._read_on(folder, path.name, state)
                except (OSError, StoreError) as error:
                    self._report(f"`{path}` cannot be read: {error}")
        self.places.sort(key=lambda place: place.order)

    @contextmanager
    def reading(self) -> Iterator[Callable[[Place], tuple[Event, Blob | None]]]:
        """Give a function that reads an event; one with a blob has no text.

        The function raises OSError where a file is gone and LineProblem where it has changed.
        """
        with ExitStack() as opened:
            streams: dict[tuple[str, str], BinaryIO] = {}

            def read(place: Place) -> tuple[Event, Blob | None]:
                file = (str(place.folder.path), place.session)
                if file not in streams:
                    descriptor = place.folder.open(f"{place.session}.jsonl", os.O_RDONLY)
                    streams[file] = opened.enter_context(os.fdopen(descriptor, "rb"))
                streams[file].seek(place.offset)
                _, event, blob = decode(streams[file].read(place.length))
                return event, blob

            yield read

    def _start_again(self) -> None:
        self.places.clear()
        self._sessions.clear()
        self._seen.clear()

    def _read_on(self, folder: Folder, name: str, state: _Session) -> None:
        for found in scan(folder, name, offset=state.offset, number=state.number):
            if found.head is None and not found.line.endswith(b"\n"):
                return  # being written, or torn: looked at again next time
            state.offset, state.number = found.offset + len(found.line), found.number
            self.newer |= found.newer
            if found.head is None:
                self._report(f"`{name}`, line {found.number}: {found.problem}")
            elif found.head.id not in self._seen:
                self._add(folder, name.removesuffix(".jsonl"), state, found, found.head)

    def _add(self, folder: Folder, session: str, state: _Session, found: Found, head: Head) -> None:
        self._seen.add(head.id)
        if state.start is None:
            state.start = (head.ts, head.mono)
        # The wall clock may jump while a session lasts; its steady clock does not.
        wall, steady = state.start
        state.latest = max(state.latest, wall + (head.mono - steady) / 1e9)
        place = Place(state.latest, session, head, folder, found.offset, len(found.line))
        prompt = state.prompts.get(head.run)
        if head.kind == Kind.PART:
            if prompt is not None:
                prompt.parts.append(place)
            return
        if head.kind == Kind.PROMPT:
            state.prompts[head.run] = place
        elif head.kind == Kind.RESPONSE and prompt is not None:
            prompt.answered = True
            prompt.parts.clear()
        self.places.append(place)

    def _report(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
