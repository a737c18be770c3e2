"""The first line of a cell: names and options, with errors that say what was meant."""

from __future__ import annotations

import argparse
import difflib
import shlex
from dataclasses import dataclass
from functools import cache
from typing import NoReturn

from llmport_magic.errors import UsageError

SUBCOMMANDS = (
    "models",
    "config",
    "trust",
    "modules",
    "show",
    "diff",
    "rollback",
    "preview",
    "log",
    "panel",
    "model",
    "cache",
    "help",
)

# Flag, where it is kept, what it takes, and what it does: parser, help and completion read this.
CELL_OPTIONS: tuple[tuple[tuple[str, ...], str, str | None, str], ...] = (
    (("-p", "--provider"), "provider", "NAME", "who answers this cell"),
    (("-m", "--model"), "model", "NAME", "which model answers this cell"),
    (("-t", "--temperature"), "temperature", "T", "sampling temperature of this cell"),
    (("--update",), "update", None, "change the current version as the prompt says"),
    (
        ("--regenerate", "--overwrite"),
        "regenerate",
        None,
        "ask again although this prompt's module is stored",
    ),
    (("--with",), "context", "VAR[,VAR…]", "describe these variables to the model (never rows)"),
    (("--tries",), "tries", "N", "how many answers may be asked for until one passes"),
    (("--preview",), "preview", None, "show the request and send nothing"),
    (("--draft",), "draft", None, "ask and check, but neither store nor register"),
    (("--no-cache",), "no_cache", None, "take and keep no answer, also where `cache` is set"),
    (("--no-cell",), "no_cell", None, "insert no cell below"),
    (("--no-log",), "no_log", None, "keep this cell out of the log"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLine:
    """What the first line of a `%%llmport` cell says."""

    name: str | None = None
    provider: str | None = None
    model: str | None = None
    temperature: float | None = None
    update: bool = False
    regenerate: bool = False
    context: tuple[str, ...] = ()
    tries: int | None = None
    preview: bool = False
    draft: bool = False
    no_cache: bool = False
    no_cell: bool = False
    no_log: bool = False

    def shaping(self) -> dict[str, str]:
        """Give the options that shape the answer: a part of the version's key."""
        shaping = {
            "provider": self.provider,
            "model": self.model,
            "temperature": None if self.temperature is None else str(self.temperature),
            "with": ",".join(self.context) or None,
        }
        return {name: value for name, value in shaping.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleLine:
    """What the first line of a `%%llmport_module` cell says."""

    name: str
    base: str
    hold: bool = False


class _Parser(argparse.ArgumentParser):
    """Argparse that raises one line instead of printing usage and leaving the kernel."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


@cache
def _cell_parser() -> _Parser:
    parser = _Parser(prog="%%llmport", add_help=False, allow_abbrev=False)
    parser.add_argument("names", nargs="*")
    kinds = {"temperature": float, "tries": int}
    for flags, kept, takes, _ in CELL_OPTIONS:
        if takes is None:
            parser.add_argument(*flags, dest=kept, action="store_true")
        else:
            parser.add_argument(*flags, dest=kept, type=kinds.get(kept, str))
    return parser


def parse_cell_line(line: str) -> CellLine:
    """Read the first line of a `%%llmport` cell.

    Raises:
        UsageError: an unknown option, a bad value, or words that look like the prompt.
    """
    words = _words(line)
    _refuse_key(words)
    known = [flag for flags, *_ in CELL_OPTIONS for flag in flags]
    _refuse_unknown(words, known, "%%llmport")
    found = vars(_cell_parser().parse_args(words))
    names = found.pop("names")
    if len(names) > 1:
        rest = " ".join(names[1:])
        raise UsageError(
            f"`{rest}` stands on the first line: put the prompt below it, as in "
            f"`%%llmport {names[0]}` and then `{' '.join(names)}`"
        )
    context = tuple(name.strip() for name in (found.pop("context") or "").split(",") if name)
    if found["tries"] is not None and found["tries"] < 1:
        raise UsageError("`--tries` is a number from 1")
    return CellLine(name=names[0] if names else None, context=context, **found)


def parse_module_line(line: str) -> ModuleLine:
    """Read the first line of a `%%llmport_module` cell.

    Raises:
        UsageError: the name or the base is missing, or an option is unknown.
    """
    words = _words(line)
    _refuse_unknown(words, ["--base", "--hold"], "%%llmport_module")
    parser = _Parser(prog="%%llmport_module", add_help=False, allow_abbrev=False)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--base")
    parser.add_argument("--hold", action="store_true")
    found = parser.parse_args(words)
    if not found.name or not found.base:
        raise UsageError("a module cell begins with `%%llmport_module NAME --base VERSION`")
    return ModuleLine(name=found.name, base=found.base, hold=found.hold)


def parse_subcommand(line: str) -> tuple[str, list[str]]:
    """Read a `%llmport` line: the subcommand (empty for the status) and its words.

    Raises:
        UsageError: no such subcommand.
    """
    words = _words(line)
    if not words:
        return "", []
    command, *rest = words
    if command in SUBCOMMANDS:
        return command, rest
    near = difflib.get_close_matches(command, SUBCOMMANDS, n=1)
    if near:
        raise UsageError(f"there is no `%llmport {command}`: did you mean `%llmport {near[0]}`?")
    if command.isidentifier():
        raise UsageError(
            f"there is no `%llmport {command}`: did you mean `%%llmport {command}`, with two "
            "percent signs and the prompt below? `%llmport help` lists what there is"
        )
    raise UsageError(f"there is no `%llmport {command}`: `%llmport help` lists what there is")


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=False)
    except ValueError:
        raise UsageError(f"a quote is not closed in `{line}`") from None


def _refuse_key(words: list[str]) -> None:
    if any(word.split("=")[0] in {"--api-key", "--api_key", "--key"} for word in words):
        raise UsageError(
            "a key never stands in a cell, as notebooks are shared and logged: set the provider's "
            "variable (`%llmport models` names it) before starting the kernel, and replace this "
            "key if the notebook was saved"
        )


def _refuse_unknown(words: list[str], known: list[str], magic: str) -> None:
    for word in words:
        flag = word.split("=")[0]
        is_number = flag.lstrip("-").replace(".", "", 1).isdigit()
        if not flag.startswith("-") or flag in known or is_number:
            continue
        near = difflib.get_close_matches(flag, known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"`{magic}?` lists what there is"
        raise UsageError(f"`{magic}` has no option `{flag}`: {hint}")


def options_help() -> str:
    """Describe every option of a `%%llmport` cell, a line each."""
    rows = []
    for flags, _, takes, does in CELL_OPTIONS:
        left = ", ".join(flags) + (f" {takes}" if takes else "")
        rows.append(f"  {left:<28} {does}")
    return "\n".join(rows)
