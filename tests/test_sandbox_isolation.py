"""What one check does is nothing to the next one, though both are forks of one worker."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from awaiting import PATIENCE, soon
from sandboxed import confined, entered, left_over, own_processes, posix, run, wrote

from llmport_magic.modules.sandbox import fork, sandboxing, warming
from llmport_magic.modules.sandbox.fork import Worker
from llmport_magic.modules.sandbox.job import SandboxJob

pytestmark = [posix, confined]

STATE = "sorted(os.environ), os.getcwd() == os.path.realpath('.'), os.listdir(), sys.path, sys.argv"
LOOK = (
    "sorted(sys.modules)",
    STATE,
    "json.dumps([1]), len.__name__, numpy.array([1, 2]).sum()",
    "numpy.get_printoptions()",
    "threading.active_count()",
    "sorted(int(n) for n in os.listdir('/proc/self/fd'))",
    "os.getpgid(0) == os.getpid() == os.getsid(0)",
    "[str(signal.getsignal(n)) for n in (1, 2, 13, 15)], os.umask(0), sys.getrecursionlimit()",
    "resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CPU)",
)
IMPORTS = "import json, numpy, os, resource, signal, sys, threading"

HOSTILE = {
    "writes to every descriptor": """
        import os
        for n in range(1024):
            for data in (b"r", b"s", b"0\\n"):
                try: os.write(n, data)
                except OSError: pass
        """,
    "kills its parent, its group and everybody": """
        import os, signal
        for kill, who in ((os.kill, os.getppid()), (os.kill, -1), (os.killpg, os.getppid())):
            for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
                try: kill(who, number)
                except OSError: pass
        """,
    "patches what was loaded ahead": """
        import builtins, json, numpy, os, sys
        json.dumps = lambda *a: "patched"
        numpy.array = None
        numpy.set_printoptions(precision=1)
        sys.modules["decimal"] = None
        os.environ["PATCHED"] = "1"
        sys.path.insert(0, "/patched")
        builtins.len = print
        sys.meta_path.clear()
        """,
    "leaves threads and processes": """
        import os, signal, subprocess, sys, threading, time
        for n in (1, 2, 13, 15): signal.signal(n, signal.SIG_IGN)
        threading.Thread(target=time.sleep, args=(3600,)).start()
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        if os.fork() == 0:
            if os.fork() == 0:
                time.sleep(3600)
            os._exit(0)
        """,
    "leaves shared memory": """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.shmget(4711, 4096, 0o1666) == -1, "System V memory"
        assert libc.mq_open(b"/llmport-left", 0o102, 0o600, None) == -1, "a queue"
        for path in ("/dev/shm/llmport-left", "/tmp/llmport-left", "/var/tmp/llmport-left"):
            try: open(path, "w").close()
            except OSError: continue
            raise AssertionError(path)
        """,
    "fills its folder": """
        import os
        for n in range(10):
            with open(f"big{n}", "wb") as f: f.write(b"x" * 9_000_000)
        os.mkdir("locked"); os.chmod("locked", 0); os.chmod(".", 0)
        """,
    "changes its masks and limits": """
        import os, resource, sys
        os.umask(0o777)
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
        sys.setrecursionlimit(100)
        os.chdir("/")
        """,
    "looks for the worker's secrets": """
        import gc, os, socket
        found = [o for o in gc.get_objects() if isinstance(o, socket.socket) and o.fileno() >= 0]
        assert not found, found
        for n in os.listdir("/proc/self/fd"):
            try: link = os.readlink("/proc/self/fd/" + n)
            except OSError: continue
            assert "socket" not in link, link
        """,
    "unfreezes the worker's objects": "import gc; gc.unfreeze(); gc.collect()",
}


@pytest.fixture(params=["warm", "warm in bwrap"], autouse=True)
async def level(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """Run each test with a warm worker that has numpy loaded."""
    for level in entered(request.param, monkeypatch):
        await run("x = 1", preload=("numpy",))
        yield level


async def _look() -> list[str | None]:
    result = await run(IMPORTS, *LOOK, preload=("numpy",))
    assert (result.status, result.warm) == ("ok", True), result
    return [seen.value or seen.error for seen in result.observations.values()]


def _below(worker: Worker) -> set[int]:
    """Give the worker with what lies below it, the dead that nobody has taken note of included."""
    assert worker._process is not None
    outer = psutil.Process(worker._process.pid)
    return {outer.pid, *(child.pid for child in outer.children(recursive=True))}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_run_leaves_nothing_to_the_next(name: str, level: str) -> None:
    """After a hostile run the next one sees what it saw before, in the same worker (S0-43)."""
    before, was = own_processes(), await _look()
    worker = warming.current()
    assert worker is not None
    base, below = Path(worker.base), _below(worker)

    hostile = await run(HOSTILE[name], preload=("numpy",))

    assert hostile.status in {"ok", "forged", "crashed"}, hostile
    assert hostile.level == level
    assert await _look() == was
    assert warming.current() is worker
    assert list(base.iterdir()) == []  # noqa: ASYNC240
    assert not left_over(before)
    assert _below(worker) == below
    assert "4711" not in _shared_memory()


def _shared_memory() -> list[str]:
    """Give the keys of the machine's shared memory, each the first word of a line."""
    return [line.split()[0] for line in Path("/proc/sysvipc/shm").read_text().splitlines()]


