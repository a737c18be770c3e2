"""The last error of the notebook, as text: read from `sys` when it is asked for, kept nowhere.

IPython leaves the exception that it showed last in `sys.last_value`. Its traceback begins in
IPython's own frame, which knows the cell that ran: nothing has to be hooked for it.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import walk_tb
from types import FrameType
from typing import Any, Literal

from llmport_magic.errors import LLMPortError
from llmport_magic.modules.trial.words import Words

_SHELLS = ("IPython.core.interactiveshell", "ipykernel.ipkernel")
_ABOUT = "_llmport_about"
# Of a longer traceback, a recursion's for one, the beginning and the end are enough.
_FIRST_FRAMES = 8
_LAST_FRAMES = 12
_LONGEST_MESSAGE = 2_000
# What `%%time` runs its cell as, and what the cell itself becomes: all of it in one line.
_TIMED = ("<timed exec>", "<timed eval>")
_OF_CELL_MAGIC = "get_ipython().run_cell_magic("
_MOST_CAUSES = 3
_MOST_HELD = 5
_LINES_OF_A_MESSAGE = 3


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a traceback.

    Attributes:
        where: `cell`, `cell [2]`, `module circle`, or the name of a library's module.
        line: its line there; 0 where it is not known.
        function: what was being run; empty at the top level.
        code: the line's text; empty for a library's.
        module: the generated module that it is in; empty for anything else.
    """

    where: str
    line: int = 0
    function: str = ""
    code: str = ""
    module: str = ""

    def text(self) -> str:
        """Say it in one line."""
        line = f", line {self.line}" if self.line else ""
        function = f", in {self.function}" if self.function else ""
        return f"{self.where}{line}{function}{f': {self.code}' if self.code else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastError:
    """An error as text; it holds no object of the notebook.

    Attributes:
        whose: of the user's code, of this package, or an interrupt.
        kind: the exception's type.
        message: its message, data values included.
        causes: type and message of what led to it, the nearest first.
        held: type and message of the errors that an exception group holds.
        frames: where it was raised, the cell's line first.
        cell: the source of the cell that failed; empty where it is not known.
        count: the cell's execution count.
        cell_id: the cell's id, where the front end gave one.
        from_source: whether the message comes from reading the cell's text, without any data.
        fixed: texts of the system's and of libraries' own that the messages are made of.
    """

    whose: Literal["code", "llmport", "interrupt"]
    kind: str
    message: str
    causes: tuple[tuple[str, str], ...] = ()
    held: tuple[tuple[str, str], ...] = ()
    frames: tuple[Frame, ...] = ()
    cell: str = ""
    count: int | None = None
    cell_id: str | None = None
    from_source: bool = False
    fixed: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Name the cell: `cell [4]`."""
        return f"cell [{self.count}]" if self.count else "the cell"

    def text(self, known: Iterable[str] = (), *, values: bool = False) -> str:
        """Give the error as it is sent.

        Args:
            known: what else is sent: its words are no secret in a message.
            values: give the messages as they are, data values included.
        """
        words = Words([self.cell, *(frame.code for frame in self.frames), *self.fixed, *known])
        lines = ["Traceback (most recent call last):"] if self.frames else []
        lines += [f"  {frame.text()}" for frame in self.frames]
        for number, (kind, message) in enumerate([(self.kind, self.message), *self.causes]):
            whole = values or (self.from_source and number == 0)
            said = message if whole else words.redacted(message)
            lines.append(f"{'caused by ' * (number > 0)}{kind}{f': {said}' if said else ''}")
            if number == 0:
                lines += [f"  holds {each}" for each in self._held(words, values=values)]
        return "\n".join(lines)

    def _held(self, words: Words, *, values: bool) -> Iterator[str]:
        for kind, message in self.held[:_MOST_HELD]:
            said = message if values else words.redacted(message)
            yield f"{kind}{f': {said}' if said else ''}"
        if len(self.held) > _MOST_HELD:
            yield f"{len(self.held) - _MOST_HELD} more"


def last_error(shell: Any) -> LastError | None:
    """Give the last error of the notebook, or `None` before the first.

    An error that `%llmport fix` or `explain` met is about the one before it.
    """
    value = getattr(sys, "last_value", None)
    if value is None:
        return None
    if _ABOUT in vars(value):
        about = vars(value)[_ABOUT]
        return about if isinstance(about, LastError) else None
    return _read(value, shell)


@contextmanager
def asking_about(error: LastError | None) -> Iterator[None]:
    """Let an error that asking meets lead to the one that is asked about."""
    try:
        yield
    except BaseException as failure:
        setattr(failure, _ABOUT, error)
        raise


def _read(value: BaseException, shell: Any) -> LastError:
    trace = value.__traceback__ or getattr(sys, "last_traceback", None)
    walked = list(walk_tb(trace))
    cell, count, cell_id = _cell_of([frame for frame, _ in walked], shell)
    names = shell.compile._filename_map  # noqa: SLF001 - which cell a file name stands for
    frames = list(_frames(walked, shell, names, cell))
    from_source = _is_of_cell(value, names)
    if isinstance(value, SyntaxError) and from_source:
        frames = [Frame("cell", value.lineno or 0, code=(value.text or "").strip())]
    causes, held = tuple(_causes(value)), tuple(_held(value))
    return LastError(
        whose=_whose(value),
        kind=_kind(value),
        message=_message(value),
        causes=tuple((_kind(cause), _message(cause)) for cause in causes),
        held=tuple((_kind(each), _message(each)) for each in held),
        frames=_shortened(frames),
        cell=cell.strip("\n"),
        count=count,
        cell_id=cell_id,
        from_source=from_source,
        fixed=tuple(text for each in (value, *causes, *held) for text in _fixed(each)),
    )


def _whose(value: BaseException) -> Literal["code", "llmport", "interrupt"]:
    if isinstance(value, KeyboardInterrupt):
        return "interrupt"
    return "llmport" if isinstance(value, LLMPortError) else "code"


def _kind(value: BaseException) -> str:
    kind = next(filter(_is_named, type(value).__mro__))
    plain = kind.__module__ in {"builtins", "__main__"}
    return kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"


def _is_named(kind: type) -> bool:
    """Tell whether a type stands under its name in its module: code may name one after a value.

    One that Python keeps to itself does not: since 3.13 a cell that breaks off raises a kind of
    `SyntaxError` that is called `_IncompleteInputError`.
    """
    if kind.__module__ == "builtins" and kind.__name__.startswith("_"):
        return False
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind


def _message(value: BaseException) -> str:
    if isinstance(value, SyntaxError):
        return str(value.msg)[:_LONGEST_MESSAGE]
    try:
        return str(value)[:_LONGEST_MESSAGE]
    except Exception:  # noqa: BLE001 - it is anybody's class
        return ""


def _fixed(value: BaseException) -> Iterator[str]:
    """Give the texts of a message that come from no data: the system's words, a library's line."""
    if isinstance(value, OSError) and value.errno is not None:
        yield f"Errno {value.errno} {os.strerror(value.errno)}"
    last = None
    for last in walk_tb(value.__traceback__):  # noqa: B007 - the one that raised it
        pass
    if last is not None and _is_librarys(last[0].f_code.co_filename):
        # A message over several lines begins in the line that is being run, or ends in it.
        numbers = range(last[1] - _LINES_OF_A_MESSAGE, last[1] + _LINES_OF_A_MESSAGE + 1)
        yield from (linecache.getline(last[0].f_code.co_filename, number) for number in numbers)


def _is_librarys(file: str) -> bool:
    folders = (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__))  # noqa: PTH120 - compared as text
    return "ipykernel_" not in file and file.startswith(folders)


def _causes(value: BaseException) -> Iterator[BaseException]:
    seen = [value]
    while len(seen) <= _MOST_CAUSES:
        last = seen[-1]
        cause = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if cause is None or cause in seen:
            return
        seen.append(cause)
        yield cause


def _held(value: BaseException) -> Iterator[BaseException]:
    """Give the errors that a group holds, those of groups in it included."""
    for each in value.exceptions if isinstance(value, BaseExceptionGroup) else ():
        if isinstance(each, BaseExceptionGroup):
            yield from _held(each)
        else:
            yield each


def _is_of_cell(value: BaseException, names: dict[str, int]) -> bool:
    """Tell an error of reading the cell from one of reading another text, a file's for one."""
    if not isinstance(value, SyntaxError) or not value.filename:
        return False
    return value.filename in names


