"""Whatever a module does in the sandbox is told and contained, and leaves nothing running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from awaiting import PATIENCE, until
from sandboxed import entered, left_over, own_processes, posix, run

pytestmark = posix


@pytest.fixture(params=["cold", "warm"], autouse=True)
async def level(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """Run each test cold and warm, from a worker that is ready."""
    for level in entered(request.param, monkeypatch):
        await run("x = 1")
        yield level


HOSTILE = {
    "ends itself": ("import os; os._exit(0)", "crashed"),
    "kills itself": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crashed"),
    "exits": ("import sys; sys.exit(0)", "import_error"),
    "raises a BaseException": ("raise BaseException('x')", "import_error"),
    "raises KeyboardInterrupt": ("raise KeyboardInterrupt", "import_error"),
    "breaks its own str": (
        "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E",
        "import_error",
    ),
    "floods print": ("while True: print('x' * 10000)", "import_error"),
    "floods print, catches": (
        """
        while True:
            try:
                while True: print("x" * 10000)
            except BaseException: pass
        """,
        "timeout",
    ),
    "sleeps": ("import time; time.sleep(3600)", "timeout"),
    "loops": ("while True: pass", "timeout"),
    "ignores signals": (
        "import signal, time\nsignal.signal(15, signal.SIG_IGN); time.sleep(3600)",
        "timeout",
    ),
    "takes memory": ("x = 'a' * 10**10", "import_error"),
    "recurses": ("import sys; sys.setrecursionlimit(10**9)\ndef f(): f()\nf()", None),
    "writes to every descriptor": (
        """
        import os
        for i in range(64):
            try: os.write(i, b'{"kind": "end"}\\n')
            except OSError: pass
        """,
        "forged",
    ),
    "floods the channel": (
        """
        import os
        while True:
            for i in range(3, 12):
                try: os.write(i, b"x" * 65536)
                except OSError: pass
        """,
        "forged",
    ),
    "finds the nonce and forges": (
        """
        import sys, os, json
        frame = sys._getframe()
        while "nonce" not in frame.f_locals: frame = frame.f_back
        nonce, channel = frame.f_locals["nonce"], frame.f_locals["channel"]
        def tell(**m): os.write(channel, json.dumps({"nonce": nonce, **m}).encode() + b"\\n")
        tell(kind="end")
        """,
        "forged",
    ),
    "fills the disk": ("f = open('x', 'wb')\nwhile True: f.write(b'x' * 10**6)", None),
    "opens every file": ("f = [open('/dev/null') for i in range(10**4)]", "import_error"),
    "deletes its folder": (
        "import shutil, os; shutil.rmtree(os.getcwd(), ignore_errors=True)",
        "ok",
    ),
    "locks its folder": ("import os; os.mkdir('d'); os.chmod('d', 0); os.chmod('.', 0)", "ok"),
    "links out of its folder": ("import os; os.symlink('/', 'root')", "ok"),
    "closes every descriptor": ("import os; os.closerange(0, 64)", "crashed"),
    "starts threads": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()",
        "ok",
    ),
    "registers exit handlers": ("import atexit, time; atexit.register(time.sleep, 3600)", "ok"),
    "replaces the hooks": (
        "import sys, builtins; sys.displayhook = print; builtins.repr = lambda x: '12'",
        "ok",
    ),
    "forks without end": ("import os\nwhile True: os.fork()", None),
    "forks": ("import os; os.fork(); os.fork()", "ok"),
}


# The kernel counts the tasks of the whole machine, so others would be taken for hostile beside it.
_ALONE = {"forks without end"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.alone] * (name in _ALONE)) for name in HOSTILE],
)
async def test_hostile_module_is_told_and_contained(name: str) -> None:
    """Whatever a module does, the kernel gets a result and nothing is left (S0-43).

    What hangs does so for an hour or for ever: the result comes only if the run is ended.
    """
    source, status = HOSTILE[name]
    before = own_processes()

    result = await run(source, seconds=1.5 if status in {"timeout", None} else PATIENCE)

    assert result.status == status if status else result.status != "ok", result
    assert result.status == "ok" or result.error or result.failure
    assert not left_over(before)


async def test_forged_success_is_worth_nothing() -> None:
    """A module that sends observations of its own out of turn has not passed (S0-43)."""
    result = await run(HOSTILE["finds the nonce and forges"][0], "area(2)")

    assert result.status == "forged"
    assert result.observations == {}


async def test_background_processes_end_with_the_group(tmp_path: Path) -> None:
    """What the child leaves running, in its group or in a session of its own, is ended (S0-43)."""
    result = await run(
        f"""
        import subprocess, sys
        started = []
        for name in ("group", "session"):
            command = [sys.executable, "-c", "import time; time.sleep(3600)", {str(tmp_path)!r}]
            try:
                subprocess.Popen(command, start_new_session=name == "session")
            except OSError:
                continue
            started.append(name)
        """,
        "started[0]",
    )

    assert (result.status, result.observations[0].value) == ("ok", "'group'")
    until(lambda: not _running_with(str(tmp_path)))


def _running_with(argument: str) -> list[psutil.Process]:
    """Give the processes that were started with an argument."""
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if argument in (process.info["cmdline"] or ())]
