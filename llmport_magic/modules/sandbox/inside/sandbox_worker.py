"""The warm worker: has libraries loaded, and forks a fresh child for each job.

Loaded by `sandbox_child.py`. The worker runs no candidate and reads no job: it hands three pipes
on to its fork and ends what the fork leaves. One byte on its socket starts a job or stops it; the
end of the socket is the end of the notebook's process, and its own.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

_RUN = b"r"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LOAD_SECONDS = 120
_CLEAN_SECONDS = 3.0
# On a machine that stands still seconds pass in which nothing could be ended.
_CLEAN_TURNS = 300


class Unfit(Exception):
    """A library that cannot be loaded ahead; its name and why."""


def serve(shelf: Any, known: set[str], open_sites: Callable[[list[str]], None]) -> int:
    """Load what was asked for and fork for each job; returns in a fork only.

    Args:
        shelf: hides what is loaded, see `sandbox_shelf.py`.
        known: the modules that a cold start has loaded before the job.
        open_sites: reads the `.pth` files of folders.

    Returns:
        How many bytes of address space the loaded libraries take.
    """
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    start = json.loads(_line(control))
    before = set(sys.modules)
    open_sites(start["sites"])
    known |= set(sys.modules) - before
    own_path = list(sys.path)
    signal.alarm(_LOAD_SECONDS)
    size = _address_space()
    try:
        loaded = _preload(start, shelf)
    except Unfit as error:
        name, why = error.args
        control.sendall(json.dumps({"unfit": name, "why": why}).encode() + b"\n")
        os._exit(0)
    size = max(0, _address_space() - size)
    sys.path[:] = own_path
    shelf.hide(known)
    signal.alarm(0)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    gc.collect()
    gc.freeze()
    control.sendall(json.dumps({"loaded": loaded, "bytes": size}).encode() + b"\n")
    _fork_for_each(control, start["base"], libc)
    _as_after_a_start(shelf)
    return size


def _line(control: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        part = control.recv(65536)
        if not part:
            os._exit(0)
        line += part
    return line


# -- loading ahead -------------------------------------------------------------------------------


def _preload(start: dict[str, Any], shelf: Any) -> list[str]:
    """Load the libraries within the memory that a check may take; names those it found.

    Raises:
        Unfit: a library cannot be imported here, or cannot be forked.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = start["memory_mb"] * 1024 * 1024
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    sys.path[:] = start["path"]
    loaded = []
    with shelf.noting():
        # The scripts beside this one, and what they use.
        sys.path.append(os.path.dirname(__file__))
        importlib.import_module("sandbox_confine")
        sys.path.pop()
        for name, file in start["preload"]:
            if _load(name, file, start["memory_mb"]):
                loaded.append(name)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return loaded


def _load(name: str, file: str | None, memory_mb: int) -> bool:
    """Load one library, from the file that the notebook has it from where that is known."""
    try:
        spec = importlib.util.find_spec(name)
        if spec is None or (file is not None and spec.origin != file):
            return False
        importlib.import_module(name)
    except ModuleNotFoundError:
        return False
    except MemoryError:
        raise Unfit(name, f"`sandbox_memory_mb` = {memory_mb} is too small to load it") from None
    except BaseException as error:  # noqa: BLE001 - a library may raise anything
        # Without memory, libraries fail in ways of their own.
        room = memory_mb * 1024 * 1024 - _address_space()
        short = f"; `sandbox_memory_mb` = {memory_mb} may be too small" if room < 1 << 28 else ""
        raise Unfit(name, f"it raises {type(error).__name__} when imported{short}") from None
    if len(os.listdir("/proc/self/task")) > 1:
        raise Unfit(name, "it starts threads when imported, which a fork would lose")
    return True


def _address_space() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


# -- one fork a job ------------------------------------------------------------------------------


def _fork_for_each(control: socket.socket, base: str, libc: ctypes.CDLL) -> None:
    """Wait for jobs; returns in the fork that is to run one."""
    own = os.getpid()
    while True:
        order, pipes = _order(control, base)
        if order != _RUN or len(pipes) != 3:  # input, output, errors
            continue
        pid = os.fork()
        if pid == 0:
            _become(pipes, control)
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != own:
                os._exit(0)
            return
        for pipe in pipes:
            os.close(pipe)
        _tell(control, pid, base)
        _tell(control, _ended(pid, control, base), base)


def _order(control: socket.socket, base: str) -> tuple[bytes, list[int]]:
    pipes = array.array("i")
    size = socket.CMSG_SPACE(3 * pipes.itemsize)
    order, extra, _, _ = control.recvmsg(1, size)
    for level, kind, data in extra:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            pipes.frombytes(data[: len(data) - len(data) % pipes.itemsize])
    if not order:
        _leave(base)
    return order, list(pipes)


def _tell(control: socket.socket, number: int, base: str) -> None:
    try:
        control.sendall(b"%d\n" % number)
    except OSError:
        _leave(base)


def _leave(base: str) -> None:
    """End with the notebook's process; nothing of its checks stays."""
    shutil.rmtree(base, ignore_errors=True)
    os._exit(0)


def _become(pipes: list[int], control: socket.socket) -> None:
    """Make this fork a process that looks freshly started; nothing of the worker's stays open."""
    os.setsid()
    for number, pipe in enumerate(pipes):
        os.dup2(pipe, number)
    control.detach()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))


def _ended(pid: int, control: socket.socket, base: str) -> int:
    """Wait until the fork ends or is to be stopped, and end all that it started."""
    handle = os.pidfd_open(pid)
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    waiting.register(control, select.POLLIN)
    events = dict(waiting.poll())
    gone = False
    if handle not in events:
        gone = not control.recv(1)
    os.close(handle)
    _kill(pid)
    status = os.waitpid(pid, 0)[1]
    clean = _end_all(pid)
    if gone or not clean:
        _leave(base)
    return os.waitstatus_to_exitcode(status)


def _end_all(group: int) -> bool:
    """End what a fork left: as it came to this process when its parents died, none is missed."""
    deadline, turns = time.monotonic() + _CLEAN_SECONDS, 0
    while time.monotonic() < deadline or turns < _CLEAN_TURNS:
        turns += 1
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
        for other in _children():
            _kill(other)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.001)
        except ChildProcessError:
            return True
    return False


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            kill(pid, signal.SIGKILL)


def _children() -> list[int]:
    own = os.getpid()
    try:
        with open(f"/proc/self/task/{own}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _as_after_a_start(shelf: Any) -> None:
    """Undo what a fork shares with its siblings and a fresh Python would not."""
    # `random` sees to itself when forked.
    for name in ("numpy.random", "torch"):
        module = shelf.get(name)
        if module is not None:
            module.seed()
    # What folders held when the worker started.
    sys.path_importer_cache.clear()
