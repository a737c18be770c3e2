"""Limits that all kernels of this user on this machine share: their buckets lie in a file.

The file is in a run-time folder of this machine, never in a home directory: that may lie on
another machine, where locks do not hold. It has two things: when each bucket is full again, by the
machine's own clock, and the line of kernels. A kernel has one place in it, whatever waits in that
kernel, so that all get their turn; one that is gone is passed over.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from llmport_magic import bridge
from llmport_magic.errors import ConfigError
from llmport_magic.llm.limits import Charge, Pair, corrected, taken
from llmport_magic.locks import lock
from llmport_magic.secrets import variable

if TYPE_CHECKING:
    import sqlite3

_FOLDER = "llmport_magic"
_BUSY_SECONDS = 5.0
# Nobody can wake a kernel that waits: it looks again, since others give back and leave.
_LOOK_SECONDS = 1.0
# Who has not looked for so long after it should have is gone.
_GONE_SECONDS = 1.0
_MOUNTS = Path("/proc/self/mountinfo")
# File systems of other machines, by the words of https://www.kernel.org/doc/html/latest/
# filesystems/ and of their vendors (read 2026-11-21).
_REMOTE = ("nfs", "cifs", "smb", "afs", "ceph", "lustre", "gpfs", "beegfs", "gluster", "fuse.sshfs")
_TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS account (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    requests REAL NOT NULL, tokens REAL NOT NULL, seen REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS line (
    ticket INTEGER PRIMARY KEY AUTOINCREMENT,
    requests REAL NOT NULL, tokens REAL NOT NULL, due REAL NOT NULL
);
INSERT OR IGNORE INTO account VALUES (0, 0, 0, 0);
COMMIT;
"""


class SharedBuckets:
    """The buckets of an account in a file; each access is one transaction in a thread.

    Args:
        account: its name, which does not stand in the file's.
        folder: where the file lies; `None` is this user's run-time folder.
        clock: one that all processes of the machine share.
    """

    shared = True
    look = _LOOK_SECONDS

    def __init__(
        self,
        account: str,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        name = hashlib.blake2b(account.encode(), digest_size=16, person=b"llmport limits")
        self._file = f"limits-{name.hexdigest()}.sqlite3"
        self._folder = folder
        self._clock = clock
        self._lock = lock()
        self._database: sqlite3.Connection | None = None
        self._path = Path()
        self._inode = 0
        self._ticket: int | None = None
        self._corrections: set[asyncio.Task[None]] = set()
        self.known: Pair = (0.0, 0.0)

    def now(self) -> float:
        """Give the machine's time, which begins anew when the machine does."""
        return self._clock()

    async def attempt(self, wanted: Charge) -> Pair:
        """Take it if its turn has come; else keep the place in the line, and give the waits.

        Raises:
            ConfigError: the folder or the file cannot be used.
        """
        return await bridge.in_thread(self._attempt, wanted)

    def correct(self, seconds: Pair) -> None:
        """Take more, or give back; a file that fails says so at the next attempt."""
        task = asyncio.get_running_loop().create_task(bridge.in_thread(self._correct, seconds))
        self._corrections.add(task)
        task.add_done_callback(self._corrected)

    async def leave(self) -> None:
        """Give up the place in the line."""
        if self._ticket is not None:
            await bridge.in_thread(self._leave)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _corrected(self, task: asyncio.Task[None]) -> None:
        self._corrections.discard(task)
        if not task.cancelled():
            task.exception()

    def _attempt(self, wanted: Charge) -> Pair:
        with self._transaction() as (database, now):
            state = self._state(database)
            database.execute("DELETE FROM line WHERE due < ?", (now - _GONE_SECONDS,))
            self._queue(database, wanted, now)
            ahead = database.execute(
                "SELECT total(requests), total(tokens) FROM line WHERE ticket < ?", (self._ticket,)
            ).fetchone()
            _, waits = taken(state, now, wanted, ahead)
            if not any(waits):
                # There is room for those ahead, too, should they be a moment late.
                after, _ = taken(state, now, wanted)
                database.execute("DELETE FROM line WHERE ticket = ?", (self._ticket,))
                self._ticket = None
                self._store(database, after, now)
                return waits
            due = now + min(max(waits), _LOOK_SECONDS)
            database.execute("UPDATE line SET due = ? WHERE ticket = ?", (due, self._ticket))
            self._store(database, state, now)
            return waits

    def _queue(self, database: sqlite3.Connection, wanted: Charge, now: float) -> None:
        """Take a place at the end of the line, or keep the one that is there."""
        kept = database.execute(
            "UPDATE line SET requests = ?, tokens = ? WHERE ticket = ?",
            (*wanted.cost, self._ticket),
        )
        if not kept.rowcount:
            new = database.execute(
                "INSERT INTO line (requests, tokens, due) VALUES (?, ?, ?)", (*wanted.cost, now)
            )
            self._ticket = new.lastrowid

    def _correct(self, seconds: Pair) -> None:
        with self._transaction() as (database, now):
            self._store(database, corrected(self._state(database), now, seconds), now)

    def _leave(self) -> None:
        with self._transaction() as (database, _):
            database.execute("DELETE FROM line WHERE ticket = ?", (self._ticket,))
            self._ticket = None

    def _state(self, database: sqlite3.Connection) -> Pair:
        requests, tokens = database.execute("SELECT requests, tokens FROM account").fetchone()
        return requests, tokens

    def _store(self, database: sqlite3.Connection, state: Pair, now: float) -> None:
        self.known = state
        database.execute("UPDATE account SET requests = ?, tokens = ?, seen = ?", (*state, now))

    @contextmanager
    def _transaction(self) -> Iterator[tuple[sqlite3.Connection, float]]:
        """Have the file for oneself; gives it, and the time at which that began."""
        import sqlite3

        try:
            with self._lock:
                database = self._database = self._still_there() or self._opened()
                database.execute("BEGIN IMMEDIATE")
                try:
                    # Only now: whoever had the file before has an earlier time.
                    now = self._clock()
                    _forget_before_reboot(database, now)
                    yield database, now
                except BaseException:
                    database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(
                f"the limits that kernels share cannot be kept in `{self._file}` ({error}): delete "
                "that file, or set `shared_limits` to false"
            ) from None

    def _still_there(self) -> sqlite3.Connection | None:
        """Give the open file, unless somebody has tidied it away: then the others have another."""
        with suppress(OSError):
            if self._database is not None and self._path.stat().st_ino == self._inode:
                return self._database
        return None

    def _opened(self) -> sqlite3.Connection:
        import sqlite3

        path = (self._folder or runtime_folder()) / self._file
        if path.is_symlink():
            raise ConfigError(f"`{path}` is a link, not a file of ours: delete it")
        database = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        # What is in it lives as long as the machine runs, and a process that is killed undoes
        # nothing of the others: no need to wait for the disk.
        database.execute("PRAGMA journal_mode = TRUNCATE")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_TABLES)
        self._path, self._inode = path, path.stat().st_ino
        return database


