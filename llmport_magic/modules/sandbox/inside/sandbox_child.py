"""Runs in the sandbox: imports a candidate and runs its examples, telling what it saw.

A script of its own, started with `python -I -B`. It knows nothing of what the examples shall give:
a candidate that takes over this process can only lie about what it saw. With a socket as standard
input it is the warm worker instead, of which each fork runs one job as a cold start would.
"""

from __future__ import annotations

import ast
import builtins
import io
import json
import os
import site
import stat
import sys
import traceback
import types
from collections.abc import Callable, Coroutine
from typing import Any

_MAX_OUTPUT = 1_000_000
_MAX_TEXT = 100_000
_MAX_IMPORT_TEXT = 4_000
_MAX_DEPTH = 20
_BESIDE = os.path.dirname(__file__)
_OPENED: set[str] = set()


class OutputLimitError(BaseException):
    """The candidate printed more than anybody reads; not an `Exception`, so nothing swallows it."""


class _Captured(io.TextIOBase):
    """Keeps what is printed, up to a limit over the whole run."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._left = _MAX_OUTPUT

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a property there
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._left -= len(text)
        if self._left < 0:
            raise OutputLimitError(f"it printed more than {_MAX_OUTPUT // 1_000_000} MB")
        self._parts.append(text)
        return len(text)

    def take(self) -> str:
        """Give what was printed since the last time."""
        text = "".join(self._parts)
        self._parts.clear()
        return text


def _limit(limits: dict[str, int]) -> list[str]:
    """Set the limits that this system has; names those it took."""
    try:
        import resource
    except ImportError:
        return []
    taken = []
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is None:
            continue
        try:
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)  # noqa: PLW2901 - capped
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError):
            continue
        taken.append(name)
    return taken


def _beside(name: str) -> types.ModuleType:
    """Load a script that lies beside this one."""
    sys.path.append(_BESIDE)
    try:
        return __import__(name)
    finally:
        sys.path.remove(_BESIDE)


def _confine(job: dict[str, Any]) -> list[str]:
    """Shut this process in, as far as the system can; names what holds."""
    held = _outer_layer(job["outside"])
    try:
        sandbox_confine = _beside("sandbox_confine")
    except ImportError:
        return held
    readable = {sys.prefix, sys.base_prefix, sys.exec_prefix, _BESIDE, *job["readable"]}
    readable.update(_editable())
    held += sandbox_confine.confine(readable, job["listed"], os.getcwd())
    del sys.modules["sandbox_confine"]
    return held


def _outer_layer(outside: str) -> list[str]:
    """Name what this process was started in, seen from within and not only hoped for.

    Args:
        outside: the file systems that the notebook's process sees, as Linux numbers them.
    """
    if sys.platform == "darwin":
        import ctypes

        try:
            return ["seatbelt"] if ctypes.CDLL(None).sandbox_check(os.getpid(), None, 0) else []
        except (AttributeError, OSError):
            return []
    try:
        inside = os.readlink("/proc/self/ns/mnt")
    except OSError:
        return []
    return ["bwrap"] if outside and inside != outside else []


def _open_sites(folders: list[str]) -> None:
    """Read the `.pth` files of the user's own packages, as the notebook's Python did."""
    for folder in folders:
        if folder not in _OPENED:
            _OPENED.add(folder)
            site.addsitedir(folder)


def _editable() -> list[str]:
    """Find the folders of editable installs, which are on no path."""
    folders = []
    for name, module in list(sys.modules.items()):
        mapping = getattr(module, "MAPPING", None)
        if name.startswith("__editable__") and isinstance(mapping, dict):
            folders += [str(folder) for folder in mapping.values()]
    return folders


# -- values --------------------------------------------------------------------------------------


def _plain(value: Any, depth: int = 0) -> Any:
    """Turn the scalars of numpy and its kin, alone or in containers, into Python's own."""
    kind = type(value)
    if depth > _MAX_DEPTH or kind in (int, float, complex, bool, str, bytes, type(None)):
        return value
    if kind.__module__.partition(".")[0] in ("numpy", "torch", "jax", "pandas", "polars"):
        if getattr(value, "shape", None) == () and hasattr(value, "item"):
            return value.item()
        return value
    if kind in (list, tuple, set, frozenset):
        return kind(_plain(item, depth + 1) for item in value)
    if kind is dict:
        return {_plain(k, depth + 1): _plain(v, depth + 1) for k, v in value.items()}
    return value


def _text_of(value: Any) -> str:
    return repr(_plain(value))[:_MAX_TEXT]


# -- the module and its examples -----------------------------------------------------------------


def _load(job: dict[str, Any]) -> types.ModuleType:
    name = job["name"]
    path = os.path.join(os.getcwd(), f"{name}.py")
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(job["source"])
    module = types.ModuleType(name)
    module.__file__ = path
    code = compile(job["source"], path, "exec", dont_inherit=True)
    sys.modules[name] = module
    exec(code, module.__dict__)  # noqa: S102 - what the sandbox is for
    return module


def _namespace(module: types.ModuleType, fixed: dict[str, str]) -> dict[str, Any]:
    """Give the names that examples see: as after a star import, and the module by its name."""
    names = getattr(module, "__all__", None)
    if not isinstance(names, (list, tuple)):
        names = [name for name in vars(module) if not name.startswith("_")]
    namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    namespace.update({name: ast.literal_eval(text) for name, text in fixed.items()})
    namespace.update({name: getattr(module, name) for name in names})
    namespace[module.__name__] = module
    return namespace


