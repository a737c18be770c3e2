"""Cells: the text of a module cell, where it is put, and what the saved notebook already holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmport_magic.modules.version import Version

MAGICS = ("llmport", "llmport_module")
_LARGEST_NOTEBOOK = 20_000_000
_MOST_NOTEBOOKS = 50
_MODULE_CELL = re.compile(
    r"^%%llmport_module[ \t]+(\w+)[ \t]+--base[ \t]+([0-9a-f]+)", re.MULTILINE
)


def module_cell(version: Version, *, hold: bool = False) -> str:
    """Give the text of the cell that stands for a version."""
    flag = " --hold" if hold else ""
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
    body = "".join(lines[start + 1 :])
    return [f"get_ipython().run_cell_magic({name!r}, {rest.strip()!r}, {body!r})\n"]


def linked_bases(name: str, prompt_cell: str) -> frozenset[str]:
    """Find the versions that the saved notebook's own cells of a module name.

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
            if (found := _MODULE_CELL.match(source)) and found[1] == name
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
