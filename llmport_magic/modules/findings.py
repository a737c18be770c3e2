"""One line about an exception that a module's text raised, for the user and for the model."""

from __future__ import annotations

import traceback

_LONGEST = 300


def describe(error: BaseException, source: str, file: str) -> str:
    """Say what was raised and in which line of the text.

    Args:
        error: what executing or compiling the text raised.
        source: the text.
        file: the file name that it was compiled with.
    """
    if isinstance(error, SyntaxError):
        at = f" (line {error.lineno})" if error.lineno else ""
        return f"{type(error).__name__}: {error.msg}{at}"
    line = _line_of(error, file)
    if isinstance(error, SystemExit):
        told = f"SystemExit: the module calls exit({error.code!r}) when it is imported"
    else:
        told = f"{type(error).__name__}: {_first_line(error)}".removesuffix(": ")
    if line is None:
        return told
    lines = source.splitlines()
    text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    if isinstance(error, ImportError) and text:
        # `attempted relative import…` does not say what was to be imported.
        return f"{told} (line {line}: `{text[:_LONGEST]}`)"
    return f"{told} (line {line})"


def _first_line(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the generated class's own `__str__`
        text = ""
    return text.strip().split("\n", 1)[0][:_LONGEST]


def _line_of(error: BaseException, file: str) -> int | None:
    lines = [
        number
        for frame, number in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == file
    ]
    return lines[0] if lines else None
