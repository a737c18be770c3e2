"""The warm worker's process, and its forks, as the kernel sees them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from llmport_magic.locks import lock
from llmport_magic.modules.sandbox.ending import end_group
from llmport_magic.modules.sandbox.process import close, environment
from llmport_magic.modules.sandbox.wrapping import Outer, View, wrapped

_PREFIX = "llmport-warm-"
_START_SECONDS = 150.0
_ANSWER_SECONDS = 5.0
_FRESH_SECONDS = 5
# So that no worker keeps one order of sets for ever.
MAX_JOBS = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker must be like to serve a job.

    Attributes:
        kernel: the process and the user that it serves.
        command: what starts it.
        path: where libraries are loaded from.
        sites: folders whose `.pth` files count.
        memory_mb: how much memory the libraries may take.
        outer: the layer around it.
        seen: what it sees of the file system within that layer.
        preload: the libraries, with the files that the kernel has them from where it has them.
    """

    kernel: tuple[int, int]
    command: tuple[str, ...]
    path: tuple[str, ...]
    sites: tuple[str, ...]
    memory_mb: int
    outer: Outer
    seen: View
    preload: tuple[tuple[str, str | None], ...]


class Worker:
    """One worker process.

    Attributes:
        base: the folder in which the folders of its jobs lie.
        state: `starting`, `ready`, `busy` or `ended`.
        failed: whether it ended before it was ready.
        loaded: the libraries that it has loaded.
        megabytes: the address space that they take.
        unfit: a library that it could not load, for which it ended.
        notes: what the user is told of, by library.
        settled: set when it is ready or has ended.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.base = ""
        self.state = "starting"
        self.failed = False
        self.loaded: tuple[str, ...] = ()
        self.megabytes = 0
        self.unfit = ""
        self.notes: dict[str, str] = {}
        self.settled = threading.Event()
        self._mark = secrets.token_hex(16)
        self._jobs = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._lock = -1
        self._lines = b""
        self._reading = lock()

    # -- its beginning and its end -------------------------------------------------------------

    def start(self) -> None:
        """Start the process and wait until it has loaded the libraries; for a thread of its own."""
        try:
            self.base, self._lock = _own_folder()
            told = self._greeted()
        except (OSError, ValueError) as error:
            self.failed = self.state == "starting"
            code = None if self._process is None else self._process.poll()
            self.end()
            if self.failed:
                why = type(error).__name__ if code is None else f"it ended with {code}"
                self.notes["worker"] = f"checks are not warm: the worker did not start ({why})"
        else:
            self._hear(told)

    def _hear(self, told: dict[str, Any]) -> None:
        """Take what it says of its libraries; one that it cannot load is left out by the next."""
        if "unfit" in told:
            name = told["unfit"]
            self.unfit = name
            self.notes[name] = f"`sandbox_preload`: `{name}` is not loaded ahead: {told['why']}"
            self.end()
            return
        self.loaded = tuple(told["loaded"])
        self.megabytes = int(told["bytes"]) // (1024 * 1024)
        for name, file in self.wanted.preload:
            if file is None and name not in self.loaded:
                self.notes[name] = f"`sandbox_preload`: `{name}` is not installed here"
        if self.state == "ended":
            self.end()
        self.state = "ready" if self.state == "starting" else self.state

    def _greeted(self) -> dict[str, Any]:
        own, theirs = socket.socketpair()
        self._control = own
        wanted = self.wanted
        seen = View(readable=wanted.seen.readable, listed=wanted.seen.listed, writable=self.base)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own script, no shell
                wrapped(wanted.outer, wanted.command, seen, lasting=True),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self.base,
                env=environment(self._mark),
                start_new_session=True,
            )
        start = {
            "path": list(wanted.path),
            "sites": list(wanted.sites),
            "preload": [list(library) for library in wanted.preload],
            "memory_mb": wanted.memory_mb,
            "base": self.base,
        }
        own.sendall(json.dumps(start).encode() + b"\n")
        line = self.line(_START_SECONDS)
        told: dict[str, Any] = json.loads(line or b"")
        return told

    def end(self) -> None:
        """End the process and all that it forked; its folder is gone then."""
        self.state = "ended"
        if self._process is not None:
            end_group(self._process, self._mark)
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)
        # Who waits for a line has heard that: closed under it, the socket may never wake it.
        with self._reading:
            self.forget()
        if self.base:
            shutil.rmtree(self.base, ignore_errors=True)

    def forget(self) -> None:
        """Close what this process holds of it, and leave it to itself: it may be another's."""
        self.state = "ended"
        if self._control is not None:
            self._control.close()
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                os.close(self._lock)
            self._lock = -1

    @property
    def alive(self) -> bool:
        """Tell whether the process is there."""
        return self._process is not None and self._process.poll() is None

    # -- its jobs ----------------------------------------------------------------------------------

    def fork(self) -> WarmProcess | None:
        """Have it fork for a job; `None` where it does not answer, and it is ended then."""
        try:
            return WarmProcess(self)
        except (OSError, ValueError):
            self.end()
            return None

    def release(self) -> None:
        """Say that the job is over."""
        self._jobs += 1
        if self.state == "busy":
            self.state = "ready"
        if self._jobs >= MAX_JOBS:
            self.end()

    def send(self, order: bytes, pipes: list[int] | None = None) -> None:
        """Give it an order of one byte, with pipes."""
        if self._control is None:
            raise OSError("the worker has no socket")
        socket.send_fds(self._control, [order], pipes or [])

    def line(self, wait: float) -> bytes | None:
        """Read one line of its; `None` where none comes in time.

        Raises:
            OSError: it has ended.
        """
        assert self._control is not None
        with self._reading:
            while b"\n" not in self._lines:
                if not select.select([self._control], [], [], wait)[0]:
                    return None
                part = self._control.recv(4096)
                if not part:
                    raise OSError("the worker has ended")
                self._lines += part
            line, _, self._lines = self._lines.partition(b"\n")
            return line


