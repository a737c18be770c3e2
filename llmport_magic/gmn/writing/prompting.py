"""What is sent to a model that is to write a specification: `prompts.toml` beside this file."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import GMNError, UsageError
from llmport_magic.gmn.notation.building import MAX_HORIZON
from llmport_magic.llm.messages import Image, LLMRole, Message

if TYPE_CHECKING:
    from llmport_magic.gmn.spec import Spec

MOST_EXAMPLES = 3
_FILE = Path(__file__).with_name("prompts.toml")
_PLACEHOLDER = re.compile(r"<<(\w+)>>")
_ALONE = re.compile(r"^<<(\w+)>>\n+", re.MULTILINE)


@cache
def texts() -> Mapping[str, Any]:
    """Give the words of `prompts.toml`."""
    return MappingProxyType(tomllib.loads(_FILE.read_text("utf-8")))


def agent_types() -> tuple[str, ...]:
    """Name the types of agents that hints are there for."""
    return tuple(texts()["types"])


def checked_type(name: str) -> str:
    """Give the type of an agent as it is spelt here.

    Raises:
        UsageError: there is none of that name; it is a `ValueError`.
    """
    plain = str(name).strip().lower()
    if plain in agent_types():
        return plain
    near = difflib.get_close_matches(plain, agent_types(), n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    raise UsageError(f"unknown agent type `{name}`: {hint}use one of {', '.join(agent_types())}")


def checked_constraints(given: Mapping[str, Any] | None) -> Mapping[str, int]:
    """Give the limits that a specification must keep.

    Raises:
        UsageError: an unknown limit, or one that no specification can keep; it is a `ValueError`.
    """
    known = texts()["limits"]
    found = {}
    if given is not None and not isinstance(given, Mapping):
        raise UsageError(f'constraints have names, as {{"max_states": 10}}, unlike `{given}`')
    for name, value in (given or {}).items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            raise UsageError(
                f"unknown constraint `{name}`: {hint}use {', '.join(known)}, and say the rest in "
                "the prompt"
            )
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"the constraint `{name}` is a number of 1 or more, not `{value}`")
        if name == "horizon" and value > MAX_HORIZON:
            raise UsageError(
                f"the constraint `horizon` is {value:,}, and {MAX_HORIZON:,} is the most that a "
                "specification can have"
            )
        found[name] = value
    return MappingProxyType(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a specification is asked for.

    Attributes:
        prompt: what the agent is to be, or what should change.
        agent_type: one of `agent_types()`.
        constraints: the limits that the specification must keep.
        examples: the text of specifications that show what is wanted, three at most.
        current: the specification that is to be changed; `None` asks for a new one.
        images: pictures of a diagram.
    """

    prompt: str
    agent_type: str = "general"
    constraints: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    current: Spec | None = None
    images: tuple[Image, ...] = ()

    @classmethod
    def of(
        cls,
        prompt: str,
        agent_type: str = "general",
        *,
        constraints: Mapping[str, Any] | None = None,
        examples: Sequence[Any] | None = None,
        current: Spec | None = None,
        images: Iterable[Image] = (),
    ) -> Wish:
        """Check what somebody asks for.

        Raises:
            UsageError: no prompt, or an unknown type or constraint; it is a `ValueError`.
            GMNError: an example is no valid specification.
        """
        pictures = tuple(images)
        if not isinstance(prompt, str):
            raise UsageError(f"the prompt is a text, not {type(prompt).__name__}: say a sentence")
        if not prompt.strip() and (current is not None or not pictures):
            what = "say what should change" if current is not None else "say what the agent is"
            raise UsageError(f"there is nothing to go by: {what}, in a sentence")
        return cls(
            prompt=prompt.strip(),
            agent_type=checked_type(agent_type),
            constraints=checked_constraints(constraints),
            examples=_checked_examples(examples or ()),
            current=current,
            images=pictures,
        )


