"""The warm worker: when it starts, what it loads, when it is replaced, and that it ends."""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from awaiting import PATIENCE, soon, until
from kernels import kernel
from loopback import Loopback, streamed
from sandboxed import (
    confined,
    entered,
    left_over,
    own_processes,
    posix,
    preparing,
    run,
    warmed,
)

from llmport_magic.modules.sandbox import fork, sandboxing, warming, wrapping
from llmport_magic.modules.sandbox.ending import end_group
from llmport_magic.modules.sandbox.fork import WarmProcess, Worker
from llmport_magic.modules.sandbox.job import SandboxJob
from llmport_magic.modules.sandbox.wrapping import Outer
from llmport_magic.settings import Settings

pytestmark = [posix, confined]

JOB = SandboxJob(source="x = 1", module_name="circle", preload=(), seconds=PATIENCE)


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


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let no worker start before this is set, at the latest when the test is over."""
    go_on, start = threading.Event(), Worker.start
    monkeypatch.setattr(Worker, "start", lambda worker: go_on.wait() and start(worker))
    yield go_on
    go_on.set()


async def test_the_first_check_is_cold_and_those_after_it_warm(go_on: threading.Event) -> None:
    """Nothing waits for the worker: it starts beside the first check (S0-43)."""
    first = await sandboxing.run(JOB)
    go_on.set()
    warmed(JOB)
    second = await sandboxing.run(JOB)

    assert [(r.status, r.warm) for r in (first, second)] == [("ok", False), ("ok", True)]
    assert first.level == second.level


def test_what_we_load_ourselves_is_not_loaded_ahead() -> None:
    """That a request to a model loaded httpx does not say that the notebook uses it."""
    assert httpx.__name__ in sys.modules
    assert "httpx" not in dict(warming._libraries(None, JOB.memory_mb))
    assert "httpx" in dict(warming._libraries(("httpx",), JOB.memory_mb))


WAITING = replace(
    JOB,
    source="import os, time\nwhile not os.path.exists('go on'):\n    time.sleep(0.01)",
    examples=[(0, "1")],
)


async def test_a_run_that_is_over_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cancels a check at its very end does not end the next one of the same worker (S0-39)."""
    over, end = list[WarmProcess](), WarmProcess.end
    monkeypatch.setattr(WarmProcess, "end", lambda run: (end(run), over.append(run)))
    warmed(JOB)
    worker = warming.current()
    assert worker is not None
    await sandboxing.run(JOB)
    following = asyncio.ensure_future(sandboxing.run(WAITING))
    await soon(lambda: list(Path(worker.base).glob("*/circle.py")))

    over[0].kill()
    # A worker that was told to stop would have done so by now, and ends either run.
    other = await sandboxing.run(JOB)
    (source,) = Path(worker.base).glob("*/circle.py")  # noqa: ASYNC240
    source.with_name("go on").touch()

    assert (other.status, (await following).status) == ("ok", "ok")


async def test_a_busy_worker_makes_no_check_wait() -> None:
    """Of two checks at a time one is warm and one cold; both are right (S0-43)."""
    warmed(JOB)
    worker = warming.current()
    assert worker is not None
    busy = asyncio.ensure_future(sandboxing.run(WAITING))
    await soon(lambda: list(Path(worker.base).glob("*/circle.py")))

    other = await sandboxing.run(replace(JOB, examples=[(0, "2")]))
    (source,) = Path(worker.base).glob("*/circle.py")  # noqa: ASYNC240
    source.with_name("go on").touch()
    results = [await busy, other]

    assert [result.warm for result in results] == [True, False]
    assert [result.observations[0].value for result in results] == ["1", "2"]


async def test_warming_up_returns_at_once_and_can_be_turned_off(go_on: threading.Event) -> None:
    """`warm_up` starts the worker in the background; `sandbox_warm = false` never does (S0-43)."""
    sandboxing.warm_up(Settings(sandbox_warm=False, sandbox_preload=()))
    # A worker that was begun would stand in a thread, and wait for `go_on`.
    assert not preparing()
    assert warming.current() is None
    assert not (await run("x = 1", warm=False)).warm

    # No worker starts before `go_on`, so what returns has not waited for it.
    sandboxing.warm_up(Settings(sandbox_preload=()))
    go_on.set()
    await soon(warming.current)

    assert warming.ready(PATIENCE)


