"""The log notebook: pages that show the journals, and belong to whoever edits them.

    llmport_log.ipynb, llmport_log-0002.ipynb, …       at most 500 events each
    llmport_log.1.ipynb                                instead of a page that a user edited

A page can be deleted at any time and comes back with the same bytes. It is written whole, in the
background, and never read for what it says, only to see whether it is still what we wrote.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from llmport_magic.errors import StoreError
from llmport_magic.files import HOME, Folder
from llmport_magic.log.events import Event
from llmport_magic.log.journal import Journal
from llmport_magic.log.lines import Blob, LineProblem
from llmport_magic.log.reader import BLOBS
from llmport_magic.log.rendering import (
    VERSION,
    cut,
    digest,
    event_cells,
    page,
    partial_cell,
    serialise,
)
from llmport_magic.log.timeline import Place, Timeline

_EVENTS = 500
_BYTES = 4_000_000
_PAUSE = 2.0
_SHARE = 20
_VARIANTS = 100
_CLOSING_SECONDS = 10.0
_PEEK = 64_000
_TOP = 2_000


# What a page's file is to us.
_Standing: TypeAlias = Literal["none", "ours", "saved again", "edited"]


class Pages:
    """The log notebook of a module folder.

    Args:
        directory: where the pages lie.
        journal: this process's journal; tells the user what a page has to say.
    """

    def __init__(self, directory: str | os.PathLike[str], journal: Journal) -> None:
        self.directory = Path(os.path.realpath(directory))
        self._journal = journal
        self._folder = Folder(self.directory)
        self._timeline = Timeline(journal.folders)
        self._process = os.getpid()
        self._rendering = threading.Lock()
        self._due = threading.Condition()
        self._dirty = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self._took = 0.0
        self._swept = False
        self._variant: dict[int, int] = {}
        self._written: dict[str, str] = {}
        self._made: dict[str, list[dict[str, Any]]] = {}
        self._settled: dict[int, tuple[str, tuple[int, int, int] | None]] = {}

    def changed(self) -> None:
        """Note that there is something to show; it is written a little later."""
        if os.getpid() != self._process:
            return
        with self._due:
            self._dirty = True
            if self._thread is None:
                self._closed = False
                self._thread = threading.Thread(
                    target=self._work, name="llmport-pages", daemon=True
                )
                self._thread.start()
            self._due.notify_all()

    def flush(self) -> None:
        """Write what is due now; never raises."""
        if os.getpid() != self._process:
            return
        with self._due:
            self._dirty = False
        try:
            with self._rendering:
                begun = time.monotonic()
                self._render()
                self._took = time.monotonic() - begun
        except Exception as error:  # noqa: BLE001 - a view must not fail what it shows
            self._journal.tell(
                f"the log notebook could not be written ({error}); the journal holds everything."
            )

    def close(self) -> None:
        """Write what is due and stop."""
        if os.getpid() != self._process:
            return
        with self._due:
            due, self._closed, thread = self._dirty, True, self._thread
            self._thread = None
            self._due.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=_CLOSING_SECONDS)
        if due:
            self.flush()

    # -- when ------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._due:
                self._due.wait_for(lambda: self._dirty or self._closed)
                if self._closed:
                    return
                self._due.wait_for(lambda: self._closed, max(_PAUSE, _SHARE * self._took))
                if self._closed:
                    return
            self.flush()

    # -- what ------------------------------------------------------------------------------

    def _render(self) -> None:
        if not self._swept:
            self._folder.sweep()
            self._swept = True
        self._timeline.refresh()
        for problem in self._timeline.problems:
            self._journal.tell(f"the log skips what it cannot read: {problem}.")
        if self._timeline.newer:
            self._journal.tell(
                "this folder's log is also written by a newer llmport_magic, so its notebook is "
                "left as it is."
            )
            return
        pages = list(_split(self._timeline.places))
        for number, places in enumerate(pages, start=1):
            self._render_page(number, places, closed=number < len(pages))

    def _render_page(self, number: int, places: list[Place], *, closed: bool) -> None:
        fingerprint = _fingerprint(places)
        name = _name(number, self._variant.get(number, 0))
        if self._settled.get(number) == (fingerprint, self._stamp(name)):
            return
        data = b""
        beside: list[str] = []
        for variant in range(self._variant.get(number, 0), _VARIANTS):
            name = _name(number, variant)
            if self._shows(name, fingerprint):
                break
            if self._look_at(name) in {"none", "ours"}:
                data = data or page(self._cells(places), number=number, fingerprint=fingerprint)
                try:
                    self._folder.write(name, data)
                except PermissionError:
                    if beside and beside[-1].endswith("cannot be replaced"):
                        raise  # nothing can: the folder is read-only
                    beside.append(f"`{name}` cannot be replaced")
                else:
                    self._written[name] = hashlib.sha256(data).hexdigest()
                    break
            else:
                beside.append(f"`{name}` was changed by somebody else and is left as it is")
        self._variant[number] = variant
        self._settled[number] = (fingerprint, self._stamp(name))
        if beside and data:
            self._journal.tell(f"{'; '.join(beside)}: the log goes on in `{name}`.")
        if closed and data:
            _validate(data)

    def _cells(self, places: list[Place]) -> list[dict[str, Any]]:
        """Return a page's cells; those of events that are over are kept for the next time."""
        made: dict[str, list[dict[str, Any]]] = {}
        with self._timeline.reading() as read:
            for place in places:
                identity = place.head.id
                open_end = place.head.kind == "PROMPT" and not place.answered
                if identity in self._made and not open_end:
                    made[identity] = self._made[identity]
                    continue
                try:
                    made[identity] = self._event_cells(place, read, open_end=open_end)
                except (OSError, StoreError, LineProblem) as error:
                    self._journal.tell(f"the log skips what it cannot read: {error}.")
        self._made = {
            place.head.id: made[place.head.id]
            for place in places
            if place.head.id in made and (place.answered or place.head.kind != "PROMPT")
        }
        return [cell for cells in made.values() for cell in cells]

    def _event_cells(
        self,
        place: Place,
        read: Callable[[Place], tuple[Event, Blob | None]],
        *,
        open_end: bool,
    ) -> list[dict[str, Any]]:
        event, blob = read(place)
        where = ""
        if blob is not None:
            where, text = _excerpt(place.folder, blob)
            event = replace(event, text=text)
        cells = event_cells(event, place.session, where=where)
        if open_end:
            arrived = "".join(read(part)[0].text for part in place.parts)
            cells.append(partial_cell(event, arrived, place.session))
        return cells

    # -- whose -----------------------------------------------------------------------------

    def _stamp(self, name: str) -> tuple[int, int, int] | None:
        found = self._folder.stat(name)
        return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)

    def _shows(self, name: str, fingerprint: str) -> bool:
        """Tell whether a page shows this state, edited or not; what we write says so on top."""
        try:
            with os.fdopen(self._folder.open(name, os.O_RDONLY), "rb") as stream:
                return f'"fingerprint": "{fingerprint}"'.encode() in stream.read(_TOP)
        except (OSError, StoreError):
            return False

    def _look_at(self, name: str) -> _Standing:
        try:
            data = self._folder.read(name)
        except FileNotFoundError:
            return "none"
        except (OSError, StoreError):
            return "edited"
        try:
            book = json.loads(data)
            ours = book["metadata"]["llmport"]
            if ours["v"] != VERSION or digest(book["cells"]) != ours["cells"]:
                return "edited"
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return "edited"
        known = self._written.get(name)
        if known in {None, hashlib.sha256(data).hexdigest()} or serialise(book) == data:
            return "ours"
        # A front end has it open and wrote it in its own way: one of us would lose.
        return "saved again"


