"""Reading journals that anybody may have torn, damaged or written in a newer format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from llmport_magic.errors import StoreError
from llmport_magic.files import HOME, Folder
from llmport_magic.log.events import Event
from llmport_magic.log.lines import Blob, Head, LineProblem, NewerLine, decode, decode_head

BLOBS = "blobs"
_SESSION = re.compile(r"([0-9A-HJKMNP-TV-Z]{26})\.jsonl\Z")
_START = b'{"v":'
_LONGEST_LINE = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One line of a journal file.

    Attributes:
        number: the line's number, from 1.
        offset: where it begins in the file.
        line: its bytes.
        head: what it says before its body; None where it cannot be used.
        problem: why it cannot be used.
        newer: whether a later version of this package wrote it.
    """

    number: int
    offset: int
    line: bytes
    head: Head | None = None
    problem: str = ""
    newer: bool = False


def journal_folder(directory: Path) -> Folder:
    """Return the journal's folder beside a notebook or module."""
    return Folder(directory, HOME, "journal")


def sessions(directory: Path) -> list[Path]:
    """Return the journal files of a module folder, the oldest session first."""
    return session_files(journal_folder(Path(directory)))


def session_files(folder: Folder) -> list[Path]:
    """Return the journal files of a journal folder, the oldest session first."""
    return [folder.path / name for name in folder.names() if _SESSION.match(name)]


def read_session(path: Path, *, blobs: bool = True) -> tuple[list[Event], list[str]]:
    """Return a session's events in order, and what could not be read.

    Args:
        path: the journal file.
        blobs: also read long texts; else they are empty.
    """
    path = Path(path)
    events: list[Event] = []
    problems: list[str] = []
    seen: set[int] = set()
    folder = Folder(path.parent)
    try:
        for found in scan(folder, path.name):
            if found.head is None:
                problems.append(f"`{path.name}`, line {found.number}: {found.problem}")
                continue
            if found.head.seq in seen:
                continue
            seen.add(found.head.seq)
            _, event, blob = decode(found.line)
            if blob is not None and blobs:
                event = _with_text(event, blob, path.parent, problems)
            events.append(event)
    except LineProblem as error:
        problems.append(f"`{path.name}`: {error}")
    except (OSError, StoreError) as error:
        problems.append(f"`{path.name}` cannot be read: {error}")
    return events, problems


def scan(folder: Folder, name: str, *, offset: int = 0, number: int = 0) -> Iterator[Found]:
    """Go through a journal file's lines from an offset, checking each.

    Args:
        folder: where it lies.
        name: the file's name.
        offset: where to begin; the beginning of a line.
        number: how many lines stand before it.

    Raises:
        StoreError: it is a link or no regular file.
    """
    import os

    with os.fdopen(folder.open(name, os.O_RDONLY), "rb") as stream:
        stream.seek(offset)
        while line := stream.readline(_LONGEST_LINE):
            number += 1
            try:
                yield Found(number=number, offset=offset, line=line, head=decode_head(line))
            except LineProblem:
                for start, found in _in_line(line):
                    yield replace(found, number=number, offset=offset + start)
            offset += len(line)


def blob_text(folder: Path, blob: Blob) -> str:
    """Return a long text.

    Raises:
        StoreError: its file is missing or is not what the journal wrote.
    """
    import hashlib

    try:
        data = Folder(folder, BLOBS).read(blob.sha256, limit=1 << 30)
    except OSError as error:
        raise StoreError(f"the text `{blob.sha256[:12]}…` is missing: {error}") from None
    if hashlib.sha256(data).hexdigest() != blob.sha256:
        raise StoreError(f"the text `{blob.sha256[:12]}…` is damaged")
    return data.decode("utf-8", "surrogatepass")


def _with_text(event: Event, blob: Blob, folder: Path, problems: list[str]) -> Event:
    try:
        return replace(event, text=blob_text(folder, blob))
    except (StoreError, UnicodeDecodeError) as error:
        problems.append(str(error))
        return event


def _in_line(line: bytes) -> Iterator[tuple[int, Found]]:
    """Find what is whole in a line: damage can join two events, or put rubbish before one."""
    start = 0
    while True:
        rest = line[start:]
        try:
            found = Found(number=0, offset=0, line=rest, head=decode_head(rest))
        except NewerLine as error:
            yield start, Found(number=0, offset=0, line=rest, problem=str(error), newer=True)
            return
        except LineProblem as error:
            following = line.find(_START, start + 1)
            if start == 0 or following < 0:
                yield start, Found(number=0, offset=0, line=rest, problem=str(error))
            if following < 0:
                return
            start = following
        else:
            yield start, found
            return
