"""The sandbox tells what happened, holds nothing of the user's, and leaves nothing running."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from llmport_magic.modules import sandbox
from llmport_magic.modules.sandbox import SandboxJob, SandboxResult

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX")


async def _run(source: str, *examples: str, **job: object) -> SandboxResult:
    return await sandbox.run(
        SandboxJob(
            source=textwrap.dedent(source),
            module_name="circle",
            examples=list(enumerate(examples)),
            **{"seconds": 10.0, **job},  # type: ignore[arg-type]
        )
    )


async def test_examples_are_observed() -> None:
    """Values, prints, exceptions and top-level await are seen as they are (S0-43)."""
    result = await _run(
        """
        __all__ = ["area", "later"]
        def area(r):
            return 3 * r * r
        async def later():
            return 7
        """,
        "area(2)",
        "print('a')",
        "area('x')",
        "await later()",
        "import circle; circle.area(1)",
        "x = area(1)",
        "x",
        "for i in range(2): i",
        "__import__('circle') is circle",
    )

    seen = [result.observations[i] for i in range(9)]
    assert result.status == "ok"
    assert [o.value for o in seen] == ["12", None, None, "7", "3", None, "3", None, "True"]
    assert seen[1].printed == "a\n"
    assert seen[2].error == "TypeError"
    assert seen[7].printed == "0\n1\n"


async def test_level_is_stated() -> None:
    """The level that held the child is part of every result (S0-43)."""
    result = await _run("x = 1")

    assert result.level == sandbox.level() != "static only"


async def test_no_process_means_static_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started the result says so, and nothing is claimed (S0-43)."""
    monkeypatch.setattr(sandbox.sys, "executable", "")

    result = await _run("x = 1")

    assert (result.status, result.level) == ("unavailable", "static only")


async def test_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither keys nor anything else of the kernel's environment reaches the child (S0-43)."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HOME", "/home/somebody")

    result = await _run("import os, sys", "sorted(os.environ)", "sys.argv[1:]", "os.listdir()")

    names = result.observations[0].value or ""
    assert "secret" not in str(result)
    assert "HOME" not in names
    assert "KEY" not in names
    assert result.observations[1].value == "[]"
    assert result.observations[2].value == "['circle.py']"


async def test_module_is_inspectable() -> None:
    """`inspect.getsource`, dataclasses and pickling work for a module in the sandbox (S0-43)."""
    result = await _run(
        """
        import inspect, pickle
        from dataclasses import dataclass
        @dataclass
        class P:
            x: int
        def f(): return 1
        """,
        "inspect.getsource(f)",
        "pickle.loads(pickle.dumps(P(1)))",
        "__name__",
    )

    assert [o.value for o in result.observations.values()] == [
        "'def f(): return 1\\n'",
        "P(x=1)",
        "'__main__'",
    ]


async def test_sibling_modules_and_the_kernels_path_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child imports what the kernel could, and the user's other modules (S0-43)."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "from_user_site.py").write_text("A = 1\n")
    (tmp_path / "sibling_of_mine.py").write_text("B = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    result = await _run(
        "import from_user_site, sibling_of_mine, httpx", "from_user_site.A", module_dir=tmp_path
    )

    assert result.status == "ok"
    assert not list(tmp_path.rglob("__pycache__"))  # noqa: ASYNC240


async def test_values_are_sent_in_pythons_own_form() -> None:
    """Scalars that look like numpy's are sent as Python's, also in containers (S0-43)."""
    result = await _run(
        """
        class float64:
            shape = ()
            def item(self): return 1.5
            def __repr__(self): return "np.float64(1.5)"
        float64.__module__ = "numpy"
        def f(): return {"a": [float64(), (float64(),)]}
        """,
        "f()",
        "f()['a'][0]",
    )

    assert [o.value for o in result.observations.values()] == ["{'a': [1.5, (1.5,)]}", "1.5"]


