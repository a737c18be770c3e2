"""The sandbox tells what happened, holds nothing of the user's, and leaves nothing running."""

from __future__ import annotations

import ast
import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from awaiting import soon
from sandboxed import MODES, entered, left_over, overdue_at, own_processes, posix, run, wrote

from llmport_magic.modules.sandbox import sandboxing, warming
from llmport_magic.modules.sandbox.fork import WarmProcess
from llmport_magic.modules.sandbox.levels import LEVELS
from llmport_magic.modules.sandbox.process import ColdProcess, Process

pytestmark = posix


@pytest.fixture(params=MODES, autouse=True)
async def level(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """Run each test in each mode."""
    for level in entered(request.param, monkeypatch):
        await run("x = 1")
        yield level


async def test_examples_are_observed() -> None:
    """Values, prints, exceptions and top-level await are seen as they are (S0-43)."""
    result = await run(
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
    result = await run("x = 1")

    assert result.level == sandboxing.level() != "static only"
    assert result.level in LEVELS


async def test_no_process_means_static_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started the result says so, and nothing is claimed (S0-43)."""
    monkeypatch.setattr(sandboxing.sys, "executable", "")

    result = await run("x = 1", warm=False)

    assert (result.status, result.level) == ("unavailable", "static only")


async def test_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither keys nor anything else of the kernel's environment reaches the child (S0-43, V57)."""
    for name in ("OPENAI_API_KEY", "HOME", "USER", "SSH_AUTH_SOCK", "AWS_PROFILE", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "planted")
    monkeypatch.setenv("PATH", "/planted")

    result = await run("import os, sys", "dict(os.environ)", "sys.argv[1:]", "os.listdir()")

    seen = ast.literal_eval(result.observations[0].value or "")
    ours = {"PATH", "LANG", "LLMPORT_CHECK", "MPLCONFIGDIR"}
    threads = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}
    # Bubblewrap names the folder, Python what it made of the language.
    assert set(seen) <= {*ours, *threads, "PWD", "LC_CTYPE"}
    assert ours <= set(seen)
    assert "planted" not in str(result)
    assert result.observations[1].value == "[]"
    assert result.observations[2].value == "['circle.py']"


async def test_module_is_inspectable() -> None:
    """`inspect.getsource`, dataclasses and pickling work for a module in the sandbox (S0-43)."""
    result = await run(
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

    result = await run(
        "import from_user_site, sibling_of_mine, httpx", "from_user_site.A", module_dir=tmp_path
    )

    assert result.status == "ok"
    assert not list(tmp_path.rglob("__pycache__"))  # noqa: ASYNC240


async def test_values_are_sent_in_pythons_own_form() -> None:
    """Scalars that look like numpy's are sent as Python's, also in containers (S0-43)."""
    result = await run(
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
    result = await run("def f(x): return x", "f(radius)", fixed_names={"radius": "[1, 2.5]"})

    assert result.observations[0].value == "[1, 2.5]"


async def test_hung_example_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """When time is up, the example that was running is known, and those before it (S0-43)."""
    overdue_at(1, monkeypatch)

    result = await run("import time\ndef f(x):\n    time.sleep(x)", "f(0)", "f(3600)", "f(0)")

    assert (result.status, result.hung) == ("timeout", 1)
    assert result.error == "did not finish within 120 s"
    assert list(result.observations) == [0]


async def test_what_was_written_last_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has ended has passed, however late its last lines are read (S0-43)."""
    read = sandboxing._Child._read

    def late(child: sandboxing._Child, *given: Any) -> None:
        time.sleep(0.5)
        read(child, *given)

    monkeypatch.setattr(sandboxing._Child, "_read", late)

    result = await run("x = 1", "x")

    assert (result.status, result.observations[0].value) == ("ok", "1")


async def test_how_it_ended_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process writes to is closed before it has ended: its exit code is told (S0-43)."""
    not_yet = iter(range(9))
    for kind in (ColdProcess, WarmProcess):

        def asked(process: Process, wait: float, real: Any = kind.exit_code) -> int | None:
            return None if next(not_yet, None) is not None else real(process, wait)

        monkeypatch.setattr(kind, "exit_code", asked)

    result = await run("import os; os._exit(3)")

    assert (result.status, result.error) == (
        "crashed",
        "the process ended itself (exit code 3)",
    )


async def test_cancelling_ends_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled check ends its process, which would go on for an hour (S0-39)."""
    before = own_processes()
    monkeypatch.setattr(sandboxing.tempfile, "tempdir", str(tmp_path))
    source = "import time\nopen('begun', 'w').close()\ntime.sleep(3600)"
    task = asyncio.ensure_future(run(source))
    await soon(lambda: wrote("begun", tmp_path))

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not left_over(before)


async def test_import_failure_has_its_line() -> None:
    """Why a module does not import is told with type, text and line (S0-34)."""
    result = await run("x = 1\nimport not_there_at_all\n")

    assert result.status == "import_error"
    assert result.failure is not None
    assert (result.failure.error, result.failure.missing, result.failure.line) == (
        "ModuleNotFoundError",
        "not_there_at_all",
        2,
    )


async def test_nothing_of_the_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's folder is gone afterwards, also where the child locked it (S0-43)."""
    (tmp_path / "checks").mkdir()
    warming.close_worker()
    monkeypatch.setattr(sandboxing.tempfile, "tempdir", str(tmp_path / "checks"))

    await run("import os\nos.makedirs('a/b')\nos.chmod('a', 0)\nopen('x', 'w').close()")
    warming.close_worker()

    assert list((tmp_path / "checks").iterdir()) == []
