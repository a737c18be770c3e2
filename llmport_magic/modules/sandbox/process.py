"""A child process that runs one job: its pipes, how it ended, and its end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Protocol

from llmport_magic.modules.sandbox.ending import end_group, kill_group
from llmport_magic.modules.sandbox.wrapping import Outer, View, wrapped

CHILD = Path(__file__).with_name("inside") / "sandbox_child.py"
_THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Process(Protocol):
    """What runs one job, however it was started."""

    warm: bool
    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]

    def exit_code(self, wait: float) -> int | None:
        """Give its exit code, or minus the signal that ended it; `None` while it runs.

        Args:
            wait: how many seconds to wait for it.
        """

    def kill(self) -> None:
        """End it from another thread; waits for nothing."""

    def end(self) -> None:
        """End it with all that it started, and close its pipes."""


def command(child: Path) -> list[str]:
    """Give the command that starts the child's script."""
    return [sys.executable, "-I", "-B", "-X", "utf8", str(child)]


def environment(mark: str) -> dict[str, str]:
    """Give all that the child has of an environment.

    Libraries for numbers start no threads, so that they can be forked and share one memory limit;
    matplotlib keeps its files in the child's own folder.
    """
    own = {"PATH": os.defpath, "LANG": "C.UTF-8", "LLMPORT_CHECK": mark, **_THREADS}
    own["MPLCONFIGDIR"] = "."
    if sys.platform == "win32":
        own["SYSTEMROOT"] = os.path.expandvars("%SYSTEMROOT%")
    return own


class ColdProcess:
    """A child that was started afresh.

    Args:
        child: its script.
        folder: its own folder.
        mark: what its environment, and that of all that it starts, is known by.
        outer: the layer around it.
        seen: what it may see of the file system.

    Raises:
        OSError: it does not start.
    """

    warm = False

    def __init__(self, child: Path, folder: str, mark: str, outer: Outer, seen: View) -> None:
        self._mark = mark
        self._process = subprocess.Popen(  # noqa: S603 - our own script, no shell
            wrapped(outer, command(child), seen),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment(mark),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.stdin = self._process.stdin
        self.stdout = self._process.stdout
        self.stderr = self._process.stderr

    def exit_code(self, wait: float) -> int | None:
        """Give its exit code, or minus the signal that ended it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(wait) if wait else self._process.poll()
        return None

    def kill(self) -> None:
        """End it from another thread."""
        if self._process.returncode is None:
            kill_group(self._process)

    def end(self) -> None:
        """End it with all that it started, and close its pipes."""
        end_group(self._process, self._mark)
        close(self.stdin, self.stdout, self.stderr)


def close(*streams: IO[bytes]) -> None:
    """Close pipes whose other end may be gone."""
    for stream in streams:
        with contextlib.suppress(OSError):
            stream.close()
