"""The journal: what the cell showed as done is on disk.

One file per kernel session, which only that process writes: one `write()` a line, no locks, so
two kernels cannot collide and a killed one leaves at most half a line at the end.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets as random
import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from llmport_magic.errors import StoreError
from llmport_magic.files import Folder, home_folder, state_dir
from llmport_magic.log.events import Event
from llmport_magic.log.lines import Blob, encode
from llmport_magic.log.reader import BLOBS, journal_folder, scan

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LONG_TEXT = 256_000
_CHUNK = 1 << 20
_RING = 64 << 20
_SLOW = 5.0
_RECENT = 60.0
# Space may return; every other refusal will not go away by waiting.
_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


def new_session() -> str:
    """Return a session id whose order is that of the wall clock (a ULID)."""
    number = (int(time.time() * 1000) << 80) | random.randbits(80)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -5, -5))


class _Lines(deque[bytes]):
    """Lines that are not on disk yet, up to what memory they may take."""

    def __init__(self, lines: Iterable[bytes] = ()) -> None:
        super().__init__(lines)
        self._size = sum(map(len, self))

    def append(self, line: bytes) -> None:
        """Add a line at the end."""
        self._size += len(line)
        super().append(line)

    def popleft(self) -> bytes:
        """Take the oldest line."""
        line = super().popleft()
        self._size -= len(line)
        return line

    def bound(self) -> bool:
        """Let the oldest lines go where there are too many; tells whether any went."""
        gone = False
        while len(self) > 1 and self._size > _RING:
            self.popleft()
            gone = True
        return gone


class Journal:
    """The log of one process in one module folder.

    Args:
        directory: the module folder; the journal lies in its `.llmport/journal/`.
        session: the id of a session to go on with; a new one unless given.
    """

    def __init__(self, directory: str | os.PathLike[str], *, session: str | None = None) -> None:
        self.directory = Path(os.path.realpath(directory))
        self.session = session or new_session()
        self._folder = journal_folder(self.directory)
        self._moved = False
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._descriptor: int | None = None
        self._seq = 0
        self._waiting = _Lines()
        self._unsynced = _Lines()
        self._notices: list[str] = []
        self._told: set[str] = set()
        self._worker: ThreadPoolExecutor | None = None

    @property
    def path(self) -> Path:
        """Where this session is written now."""
        return self._folder.path / self._name

    @property
    def folders(self) -> tuple[Folder, ...]:
        """Where sessions of this module folder may lie, the usual place first."""
        return (journal_folder(self.directory), _fallback(self.directory))

    async def append(self, event: Event, *, commit: bool = True) -> str | None:
        """Write an event; the loop goes on meanwhile.

        Args:
            event: what happened.
            commit: return only when it is on disk.

        Returns:
            What the user should be told about the log, if anything.

        Raises:
            StoreError: a link, a pipe or a directory stands in the journal's place.
        """
        if os.getpid() != self._process:
            return None
        loop = asyncio.get_running_loop()
        try:
            work = self._thread().submit(self.append_sync, event, commit)
        except RuntimeError:  # the interpreter is going down and takes no more work
            return self.append_sync(event, commit)
        try:
            # Not `wait_for`: before Python 3.12 it forgets a cancellation that comes with the end.
            async with asyncio.timeout(_SLOW):
                return await asyncio.shield(asyncio.wrap_future(work))
        except TimeoutError:
            # The thread hangs in the file system: leave it there.
            self._worker = None
            self._move("it does not answer", abandon=True)
            if work.cancel():  # it had not begun, so this event waits nowhere
                return await loop.run_in_executor(self._thread(), self.append_sync, event, commit)
            await loop.run_in_executor(self._thread(), self._flush_and_sync)
            return self._notice()

    def append_sync(self, event: Event, commit: bool = True) -> str | None:
        """Write an event from the calling thread; arguments as for `append()`."""
        if os.getpid() != self._process:
            return None
        with self._lock:
            if self._descriptor is None:
                with suppress(OSError):  # told when the line is written
                    self._open()
            self._seq += 1
            self._waiting.append(self._encode(event))
            self._flush()
        if commit:
            self._sync()
        return self._notice()

    def close(self) -> None:
        """Write what is still due and let go of the file."""
        if os.getpid() != self._process:
            return
        with suppress(OSError, StoreError):
            if self._waiting or self._unsynced:
                self._flush_and_sync()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.shutdown(wait=False)
        with self._lock:
            self._let_go()

    def tell(self, notice: str) -> None:
        """Have the next `append()` return this, once a session."""
        if notice not in self._told:
            self._told.add(notice)
            self._notices.append(notice)

    # -- one line --------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return f"{self.session}.jsonl"

    def _encode(self, event: Event) -> bytes:
        blob = None
        if len(event.text) > _LONG_TEXT:
            with suppress(OSError):  # the text then waits in memory with its line
                blob = self._write_blob(event.text)
        return encode(event, seq=self._seq, mono=_steady_time(event), blob=blob)

    def _write_blob(self, text: str) -> Blob:
        from llmport_magic.secrets import StreamRedactor

        redactor, data = StreamRedactor(), bytearray()
        for start in range(0, len(text), _CHUNK):
            data += redactor.feed(text[start : start + _CHUNK]).encode("utf-8", "surrogatepass")
        data += redactor.flush().encode("utf-8", "surrogatepass")
        blob = Blob(sha256=hashlib.sha256(data).hexdigest(), characters=len(text))
        folder = Folder(self._folder.root, *self._folder.parts, BLOBS)
        if folder.stat(blob.sha256) is None:
            self._make_folder()
            folder.write(blob.sha256, data)
        return blob

    def _flush(self) -> None:
        """Write every line that waits, or keep it for the next time and say so."""
        # Local names: a thread that hung in a file system must not touch what came after it.
        waiting, unsynced = self._waiting, self._unsynced
        try:
            self._open()
            descriptor = self._descriptor
            while waiting and descriptor is not None:
                self._write(descriptor, waiting[0])
                unsynced.append(waiting.popleft())
        except OSError as error:
            if error.errno not in _FULL and not self._moved:
                self._move(error.strerror or type(error).__name__)
                self._flush()
                return
            self.tell(
                f"the log cannot be written now ({error.strerror}); what happens is kept in memory "
                "and written when it can be."
            )
        if waiting.bound():
            self.tell("the log has waited too long for space: its oldest entries are lost.")
        unsynced.bound()

    def _write(self, descriptor: int, line: bytes) -> None:
        size = os.fstat(descriptor).st_size
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            try:
                os.ftruncate(descriptor, size)
            except OSError:
                self._let_go()  # opening it again cuts the half line off
            raise

    # -- the disk --------------------------------------------------------------------------

    def _flush_and_sync(self) -> None:
        with self._lock:
            self._flush()
        self._sync()

    def _sync(self) -> None:
        """Wait for the disk, outside the lock, so that a slow one holds nobody else up."""
        with self._lock:
            if self._descriptor is None:
                return
            count, descriptor = len(self._unsynced), os.dup(self._descriptor)
        begun, trouble = time.monotonic(), ""
        try:
            os.fsync(descriptor)
        except OSError as error:
            trouble = error.strerror or type(error).__name__
        finally:
            os.close(descriptor)
        took = time.monotonic() - begun
        with self._lock:
            if trouble and self._moved:
                self.tell(f"the log may not survive a power cut ({trouble}).")
            elif trouble:
                self._move(trouble)
                self._flush_and_sync()
            else:
                for _ in range(min(count, len(self._unsynced))):
                    self._unsynced.popleft()
                if took > _SLOW and not self._moved:
                    self._move(f"it took {took:.0f} s to write")

    def _move(self, why: str, *, abandon: bool = False) -> None:
        """Go on in the user's own folder, with everything that may not be on disk yet."""
        self._moved = True
        old, self._folder = self.path, _fallback(self.directory)
        if abandon:
            self._descriptor, self._lock = None, threading.RLock()
        else:
            self._let_go()
        self._waiting = _Lines([*self._unsynced, *self._waiting])
        self._unsynced = _Lines()
        self.tell(f"`{old.parent}` cannot hold the log ({why}); it goes on in `{self.path}`.")

    def _make_folder(self) -> None:
        self._folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._moved:
            home_folder(self._folder.root)

    def _open(self) -> None:
        if self._descriptor is not None:
            found = self._folder.stat(self._name)
            if found is not None and os.path.samestat(found, os.fstat(self._descriptor)):
                return
            self._let_go()
        self._make_folder()
        flags = os.O_RDWR | os.O_APPEND
        descriptor = self._folder.open(self._name, flags, create=True)
        try:
            self._mend(descriptor)
            self._folder.sweep()
            Folder(self._folder.root, *self._folder.parts, BLOBS).sweep()
            self._folder.sync()
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _mend(self, descriptor: int) -> None:
        """Go on after the last whole line; what was torn is kept beside the journal."""
        end = 0
        for found in scan(self._folder, self._name):
            if found.newer:
                raise StoreError(
                    f"`{self.path}` was {found.problem} and is left as it is; start a new session."
                )
            if found.line.endswith(b"\n"):
                end = found.offset + len(found.line)
            if found.head is not None:
                self._seq = max(self._seq, found.head.seq)
        size = os.fstat(descriptor).st_size
        if size > end:
            os.lseek(descriptor, end, os.SEEK_SET)
            torn = os.read(descriptor, size - end)
            name = f"{self.session}.torn"
            if self._folder.stat(name) is not None:
                name = f"{self.session}.{end}.torn"
            self._folder.write(name, torn)
            os.ftruncate(descriptor, end)

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    # -- the rest --------------------------------------------------------------------------

    def _thread(self) -> ThreadPoolExecutor:
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="llmport-journal")
        return self._worker

    def _notice(self) -> str | None:
        notices, self._notices = self._notices, []
        return " ".join(notices) or None


def _steady_time(event: Event) -> int:
    """Return when the event happened on the clock that does not jump, nanoseconds."""
    age = time.time() - event.ts
    return time.monotonic_ns() - (int(age * 1e9) if 0 <= age < _RECENT else 0)


def _fallback(directory: Path) -> Folder:
    digest = hashlib.sha256(str(directory).encode("utf-8", "surrogatepass")).hexdigest()
    return Folder(state_dir(), "journal", digest[:16])