def _forget_before_reboot(database: sqlite3.Connection, now: float) -> None:
    """Start afresh where the clock has: the state is from before the machine did."""
    (seen,) = database.execute("SELECT seen FROM account").fetchone()
    if seen > now:
        database.execute("UPDATE account SET requests = 0, tokens = 0, seen = 0")
        database.execute("DELETE FROM line")


def runtime_folder() -> Path:
    """Give the folder for what this user's processes on this machine share, made if need be.

    `$XDG_RUNTIME_DIR/llmport_magic` where that variable names a folder of this user alone, as
    https://specifications.freedesktop.org/basedir-spec/latest/ wants it (read 2026-11-21); else
    `llmport_magic-UID` in the folder for temporary files.

    Raises:
        ConfigError: it is a link, belongs to somebody else, may be read by others, or does not
            lie on this machine.
    """
    named = variable("XDG_RUNTIME_DIR")
    if named and _why_unfit(Path(named)) is None:
        folder = Path(named) / _FOLDER
    else:
        folder = Path(tempfile.gettempdir()) / f"{_FOLDER}-{_user()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        why = _why_unfit(folder)
    except OSError as error:
        why = error.strerror or "cannot be made"
    if why:
        raise ConfigError(
            f"kernels cannot share limits in `{folder}`: it {why}; set XDG_RUNTIME_DIR to a folder "
            "of your own on this machine, or `shared_limits` to false"
        )
    return folder


def _why_unfit(folder: Path) -> str | None:
    """Say why a folder cannot be used, or `None` where it can."""
    try:
        found = folder.lstat()
    except OSError as error:
        return error.strerror or "cannot be read"
    if not folder.is_absolute() or not stat.S_ISDIR(found.st_mode):
        return "is a link, or no folder"
    if hasattr(os, "getuid"):
        if found.st_uid != os.getuid():
            return "belongs to somebody else"
        if stat.S_IMODE(found.st_mode) & 0o077:
            return "is open to others"
        # On Windows the folder for temporary files is there, and on this machine.
        home = Path.home().resolve()
        if home != home.parent and folder.resolve().is_relative_to(home):
            return "is in a home directory"
    kind = _file_system(folder.resolve())
    return f"is on another machine ({kind})" if kind.startswith(_REMOTE) else None


def _file_system(folder: Path) -> str:
    """Give the kind of the file system on which a folder lies, where Linux says it."""
    try:
        lines = _MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4].encode().decode("unicode_escape")
        if len(point) >= best and folder.is_relative_to(point):
            best, kind = len(point), after.split(" ")[0]
    return kind


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"
