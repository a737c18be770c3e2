"""The warm worker as the kernel sees it: started, asked for a fork, replaced, ended.

There is one for each kernel, and it runs one job at a time. It is used only where Landlock and
seccomp keep its forks from reaching it; whoever finds it not there, not ready, busy or loaded with
other libraries than the kernel's starts a process of its own.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

from llmport_magic.modules.sandbox.fork import Wanted, Worker
from llmport_magic.modules.sandbox.job import (
    SandboxJob,
    import_path,
    library_folders,
    listed_folders,
    own_folders,
    user_sites,
)
from llmport_magic.modules.sandbox.process import command
from llmport_magic.modules.sandbox.wrapping import Outer, View, view

# Libraries that take long to import and that a fork can use. Not httpx: asking a model loads it,
# so that it is loaded says nothing of the notebook.
SLOW = (
    "numpy", "pandas", "matplotlib", "matplotlib.pyplot", "scipy", "scipy.stats", "scipy.optimize",
    "sklearn", "statsmodels", "sympy", "networkx", "seaborn", "PIL", "requests", "lxml",
    "bs4", "plotly", "torch",
)  # fmt: skip
# Names the threads in which a worker is started.
THREAD = "llmport-worker"


def _wanted(job: SandboxJob, child: Path, outer: Outer) -> Wanted:
    path, own = import_path(job.search_path, job.module_dir), own_folders(job.module_dir)
    # What generated modules lie in is no place to load libraries from.
    libraries = tuple(entry for entry in path if entry not in own)
    listed = listed_folders(path, job.module_dir)
    seen = view(library_folders(path), listed, "")
    return Wanted(
        (os.getpid(), os.getuid()),
        tuple(command(child)),
        libraries,
        tuple(user_sites(path)),
        job.memory_mb,
        outer,
        seen if outer else View(readable=(), listed=(), writable=""),
        _libraries(job.preload, job.memory_mb),
    )


def _libraries(named: tuple[str, ...] | None, memory_mb: int) -> tuple[tuple[str, str | None], ...]:
    """Name the libraries to load, with the files that the kernel has them from."""
    names = [name for name in SLOW if name in sys.modules] if named is None else list(named)
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in names}
    return tuple((name, files[name]) for name in names if (name, memory_mb) not in _STATE.unfit)


# -- the one of this kernel ------------------------------------------------------------------------


class _State:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.worker: Worker | None = None
        self.unfit: set[tuple[str, int]] = set()
        self.notes: dict[str, str] = {}
        self.told: set[str] = set()
        self.hooked = False


_STATE = _State()


def prepare(job: SandboxJob, child: Path, outer: Outer) -> None:
    """Start a worker for jobs like this one, where none is there; returns at once."""
    wanted = _wanted(job, child, outer)
    with _STATE.lock:
        _hook()
        worker = _STATE.worker
        if worker is not None and (worker.state == "busy" or _serves(worker, wanted)):
            return
        _STATE.worker = Worker(wanted)
        begun = threading.Thread(target=_begin, args=(_STATE.worker,), name=THREAD, daemon=True)
        begun.start()
    if worker is not None:
        worker.end()


def _begin(worker: Worker, *, again: bool = True) -> None:
    """Start a worker; where a library cannot be loaded ahead, another one without it.

    One that did not come up is tried once more: a machine short of memory may have ended it.
    """
    worker.start()
    following = None
    with _STATE.lock:
        if worker.failed and again and _STATE.worker is worker:
            following = _STATE.worker = Worker(worker.wanted)
        else:
            _STATE.notes.update(worker.notes)
        if worker.unfit:
            _STATE.unfit.add((worker.unfit, worker.wanted.memory_mb))
            fit = tuple(item for item in worker.wanted.preload if item[0] != worker.unfit)
            if _STATE.worker is worker:
                following = _STATE.worker = Worker(replace(worker.wanted, preload=fit))
        worker.settled.set()
    if following is not None:
        _begin(following, again=again and not worker.failed)


def take(job: SandboxJob, child: Path, outer: Outer) -> Worker | None:
    """Give the worker to one job, where it is ready; else it is being started."""
    prepare(job, child, outer)
    wanted = _wanted(job, child, outer)
    with _STATE.lock:
        worker = _STATE.worker
        if worker is None or worker.state != "ready" or not _serves(worker, wanted):
            return None
        worker.state = "busy"
        return worker


def _serves(worker: Worker, wanted: Wanted) -> bool:
    """Tell whether a worker is what a job wants, or is about to be; one that failed may not."""
    has = worker.wanted
    if worker.settled.is_set() and not worker.alive:
        # Where it never came up it is not tried again for the same.
        return worker.failed and has == wanted
    return (
        has.kernel == wanted.kernel
        and has.command == wanted.command
        and has.path == wanted.path
        and has.sites == wanted.sites
        and has.memory_mb == wanted.memory_mb
        and has.outer == wanted.outer
        and set(wanted.seen.readable) <= set(has.seen.readable)
        and set(wanted.seen.listed) <= set(has.seen.listed)
        and set(wanted.preload) <= set(has.preload)
    )


def ready(seconds: float = 60.0) -> bool:
    """Wait until the worker is ready; tells whether it is."""
    while (worker := _STATE.worker) is not None and worker.settled.wait(seconds):
        if worker is _STATE.worker:
            return worker.state == "ready"
    return False


def current() -> Worker | None:
    """Give this kernel's worker."""
    return _STATE.worker


def new_notes() -> tuple[str, ...]:
    """Say what could not be loaded ahead, and why; one line each, and each once."""
    with _STATE.lock:
        told = [text for name, text in _STATE.notes.items() if name not in _STATE.told]
        _STATE.told.update(_STATE.notes)
    return tuple(told)


def close_worker() -> None:
    """End the worker; the next check starts another."""
    with _STATE.lock:
        worker, _STATE.worker = _STATE.worker, None
    if worker is not None:
        worker.end()


def _hook() -> None:
    if not _STATE.hooked:
        _STATE.hooked = True
        atexit.register(close_worker)
        os.register_at_fork(after_in_child=_leave_to_parent)


def _leave_to_parent() -> None:
    """Let go of the parent's worker in a forked kernel: the worker ends with its own kernel."""
    worker = _STATE.worker
    _STATE.worker, _STATE.lock = None, threading.RLock()
    if worker is not None:
        worker.forget()
