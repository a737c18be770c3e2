"""The first line of a cell: names and options, with errors that say what was meant."""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn, TypeAlias

from llmport_magic.errors import UsageError

SUBCOMMANDS = (
    "status",
    "models",
    "config",
    "trust",
    "modules",
    "show",
    "diff",
    "rollback",
    "retry",
    "preview",
    "keep",
    "fix",
    "explain",
    "templates",
    "log",
    "panel",
    "model",
    "cache",
    "help",
)
_WITHOUT_WORDS = {"status", "modules", "panel", "help"}

Option: TypeAlias = tuple[tuple[str, ...], str, str | None, str]
# Flag, where it is kept, what it takes, and what it does: parser, help and completion read this.
CELL_OPTIONS: tuple[Option, ...] = (
    (("-p", "--provider"), "provider", "NAME", "who answers this cell"),
    (("-m", "--model"), "model", "NAME", "which model answers this cell"),
    (("-t", "--temperature"), "temperature", "T", "sampling temperature of this cell"),
    (("--update",), "update", None, "change the current version as the prompt says"),
    (
        ("--regenerate", "--overwrite"),
        "regenerate",
        None,
        "ask again although an answer to this prompt is stored",
    ),
    (
        ("--with",),
        "context",
        "VAR[,VAR…]",
        "describe these variables to the model; rows only with VAR:rows=5",
    ),
    (("--tries",), "tries", "N", "how many answers may be asked for until one passes"),
    (("--preview",), "preview", None, "show the request and send nothing"),
    (("--draft",), "draft", None, "ask and check, but neither store nor register"),
    (("--no-cache",), "no_cache", None, "take and keep no answer, also where `cache` is set"),
    (("--no-cell",), "no_cell", None, "insert no cell below"),
    (("--no-log",), "no_log", None, "keep this cell out of the log"),
)
_OF_EXPLAIN = ("provider", "model", "temperature", "preview", "no_cache", "no_log")
_VALUES = (("--values",), "values", None, "send the error's message with the data that it quotes")
_REPLACE = (("--replace",), "replace", None, "put the corrected cell in the place of the old one")
# The same for the subcommands that ask about code that is there.
QUESTION_OPTIONS: Mapping[str, tuple[Option, ...]] = {
    "fix": (
        *(each for each in CELL_OPTIONS if each[1] in (*_OF_EXPLAIN, "context", "tries")),
        _REPLACE,
        _VALUES,
    ),
    "explain": (*(each for each in CELL_OPTIONS if each[1] in _OF_EXPLAIN), _VALUES),
}

