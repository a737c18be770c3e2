"""A source run in the sandbox, cold and warm, in a layer and without, and what of it still runs."""

from __future__ import annotations

import ctypes
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from awaiting import PATIENCE, until

from llmport_magic.modules.sandbox import fork, sandboxing, warming, wrapping
from llmport_magic.modules.sandbox.job import SandboxJob, SandboxResult
from llmport_magic.modules.sandbox.seen import Seen

posix = pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX")


def _reported() -> bool:
    """Ask the kernel for its Landlock, past the code that is tested: 444 makes a ruleset."""
    return sys.platform == "linux" and ctypes.CDLL(None).syscall(444, None, 0, 1) > 0


# Where the kernel reports Landlock, tests fail unless it holds; nothing else skips them.
confined = pytest.mark.skipif(not _reported(), reason="this kernel reports no Landlock")
MODES = ["cold", "warm", "cold in bwrap", "warm in bwrap"]
_MODE = [""]


def entered(mode: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run what follows in one mode; give the level that it must reach here."""
    has_bwrap = wrapping.bwrap() and wrapping._works("bwrap")
    if "bwrap" in mode and not has_bwrap:
        pytest.skip("bubblewrap is not installed, or may not be used")
    if "warm" in mode and not _reported():
        pytest.skip("this kernel reports no Landlock, without which nothing is warm")
    # An earlier test may have begun a worker, which would be there only in the midst of this one.
    if (begun := warming.current()) is not None and begun.state == "starting":
        warming.close_worker()
    until(lambda: not preparing())
    monkeypatch.setattr(wrapping, "offered", lambda: "bwrap" if "bwrap" in mode else "")
    # One worker stays, however slowly it answers and however many checks other tests had of it.
    monkeypatch.setattr(fork, "_ANSWER_SECONDS", PATIENCE)
    monkeypatch.setattr(fork, "MAX_JOBS", 10**6)
    _MODE[0] = mode
    try:
        yield "bwrap+landlock+seccomp" if "bwrap" in mode else "landlock+seccomp"
    finally:
        _MODE[0] = ""


def preparing() -> list[threading.Thread]:
    """Give the threads that start a worker."""
    return [thread for thread in threading.enumerate() if thread.name == warming.THREAD]


async def run(source: str, *examples: str, **job: object) -> SandboxResult:
    """Run a source and its examples as module `circle`, for `PATIENCE` unless the job says else.

    In a warm mode the worker is waited for, and the run must be warm; else it must not.
    """
    mode = _MODE[0]
    wanted = SandboxJob(
        source=textwrap.dedent(source),
        module_name="circle",
        examples=list(enumerate(examples)),
        **{"seconds": PATIENCE, "warm": "warm" in mode, **job},  # type: ignore[arg-type]
    )
    if wanted.warm and mode:
        warmed(wanted)
    result = await sandboxing.run(wanted)
    if mode and result.status != "unavailable":
        assert result.warm == wanted.warm
    return result


def warmed(job: SandboxJob) -> None:
    """Wait until the worker is ready for a job."""

    def ready() -> bool:
        warming.prepare(job, sandboxing._CHILD, wrapping.offered())
        return warming.ready()

    until(ready)


def wrote(name: str, base: Path) -> bool:
    """Tell whether a check's code has written a file; `base` is where a cold one's folder lies."""
    worker = warming.current()
    bases = [base, *([Path(worker.base)] if worker and worker.base else [])]
    return any(file for base in bases for file in base.glob(f"llmport-check-*/{name}"))


def overdue_at(
    number: int, monkeypatch: pytest.MonkeyPatch, also: Callable[[], bool] = lambda: True
) -> None:
    """Let a run's time be over as soon as one of its examples has begun, and something else is."""
    watched: list[Seen] = []

    class Watched(Seen):
        def __init__(self) -> None:
            super().__init__()
            watched.append(self)

    def clock() -> float:
        late = any(seen.running == number for seen in watched) and also()
        return time.monotonic() + (86_400 if late else 0)

    monkeypatch.setattr(sandboxing, "Seen", Watched)
    monkeypatch.setattr(sandboxing, "time", SimpleNamespace(monotonic=clock))


def own_processes() -> set[int]:
    """Give what stems from this process, and what lost its parents."""
    own = {child.pid for child in psutil.Process().children(recursive=True)}
    return own | {process.pid for process in psutil.process_iter() if _orphan(process)}


def _orphan(process: psutil.Process) -> bool:
    try:
        return process.ppid() == 1
    except psutil.Error:
        return False


def left_over(before: set[int]) -> list[str]:
    """Name the sandbox's processes that are new and do not go away."""
    deadline = time.monotonic() + PATIENCE / 2
    while True:
        left = [name for pid in own_processes() - before if (name := _sandboxed(pid))]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def _sandboxed(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return str(process) if "sandbox_child" in " ".join(process.cmdline()) else ""
    except psutil.Error:  # it has ended since it was listed
        return ""
