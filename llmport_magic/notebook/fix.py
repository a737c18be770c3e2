"""`%llmport fix`: the last error and its cell are sent, a corrected cell comes back as a proposal.

Nothing is run: the proposal is shown as a diff and put below the cell that fails, or in its place.
"""

from __future__ import annotations

import re
from typing import Any

from llmport_magic.errors import UsageError
from llmport_magic.notebook import cells
from llmport_magic.notebook.asking import (
    Part,
    asked,
    error_part,
    nothing_to_ask,
    sent_lines,
    settings_of,
    source_part,
)
from llmport_magic.notebook.context import Context, named
from llmport_magic.notebook.covering import Covered, private
from llmport_magic.notebook.differences import difference
from llmport_magic.notebook.display import READ_FIRST, CellDisplay, say, spent_line
from llmport_magic.notebook.last_error import LastError, asking_about, last_error
from llmport_magic.notebook.options import QuestionLine, parse_question_line
from llmport_magic.notebook.sampling import Copies
from llmport_magic.progress import Described, Drafted, ModuleRequest

_CELL_MAGIC = re.compile(r"%%(\w+)")
# The body of these is Python, which runs in the notebook.
_PYTHON_MAGICS = frozenset({"time", "timeit", "capture", "prun"})


def fix(words: list[str], shell: Any) -> None:
    """Propose a corrected cell: `%llmport fix [what is wanted] [options]`.

    Raises:
        UsageError: no cell has failed yet, or it is no Python.
        LLMPortError: as the pipeline; nothing is placed then.
    """
    error = last_error(shell)
    with asking_about(error):
        line = parse_question_line("fix", words)
        if error is None:
            raise UsageError(
                "no cell has failed yet in this kernel: run the one that fails, then `%llmport fix`"
            )
        if not nothing_to_ask(error, "correct"):
            _fix(line, error, shell)


def _fix(line: QuestionLine, error: LastError, shell: Any) -> None:
    _refuse_what_is_no_python(error)
    cell, settings = Covered(error.cell), settings_of(line)
    items = named(line.context)
    context = Context(items, shell.user_ns, cells.run_cells(shell))
    described = context.describe(settings.context_tokens, settings.model or "")
    wish, about_data = private(" ".join(line.words)), private(described.text)
    text = private(error.text((wish, about_data), values=line.values))
    copies = Copies(items, wish, shell.user_ns, settings.trial_rows)
    request = ModuleRequest(
        name=None,
        purpose="fix",
        prompt=wish,
        settings=settings,
        context=about_data,
        code=cell.text,
        error=text,
        cell_id=cells.cell_id(shell),
        user_names=frozenset(name for name in shell.user_ns if not name.startswith("_")),
        variables=copies.names,
        copied=copies.data,
        samples=copies.take if copies.data and settings.trial_rows else None,
    )
    say(*_sends(error, text, cell, described, wish, values=line.values))
    answered = asked(request, shell, f"fix of {error.title}", preview=line.preview)
    if answered is None:
        return
    made, shown = answered
    assert isinstance(made.event, Drafted)
    corrected = cell.uncover(made.event.source.rstrip("\n"))
    _show(corrected, made.event, error, cell, shown)
    if corrected != error.cell.rstrip():
        _place(corrected, error, shell, request.cell_id, replace=line.replace)
    _tell_of_module(error, wish)


def _refuse_what_is_no_python(error: LastError) -> None:
    if not error.cell:
        raise UsageError(
            f"which cell failed with `{error.kind}` cannot be told: run it again, then `%llmport "
            "fix`"
        )
    magic = _CELL_MAGIC.match(error.cell)
    if magic and magic[1] not in _PYTHON_MAGICS:
        raise UsageError(
            f"{error.title} is a `%%{magic[1]}` cell: only a cell of Python can be corrected; "
            "`%llmport explain` says what its error means"
        )


def _sends(
    error: LastError,
    text: str,
    cell: Covered,
    described: Described,
    wish: str,
    *,
    values: bool,
) -> list[str]:
    parts = [
        error_part(error, text, values=values),
        source_part(error.title, cell.text, masked=cell.masked),
    ]
    if described.text:
        parts.append(Part("`--with`", "; ".join(described.sent), described.text))
    if wish:
        parts.append(Part("your words", f"{len(wish):,} characters", wish))
    return sent_lines(parts, described.notes)


def _show(
    corrected: str, event: Drafted, error: LastError, cell: Covered, shown: CellDisplay
) -> None:
    spent = spent_line(event.spent, event.provider, event.model)
    lines = [f"✓ fix of {error.title} · {event.verdict.line(asks=READ_FIRST)}", f"  {spent}"]
    lines += [f"  {event.verdict.tried}"] if event.verdict.tried else []
    lines += [f"  {finding}" for finding in event.verdict.findings[:5]]
    if corrected == error.cell.rstrip():
        lines[0] = f"· fix of {error.title} · the answer is the cell as it is"
        lines.append("  say more after `%llmport fix`, name data with `--with`, or ask again")
    elif cell.lost(corrected):
        lines.append("  a key was masked: put it back where the cell has `********`")
    shown.finish(*lines)
    if corrected != error.cell.rstrip():
        names = (error.title, "the correction")
        say(*difference(error.cell.rstrip(), corrected, names=names))


def _place(
    corrected: str, error: LastError, shell: Any, running: str | None, *, replace: bool
) -> None:
    """Put the corrected cell below the one that failed, or in its place."""
    if replace and cells.replace_code(shell, corrected, cell=error.cell_id, was=error.cell):
        say(f"placed in {error.title}: read it and run it")
        return
    cells.place_code(shell, corrected, after=error.cell_id or running)
    why = ", as this front end cannot replace it, or it was edited since" if replace else ""
    say(f"placed below{why}: read it and run it")


def _tell_of_module(error: LastError, wish: str) -> None:
    """Say where the cause is in a generated module: its cell is not to be changed by hand."""
    last = error.frames[-1] if error.frames else None
    own = next((frame for frame in reversed(error.frames) if frame.code or frame.module), None)
    if own is None or not own.module or last is None:
        return
    say(
        "",
        f"The error was raised in the module `{own.module}`, line {own.line}. If that is wrong and "
        "not the cell, change the module:",
        "",
        f"%%llmport {own.module} --update",
        f"{own.function or 'The module'} fails with {error.kind} in `{own.code}`. "
        + (wish or "Correct it."),
    )