def _is_in(function: str, thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name == function


def test_a_worker_that_is_ended_while_it_starts_leaves_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for its greeting is told that none comes, before its process is gone."""
    silent, dying = tmp_path / "silent.py", []
    silent.write_text("import time\ntime.sleep(3600)\n")
    monkeypatch.setattr(fork, "end_group", lambda *group: dying.append(group))
    warming.prepare(JOB, silent, "")
    until(lambda: preparing() and _is_in("line", preparing()[0]))

    warming.close_worker()

    try:
        until(lambda: not preparing())
    finally:
        for group in dying:
            end_group(*group)


async def test_other_libraries_path_or_memory_replace_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is not what the kernel is now is ended, and another takes its place (S0-43)."""
    (tmp_path / "added_later.py").write_text("A = 1\n")
    before = own_processes()
    warmed(JOB)
    workers = [warming.current()]
    changed = [{"preload": ("json",)}, {"preload": ("json",), "memory_mb": 1024}]
    for change in changed:
        assert (await run("x = 1", **change)).warm
        workers.append(warming.current())
    monkeypatch.syspath_prepend(str(tmp_path))
    result = await run("import added_later", "added_later.A", **changed[-1])
    workers.append(warming.current())

    assert result.observations[0].value == "1"
    assert len(set(map(id, workers))) == len(workers)
    assert [worker.alive for worker in workers if worker] == [False, False, False, True]
    warming.close_worker()
    assert not left_over(before)


async def test_new_files_of_the_notebooks_folder_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module written after the worker started is there for the next check (S0-43)."""
    monkeypatch.chdir(tmp_path)
    await run("x = 1", preload=(), module_dir=tmp_path)
    (tmp_path / "written_later.py").write_text("A = 1\n")

    result = await run("import written_later as w", "w.A", preload=(), module_dir=tmp_path)

    assert (result.status, result.warm) == ("ok", True)
    assert result.observations[0].value == "1"


@pytest.mark.parametrize(
    ("library", "memory_mb", "told"),
    [
        ("not_there_at_all", 2048, "`not_there_at_all` is not installed here"),
        ("starts_threads", 2048, "it starts threads when imported"),
        ("raises", 2048, "it raises ValueError when imported"),
        ("numpy", 48, "`sandbox_memory_mb` = 48"),
    ],
)
async def test_what_cannot_be_loaded_ahead_is_told_once_and_not_fatal(
    library: str, memory_mb: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note names the setting and the library; the other libraries are loaded (S0-43)."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "starts_threads.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n"
    )
    (folder / "raises.py").write_text("raise ValueError\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    sys.modules.pop(library, None)

    result = await run("x = 1", "x", preload=("json", library), memory_mb=memory_mb)

    worker = warming.current()
    assert worker is not None
    assert (result.status, result.observations[0].value, worker.loaded) == ("ok", "1", ("json",))
    (note,) = sandboxing.new_notes()
    assert note.startswith("`sandbox_preload`: ")
    assert told in note
    assert library in note
    assert sandboxing.new_notes() == ()
    assert sandboxing.warmth().startswith("warm: json, ")


@pytest.mark.parametrize(("bad_starts", "note"), [(1, ""), (2, "checks are not warm")])
async def test_a_worker_that_did_not_come_up_is_started_once_more(
    bad_starts: int, note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad start, as on a machine short of memory, is mended; a second one is told (S0-43)."""
    dies = tmp_path / "dies.py"
    dies.write_text("raise SystemExit(3)\n")
    starts, start = [], fork.wrapped

    def begin(outer: Outer, command: tuple[str, ...], *rest: Any, **more: Any) -> list[str]:
        starts.append(command)
        given = (sys.executable, str(dies)) if len(starts) <= bad_starts else command
        return start(outer, given, *rest, **more)

    monkeypatch.setattr(fork, "wrapped", begin)
    if not note:
        warmed(JOB)
    else:
        warming.prepare(JOB, sandboxing._CHILD, wrapping.offered())
        assert not warming.ready(PATIENCE)

    assert len(starts) == 2
    assert "".join(sandboxing.new_notes()).startswith(note)
    assert (await sandboxing.run(JOB)).warm is not bool(note)


async def test_memory_and_time_are_obeyed_warm_as_cold() -> None:
    """A run may take `sandbox_memory_mb` beside the shared libraries, and no more (S0-43)."""
    source = "import numpy\ndef f(mb):\n    return len(numpy.ones(mb * 131072))"
    for warm in (True, False):
        job = {"preload": ("numpy",), "memory_mb": 600, "warm": warm}
        result = await run(source, "f(100)", "f(700)", **job)
        fits, too_much = result.observations.values()
        assert fits.value == "13107200"
        assert "MemoryError" in too_much.bases
        slow = await run("while True: pass", seconds=1.5, **job)
        assert slow.status == "timeout"
        assert "`sandbox_seconds`" in slow.error


async def test_files_and_a_trial_work_warm_as_cold() -> None:
    """A job's files lie in the child's folder, and its trial runs on them (S0-43)."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2, 3]})
    trial = {
        "variables": [{"name": "df", "file": "copy", "rows": 3, "of": 3}],
        "until": time.monotonic() + PATIENCE,
        "cell": None,
        "modules": {},
        "examples": [],
        "prompt": "",
    }
    results = [
        await run(
            "def doubled(df):\n    return df * 2",
            "__import__('os').path.getsize('copy')",
            files={"copy": pickle.dumps(frame)},
            trial=trial,
            preload=("numpy", "pandas"),
            warm=warm,
        )
        for warm in (True, False)
    ]

    assert [result.status for result in results] == ["ok", "ok"]
    for result in results:
        assert result.observations[0].value == str(len(pickle.dumps(frame)))
        assert result.trial is not None
        assert "doubled(df)" in json.dumps(result.trial)


def test_the_level_stands_in_status_verdict_and_log(tmp_path: Path, level: str) -> None:
    """The level stands in `%llmport`, below the cell and in the log; loading starts no worker."""
    with Loopback() as server, kernel(tmp_path / "notebook") as running:
        server.always(streamed("```python\ndef double(n):\n    return 2 * n\n```"))
        running.run("import sys")
        loaded = running.value("[name for name in sys.modules if '.modules.sandbox' in name]")
        running.run(
            "from llmport_magic import configure\n"
            f"configure(provider='local', base_url={server.url!r}, model='m', "
            f"sandbox_seconds={PATIENCE})"
        )
        status = running.run("%llmport").shown
        # The kernel has tried for itself what there is; so may have another process, another time.
        running.run("from llmport_magic.modules.sandbox import wrapping")
        outer = running.run("print(wrapping.offered())").shown.strip()
        shown = f"{outer}+landlock+seccomp" if outer else "landlock+seccomp"
        cell = running.run("%%llmport twice\nDouble it.\n\n>>> twice.double(2)\n4\n")
        until(lambda: "warm: " in running.run("%llmport").shown)
        after = running.run("%llmport").shown
        log = "".join(
            path.read_text() for path in (tmp_path / "notebook" / ".llmport" / "journal").iterdir()
        )

    assert loaded == "[]"
    (checks,) = [line for line in status.splitlines() if line.startswith("checks")]
    assert checks.startswith(f"checks     {shown} · trust")
    assert f"1 of 1 example passed · {shown}" in cell.shown
    assert f"checks     {shown} · warm: " in after
    verdicts = [json.loads(line) for line in log.splitlines() if '"verify"' in line.lower()]
    assert shown in json.dumps(verdicts)
    assert not list(Path(tempfile.gettempdir()).glob("llmport-check-*/twice.py"))
