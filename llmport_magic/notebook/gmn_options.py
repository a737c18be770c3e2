"""The first line of a `%%gmn` cell and the words of a `%gmn` line."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TypeAlias

from llmport_magic.errors import UsageError
from llmport_magic.notebook.options import (
    CELL_OPTIONS,
    Option,
    options_help,
    read_options,
    split_words,
)

Limits: TypeAlias = dict[str, int]

# How like a command another word must be; `explorer` is not meant to be `export`.
_NEAR = 0.75

GMN_COMMANDS = (
    "refine",
    "validate",
    "plot",
    "export",
    "history",
    "show",
    "diff",
    "rollback",
    "help",
)
_LIMITS: tuple[Option, ...] = (
    (("--max-states",), "max_states", "N", "at most N states in all"),
    (("--max-actions",), "max_actions", "N", "at most N actions in all"),
    (("--max-observations",), "max_observations", "N", "at most N observations in all"),
    (("--max-factors",), "max_factors", "N", "at most N factors"),
    (("--horizon",), "horizon", "N", "look exactly N steps ahead"),
)
_IMAGE: Option = (("--image",), "image", "FILE", "a picture of a diagram, for a model that sees")
_OF_ALL = tuple(each for each in CELL_OPTIONS if each[1] != "context")
GMN_OPTIONS: tuple[Option, ...] = (
    (
        ("--type",),
        "agent_type",
        "TYPE",
        "general, explorer, trader, coordinator, analyst, creative",
    ),
    *_LIMITS,
    _IMAGE,
    (("--validate",), "validate", None, "the text below is a specification: no model is asked"),
    (("--base",), "base", "VERSION", "with --validate: the version that the text grew out of"),
    *_OF_ALL,
)
# What a cell that asks nobody can still say.
_OF_VALIDATE = ("--validate", "--base", "--no-cell", "--no-log", *(o[0][0] for o in _LIMITS))
REFINE_OPTIONS: tuple[Option, ...] = (
    *_LIMITS,
    _IMAGE,
    *(each for each in _OF_ALL if each[1] != "update"),
)
PLOT_OPTIONS: tuple[Option, ...] = (
    (("--seed",), "seed", "N", "of the agent and its world"),
    (("--dark",), "dark", None, "light lines on a dark ground"),
)
# As its beginning, behind comments and in a fence: blocks, JSON, or a heading of a GNN file.
_SPECIFICATION = re.compile(
    r"""\s*(\#[^\n]*\n\s*)*(```\w*\s*)?(
        (node\s+\w+\s+\w+|agent\s+\w+)\s*:?\s*\{
        |\{\s*"
        |\#\#?\s*(GNNSection|GNNVersionAndFlags|StateSpaceBlock|InitialParameterization)\b
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GMNLine:
    """What the first line of a `%%gmn` cell says, or what follows `%gmn refine`."""

    name: str
    words: tuple[str, ...] = ()
    agent_type: str | None = None
    max_states: int | None = None
    max_actions: int | None = None
    max_observations: int | None = None
    max_factors: int | None = None
    horizon: int | None = None
    image: str | None = None
    validate: bool = False
    base: str | None = None
    provider: str | None = None
    model: str | None = None
    temperature: float | None = None
    update: bool = False
    regenerate: bool = False
    tries: int | None = None
    preview: bool = False
    draft: bool = False
    no_cache: bool = False
    no_cell: bool = False
    no_log: bool = False

    @property
    def limits(self) -> Limits:
        """The limits that the specification must keep."""
        given = {name: getattr(self, name) for _, name, *_ in _LIMITS}
        return {name: most for name, most in given.items() if most is not None}

    def shaping(self) -> dict[str, str]:
        """Give the options that shape the answer: a part of the version's key."""
        # A module and a specification of one prompt are two things.
        shaping = {"magic": "gmn", **{name: str(most) for name, most in self.limits.items()}}
        for name in ("agent_type", "provider", "model", "temperature"):
            if (value := getattr(self, name)) is not None:
                shaping[name] = str(value)
        return shaping


def parse_gmn_line(line: str) -> GMNLine:
    """Read the first line of a `%%gmn` cell.

    Raises:
        UsageError: no name, an unknown option, a bad value, or words that look like the prompt.
    """
    found = read_options(split_words(line), GMN_OPTIONS, "%%gmn")
    _refuse_small(found)
    name, *rest = found.pop("names") or [""]
    said = " ".join(rest)
    if not name:
        raise UsageError("which agent? `%%gmn NAME` and a prompt below, for example `%%gmn walker`")
    if name in GMN_COMMANDS:
        if rest:
            raise UsageError(f"did you mean `%gmn {name} {said}`, with one percent sign?")
        raise UsageError(f"`{name}` is a command (`%gmn {name}`): choose another name")
    if rest:
        raise UsageError(
            f"`{said}` stands on the first line: put the prompt below it, as in `%%gmn {name}` and "
            f"then `{name} {said}`"
        )
    if found["validate"]:
        _refuse_asking(line)
    elif found["base"]:
        raise UsageError(
            f"`--base` is for a text: `%%gmn {name} --validate --base {found['base']}`"
        )
    return GMNLine(name=name, **found)


def _refuse_asking(line: str) -> None:
    flags = {word.split("=")[0] for word in split_words(line) if word.startswith("-")}
    if asking := sorted(flags - set(_OF_VALIDATE)):
        raise UsageError(
            f"`--validate` asks nobody, so `{asking[0]}` means nothing here: leave one of them out"
        )


def _refuse_small(found: dict[str, object]) -> None:
    for (flag, *_), kept, *_ in _LIMITS:
        value = found.get(kept)
        if isinstance(value, int) and value < 1:
            raise UsageError(f"`{flag}` is a number from 1")


def refuse_specification(name: str, prompt: str) -> None:
    """Help where a specification stands in the place of a prompt.

    Raises:
        UsageError: it does.
    """
    if _SPECIFICATION.match(prompt):
        raise UsageError(
            f"the text below is a specification and no prompt: `%%gmn {name} --validate` checks "
            "and takes it; to have it changed, run that and then "
            f"`%gmn refine {name} what to change`"
        )


def parse_refine_line(words: list[str]) -> GMNLine:
    """Read the words after `%gmn refine`; options may stand among them.

    Raises:
        UsageError: no name, no feedback, an unknown option or a bad value.
    """
    found = read_options(words, REFINE_OPTIONS, "%gmn refine")
    _refuse_small(found)
    names = found.pop("names")
    usage = "`%gmn refine NAME what to change`"
    if not names:
        raise UsageError(f"which agent? {usage}")
    said = " ".join(names[1:]).strip()
    if len(said) > 1 and said[0] == said[-1] and said[0] in "\"'":
        said = said[1:-1].strip()
    if not said:
        raise UsageError(f"what should change? {usage}")
    return GMNLine(name=names[0], words=(said,), update=True, **found)


def parse_gmn_command(line: str) -> tuple[str, list[str]]:
    """Read a `%gmn` line: the subcommand (empty for the list) and its words.

    Raises:
        UsageError: no such subcommand.
    """
    # Feedback is said as people write: an apostrophe opens no quote.
    words = line.split() if line.split(maxsplit=1)[:1] == ["refine"] else split_words(line)
    if not words:
        return "", []
    command, *rest = words
    if command in GMN_COMMANDS:
        return command, rest
    near = [each for each in GMN_COMMANDS if each.startswith(command)]
    near += difflib.get_close_matches(command, GMN_COMMANDS, n=1, cutoff=_NEAR)
    if near:
        raise UsageError(f"there is no `%gmn {command}`: did you mean `%gmn {near[0]}`?")
    if command.isidentifier() and not rest:
        raise UsageError(
            f"there is no `%gmn {command}`: `%%gmn {command}`, with two percent signs and a prompt "
            f"below, makes it; `%gmn show {command}` shows it, and `%gmn refine {command} what to "
            "change` changes it"
        )
    raise UsageError(
        f"there is no `%gmn {command}`: `%gmn help` lists what there is; a prompt stands below "
        "`%%gmn NAME`"
    )


GMN_HELP = f"""Turn a prompt into a checked, versioned specification of an active-inference agent.

    %%gmn NAME [options]         the cell below the line is the prompt -> specification NAME
    %%gmn NAME --validate        the cell below the line is a specification: checked, no model
    %gmn                         the stored ones; `%gmn help` lists what else there is

NAME is then a `Spec`: `NAME.agent()` makes an agent of it, `%gmn plot NAME` runs one. Running the
cell again selects the stored specification and calls nobody.

options:
{options_help(GMN_OPTIONS)}
"""