class _Runner:
    """Runs examples one after the other in one namespace and one event loop."""

    def __init__(self, namespace: dict[str, Any], printed: _Captured) -> None:
        self._namespace = namespace
        self._printed = printed
        self._shown: list[tuple[str, str]] = []
        self._run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any] | None = None

    def _show(self, value: Any) -> None:
        if value is None:
            return
        before = self._printed.take()
        self._namespace["_"] = value
        self._shown.append((before, _text_of(value)))

    def run(self, source: str, number: int) -> dict[str, Any]:
        """Run one example; gives what was seen of it."""
        self._shown = []
        sys.displayhook = self._show
        try:
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            name = f"<example {number}>"
            tree = compile(source, name, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
            for statement in tree.body:
                single = ast.Interactive([statement])
                code = compile(single, name, "single", flags, dont_inherit=True)
                self._execute(code)
        except BaseException as error:  # noqa: BLE001 - SystemExit is an outcome like any other
            return {**self._seen(), **describe(error, "")}
        return self._seen()

    def _execute(self, code: types.CodeType) -> None:
        function = types.FunctionType(code, self._namespace)
        result = function()
        # 0x80 is CO_COROUTINE: the statement awaits at its top level.
        if code.co_flags & 0x80:
            if self._run_coroutine is None:
                import asyncio

                self._run_coroutine = asyncio.new_event_loop().run_until_complete
            self._run_coroutine(result)

    def _seen(self) -> dict[str, Any]:
        rest = self._printed.take()
        if len(self._shown) == 1 and not rest:
            before, value = self._shown[0]
            return {"value": value, "printed": before[:_MAX_TEXT]}
        texts = "".join(f"{before}{value}\n" for before, value in self._shown)
        return {"value": None, "printed": (texts + rest)[:_MAX_TEXT]}


def _try(trial: dict[str, Any], module: types.ModuleType, file: str) -> dict[str, Any]:
    """Run the module on the files in this folder; `trial_child.py` lies beside this script."""
    trial_child = _beside("trial_child")
    seen: dict[str, Any] = trial_child.run(trial, module, file, describe)
    return seen


def describe(error: BaseException, file: str) -> dict[str, Any]:
    """Give an exception as texts: its classes, its message, its line, and who raised it."""
    try:
        message = str(error)[:2000]
        if isinstance(error, ImportError) and error.path:
            # Where a package lies is the user's own, and a finding goes to the model.
            message = message.replace(f" ({error.path})", "")
    except BaseException:  # noqa: BLE001 - a candidate's own `__str__` may do anything
        message = ""
    frames = list(traceback.walk_tb(error.__traceback__))
    lines = [line for frame, line in frames if frame.f_code.co_filename == file]
    raised_in = str(frames[-1][0].f_globals.get("__name__", "")) if frames else ""
    return {
        "error": type(error).__name__,
        "bases": [kind.__name__ for kind in type(error).__mro__],
        "message": message,
        "line": lines[-1] if lines else getattr(error, "lineno", None),
        "missing": getattr(error, "name", None) if isinstance(error, ImportError) else None,
        "own": not frames or frames[-1][0].f_code.co_filename == file,
        "package": raised_in.partition(".")[0],
    }


def _serve() -> int:
    """Be the warm worker; returns in its forks, with the bytes that they share."""
    known = set(sys.modules)
    shelf = _beside("sandbox_shelf").Shelf()
    with shelf.noting():
        worker = _beside("sandbox_worker")
    shared: int = worker.serve(shelf, known, _open_sites)
    return shared


def main() -> None:
    """Read the job, run it, write what was seen; never returns."""
    shared = 0
    if stat.S_ISSOCK(os.fstat(0).st_mode):
        shared = _serve()
    job = json.loads(sys.stdin.buffer.read())
    os.chdir(job["folder"])
    channel = os.dup(1)
    os.set_inheritable(channel, False)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    printed = _Captured()
    sys.stdin, sys.stdout, sys.stderr = open(0, closefd=False), printed, printed  # noqa: SIM115 - for all that follows
    nonce, own = job.pop("nonce"), os.getpid()

    def tell(**message: Any) -> None:
        if os.getpid() != own:
            os._exit(0)
        line = json.dumps({"nonce": nonce, **message}).encode() + b"\n"
        while line:
            line = line[os.write(channel, line) :]

    _open_sites(job["sites"])
    # What the worker had loaded is shared with it, so it is not what this run takes.
    job["limits"]["AS"] += shared
    limits = _limit(job["limits"])
    holds = _confine(job)
    tell(kind="begin", limits=limits, holds=holds)
    reached = "+".join(holds) or ("rlimits only" if limits else "process only")
    if reached not in job["accepted"]:
        os._exit(1)
    sys.path[:] = job["path"]
    file = os.path.join(os.getcwd(), f"{job['name']}.py")
    try:
        module = _load(job)
        namespace = _namespace(module, job["fixed"])
    except BaseException as error:  # noqa: BLE001 - told to the parent
        tell(kind="import", printed=printed.take()[:_MAX_IMPORT_TEXT], **describe(error, file))
    else:
        tell(kind="import", printed=printed.take()[:_MAX_IMPORT_TEXT], error="")
        runner = _Runner(namespace, printed)
        for number, source in job["examples"]:
            tell(kind="start", number=number)
            tell(kind="example", number=number, **runner.run(source, number))
        if job["trial"] is not None:
            tell(kind="trial", seen=_try(job["trial"], module, file))
    tell(kind="end")
    # Threads and exit handlers of the candidate get no say.
    os._exit(0)


if __name__ == "__main__":
    main()
