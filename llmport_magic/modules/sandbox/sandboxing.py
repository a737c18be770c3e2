"""Imports a candidate and runs its examples in a process that holds nothing of the user's.

The child has an empty environment, a folder of its own, limits on memory, time and files, and a
process group that ends with it. It sends what it saw; what the examples shall give never reaches
it. The level that was reached is always part of the result.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import IO, Any

from llmport_magic.errors import ConfigError
from llmport_magic.modules.sandbox import beside, warming, wrapping
from llmport_magic.modules.sandbox.ending import tasks_on_machine
from llmport_magic.modules.sandbox.inside.sandbox_confine import available
from llmport_magic.modules.sandbox.job import (
    ImportFailure,
    SandboxJob,
    SandboxResult,
    Status,
    import_path,
    library_folders,
    listed_folders,
    user_sites,
)
from llmport_magic.modules.sandbox.levels import CONFINED, accepted, level_of, reaches, too_weak
from llmport_magic.modules.sandbox.process import CHILD, ColdProcess, Process
from llmport_magic.modules.sandbox.seen import Seen
from llmport_magic.modules.sandbox.warming import new_notes
from llmport_magic.settings import Settings

__all__ = [
    "CONFINED",
    "ImportFailure",
    "SandboxJob",
    "SandboxResult",
    "confines",
    "level",
    "limits",
    "new_notes",
    "refuse_weak",
    "run",
    "warm_up",
    "warmth",
]

_CHILD = CHILD
_MAX_RESULT = 4_000_000
_MAX_NEW_TASKS = 512
_POLL_SECONDS = 0.1
# What a process that has ended wrote last, and how it ended, is waited for so often: turns, for on
# a machine that stands still any time is over at once.
_LAST_TURNS = 50


def level() -> str:
    """Name the strongest level that this system offers; the first call tries what there is."""
    if not sys.executable or sys.platform in {"emscripten", "wasi"}:
        return "static only"
    try:
        import resource  # noqa: F401 - whether it is there
    except ImportError:
        return "process only"
    outer = wrapping.offered()
    return level_of([*([outer] if outer else []), *_offered()], limited=True)


@cache
def _offered() -> tuple[str, ...]:
    return available()


def confines(reached: str) -> bool:
    """Tell whether a level holds code that acts when it is imported."""
    return reaches(reached, CONFINED)


def limits(settings: Settings) -> dict[str, Any]:
    """Give what the settings say of every job, as its fields."""
    return {
        "seconds": settings.sandbox_seconds,
        "memory_mb": settings.sandbox_memory_mb,
        "least": settings.sandbox_least,
        "warm": settings.sandbox_warm,
        "preload": settings.sandbox_preload,
    }


def refuse_weak(settings: Settings) -> None:
    """Say that nothing can be checked here as the user wants it, before anybody is asked.

    Raises:
        ConfigError: this system does not reach `sandbox_least`.
    """
    if settings.sandbox_least != "static only" and not reaches(level(), settings.sandbox_least):
        raise ConfigError(too_weak(level(), settings.sandbox_least))


def warm_up(settings: Settings) -> None:
    """Have the worker ready that checks are forked from; returns at once.

    A good moment is when a request is sent: it is ready before the answer is there.
    """
    if settings.sandbox_warm:
        job = SandboxJob(
            source="",
            module_name="",
            module_dir=Path(settings.module_dir).resolve(),
            **limits(settings),
        )
        threading.Thread(target=_prepare, args=(job,), name=warming.THREAD, daemon=True).start()


def _prepare(job: SandboxJob) -> None:
    if confines(level()):
        warming.prepare(job, _CHILD, wrapping.offered())


def warmth() -> str:
    """Say in a few words what the worker of this kernel has loaded; "" where there is none."""
    worker = warming.current()
    if worker is None or worker.state not in {"ready", "busy"}:
        return ""
    loaded = ", ".join(worker.loaded) or "no libraries"
    return f"warm: {loaded}, {worker.megabytes} MB"


async def run(job: SandboxJob) -> SandboxResult:
    """Run a job; cancelling it ends the child and everything that it started."""
    loop = asyncio.get_running_loop()
    reached = await loop.run_in_executor(None, level)
    if not reaches(reached, job.least):
        told = too_weak(reached, job.least)
        return SandboxResult(status="unavailable", error=told, too_weak=True)
    if reached == "static only":
        return SandboxResult(status="unavailable", error="this system starts no processes")
    child = _Child(job, warm=job.warm and confines(reached))
    running = loop.run_in_executor(None, child.run)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        child.stop()
        raise


class _Child:
    """One child process, from its start to the end of its group; used by one thread."""

    def __init__(self, job: SandboxJob, *, warm: bool) -> None:
        self._job = job
        self._warm = warm
        self._nonce = secrets.token_hex(16)
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._begun = time.monotonic()
        self._process: Process | None = None
        self._said = _Said()
        self._too_much = False

    def stop(self) -> None:
        """End the child from another thread."""
        self._stopped.set()
        self._lines.put(None)
        if self._process is not None:
            self._process.kill()

    def run(self) -> SandboxResult:
        """Run the job in this thread, where the layer around it fails without that layer."""
        outer = wrapping.offered()
        # The layer hides files one by one: one that is gone when it starts, as an editor's are
        # while it saves, keeps it from starting once.
        result = self._attempt(outer) or self._again(outer)
        if result is None:
            wrapping.give_up()
            result = self._again("")
        return result or SandboxResult(status="unavailable", error="the check could not start")

    def _again(self, outer: wrapping.Outer) -> SandboxResult | None:
        self._lines, self._too_much = queue.SimpleQueue(), False
        return self._attempt(outer)

    def _attempt(self, outer: wrapping.Outer) -> SandboxResult | None:
        """Run the job; `None` where the child never came so far as to read it."""
        worker = warming.take(self._job, _CHILD, outer) if self._warm else None
        self._process = worker.fork() if worker is not None else None
        if self._process is None:
            worker = None
        folder = tempfile.mkdtemp(prefix="llmport-check-", dir=worker.base if worker else None)
        try:
            beside.lay(self._job.texts(), Path(folder))
            for name, data in self._job.files.items():
                (Path(folder) / name).write_bytes(data)
            self._start(folder, outer)
            seen = Seen()
            result = self._watch(seen)
        except OSError as error:
            told = f"the check could not start: {error.strerror}"
            return SandboxResult(status="unavailable", error=told)
        finally:
            if self._process is not None:
                self._process.end()
            if worker is not None:
                worker.release()
            _remove(folder)
        lost = bool(outer) and not seen.begun and result.status == "crashed"
        return None if lost and not self._stopped.is_set() else result

    def _start(self, folder: str, outer: wrapping.Outer) -> None:
        message, process = self._message(folder), self._process
        if process is None:
            seen = wrapping.view(message["readable"], message["listed"], folder)
            process = self._process = ColdProcess(_CHILD, folder, self._nonce, outer, seen)
        if self._stopped.is_set():
            process.kill()
        threading.Thread(target=self._read, args=(process.stdout, self._lines), daemon=True).start()
        self._said = _Said()
        threading.Thread(target=self._said.drain, args=(process.stderr,), daemon=True).start()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(message).encode())
            process.stdin.close()

    def _message(self, folder: str) -> dict[str, Any]:
        job = self._job
        megabyte = 1024 * 1024
        seconds = max(1, int(job.seconds + 0.999))
        limits = {
            "AS": job.memory_mb * megabyte,
            # More than the time of the run, which is what is told.
            "CPU": seconds + 1,
            "FSIZE": 10 * megabyte,
            "NOFILE": 64,
            "CORE": 0,
        }
        tasks = tasks_on_machine()
        if tasks is not None:
            limits["NPROC"] = tasks + _MAX_NEW_TASKS
        path = import_path(job.search_path, job.module_dir)
        return {
            "nonce": self._nonce,
            "folder": folder,
            "name": job.module_name,
            "source": job.source,
            "examples": list(job.examples),
            "path": path,
            "sites": user_sites(path),
            "listed": listed_folders(path, job.module_dir),
            "readable": library_folders(path),
            "outside": wrapping.outside(),
            "accepted": accepted(job.least, confined=job.confined),
            "fixed": dict(job.fixed_names),
            "trial": None if job.trial is None else dict(job.trial),
            "limits": limits,
        }

    def _read(self, stream: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
        left = _MAX_RESULT
        with contextlib.suppress(OSError, ValueError):
            while left > 0 and (line := stream.readline(left)):
                left -= len(line)
                lines.put(line)
            self._too_much |= left <= 0
        lines.put(None)

    def _watch(self, seen: Seen) -> SandboxResult:
        job = self._job
        deadline = self._begun + job.seconds
        tasks = tasks_on_machine() or 0
        for line in self._arriving(deadline, tasks):
            problem = seen.take(line, self._nonce)
            if seen.begun and seen.level not in accepted(job.least, confined=job.confined):
                return self._refused(seen)
            if problem:
                return self._result(seen, "forged", problem)
            if seen.ended:
                return self._result(seen, "import_error" if seen.failure else "ok")
        if self._stopped.is_set():
            return self._result(seen, "crashed", "stopped")
        if time.monotonic() >= deadline:
            told = f"did not finish within {job.seconds:g} s"
            # An example that hangs is the code's fault; an import may be slow by its libraries'.
            more = "" if seen.running is not None else " (`sandbox_seconds`)"
            return self._result(seen, "timeout", told + more)
        return self._result(seen, "crashed", self._how_it_died())

    def _refused(self, seen: Seen) -> SandboxResult:
        """Say that the child found itself held less than it must be, and ran nothing."""
        if reaches(seen.level, self._job.least):
            return self._result(seen, "unavailable", "this system cannot confine the code")
        told = too_weak(seen.level, self._job.least)
        return replace(self._result(seen, "unavailable", told), too_weak=True)

    def _arriving(self, deadline: float, tasks: int) -> Iterator[bytes]:
        """Give the child's lines until it ends, time is up, or it starts too many processes."""
        assert self._process is not None
        left = _LAST_TURNS
        while not self._stopped.is_set() and time.monotonic() < deadline:
            try:
                line = self._lines.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                # What it had written may still be on its way.
                left -= self._process.exit_code(0) is not None
                if left <= 0:
                    return
                if (tasks_on_machine() or 0) > tasks + 2 * _MAX_NEW_TASKS:
                    self._too_much = True
                    return
                continue
            if line is None:
                return
            yield line

    def _how_it_died(self) -> str:
        assert self._process is not None
        code, left = None, 0 if self._too_much else _LAST_TURNS
        while code is None and left:
            # It closes what it writes to before it has ended.
            code, left = self._process.exit_code(_POLL_SECONDS), left - 1
        if code is None:
            return "sent more than the check reads, or started too many processes"
        if code < 0:
            return f"the process was ended by signal {-code}"
        told = f"the process ended itself (exit code {code})"
        if self._said.lacks_memory():
            told += f": `sandbox_memory_mb` = {self._job.memory_mb} may be too small"
        return told

    def _result(self, seen: Seen, status: Status, error: str = "") -> SandboxResult:
        assert self._process is not None
        return SandboxResult(
            status=status,
            observations=seen.observations,
            hung=seen.running,
            failure=seen.failure,
            error=error,
            level=seen.level,
            seconds=time.monotonic() - self._begun,
            printed=seen.printed,
            trial=seen.trial,
            warm=self._process.warm,
        )


class _Said:
    """What a child writes outside of its channel: nobody reads it, but for why it died."""

    def __init__(self) -> None:
        self._last = b""
        self._ended = threading.Event()

    def drain(self, stream: IO[bytes]) -> None:
        """Read all of it, in a thread of its own, and keep the end."""
        with contextlib.suppress(OSError, ValueError):
            while piece := stream.read1(65536):  # type: ignore[attr-defined]  # buffered
                self._last = (self._last + piece)[-1000:]
        self._ended.set()

    def lacks_memory(self) -> bool:
        """Tell whether a library complained of memory before it ended the process."""
        for _ in range(_LAST_TURNS):
            if self._ended.wait(_POLL_SECONDS):
                break
        return b"memory" in self._last.lower()


def _remove(folder: str) -> None:
    """Remove the child's folder, also where the child took away its own rights."""
    for path, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            Path(path).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