class WarmProcess:
    """A fork of the worker's, for one job.

    Raises:
        OSError, ValueError: the worker does not fork.
    """

    warm = True

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._code: int | None = None
        self._over, self._ending = False, threading.Lock()
        pairs = [os.pipe() for _ in range(3)]
        self.stdin: IO[bytes] = os.fdopen(pairs[0][1], "wb")
        self.stdout: IO[bytes] = os.fdopen(pairs[1][0], "rb")
        self.stderr: IO[bytes] = os.fdopen(pairs[2][0], "rb")
        theirs = [pairs[0][0], pairs[1][1], pairs[2][1]]
        try:
            worker.send(b"r", theirs)
            line = worker.line(_ANSWER_SECONDS)
            self._pid = int(line or b"")
        except (OSError, ValueError):
            close(self.stdin, self.stdout, self.stderr)
            raise
        finally:
            for pipe in theirs:
                os.close(pipe)

    def exit_code(self, wait: float) -> int | None:
        """Give its exit code, or minus the signal that ended it."""
        if self._code is None:
            try:
                line = self._worker.line(wait)
                self._code = None if line is None else int(line)
            except (OSError, ValueError):
                self._code = -9
                self._worker.end()
        return self._code

    def kill(self) -> None:
        """End it from another thread; once it is over the worker may run another's job."""
        with self._ending, contextlib.suppress(OSError):
            if not self._over:
                self._worker.send(b"s")

    def end(self) -> None:
        """End it with all that it started; a worker that cannot is ended, too."""
        if self._code is None:
            self.kill()
            if self.exit_code(_ANSWER_SECONDS) is None:
                self._worker.end()
        with self._ending:
            self._over = True
        close(self.stdin, self.stdout, self.stderr)


def _own_folder() -> tuple[str, int]:
    """Make the folder of a worker, held by a lock that ends with this process.

    Folders whose kernel was killed are removed first.
    """
    import fcntl

    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(old, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                found = os.fstat(lock)
                if found.st_uid == os.getuid() and time.time() - found.st_mtime > _FRESH_SECONDS:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(old, ignore_errors=True)
            finally:
                os.close(lock)
    base = tempfile.mkdtemp(prefix=_PREFIX)
    lock = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return base, lock
