"""Imports a candidate and runs its examples in a process that holds nothing of the user's.

The child has an empty environment, an empty folder, limits on memory, time and files, and a
process group of its own that ends with it. It sends what it saw; what the examples shall give
never reaches it. The level that was reached is always part of the result.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal

from llmport_magic.modules.comparison import Observation
from llmport_magic.modules.processes import end_group, kill_group, tasks_on_machine
from llmport_magic.modules.sandbox_confine import available

_CHILD = Path(__file__).with_name("sandbox_child.py")
_MAX_RESULT = 4_000_000
_MAX_NEW_TASKS = 512
_POLL_SECONDS = 0.1
CONFINED = "landlock+seccomp"

Status = Literal["ok", "import_error", "crashed", "timeout", "forged", "unavailable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxJob:
    """What to run.

    Attributes:
        source: the module's text, which passed the gate.
        module_name: its name.
        examples: the code of each example, by a number of the caller's.
        search_path: the kernel's import path.
        module_dir: the folder of the user's generated modules.
        seconds: how long all of it may take.
        memory_mb: how much memory it may use.
        fixed_names: names that the examples know, with the text of their literal values.
        confined: whether it may only run where Landlock and seccomp hold it.
    """

    source: str
    module_name: str
    examples: Sequence[tuple[int, str]] = ()
    search_path: Sequence[str] = ()
    module_dir: Path | None = None
    seconds: float = 20.0
    memory_mb: int = 2048
    fixed_names: Mapping[str, str] = field(default_factory=dict)
    confined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFailure:
    """Why the module did not import.

    Attributes:
        error: the exception's type.
        message: its text.
        line: the line of the module, where one is known.
        missing: the name that an `ImportError` was about.
        own: whether the module itself raised it, and not a package that it imports.
    """

    error: str
    message: str = ""
    line: int | None = None
    missing: str | None = None
    own: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxResult:
    """What came of it.

    Attributes:
        status: how it ended.
        observations: what was seen of each example that came to its end.
        hung: the example that was running when time was up or the process died.
        failure: why the module did not import.
        error: one line about anything else.
        level: what held the child: `landlock+seccomp`, one of them, `rlimits only`,
            `process only` or `static only`.
        seconds: how long it took.
        printed: what the import printed.
    """

    status: Status
    observations: Mapping[int, Observation] = field(default_factory=dict)
    hung: int | None = None
    failure: ImportFailure | None = None
    error: str = ""
    level: str = "static only"
    seconds: float = 0.0
    printed: str = ""


def level() -> str:
    """Name the strongest level that this system offers."""
    if not sys.executable or sys.platform in {"emscripten", "wasi"}:
        return "static only"
    try:
        import resource  # noqa: F401
    except ImportError:
        return "process only"
    return _level_of(_offered(), limited=True)


@cache
def _offered() -> tuple[str, ...]:
    return available()


def _level_of(holds: Sequence[str], *, limited: bool) -> str:
    return "+".join(holds) or ("rlimits only" if limited else "process only")


async def run(job: SandboxJob) -> SandboxResult:
    """Run a job; cancelling it ends the child and everything that it started."""
    if level() == "static only":
        return SandboxResult(status="unavailable", error="this system starts no processes")
    child = _Child(job)
    running = asyncio.get_running_loop().run_in_executor(None, child.run)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        child.stop()
        raise


def listed_folders(job: SandboxJob) -> list[str]:
    """Give the user's folders that the child may read, but never one that holds the home."""
    home = Path.home()
    folders = {Path.cwd(), *([job.module_dir.absolute()] if job.module_dir else [])}
    return [str(folder) for folder in folders if folder == home or folder not in home.parents]


def import_path(job: SandboxJob) -> list[str]:
    """Give the child's import path: the kernel's, its own folders spelled out, then ours."""
    here = str(Path.cwd())
    path = [entry or here for entry in (job.search_path or sys.path)]
    own = str(job.module_dir) if job.module_dir else here
    return [*path, *([own] if own not in path else [])]