def _split(places: list[Place]) -> Iterator[list[Place]]:
    """Cut the events into pages: later ones never change where an earlier page ends."""
    part: list[Place] = []
    size = 0
    for place in places:
        length = min(place.length, _PEEK)
        if part and (len(part) == _EVENTS or size + length > _BYTES):
            yield part
            part, size = [], 0
        part.append(place)
        size += length
    if part:
        yield part


def _fingerprint(places: list[Place]) -> str:
    state = [(place.head.id, place.answered, len(place.parts)) for place in places]
    return hashlib.sha256(json.dumps([VERSION, state]).encode()).hexdigest()


def _name(number: int, variant: int) -> str:
    middle = "" if number == 1 else f"-{number:04d}"
    return f"llmport_log{middle}{f'.{variant}' if variant else ''}.ipynb"


def _excerpt(folder: Folder, blob: Blob) -> tuple[str, str]:
    """Return where a long text lies, and its beginning and end."""
    descriptor = Folder(folder.root, *folder.parts, BLOBS).open(blob.sha256, os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as stream:
        head = stream.read(_PEEK)
        stream.seek(max(len(head), os.fstat(stream.fileno()).st_size - _PEEK))
        tail = stream.read(_PEEK)
    text = cut(
        head.decode("utf-8", "replace"),
        length=max(blob.characters, _PEEK + 1),
        tail=tail.decode("utf-8", "replace"),
    )
    if folder.parts[:1] == (HOME,):
        return "/".join([*folder.parts, BLOBS, blob.sha256]), text
    return str(folder.path / BLOBS / blob.sha256), text


def _validate(data: bytes) -> None:
    """Check a page that will not change any more.

    Raises:
        JsonSchemaException: it is not a valid notebook.
    """
    _notebook_schema()(json.loads(data))


@cache
def _notebook_schema() -> Callable[[Any], Any]:
    # `nbformat.validate` would do, but importing nbformat takes over a second of the kernel's time.
    import fastjsonschema

    spec = importlib.util.find_spec("nbformat")
    assert spec is not None
    assert spec.origin is not None
    schema = Path(spec.origin).parent / "v4" / "nbformat.v4.5.schema.json"
    check: Callable[[Any], Any] = fastjsonschema.compile(json.loads(schema.read_text("utf-8")))
    return check
