"""The words that models are told, looked at and begun anew: `%llmport templates`."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from llmport_magic.errors import UsageError
from llmport_magic.modules.templates import (
    TEMPLATES,
    OwnTemplates,
    own_templates,
    read_templates,
    shipped_text,
)
from llmport_magic.notebook.display import say
from llmport_magic.settings import Settings, resolve

_USAGE = "`%llmport templates [NAME | write [FILE]]`"
_FILE = "templates.toml"
_WIDE = max(map(len, TEMPLATES)) + 1


def templates(words: list[str], shell: Any) -> None:
    """Name the templates, show one, or write ours to a file: `%llmport templates`."""
    settings = resolve()
    if not words:
        say(*_listing(settings))
    elif words[0] == "write":
        if len(words) > 2:  # write FILE
            raise UsageError(f"one file, with quotes where its name has spaces: {_USAGE}")
        say(*_write(Path(words[1] if len(words) > 1 else _FILE), settings))
    elif len(words) > 1:
        raise UsageError(f"one template at a time: {_USAGE}")
    else:
        say(_text(words[0], settings))


def _listing(settings: Settings) -> list[str]:
    """Give a line for each template: whose it is, and where it stands."""
    if settings.templates is None:
        lines = [f"{name:<{_WIDE}} ours" for name in TEMPLATES]
        return [*lines, "`%llmport templates write` begins a file of your own"]
    own = own_templates(settings.templates)
    source = settings.source("templates")
    return [
        *(f"{name:<{_WIDE}} {_whose(name, own)}" for name in TEMPLATES),
        f"{len(own.texts)} from `{own.path}` (set by {source}); an edit counts in the next cell",
    ]


def _whose(name: str, own: OwnTemplates) -> str:
    if name not in own.texts:
        return "ours"
    same = own.texts[name] == TEMPLATES[name]
    return f"{'the same as ours' if same else 'replaced'}: {own.place(name)}"


def _text(name: str, settings: Settings) -> str:
    texts = read_templates(settings.templates)
    if name not in texts:
        near = difflib.get_close_matches(name, [*texts, "write"], n=1)
        hint = f"did you mean `{near[0]}`?" if near else "`%llmport templates` names them"
        raise UsageError(f"there is no template `{name}`: {hint}")
    return texts[name]


def _write(path: Path, settings: Settings) -> list[str]:
    """Write our templates to a new file; nothing is overwritten.

    Raises:
        UsageError: the file is there with another text, or cannot be written.
    """
    text, told = _HEAD + shipped_text(), "written"
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        if not _holds(path, text):
            raise UsageError(
                f"`{path}` is there, and nothing is overwritten: name another file, as in "
                "`%llmport templates write mine.toml`"
            ) from None
        told = "there already, with this text"
    except OSError as error:
        raise UsageError(f"cannot write `{path}`: {error.strerror}") from None
    full = path.resolve()
    used = settings.templates
    now = f"now it is `{used}`, which is left as it is" if used else "until then ours are used"
    where = "in your own settings file, the variable LLMPORT_TEMPLATES, or `configure()`"
    return [
        f"{told}: {full}",
        f"set `templates = {str(full)!r}` {where}; {now}",
        "a settings file of the project that sets it counts once you allow it: `%llmport trust`",
    ]


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text("utf-8") == text
    except (OSError, ValueError):
        return False


_HEAD = """\
# Templates of your own. Keep what you change and delete the rest: what is not here is taken from
# the package, and gets better with it. The file is read for each cell.
#
"""
