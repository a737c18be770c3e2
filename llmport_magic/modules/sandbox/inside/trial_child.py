"""Runs in the sandbox: tries a module's functions, or a cell's code, on copies of the user's data.

Loaded by `sandbox_child.py`, beside which it lies. The copies are unpickled here and nowhere else:
whatever they run while they are, runs confined. What is told are types, shapes and exceptions.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import itertools
import pickle
import sys
import time
import types
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

# These lie beside this file, as it lies beside the sandbox's script.
from trial_functions import calls, public_names  # type: ignore[import-not-found]  # beside it in the child
from trial_values import (  # type: ignore[import-not-found]  # beside it in the child
    difference,
    every_tenth,
    plain,
    size_of,
)

Describe: TypeAlias = Callable[[BaseException, str], dict[str, Any]]

_CELL = "<cell>"
_MOST_CALLS = 12
_MOST_ITEMS = 100_000
_MOST_TEXT = 100_000
_MOST_NAMES = 8
# What is over faster says nothing about how long the whole takes.
_SLOW_SECONDS = 10.0
_SHORT_SECONDS = 0.2
_MOST_TIMES = 5


class TimeIsUpError(BaseException):
    """The time of the trial is over; not an `Exception`, so that hardly any code swallows it."""


class _Copies:
    """The copies of the user's variables; each time one is asked for, it is a fresh one."""

    def __init__(self, variables: list[dict[str, Any]]) -> None:
        self._data: dict[str, bytes] = {}
        self._sizes = {item["name"]: (item["rows"], item["of"]) for item in variables}
        self.kinds: dict[str, str] = {}
        self.unreadable: dict[str, str] = {}
        for item in variables:
            with open(item["file"], "rb") as file:
                data = file.read()
            try:
                self.kinds[item["name"]] = type(pickle.loads(data)).__name__  # noqa: S301 - the parent's own
            except BaseException as error:  # noqa: BLE001 - the user's own classes may do anything
                self.unreadable[item["name"]] = type(error).__name__
            else:
                self._data[item["name"]] = data

    @property
    def names(self) -> list[str]:
        return list(self._data)

    def fresh(self, name: str) -> Any:
        """Give a copy that nobody has touched."""
        return pickle.loads(self._data[name])  # noqa: S301 - the parent's own

    def sampled(self, name: str) -> tuple[int, int] | None:
        """Give the rows of the copy and of the whole, where the copy is a part."""
        rows, whole = self._sizes[name]
        return (rows, whole) if rows is not None and rows < whole else None


def run(
    trial: dict[str, Any], module: types.ModuleType, file: str, describe: Describe
) -> dict[str, Any]:
    """Try what the parent asks for; gives what was seen, as plain data.

    Args:
        trial: what `modules/trial.py` put together.
        module: the candidate; empty where a cell is tried.
        file: its path, as frames name it.
        describe: gives an exception as texts.
    """
    copies = _Copies(trial["variables"])
    file = _CELL if trial["cell"] is not None else file
    runner = _Runner(copies, trial["until"], lambda error: describe(error, file))
    if copies.names:
        if trial["cell"] is not None:
            runner.run_cell(trial["cell"], trial["modules"])
        elif trial["examples"]:
            runner.run_examples(trial["examples"], module)
        else:
            runner.call_functions(module, trial["prompt"])
    return {
        "unreadable": copies.unreadable,
        "steps": runner.steps,
        "more": runner.more,
        "late": runner.late,
    }