async def test_fixed_names_reach_the_examples() -> None:
    """Names with literal values are known to the examples, and no others (S0-43)."""
    result = await _run("def f(x): return x", "f(radius)", fixed_names={"radius": "[1, 2.5]"})

    assert result.observations[0].value == "[1, 2.5]"


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
    "sleeps": ("import time; time.sleep(60)", "timeout"),
    "loops": ("while True: pass", "timeout"),
    "ignores signals": (
        "import signal, time\nsignal.signal(15, signal.SIG_IGN); time.sleep(60)",
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
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()",
        "ok",
    ),
    "registers exit handlers": ("import atexit, time; atexit.register(time.sleep, 60)", "ok"),
    "replaces the hooks": (
        "import sys, builtins; sys.displayhook = print; builtins.repr = lambda x: '12'",
        "ok",
    ),
    "forks without end": ("import os\nwhile True: os.fork()", None),
    "forks": ("import os; os.fork(); os.fork()", "ok"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_module_is_told_and_contained(name: str, tmp_path: Path) -> None:
    """Whatever a module does, the kernel gets a result in time and nothing is left (S0-43)."""
    source, status = HOSTILE[name]
    before = set(psutil.pids())
    seconds = 1.5 if status in {"timeout", None} else 10.0
    begun = time.monotonic()

    result = await _run(source, seconds=seconds)

    assert time.monotonic() - begun < seconds + 5
    assert result.status == status if status else result.status != "ok", result
    assert result.status == "ok" or result.error or result.failure
    assert not _left_over(before)


def _left_over(before: set[int]) -> list[str]:
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


async def test_forged_success_is_worth_nothing() -> None:
    """A module that sends observations of its own out of turn has not passed (S0-43)."""
    result = await _run(HOSTILE["finds the nonce and forges"][0], "area(2)")

    assert result.status == "forged"
    assert result.observations == {}


async def test_background_processes_end_with_the_group(tmp_path: Path) -> None:
    """What the child leaves running, in its group or in a session of its own, is ended (S0-43)."""
    marks = [tmp_path / "group", tmp_path / "session"]
    code = "import time, pathlib, sys; time.sleep(1.5); pathlib.Path(sys.argv[1]).touch()"

    result = await _run(
        f"""
        import subprocess, sys
        for path, new in {[(str(m), m.name == "session") for m in marks]}:
            try:
                subprocess.Popen([sys.executable, "-c", {code!r}, path], start_new_session=new)
            except OSError:
                pass
        """
    )
    await asyncio.sleep(2)

    assert result.status == "ok"
    assert not [mark for mark in marks if mark.exists()]


confined = pytest.mark.skipif(
    sandbox.level() != "landlock+seccomp", reason="this kernel confines less"
)
TRY = """
import os, socket, subprocess, sys
def attempt(f, *a):
    try:
        f(*a)
    except OSError as e:
        return type(e).__name__
    return "done"
"""


@confined
async def test_nothing_outside_can_be_read_or_written(tmp_path: Path) -> None:
    """Files outside the import path are closed, whatever the code does when called (S0-43)."""
    secret = tmp_path / "id_rsa"
    secret.write_text("key")

    result = await _run(
        TRY,
        f"attempt(open, {str(secret)!r})",
        f"attempt(os.listdir, {str(tmp_path)!r})",
        f"attempt(open, {str(tmp_path / 'new')!r}, 'w')",
        f"attempt(os.unlink, {str(secret)!r})",
        f"attempt(os.rename, 'circle.py', {str(tmp_path / 'moved')!r})",
        f"attempt(os.truncate, {str(secret)!r}, 0)",
        f"attempt(os.symlink, '/', {str(tmp_path / 'link')!r})",
        f"os.chmod({str(secret)!r}, 0o777)",
        "attempt(open, 'here', 'w')",
    )

    seen = [o.value for o in result.observations.values()]
    assert seen == ["'PermissionError'"] * 7 + [None, "'done'"]
    assert secret.read_text() == "key"
    assert secret.stat().st_mode & 0o777 != 0o777
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "moved").exists()


