"""A source run in the sandbox, and what of it is still running."""

from __future__ import annotations

import sys
import textwrap
import time

import psutil
import pytest

from llmport_magic.modules import sandbox
from llmport_magic.modules.sandbox import SandboxJob, SandboxResult

posix = pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX")


async def run(source: str, *examples: str, **job: object) -> SandboxResult:
    """Run a source and its examples as module `circle`, for 10 s unless the job says else."""
    return await sandbox.run(
        SandboxJob(
            source=textwrap.dedent(source),
            module_name="circle",
            examples=list(enumerate(examples)),
            **{"seconds": 10.0, **job},  # type: ignore[arg-type]
        )
    )


def left_over(before: set[int]) -> list[str]:
    """Name the sandbox's processes that are new and still there after two seconds."""
    deadline = time.monotonic() + 2
    while True:
        new = [psutil.Process(p) for p in set(psutil.pids()) - before if psutil.pid_exists(p)]
        left = []
        for process in new:
            try:
                if "sandbox_child" in " ".join(process.cmdline()):
                    left.append(str(process))
            except psutil.Error:
                continue
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)
