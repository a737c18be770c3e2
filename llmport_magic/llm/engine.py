"""The processes that run embedded models: one for each model file, started on first use."""

from __future__ import annotations

import atexit
import json
import math
import os
import secrets
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from llmport_magic.errors import ConfigError, LLMError
from llmport_magic.locks import lock
from llmport_magic.secrets import Secret

CONTEXT_TOKENS = 8192
_STOP_SECONDS = 2.0
_PROGRAM = Path(__file__).with_name("embedded_server.py")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a model answers, and the key that only this process knows."""

    url: str
    key: Secret


class _Engine:
    """One running process, the pipe whose end is its end, and who started it."""

    def __init__(self, process: subprocess.Popen[str], address: Address) -> None:
        self.process = process
        self.address = address
        self.owner = os.getpid()

    def alive(self) -> bool:
        # A forked child may talk to the model, but cannot wait for a process that is not its own.
        return os.getpid() != self.owner or self.process.poll() is None

    def stop(self) -> None:
        if os.getpid() == self.owner:
            _end(self.process)


_lock = lock()
_engines: dict[Path, _Engine] = {}
_starting: set[subprocess.Popen[str]] = set()


def runtime_installed() -> bool:
    """Tell whether the package that runs models is there."""
    from importlib.util import find_spec

    return find_spec("xllamacpp") is not None


def pick_threads(cores: int, load: float) -> int:
    """Pick how many threads compute: half the cores, fewer when others use them, at least one.

    The threads meet at a barrier after each step, so that one of them that has to share its core
    holds all up: two threads on a busy two-core machine are several times slower than one.
    """
    return max(1, min(cores // 2, cores - math.ceil(load)))


def start(path: Path, threads: int | None = None, *, slots: int = 1) -> Address:
    """Give the address of the model in a file, starting it on first use; takes seconds.

    Args:
        path: a GGUF file.
        threads: how many compute; `None` picks.
        slots: how many requests are answered side by side; each has the whole context.

    Raises:
        ConfigError: the package that runs models is not installed.
        LLMError: the file cannot be loaded.
    """
    path = path.resolve()
    with _lock:
        engine = _engines.get(path)
        if engine is None or not engine.alive():
            engine = _engines[path] = _start(path, threads, slots)
        return engine.address


def loaded() -> tuple[Path, ...]:
    """Name the model files that are loaded now."""
    return tuple(path for path, engine in _engines.items() if engine.alive())


def unload() -> None:
    """Stop every model; the next call starts it again."""
    with _lock:
        while _engines:
            _engines.popitem()[1].stop()


@atexit.register
def _stop_all() -> None:
    # Without the lock: a thread that is just starting one may hold it.
    for process in list(_starting):
        _end(process)
    for engine in list(_engines.values()):
        engine.stop()


def _start(path: Path, threads: int | None, slots: int) -> _Engine:
    if not runtime_installed():
        raise ConfigError(
            "the embedded model needs the package xllamacpp: `%pip install"
            " llmport-magic[embedded]`, or choose another provider"
        )
    key = secrets.token_urlsafe(24)
    orders = {"path": str(path), "name": path.stem, "key": key, "slots": slots}
    orders["context"] = slots * CONTEXT_TOKENS
    process = _spawn()
    _starting.add(process)
    try:
        answer = _exchange(process, {**orders, "threads": threads or _threads()})
    finally:
        _starting.discard(process)
    if "address" not in answer:
        _end(process)
        told = answer.get("error") or f"its process ended with {process.returncode}"
        raise LLMError(
            f"cannot load `{path.name}` ({told}): check the file, or set `embedded_model`",
            provider="embedded",
        )
    return _Engine(process, Address(answer["address"], Secret(key)))


def _spawn() -> subprocess.Popen[str]:
    # A group of its own: an interrupt of the kernel's group is not meant for the model.
    group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    return subprocess.Popen(  # noqa: S603 - our own program, no shell
        # -P: the folder of the program is the package's and no place to import from.
        [sys.executable, "-P", str(_PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        start_new_session=True,
        creationflags=group,
    )


def _exchange(process: subprocess.Popen[str], orders: dict[str, object]) -> dict[str, str]:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(orders) + "\n")
        process.stdin.flush()
        # Whatever the runtime prints itself is not the answer.
        for line in process.stdout:
            with suppress(ValueError):
                answer = json.loads(line)
                if isinstance(answer, dict):
                    return answer
    except OSError:
        pass  # it is gone: told by its return code
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    return {}


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _threads() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows has no load
        load = 0.0
    return pick_threads(cores, load)