class _Runner:
    """Runs one step after the other until the time is up."""

    def __init__(
        self, copies: _Copies, until: float, describe: Callable[[BaseException], dict[str, Any]]
    ) -> None:
        self._copies = copies
        self._until = until
        self._describe = describe
        self.steps: list[dict[str, Any]] = []
        self.more = 0
        self.late = False

    def _left(self) -> float:
        return self._until - time.monotonic()

    def _timed(self, work: Callable[[], Any]) -> tuple[Any, float, dict[str, Any] | None]:
        """Run something with what time is left; gives its value, its seconds, its exception."""
        begun = time.perf_counter()
        value, failure = None, None
        _set_alarm(self._left())
        try:
            value = work()
        except BaseException as error:  # noqa: BLE001 - SystemExit is an outcome like any other
            _set_alarm(0)
            failure = self._describe(error)
        finally:
            _set_alarm(0)
        return value, time.perf_counter() - begun, failure

    def _note(self, what: str, seconds: float, failure: Any, **more: Any) -> None:
        self.steps.append({"what": what, "seconds": seconds, "error": failure, **more})

    # -- a cell ------------------------------------------------------------------------------------

    def run_cell(self, source: str, modules: dict[str, str]) -> None:
        """Run the code of a plain cell with the copies bound to their names."""
        space: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
        for name, imported in modules.items():
            try:
                __import__(imported)
                space[name] = sys.modules[imported]
            except Exception:  # noqa: BLE001, S112 - the code says so itself where it needs it
                continue
        space.update({name: self._copies.fresh(name) for name in self._copies.names})
        before = set(space)
        printed = _printed()
        value, seconds, failure = self._timed(partial(_execute, source, _CELL, space))
        printed = _printed()
        new = [
            (name, size_of(space[name]))
            for name in space
            if name not in before
            and not name.startswith("_")
            and not isinstance(space[name], (types.ModuleType, types.FunctionType, type))
        ]
        self._note(
            "the cell",
            seconds,
            failure,
            new=new[:_MOST_NAMES],
            result=None if value is None else size_of(value),
            printed=len(printed),
            changed={name: self._change(name, space.get(name)) for name in self._copies.names},
        )

    # -- examples ----------------------------------------------------------------------------------

    def run_examples(self, examples: list[list[Any]], module: types.ModuleType) -> None:
        """Run the examples that use the variables, and those before that these need."""
        space: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
        space.update({name: getattr(module, name) for name in public_names(module)})
        space[module.__name__] = module
        space.update({name: self._copies.fresh(name) for name in self._copies.names})
        for number, source in examples:
            if self._left() <= 0:
                self.late = True
                return
            kept = {name: space.get(name) for name in self._copies.names}
            _printed()
            value, seconds, failure = self._timed(
                partial(_execute, source, f"<example {number}>", space)
            )
            if value is not None:
                space["_"] = value
            shown = None
            if failure is None and value is not None:
                # A representation is the data's own code: it may fail, and last.
                shown, _, failure = self._timed(partial(_shown, value))
            self._note(
                source,
                seconds,
                failure,
                number=number,
                value=shown,
                printed=_printed()[:_MOST_TEXT],
                result=None if value is None else size_of(value),
                changed={
                    name: self._change(name, space.get(name))
                    for name in kept
                    if space.get(name) is kept[name]
                },
            )

    # -- functions ---------------------------------------------------------------------------------

    def call_functions(self, module: types.ModuleType, prompt: str) -> None:
        """Call each public function that takes the variables, on fresh copies."""
        found = list(calls(module, self._copies.kinds, prompt))
        self.more = max(0, len(found) - _MOST_CALLS)
        for function, given, certain in found[:_MOST_CALLS]:
            if self._left() <= 0:
                self.late = True
                return
            arguments = {part: self._copies.fresh(name) for part, name in given.items()}
            what = f"{function.__name__}({', '.join(given.values())})"
            value, seconds, failure = self._timed(partial(_called, function, arguments))
            changed = {name: self._change(name, arguments[part]) for part, name in given.items()}
            step = {
                "certain": certain,
                "result": None if failure else size_of(value),
                "changed": changed,
            }
            _printed()
            if failure is None:
                step["again"] = self._again(function, given, seconds)
            self._note(what, seconds, failure, **step)

    def _again(
        self, function: Callable[..., Any], given: dict[str, str], seconds: float
    ) -> list[float] | None:
        """Time a call again, and on a tenth of the rows, where the whole would take long.

        Imports and first uses are over by then, and what a call costs however few the rows are
        is told apart.
        """
        if len(given) != 1:
            return None
        [(part, name)] = given.items()
        sampled = self._copies.sampled(name)
        if sampled is None or seconds * sampled[1] / sampled[0] < _SLOW_SECONDS:
            return None
        best: list[float] = []
        for few in (False, True):
            times: list[float] = []
            # Of short times the least is the one that nothing else disturbed.
            while len(times) < _MOST_TIMES and sum(times) < _SHORT_SECONDS:
                if self._left() < 2 * seconds:
                    return None
                value = self._copies.fresh(name)
                value = every_tenth(value) if few else value
                _, spent, failure = self._timed(partial(_called, function, {part: value}))
                _printed()
                if failure is not None or value is None:
                    return None
                times.append(spent)
            best.append(min(times))
        return best

    def _change(self, name: str, after: Any) -> str:
        """Say what of a variable is not as it was: an empty text for nothing."""
        if after is None and self._copies.kinds[name] != "NoneType":
            return "gone"
        found, _, failure = self._timed(lambda: difference(self._copies.fresh(name), after))
        return "not compared" if failure else str(found)


# -- running code ----------------------------------------------------------------------------------


def _called(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    value = function(**arguments)
    if inspect.iscoroutine(value):
        import asyncio

        return asyncio.new_event_loop().run_until_complete(value)
    if inspect.isgenerator(value):
        # Until somebody asks for its items, a generator has done nothing.
        return list(itertools.islice(value, _MOST_ITEMS))
    return value


def _shown(value: Any) -> str:
    return repr(plain(value))[:_MOST_TEXT]


def _execute(source: str, name: str, space: dict[str, Any]) -> Any:
    """Run statements as a cell does; gives the value of the last one, if it has any."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(source, name, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    _run_code(compile(tree, name, "exec", flags, dont_inherit=True), space)
    if not isinstance(last, ast.Expr):
        return None
    whole = ast.Expression(last.value)
    return _run_code(compile(whole, name, "eval", flags, dont_inherit=True), space)


def _run_code(code: types.CodeType, space: dict[str, Any]) -> Any:
    value = types.FunctionType(code, space)()
    # 0x80 is CO_COROUTINE: the statement awaits at its top level.
    if code.co_flags & 0x80:
        import asyncio

        return asyncio.new_event_loop().run_until_complete(value)
    return value


def _printed() -> str:
    """Give what was printed since the last time; the sandbox keeps it."""
    take = getattr(sys.stdout, "take", None)
    return str(take()) if take is not None else ""


def _set_alarm(seconds: float) -> None:
    """Raise `TimeIsUpError` after so many seconds, where this system has alarms; 0 is never."""
    import signal

    if not hasattr(signal, "setitimer"):
        return

    def ring(*_: object) -> None:
        raise TimeIsUpError

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001) if seconds else 0)
