"""Ending everything that a sandboxed child started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

_PROC = Path("/proc")
_ROUNDS = 20


def tasks_on_machine() -> int | None:
    """Give how many processes and threads there are, where one cheap read tells."""
    if sys.platform != "linux":
        return None
    try:
        return int((_PROC / "loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return None


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Send a child and its process group the signal that ends them; waits for nothing."""
    if sys.platform == "win32":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def end_group(process: subprocess.Popen[bytes], mark: str) -> None:
    """End a child, its process group, and on Linux what left the group but carries the mark."""
    kill_group(process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    for _ in range(_ROUNDS):
        left = _marked(mark, process.pid)
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _marked(mark: str, session: int) -> list[int]:
    """Find living processes whose environment or session shows that the child started them."""
    if sys.platform != "linux":
        return []
    needle = mark.encode()
    found = []
    for entry in os.listdir(_PROC):  # noqa: PTH208 - many entries, and only their names count
        if not entry.isdigit() or int(entry) <= session:
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            stat = (_PROC / entry / "stat").read_bytes().rpartition(b")")[2].split()
            if stat[0] in {b"Z", b"X"}:
                continue
            environment = (_PROC / entry / "environ").read_bytes()
            if int(stat[3]) == session or needle in environment:
                found.append(int(entry))
    return found
