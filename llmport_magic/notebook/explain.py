"""`%llmport explain`: what an error means, or what a module does, in prose that is only text."""

from __future__ import annotations

from typing import Any

from llmport_magic.errors import UsageError
from llmport_magic.notebook import cells
from llmport_magic.notebook.asking import (
    asked,
    error_part,
    nothing_to_ask,
    sent_lines,
    settings_of,
    source_part,
)
from llmport_magic.notebook.covering import Covered, private
from llmport_magic.notebook.display import made_lines, say
from llmport_magic.notebook.last_error import LastError, asking_about, last_error
from llmport_magic.notebook.options import QuestionLine, parse_question_line
from llmport_magic.notebook.versions import current_of
from llmport_magic.progress import ModuleRequest

_USAGE = (
    "`%llmport explain` explains the last error, `%llmport explain NAME` a module; no cell has "
    "failed yet in this kernel: name a module"
)


def explain(words: list[str], shell: Any) -> None:
    """Explain the last error or a module: `%llmport explain [NAME | last]`.

    Raises:
        UsageError: nothing to explain, or more than one word.
        ModuleNotStoredError: there is no such module.
        LLMPortError: as the pipeline.
    """
    error = last_error(shell)
    with asking_about(error):
        line = parse_question_line("explain", words)
        if len(line.words) > 1:
            raise UsageError("which one? `%llmport explain NAME`, or `%llmport explain last`")
        if line.words and line.words[0] != "last":
            _explain_module(line, shell)
        elif error is None:
            raise UsageError(_USAGE)
        elif not nothing_to_ask(error, "explain"):
            _explain_error(line, error, shell)


def _explain_error(line: QuestionLine, error: LastError, shell: Any) -> None:
    cell = Covered(error.cell)
    text = private(error.text(values=line.values))
    request = ModuleRequest(
        name=None,
        purpose="explanation",
        prompt="",
        settings=settings_of(line),
        code=cell.text,
        error=text,
        cell_id=cells.cell_id(shell),
    )
    parts = [error_part(error, text, values=line.values)]
    if error.cell:
        parts.append(source_part(error.title, cell.text, masked=cell.masked))
    say(*sent_lines(parts))
    _tell(request, shell, f"explanation of {error.kind}", line)


def _explain_module(line: QuestionLine, shell: Any) -> None:
    version = current_of(line.words[0])
    cell = Covered(version.source)
    request = ModuleRequest(
        name=version.name,
        purpose="explanation",
        prompt=f"Explain the module `{version.name}`.",
        settings=settings_of(line),
        code=cell.text,
        cell_id=cells.cell_id(shell),
    )
    title = f"{version.name} v{version.number}"
    say(*sent_lines([source_part(title, cell.text, masked=cell.masked)]))
    _tell(request, shell, f"explanation of {title}", line)


def _tell(request: ModuleRequest, shell: Any, title: str, line: QuestionLine) -> None:
    answered = asked(request, shell, title, preview=line.preview, prose=True)
    if answered is not None:
        made, shown = answered
        shown.finish(*made_lines(made, title))
