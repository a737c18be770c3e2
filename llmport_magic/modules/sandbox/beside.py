"""The files beside the notebook that code names: a check reads them as the notebook would.

A check begins in a folder of its own. What a text of it names by a relative name, `data.csv` or
`data/more.csv`, lies there as a copy: what the check writes must not reach the original, at no
level.
"""

from __future__ import annotations

import ast
import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePath

from llmport_magic.modules.parsing import parse
from llmport_magic.modules.sandbox.job import listed_folders

# All copies of one check together.
MOST_BYTES = 50_000_000


def lay(texts: Iterable[str], folder: Path) -> None:
    """Copy the files that these texts name into a check's folder, as far as there is room.

    Args:
        texts: the code that the check runs.
        folder: where it begins.
    """
    left = MOST_BYTES
    names = {name for text in texts for name in _strings(text)}
    for here in map(Path, listed_folders((), None)):
        for name in sorted(names):
            # A name may hold anything, and a file may be gone or unreadable.
            with contextlib.suppress(OSError, ValueError):
                file = _visible(here.resolve(), name)
                if file is None or file.stat().st_size > left:
                    continue
                left -= file.stat().st_size
                copy = folder / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)


def _strings(text: str) -> set[str]:
    try:
        nodes = ast.walk(parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    values = {node.value for node in nodes if isinstance(node, ast.Constant)}
    return {value for value in values if isinstance(value, str)}


def _visible(here: Path, name: str) -> Path | None:
    """Find a regular file in a folder; neither hidden nor somewhere else, by whatever name."""
    if PurePath(name).is_absolute() or _is_hidden(PurePath(name)):
        return None
    file = (here / name).resolve()
    inside = file.is_relative_to(here) and not _is_hidden(file.relative_to(here))
    return file if inside and file.is_file() else None


def _is_hidden(path: PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)
