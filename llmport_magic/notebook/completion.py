"""Completion after the magics: options, providers, models, names and commands."""

from __future__ import annotations

from typing import Any

from llmport_magic.modules.sorts import MODULE, SPECIFICATION, Sort
from llmport_magic.notebook.gmn_options import (
    GMN_COMMANDS,
    GMN_OPTIONS,
    PLOT_OPTIONS,
    REFINE_OPTIONS,
)
from llmport_magic.notebook.options import CELL_OPTIONS, LOG_OPTIONS, QUESTION_OPTIONS, SUBCOMMANDS
from llmport_magic.settings import setting_names

# What may stand behind a word of these subcommands.
_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "cache": {"cache": ("clear",)},
    "model": {"model": ("install",), "install": ("large", "small")},
    "templates": {"templates": ("write",)},
}
_KEYS = ("%%llmport", "%llmport", "%%gmn", "%gmn")


def install(shell: Any) -> None:
    """Hook the completer into IPython's."""
    for key in _KEYS:
        shell.set_hook("complete_command", complete, str_key=key)


def uninstall(shell: Any) -> None:
    """Take the completer away."""
    hooks = getattr(shell, "strdispatchers", {}).get("complete_command")
    for key in _KEYS:
        if hooks is not None:
            hooks.strs.pop(key, None)


def complete(_: Any, event: Any) -> list[str]:
    """Give what can stand at the cursor of a line of ours."""
    words = event.line.split()
    before = words[-1] if words and event.line.endswith(" ") else (words[-2:-1] or [""])[0]
    if before in {"-p", "--provider"}:
        found = providers()
    elif before in {"-m", "--model"}:
        found = models(words, event.symbol)
    elif event.line.startswith(("%%gmn", "%gmn")):
        found = _of_gmn(event.line, before)
    elif event.line.startswith("%%"):
        found = [flag for flags, *_ in CELL_OPTIONS for flag in flags]
        found += stored_names()
    elif before in {"models", "config"} and words[0] == "%llmport":
        found = providers()
        found += setting_names() if before == "config" and event.symbol else ()
    elif before == "trust" and words[0] == "%llmport":
        found = settings_files()
    elif before == "%llmport":
        found = list(SUBCOMMANDS)
    else:
        found = _behind(words[1:2], before)
    return [word for word in found if word.startswith(event.symbol)]


def _behind(command: list[str], before: str) -> list[str]:
    """Give what a subcommand takes."""
    if command and command[0] in _WORDS:
        return list(_WORDS[command[0]].get(before, ()))
    if command == ["log"]:
        return [flag for flags, *_ in LOG_OPTIONS for flag in flags]
    if command in (["fix"], ["explain"]):
        found = [flag for flags, *_ in QUESTION_OPTIONS[command[0]] for flag in flags]
        return found + (["last", *stored_names()] if command == ["explain"] else [])
    return stored_names()


def _of_gmn(line: str, before: str) -> list[str]:
    if before == "--type":
        from llmport_magic.gmn.writing.prompting import agent_types

        return list(agent_types())
    if before == "%gmn":
        return list(GMN_COMMANDS)
    command = line.split()[1:2]
    for name, options in (("refine", REFINE_OPTIONS), ("plot", PLOT_OPTIONS)):
        if command == [name] and before != name:
            return [flag for flags, *_ in options for flag in flags]
    flags = [flag for flags, *_ in GMN_OPTIONS for flag in flags] if line.startswith("%%") else []
    return flags + stored_names(SPECIFICATION)


def settings_files() -> list[str]:
    """Name the settings files of the project."""
    from llmport_magic.settings import project_files

    return ["all", *(path.name for path in project_files())]


def providers() -> list[str]:
    """Name every provider."""
    from llmport_magic.llm.registry import provider_rows

    return [row.name for row in provider_rows()]


def models(words: list[str], begun: str) -> list[str]:
    """Name the models of the provider that the line names, but for those that have ended.

    Where it names none, those of the provider that would answer; of all, once a name is begun.
    """
    from llmport_magic.llm.registry import provider_rows
    from llmport_magic.llm.standing import standing
    from llmport_magic.settings import resolve

    rows = provider_rows()
    named = [row for row in rows if row.name in words]
    if not named and not begun:
        first = standing(resolve()).provider
        named = [row for row in rows if row.name == first]
    return [model for row in named or rows for model in row.offered]


def stored_names(sort: Sort = MODULE) -> list[str]:
    """Name the stored modules, or specifications."""
    from llmport_magic.session import session
    from llmport_magic.settings import resolve

    return list(session().store(resolve(), sort).names())