def _checked_examples(given: Sequence[Any]) -> tuple[str, ...]:
    from llmport_magic.gmn.validation import parse

    if isinstance(given, (str, Mapping)):
        given = (given,)
    if len(given) > MOST_EXAMPLES:
        raise UsageError(f"{len(given)} examples are too many: give the {MOST_EXAMPLES} best")
    found = []
    for number, one in enumerate(given, start=1):
        try:
            found.append(parse(one).to_text().strip())
        except GMNError as error:
            raise GMNError(
                f"example {number} is no valid specification: {error}", findings=error.findings
            ) from None
    return tuple(found)


# -- messages ------------------------------------------------------------------------------------


def first_messages(wish: Wish, *, small: bool) -> tuple[Message, ...]:
    """Give what a model is asked at first.

    Args:
        wish: what is asked for.
        small: whether the model is a small one, which is told less and shown more.
    """
    head = "small_" if small else ""
    system = _filled(
        f"{head}system",
        matrices="" if small else _constructors("emission", "transition"),
        vectors="" if small else _constructors("initial", "preference"),
        examples=_shown_examples(wish.examples),
    )
    kind = "request" if wish.current is None else "refine"
    asked = _filled(
        head + kind,
        type=wish.agent_type,
        hint=texts()["types"][wish.agent_type].strip(),
        limits=limits_in_words(wish.constraints),
        current="" if wish.current is None else wish.current.to_text().strip(),
        prompt=wish.prompt or texts()["picture"],
    )
    if wish.images and wish.prompt:
        asked = f"{asked}\n\n{texts()['picture']}"
    shown = _shown() if small and wish.current is None else ()
    return (
        Message(LLMRole.SYSTEM, system),
        *shown,
        Message(LLMRole.USER, asked, images=wish.images),
    )


def repair_messages(answer: str, findings: Sequence[str], *, small: bool) -> tuple[Message, ...]:
    """Give what follows the first messages where an answer failed: the answer, and why."""
    listed = "\n".join(f"- {each}" for each in findings)
    asked = _filled("small_repair" if small else "repair", findings=listed)
    return (Message(LLMRole.ASSISTANT, answer), Message(LLMRole.USER, asked))


def review_messages(spec: Spec) -> tuple[Message, ...]:
    """Give what a model is asked that is to review a specification."""
    return (
        Message(LLMRole.SYSTEM, _filled("review_system")),
        Message(LLMRole.USER, _filled("review", current=spec.to_text().strip())),
    )


def limits_in_words(constraints: Mapping[str, int]) -> str:
    """Say which limits count; empty where none does."""
    words = texts()["limits"]
    said = [words[name].replace("<<n>>", str(most)) for name, most in constraints.items()]
    return f"Limits, which will be checked: {'; '.join(said)}." if said else ""


def _shown() -> tuple[Message, ...]:
    """Give requests with their answers, as if they had been made before."""
    turns = []
    for one in texts()["shown"]:
        asked = _filled("small_request", type=one["type"], limits="", prompt=one["prompt"])
        turns += [
            Message(LLMRole.USER, asked),
            Message(LLMRole.ASSISTANT, one["answer"].strip()),
        ]
    return tuple(turns)


def _shown_examples(examples: Sequence[str]) -> str:
    if not examples:
        return ""
    return "\n\n# Examples of the user\n\n" + "\n\n".join(examples)


def _constructors(*places: str) -> str:
    """Write the table of the constructors that may stand in these fields."""
    from llmport_magic.gmn.arrays.constructors import CONSTRUCTORS

    lines = []
    for each in CONSTRUCTORS.values():
        where = [place for place in places if place in each.places]
        if where:
            only = f" ({where[0]} only)" if len(where) < len(places) else ""
            lines.append(f"- {each.signature}{only}: {each.meaning} For example `{each.example}`.")
    return "\n".join(lines)


def _filled(name: str, **values: str) -> str:
    """Put values in the place of a text's placeholders, in one pass; no line stays empty for it."""
    text = _ALONE.sub(lambda found: found[0] if values.get(found[1]) else "", texts()[name])
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text).strip("\n")