# The same for the log.
LOG_OPTIONS: tuple[Option, ...] = (
    (("--pairs",), "pairs", "FILE", "write prompts and the answers that passed, as JSON lines"),
    (("--task",), "task", "gmn|code", "with --pairs: only specifications, or only modules"),
    (("--unverified",), "unverified", None, "with --pairs: also modules without examples"),
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
class QuestionLine:
    """What follows `%llmport fix` or `%llmport explain`."""

    words: tuple[str, ...] = ()
    provider: str | None = None
    model: str | None = None
    temperature: float | None = None
    context: tuple[str, ...] = ()
    tries: int | None = None
    preview: bool = False
    replace: bool = False
    values: bool = False
    no_cache: bool = False
    no_log: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleLine:
    """What the first line of a `%%llmport_module` cell says."""

    name: str
    base: str
    hold: bool = False


class _Parser(argparse.ArgumentParser):
    """Argparse that raises one line instead of printing usage and leaving the kernel."""

    def error(self, message: str) -> NoReturn:
        """Say it in our words: argparse speaks of arguments, and of Python's types."""
        found = re.match(r"argument (?:\S+/)?(\S+): (.*)", message, re.DOTALL)
        if found is None:
            raise UsageError(message)
        flag, said = found.groups()
        wrong = re.match(r"invalid (float|int) value: (.*)", said, re.DOTALL)
        if wrong:
            kind = "a number" if wrong[1] == "float" else "a whole number"
            raise UsageError(f"`{flag}` is {kind}, not {wrong[2]}")
        if said == "expected one argument":
            raise UsageError(f"`{flag}` needs its value behind it")
        if said.startswith("ignored explicit argument"):
            raise UsageError(f"`{flag}` takes no value")
        raise UsageError(f"`{flag}`: {said}")


# What an option takes, where that is no text.
_KINDS = {"N": int, "T": float}


@cache
def _parser(options: tuple[Option, ...]) -> _Parser:
    # Without `usage` one is written for each line that is read, and never shown.
    parser = _Parser(usage="%%llmport", add_help=False, allow_abbrev=False)
    parser.add_argument("names", nargs="*")
    for flags, kept, takes, _ in options:
        if takes is None:
            parser.add_argument(*flags, dest=kept, action="store_true")
        else:
            parser.add_argument(*flags, dest=kept, type=_KINDS.get(takes, str))
    return parser


def parse_cell_line(line: str) -> CellLine:
    """Read the first line of a `%%llmport` cell.

    Raises:
        UsageError: an unknown option, a bad value, or words that look like the prompt.
    """
    found = read_options(split_words(line), CELL_OPTIONS, "%%llmport")
    names = found.pop("names")
    if len(names) > 1:
        rest = " ".join(names[1:])
        raise UsageError(
            f"`{rest}` stands on the first line: put the prompt below it, as in "
            f"`%%llmport {names[0]}` and then `{' '.join(names)}`"
        )
    if found["update"] and not names:
        raise UsageError("which module? `%%llmport NAME --update` changes the module NAME")
    return CellLine(name=names[0] if names else None, **found)


def parse_question_line(command: str, words: list[str]) -> QuestionLine:
    """Read the words after `%llmport fix` or `%llmport explain`; options may stand among them.

    Raises:
        UsageError: an unknown option or a bad value.
    """
    found = read_options(words, QUESTION_OPTIONS[command], f"%llmport {command}")
    return QuestionLine(words=tuple(found.pop("names")), **found)


def read_options(words: list[str], options: tuple[Option, ...], magic: str) -> dict[str, Any]:
    """Read the words of a line; those that are no options are `names`.

    Raises:
        UsageError: an unknown option or a bad value.
    """
    _refuse_key(words)
    known = [flag for flags, *_ in options for flag in flags]
    _refuse_unknown(words, known, magic)
    found = vars(_parser(options).parse_intermixed_args(words))
    if "context" in found:
        named = (found["context"] or "").split(",")
        if named[-1] == "" and len(named) > 1:
            raise UsageError(
                f"`--with {found['context']}`: no blank after a comma, as in `a,b:rows=5`"
            )
        found["context"] = tuple(name.strip() for name in named if name)
    if found.get("tries") is not None and found["tries"] < 1:
        raise UsageError("`--tries` is a number from 1")
    return found


def parse_module_line(line: str) -> ModuleLine:
    """Read the first line of a `%%llmport_module` cell.

    Raises:
        UsageError: the name or the base is missing, or an option is unknown.
    """
    words = split_words(line)
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
        UsageError: no such subcommand, or words behind one that takes none.
    """
    first = line.split(maxsplit=1)[:1]
    if first == ["keep"]:
        return "keep", line.split(maxsplit=1)[1:]  # an expression has quotes of its own
    # What follows `fix` is said as people write: an apostrophe opens no quote.
    words = line.split() if first == ["fix"] else split_words(line)
    if not words:
        return "", []
    command, *rest = words
    if rest and command in _WITHOUT_WORDS:
        raise UsageError(
            f"`%llmport {command}` takes nothing behind it: leave out `{' '.join(rest)}`"
        )
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


def split_words(line: str) -> list[str]:
    """Split a line as a shell does.

    Raises:
        UsageError: a quote is not closed.
    """
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
        all_of_them = f"`{magic}?` lists what there is"
        if not magic.startswith("%%"):
            all_of_them = f"there is {', '.join(known)}"
        hint = f"did you mean `{near[0]}`?" if near else all_of_them
        raise UsageError(f"`{magic}` has no option `{flag}`: {hint}")


def options_help(options: tuple[Option, ...] = CELL_OPTIONS) -> str:
    """Describe every option of a cell, a line each; of `%%llmport` unless said."""
    rows = []
    for flags, _, takes, does in options:
        left = ", ".join(flags) + (f" {takes}" if takes else "")
        rows.append(f"  {left:<28} {does}")
    return "\n".join(rows)


HELP = f"""Turn a prompt into a checked, versioned Python module.

    %%llmport NAME [options]     the cell below the line is the prompt -> module NAME
    %%llmport [options]          no NAME: prompt -> a plain code cell below, checked, not run
    %llmport                     status; `%llmport help` lists what else there is

`>>>` examples in the prompt are checked before anything is registered. `{{{{ expression }}}}` is
filled in from the notebook. Running the cell again selects the stored module and calls nobody.

options:
{options_help()}
"""
