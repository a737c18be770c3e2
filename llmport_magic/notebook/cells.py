"""Cells: the text of a module cell, where it is put, and what the saved notebook already holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmport_magic.modules.sorts import MODULE, SPECIFICATION, Sort

if TYPE_CHECKING:
    from llmport_magic.modules.version import Version

MAGICS = ("llmport", "llmport_module", "gmn")
_LARGEST_NOTEBOOK = 20_000_000
_MOST_NOTEBOOKS = 50
# A cell that holds the text of a version: of a module, or of a specification.
_LINKED_CELLS = {
    "module": re.compile(r"%%llmport_module[ \t]+(\w+)[ \t]+--base[ \t]+([0-9a-f]+)"),
    "specification": re.compile(r"%%gmn[ \t]+(\w+)[ \t]+--validate[ \t]+--base[ \t]+([0-9a-f]+)"),
}


def module_cell(version: Version, *, hold: bool = False) -> str:
    """Give the text of the cell that stands for a version."""
    flag = " --hold" if hold else ""
    if version.sort is SPECIFICATION:
        return f"%%gmn {version.name} --validate --base {version.id}\n{version.source.rstrip()}\n"
    return f"%%llmport_module {version.name} --base {version.id}{flag}\n{version.source.rstrip()}\n"


def keep_raw(lines: list[str]) -> list[str]:
    """Input transform: turn our cell magics into calls before IPython touches their text.

    IPython dedents a cell and strips `>>>` prompts out of it before a magic sees it, inside
    strings too. A prompt with examples and a module's source must arrive to the letter.
    """
    start = next((i for i, line in enumerate(lines) if line.strip()), None)
    if start is None or not lines[start].startswith("%%"):
        return lines
    name, _, rest = lines[start][2:].rstrip("\r\n").partition(" ")
    if name not in MAGICS:
        return lines
    # A cell of one line is IPython's own error; `%%gmn NAME --image FILE` is one that says all.
    body = "".join(lines[start + 1 :]) or "\n"
    return [f"get_ipython().run_cell_magic({name!r}, {rest.strip()!r}, {body!r})\n"]


def linked_bases(name: str, prompt_cell: str, sort: Sort = MODULE) -> frozenset[str]:
    """Find the versions that the saved notebook's own cells of a module, or specification, name.

    Looks for the notebook whose text has this very prompt cell: the one that the server names,
    else those in the working directory.
    """
    wanted = _normal(prompt_cell)
    for path in _notebooks():
        sources = list(_code_cells(path))
        if not any(wanted in _normal(source) for source in sources):
            continue
        return frozenset(
            found[2]
            for source in sources
            if (found := _LINKED_CELLS[sort.noun].match(source)) and found[1] == name
        )
    return frozenset()


def _normal(text: str) -> str:
    return text.strip().replace("\r\n", "\n")


def _notebooks() -> Iterator[Path]:
    from llmport_magic.settings import notebook_file

    named = notebook_file()
    if named and Path(named).is_file():
        yield Path(named)
    here = sorted(Path.cwd().glob("*.ipynb"))[:_MOST_NOTEBOOKS]
    yield from (path for path in here if not path.name.startswith("llmport_log"))


def _code_cells(path: Path) -> Iterator[str]:
    try:
        if path.stat().st_size > _LARGEST_NOTEBOOK:
            return
        cells = json.loads(path.read_text(encoding="utf-8")).get("cells", [])
    except (OSError, ValueError, AttributeError):
        return
    for cell in cells if isinstance(cells, list) else []:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", "")
            yield source if isinstance(source, str) else "".join(map(str, source))


def cell_id(shell: Any) -> str | None:
    """Give the id of the cell that is running, where the front end tells it."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else None
    metadata = parent.get("metadata", {}) if isinstance(parent, dict) else {}
    found = metadata.get("cellId") if isinstance(metadata, dict) else None
    return found if isinstance(found, str) and found else None


def run_cells(shell: Any) -> list[str]:
    """Give the text of each cell that was run in this kernel, by its execution count."""
    history = getattr(shell, "history_manager", None)
    return [str(text) for text in getattr(history, "input_hist_raw", ())]


def place(
    shell: Any, version: Version, *, after: str | None, hold: bool, rewrite: bool = False
) -> None:
    """Put a version's cell below the prompt cell, or rewrite the running module cell.

    Our front end replaces the linked cell by its id. Any other gets the cell through
    `set_next_input`, which can only insert it below the running one.
    """
    from llmport_magic.notebook import comm

    text = module_cell(version, hold=hold)
    placed = comm.place(text, name=version.name, base=version.id, after=after, rewrite=rewrite)
    if not placed:
        shell.set_next_input(text, replace=rewrite)


def place_code(shell: Any, source: str, *, after: str | None) -> None:
    """Put a plain code cell below the prompt cell; nobody runs it but the user."""
    from llmport_magic.notebook import comm

    if not comm.place(source, name=None, base=None, after=after, rewrite=False):
        shell.set_next_input(source)


def replace_code(shell: Any, source: str, *, cell: str | None, was: str) -> bool:
    """Put code in the place of a cell; tells whether that was done.

    Our front end does it where the cell still holds what was run, any other only with the cell
    that is running.

    Args:
        shell: IPython's shell.
        source: the new text.
        cell: the id of the cell that is to be replaced.
        was: the text that it had when it ran.
    """
    from llmport_magic.notebook import comm

    if cell is None:
        return False
    if cell == cell_id(shell):
        shell.set_next_input(source, replace=True)
        return True
    return comm.place(source, name=None, base=None, after=cell, rewrite=True, was=was)