def _cell_of(frames: list[FrameType], shell: Any) -> tuple[str, int | None, str | None]:
    """Give the source, the count and the id of the cell that ran, from IPython's own frames."""
    for frame in frames:
        if frame.f_globals.get("__name__") not in _SHELLS:
            continue
        held = frame.f_locals
        result = held.get("result")
        info = getattr(result, "info", None)
        if info is not None:
            count = getattr(result, "execution_count", None)
            return str(info.raw_cell), count, getattr(info, "cell_id", None)
        source = held.get("raw_cell", held.get("code"))
        if isinstance(source, str):
            return source, None, held.get("cell_id")
    first = next((frame for frame in frames if _is_users(frame, shell)), None)
    if first is None:
        return "", None, None
    file = first.f_code.co_filename
    return "".join(linecache.getlines(file)), shell.compile._filename_map.get(file), None  # noqa: SLF001 - cells by file


def _is_users(frame: FrameType, shell: Any) -> bool:
    return frame.f_globals is shell.user_global_ns


def _frames(
    walked: list[tuple[FrameType, int]], shell: Any, names: dict[str, int], cell: str
) -> Iterator[Frame]:
    own: str | None = None
    lines = cell.strip("\n").split("\n")
    for frame, line in walked:
        code, module = frame.f_code, str(frame.f_globals.get("__name__", ""))
        function = "" if code.co_name.startswith("<") else code.co_qualname
        if _is_users(frame, shell):
            own = own or code.co_filename
            number = names.get(code.co_filename)
            if code.co_filename in _TIMED and line < len(lines):
                # It is given what stands below the magic's line.
                yield Frame("cell", line + 1, function, lines[line].strip())
                continue
            elsewhere = code.co_filename != own and number is not None
            text = linecache.getline(code.co_filename, line).strip()
            if not text.startswith(_OF_CELL_MAGIC):
                yield Frame(f"cell [{number}]" if elsewhere else "cell", line, function, text)
        elif _is_generated(module):
            text = linecache.getline(code.co_filename, line).strip()
            yield Frame(f"module {module}", line, function, text, module)
        elif own is not None and module.partition(".")[0] not in {"IPython", "ipykernel"}:
            yield Frame(module, line, function)


def _is_generated(module: str) -> bool:
    loader = sys.modules.get("llmport_magic.modules.loader")
    return loader is not None and loader.registered_source(module) is not None


def _shortened(frames: list[Frame]) -> tuple[Frame, ...]:
    left_out = len(frames) - _FIRST_FRAMES - _LAST_FRAMES
    if left_out <= 1:
        return tuple(frames)
    between = Frame(f"… {left_out} more")
    return (*frames[:_FIRST_FRAMES], between, *frames[-_LAST_FRAMES:])