@confined
async def test_hidden_entries_of_the_users_folders_stay_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the notebook's folder code can read modules, but not what is hidden (S0-43)."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id").write_text("key")
    (tmp_path / "data.txt").write_text("data")
    monkeypatch.chdir(tmp_path)

    result = await _run(
        TRY,
        f"attempt(open, {str(tmp_path / '.ssh' / 'id')!r})",
        f"attempt(open, {str(tmp_path / 'data.txt')!r})",
    )

    assert [o.value for o in result.observations.values()] == ["'PermissionError'", "'done'"]


@confined
async def test_neither_network_nor_other_processes_are_in_reach() -> None:
    """No socket, no signal and no look at the kernel's process leaves the sandbox (S0-43)."""
    kernel = psutil.Process().pid

    result = await _run(
        TRY,
        "attempt(socket.socket)",
        "attempt(socket.create_connection, ('127.0.0.1', 9))",
        f"attempt(os.kill, {kernel}, 0)",
        f"attempt(open, '/proc/{kernel}/environ')",
        f"attempt(open, '/proc/{kernel}/mem')",
        "attempt(os.setsid)",
        "len(socket.socketpair())",
        "subprocess.run([sys.executable, '-c', 'print(3)'], capture_output=True).stdout",
        "attempt(open, '/proc/self/status')",
    )

    seen = [o.value for o in result.observations.values()]
    assert [text for text in seen[:6] if text not in {"'PermissionError'", "'gaierror'"}] == []
    assert seen[6:] == ["2", "b'3\\n'", "'done'"]


async def test_less_confinement_is_stated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the kernel confines nothing, the check still runs and says what held it (S0-43)."""
    child = tmp_path / "sandbox_child.py"
    child.write_bytes(sandbox._CHILD.read_bytes())
    monkeypatch.setattr(sandbox, "_CHILD", child)

    result = await _run("x = 1", "x")

    assert (result.status, result.level) == ("ok", "rlimits only")


async def test_hung_example_is_named() -> None:
    """When time is up, the example that was running is known, and those before it (S0-43)."""
    result = await _run(
        "import time\ndef f(x):\n    time.sleep(x)", "f(0)", "f(60)", "f(0)", seconds=1.0
    )

    assert (result.status, result.hung) == ("timeout", 1)
    assert list(result.observations) == [0]


async def test_cancelling_ends_the_child() -> None:
    """A cancelled check ends its process at once (S0-39)."""
    before = set(psutil.pids())
    task = asyncio.ensure_future(_run("import time; time.sleep(60)", seconds=60.0))
    await asyncio.sleep(0.3)
    begun = time.monotonic()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - begun < 0.25
    assert not _left_over(before)


async def test_import_failure_has_its_line() -> None:
    """Why a module does not import is told with type, text and line (S0-34)."""
    result = await _run("x = 1\nimport not_there_at_all\n")

    assert result.status == "import_error"
    assert result.failure is not None
    assert (result.failure.error, result.failure.missing, result.failure.line) == (
        "ModuleNotFoundError",
        "not_there_at_all",
        2,
    )


async def test_a_small_check_is_quick() -> None:
    """A check with three examples takes a fraction of a second once warm (S0-43)."""
    source, examples = "def f(x): return x * x", ("f(1)", "f(2)", "f(3)")
    times = []
    for _ in range(4):
        begun = time.perf_counter()
        await _run(source, *examples)
        times.append(time.perf_counter() - begun)

    assert min(times) < 0.5


async def test_nothing_of_the_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's folder is gone afterwards, also where the child locked it (S0-43)."""
    (tmp_path / "checks").mkdir()
    monkeypatch.setattr(sandbox.tempfile, "tempdir", str(tmp_path / "checks"))

    await _run("import os\nos.makedirs('a/b')\nos.chmod('a', 0)\nopen('x', 'w').close()")

    assert list((tmp_path / "checks").iterdir()) == []
