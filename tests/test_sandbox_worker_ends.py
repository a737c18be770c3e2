"""The warm worker ends with the process that it serves, however that ends, and is no other's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from awaiting import PATIENCE, until
from sandboxed import confined, entered, left_over, own_processes, posix

from llmport_magic.modules.sandbox import fork, warming

pytestmark = [posix, confined]

OTHER_KERNEL = """
import asyncio, os, sys, time
from llmport_magic.modules.sandbox import sandboxing
from llmport_magic.modules.sandbox import wrapping
from llmport_magic.modules.sandbox import warming
from llmport_magic.modules.sandbox import fork
from llmport_magic.modules.sandbox.job import SandboxJob
fork._ANSWER_SECONDS = {patience}
job = SandboxJob(source="x = 1", module_name="m", preload=(), seconds={patience})
warming.prepare(job, sandboxing._CHILD, wrapping.offered())
assert warming.ready({patience})
assert asyncio.run(sandboxing.run(job)).warm
worker = warming.current()
print(worker._process.pid, worker.base, flush=True)
{then}
"""


@pytest.fixture(params=["warm", "warm in bwrap"], autouse=True)
async def level(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """Begin and end each test without a worker, with bubblewrap and without."""
    warming.close_worker()
    monkeypatch.setattr(warming, "_STATE", warming._State())
    for level in entered(request.param, monkeypatch):
        yield level
    warming.close_worker()


def _other_kernel(then: str) -> tuple[subprocess.Popen[str], int, Path]:
    program = OTHER_KERNEL.format(then=then, patience=PATIENCE)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid, base = process.stdout.readline().split(maxsplit=1)
    return process, int(pid), Path(base.strip())


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("then", ["", "os._exit(1)", "os.kill(os.getpid(), 9)"])
def test_the_worker_ends_with_its_kernel(
    then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a kernel ends, its worker ends, and the next worker removes what is left (S0-43)."""
    # Elsewhere another test's worker would remove it, too, and at any moment.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = own_processes()
    process, pid, base = _other_kernel(then)
    process.wait(PATIENCE)

    until(lambda: not _runs(pid))
    assert not left_over(before)
    if base.exists():
        # Within bubblewrap the folder itself cannot be removed from inside.
        os.utime(base, (0, 0))
        assert list(base.iterdir()) == []
        fork._own_folder()
    assert not base.exists()


def test_a_kernel_that_dies_within_a_check_leaves_nothing() -> None:
    """When the kernel is killed while a check runs, the check is ended with the worker (S0-43)."""
    before = own_processes()
    then = (
        "import pathlib, threading\n"
        'source = \'import os, time; os.fork(); open("forked", "w").close(); time.sleep(3600)\'\n'
        "hung = SandboxJob(source=source, module_name='m', preload=(), seconds=3600)\n"
        "def die():\n"
        "    while not list(pathlib.Path(worker.base).glob('*/forked')):\n"
        "        time.sleep(0.01)\n"
        "    os.kill(os.getpid(), 9)\n"
        "threading.Thread(target=die).start()\n"
        "asyncio.run(sandboxing.run(hung))"
    )
    process, pid, _ = _other_kernel(then)
    process.wait(PATIENCE)

    assert process.returncode == -9
    until(lambda: not _runs(pid))
    assert not left_over(before)


def test_a_forked_kernel_has_no_part_in_the_worker() -> None:
    """A fork of the kernel neither uses its worker nor keeps it alive (S0-43)."""
    then = (
        "told, tell = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.write(tell, f'{os.getpid()} {warming.current()}\\n'.encode())\n"
        "    os.close(1)\n"
        "    time.sleep(3600)\n"
        "    os._exit(0)\n"
        "print(os.read(told, 1000).decode(), end='', flush=True)\n"
        "assert asyncio.run(sandboxing.run(job)).warm\n"
        "os.kill(os.getpid(), 9)"
    )
    process, pid, _ = _other_kernel(then)
    assert process.stdout is not None
    fork_pid, its_worker = process.stdout.readline().split()
    process.wait(PATIENCE)

    assert its_worker == "None"
    assert process.returncode == -9
    until(lambda: not _runs(pid))
    assert _runs(int(fork_pid))
    os.kill(int(fork_pid), signal.SIGKILL)