async def test_runs_differ_where_a_fresh_python_would() -> None:
    """Random numbers, process and folder of two runs are not the same (S0-43)."""
    examples = (
        "random.random()",
        "numpy.random.random()",
        "numpy.random.default_rng().random()",
        "os.getpid()",
        "os.getcwd()",
    )
    libraries = ("numpy", "numpy.random")
    runs = [await run("import numpy, os, random", *examples, preload=libraries) for _ in range(2)]

    first, second = ([o.value for o in result.observations.values()] for result in runs)
    assert all(one != other for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("imports", ["os", "numpy", "pandas", "urllib", "matplotlib", "dateutil"])
async def test_modules_are_those_of_a_cold_start(imports: str) -> None:
    """What was loaded ahead is not there until it is imported, and then what a fresh Python has."""
    libraries = ("numpy", "pandas", "matplotlib", "matplotlib.pyplot")
    source = f"import sys, {imports}"
    look = (
        "sorted(sys.modules)",
        "sys.path",
        "sys.argv, sys.orig_argv, sys.flags",
        "dir(builtins)",
    )

    warm = await run(source, *look, preload=libraries)
    cold = await run(source, *look, warm=False)

    assert warm.status == "ok"
    for one, other in zip(warm.observations.values(), cold.observations.values(), strict=True):
        assert one == other


async def test_a_submodule_that_was_not_imported_is_not_there() -> None:
    """`import matplotlib` does not give `matplotlib.pyplot`, though the worker has loaded it."""
    libraries = ("matplotlib", "matplotlib.pyplot")

    lacking = await run("import matplotlib", "matplotlib.pyplot.figure", preload=libraries)
    having = await run(
        "import matplotlib\ndef f():\n    import matplotlib.pyplot as p\n    return p.plot([1])",
        "len(f())",
        preload=libraries,
    )

    assert lacking.observations[0].error == "AttributeError"
    assert having.observations[0].value == "1"


async def test_cancelling_ends_a_warm_run_and_keeps_the_worker(tmp_path: Path) -> None:
    """A cancelled check ends, with what it started, and the same worker is there (S0-39)."""
    before, worker = own_processes(), warming.current()
    source = "import os, time\nos.fork()\nopen('forked', 'w').close()\ntime.sleep(3600)"
    task = asyncio.ensure_future(run(source, preload=("numpy",)))
    await soon(lambda: wrote("forked", tmp_path))

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not left_over(before)
    assert (await run("x = 1", preload=("numpy",))).warm
    assert warming.current() is worker


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_worker_that_hangs_or_dies_is_replaced(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an answer of the worker's the check is cold and says so; the next has another."""
    before, go_on = own_processes(), threading.Event()
    start = Worker.start
    monkeypatch.setattr(Worker, "start", lambda worker: go_on.wait(PATIENCE) and start(worker))
    monkeypatch.setattr(fork, "_ANSWER_SECONDS", 5.0)
    job = SandboxJob(source="x = 1", module_name="circle", preload=("numpy",), seconds=PATIENCE)
    worker = warming.current()
    assert worker is not None
    assert worker._process is not None
    outer = psutil.Process(worker._process.pid)
    for process in [outer, *outer.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended with the outer one
            process.send_signal(number)

    result = await sandboxing.run(job)
    go_on.set()

    monkeypatch.setattr(fork, "_ANSWER_SECONDS", PATIENCE)
    assert (result.status, result.warm) == ("ok", False)
    assert not Path(worker.base).exists() or not worker.alive  # noqa: ASYNC240
    assert (await run("x = 1", preload=("numpy",))).warm
    assert warming.current() is not worker
    warming.close_worker()
    assert not left_over(before)