class _Child:
    """One child process, from its start to the end of its group; used by one thread."""

    def __init__(self, job: SandboxJob) -> None:
        self._job = job
        self._nonce = secrets.token_hex(16)
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._begun = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """End the child from another thread."""
        self._stopped.set()
        self._lines.put(None)
        if self._process is not None and self._process.returncode is None:
            kill_group(self._process)

    def run(self) -> SandboxResult:
        """Run the job in this thread."""
        folder = tempfile.mkdtemp(prefix="llmport-check-")
        try:
            self._start(folder)
            return self._watch()
        except OSError as error:
            told = f"the check could not start: {error.strerror}"
            return SandboxResult(status="unavailable", error=told)
        finally:
            if self._process is not None:
                end_group(self._process, self._nonce)
                self._close(self._process)
            _remove(folder)

    def _close(self, process: subprocess.Popen[bytes]) -> None:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _start(self, folder: str) -> None:
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "LLMPORT_CHECK": self._nonce}
        if sys.platform == "win32":
            environment["SYSTEMROOT"] = os.path.expandvars("%SYSTEMROOT%")
        process = subprocess.Popen(  # noqa: S603 - our own script, no shell
            [sys.executable, "-I", "-B", "-X", "utf8", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()
        threading.Thread(target=_drain, args=(process.stderr,), daemon=True).start()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(self._message())
            process.stdin.close()

    def _message(self) -> bytes:
        job = self._job
        megabyte = 1024 * 1024
        seconds = max(1, int(job.seconds + 0.999))
        limits = {
            "AS": job.memory_mb * megabyte,
            "CPU": seconds,
            "FSIZE": 10 * megabyte,
            "NOFILE": 64,
            "CORE": 0,
        }
        tasks = tasks_on_machine()
        if tasks is not None:
            limits["NPROC"] = tasks + _MAX_NEW_TASKS
        message = {
            "nonce": self._nonce,
            "name": job.module_name,
            "source": job.source,
            "examples": list(job.examples),
            "path": import_path(job),
            "listed": listed_folders(job),
            "confined": job.confined,
            "fixed": dict(job.fixed_names),
            "limits": limits,
        }
        return json.dumps(message).encode()

    def _read(self, stream: IO[bytes]) -> None:
        left = _MAX_RESULT
        with contextlib.suppress(OSError, ValueError):
            while left > 0 and (line := stream.readline(left)):
                left -= len(line)
                self._lines.put(line)
        self._lines.put(None)

    def _watch(self) -> SandboxResult:
        seen = _Seen()
        deadline = self._begun + self._job.seconds
        tasks = tasks_on_machine() or 0
        for line in self._arriving(deadline, tasks):
            problem = seen.take(line, self._nonce)
            if self._job.confined and seen.level != CONFINED:
                return self._result(seen, "unavailable", "this system cannot confine the code")
            if problem:
                return self._result(seen, "forged", problem)
            if seen.ended:
                return self._result(seen, "import_error" if seen.failure else "ok")
        if self._stopped.is_set():
            return self._result(seen, "crashed", "stopped")
        if time.monotonic() >= deadline:
            return self._result(seen, "timeout", f"did not finish within {self._job.seconds:g} s")
        return self._result(seen, "crashed", self._how_it_died())

    def _arriving(self, deadline: float, tasks: int) -> Iterator[bytes]:
        """Give the child's lines until it ends, time is up, or it starts too many processes."""
        assert self._process is not None
        died = False
        while not self._stopped.is_set() and time.monotonic() < deadline:
            try:
                line = self._lines.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if died:
                    return
                # What it had written may still be on its way.
                died = self._process.poll() is not None
                if (tasks_on_machine() or 0) > tasks + 2 * _MAX_NEW_TASKS:
                    return
                continue
            if line is None:
                return
            yield line

    def _how_it_died(self) -> str:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_POLL_SECONDS)
        code = self._process.returncode
        if code is None:
            return "sent more than the check reads, or started too many processes"
        if code < 0:
            return f"the process was ended by signal {-code}"
        return f"the process ended itself (exit code {code})"

    def _result(self, seen: _Seen, status: Status, error: str = "") -> SandboxResult:
        return SandboxResult(
            status=status,
            observations=seen.observations,
            hung=seen.running,
            failure=seen.failure,
            error=error,
            level=seen.level,
            seconds=time.monotonic() - self._begun,
            printed=seen.printed,
        )


class _Seen:
    """Reads the child's messages and refuses any that is out of turn."""

    def __init__(self) -> None:
        self.observations: dict[int, Observation] = {}
        self.running: int | None = None
        self.failure: ImportFailure | None = None
        self.printed = ""
        self.level = "process only"
        self.ended = False
        self._stage = "begin"

    def take(self, line: bytes, nonce: str) -> str:
        """Take one line; gives what is wrong with it."""
        try:
            message = json.loads(line)
            if not isinstance(message, dict) or message.pop("nonce", None) != nonce:
                return "it wrote to the channel of the check"
            return self._accept(message.pop("kind"), message)
        except (ValueError, KeyError, TypeError, RecursionError):
            return "it wrote to the channel of the check"

    def _accept(self, kind: str, message: dict[str, Any]) -> str:
        if self._stage == kind == "begin":
            self.level = _level_of(
                list(map(str, message["holds"])), limited=bool(message["limits"])
            )
            self._stage = "import"
        elif self._stage == kind == "import":
            self.printed = str(message["printed"])
            if message["error"]:
                self.failure = _failure(message)
            self._stage = "examples"
        elif self._stage == "examples" and kind == "start" and self.running is None:
            self.running = int(message["number"])
        elif kind == "example" and self.running is not None and message["number"] == self.running:
            self.observations[self.running] = _observation(message)
            self.running = None
        elif self._stage == "examples" and kind == "end" and self.running is None:
            self.ended = True
        else:
            return "it sent messages of the check out of turn"
        return ""


def _failure(message: Mapping[str, Any]) -> ImportFailure:
    return ImportFailure(
        error=str(message["error"]),
        message=str(message["message"]),
        line=message["line"] if isinstance(message["line"], int) else None,
        missing=message["missing"] if isinstance(message["missing"], str) else None,
        own=bool(message["own"]),
    )


def _observation(message: Mapping[str, Any]) -> Observation:
    value = message["value"]
    return Observation(
        value=None if value is None else str(value),
        printed=str(message["printed"]),
        error=str(message.get("error", "")),
        message=str(message.get("message", "")),
        bases=tuple(map(str, message.get("bases", ()))),
        missing=message["missing"] if isinstance(message.get("missing"), str) else None,
    )


def _drain(stream: IO[bytes]) -> None:
    with contextlib.suppress(OSError, ValueError):
        while stream.read(65536):
            pass


def _remove(folder: str) -> None:
    """Remove the child's folder, also where the child took away its own rights."""
    for path, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            Path(path).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
