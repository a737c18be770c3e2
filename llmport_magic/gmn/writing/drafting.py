"""From a wish to a valid specification, try by try; pure, no model is called here.

    drafting = Drafting(wish, capabilities)
    while drafting.spec is None:
        request = drafting.next_request()
        drafting.take(await answer_to(request))

An answer counts when its specification is valid, keeps the limits, and its agent runs. One that
does not is sent back with what is wrong; how often, `tries` says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from llmport_magic.errors import GMNError, GMNOutputError, LLMOutputError
from llmport_magic.gmn.validation import validate
from llmport_magic.gmn.writing.answers import extract
from llmport_magic.gmn.writing.continuing import Kept, kept
from llmport_magic.gmn.writing.grammar import END, rest, whole
from llmport_magic.gmn.writing.mending import mended
from llmport_magic.gmn.writing.prompting import Wish, first_messages, repair_messages
from llmport_magic.gmn.writing.trial import run_once
from llmport_magic.modules.prompts import Request

if TYPE_CHECKING:
    from llmport_magic.gmn.findings import Report
    from llmport_magic.gmn.spec import Spec
    from llmport_magic.settings import Settings

# A first answer and two repairs; a small model's fresh samples cost less and help more.
TRIES = 3
TRIES_OF_SMALL = 5
TEMPERATURE = 0.3
_SAMPLE_TEMPERATURE = 0.8
# A specification is short: what is longer is a small model that goes round in circles.
_SMALL_MAX_TOKENS = 600
# Without a blank at the end: words that models know begin with theirs.
_PREFILL, _OPENING = "```gmn\n", "agent"
_AGAIN = re.compile(r"\s*(?:```|\{|agent\s+\w+\s*\{)")
_MOST_FINDINGS = 12


class Capable(Protocol):
    """What is asked of a model's capabilities."""

    @property
    def size(self) -> str | None:
        """`small` or `large`; `None` counts as large."""

    @property
    def prefill(self) -> bool:
        """Whether the start of the answer can be given."""

    @property
    def grammar(self) -> bool:
        """Whether the answer can be held to a grammar."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of one answer.

    Attributes:
        spec: the specification; `None` where it cannot be used.
        text: the specification as it stands in the answer, or the answer where there is none.
        findings: what is wrong with it, a line each.
        warnings: what is worth a word; among them everything that was mended.
        style: how it was asked for.
    """

    spec: Spec | None
    text: str
    findings: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    style: Literal["chat", "repair"] = "chat"


def tries_of(settings: Settings, capabilities: Capable) -> int:
    """Give how many answers may be asked for: what is set, or else what suits the model."""
    if settings.source("tries") != "default":
        return settings.tries
    return TRIES_OF_SMALL if capabilities.size == "small" else TRIES


class Drafting:
    """One wish on its way to a specification.

    Args:
        wish: what is asked for.
        capabilities: of the model that is asked.
        tries: how many answers may be asked for; `None` is 3, and 5 for a small model.
        temperature: of the sampling; `None` is 0.3, and for a small model 0 and then 0.8.
        seed: of the sampling.
        max_tokens: the longest answer; `None` leaves it to the connector.

    Attributes:
        spec: the specification, as soon as an answer held one.
        taken: what came of each answer so far.
        style: how the next answer is asked for, or the last one was: `chat` or `repair`.
    """

    def __init__(
        self,
        wish: Wish,
        capabilities: Capable,
        *,
        tries: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self.wish = wish
        self.spec: Spec | None = None
        self.taken: list[Taken] = []
        self.style: Literal["chat", "repair"] = "chat"
        self._small = capabilities.size == "small"
        self._prefill = self._small and capabilities.prefill
        self._grammar = self._prefill and capabilities.grammar
        self._tries = tries or (TRIES_OF_SMALL if self._small else TRIES)
        self._options = {"temperature": temperature, "seed": seed, "max_tokens": max_tokens}
        self._opening = _OPENING

    @property
    def number(self) -> int:
        """The number of the next try, from 1."""
        return len(self.taken) + 1

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong with the last answer."""
        return self.taken[-1].findings if self.taken else ()

    def next_request(self) -> Request:
        """Give what the model is asked now.

        Raises:
            GMNOutputError: as many answers as allowed were wrong; it has the findings and the
                text of the last.
        """
        if len(self.taken) >= self._tries:
            raise self.failure()
        self.style = "repair" if self._repairs() else "chat"
        messages = first_messages(self.wish, small=self._small)
        stays, grammar = self._stays() if self.style == "repair" else (None, self._first_grammar())
        if self.style == "repair" and stays is None:
            last = self.taken[-1]
            messages += repair_messages(
                last.text, last.findings[:_MOST_FINDINGS], small=self._small
            )
        options = {name: value for name, value in self._call_options().items() if value is not None}
        if not self._prefill:
            return Request(messages, options)
        # The answer begins inside the fence, so that the next one ends it; no other stop is safe.
        self._opening = _OPENING if stays is None else stays.text
        options |= {"prefill": _PREFILL + self._opening, "stop": [END]}
        if self._grammar and grammar:
            options |= {"extra": {"grammar": grammar}}
        return Request(messages, options, opening=self._opening)

    def take(self, answer: str, finish_reason: str = "stop") -> Taken:
        """Look at an answer; where it holds a specification that can be used, that is `spec`.

        Args:
            answer: as it arrived, without what `opening` of the request has given.
            finish_reason: why the model stopped.

        Raises:
            LLMOutputError: the model declined, or its provider withheld the answer.
        """
        if self._prefill and not _AGAIN.match(answer):
            answer = self._opening + answer
        taken = self._looked_at(answer, finish_reason)
        self.taken.append(replace(taken, style=self.style))
        self.spec = taken.spec
        return self.taken[-1]

    def failure(self) -> GMNOutputError:
        """Say that no answer could be used."""
        last = self.taken[-1]
        count = "the answer is not"
        if len(self.taken) > 1:
            count = f"none of {len(self.taken)} answers is"
        more = f" (and {len(last.findings) - 1} more)" if len(last.findings) > 1 else ""
        return GMNOutputError(
            f"{count} a valid specification: {last.findings[0]}{more}: word it differently, ask "
            "for less, or use a larger model",
            findings=last.findings,
            text=last.text,
        )

    def _repairs(self) -> bool:
        """Tell whether the last answer goes back; else it is asked afresh.

        A large model that gives the same wrong text twice is not told once more. A small one is
        told every other time: what it was told it cannot forget, and a fresh sample can.
        """
        if not self.taken or not self.taken[-1].findings or not self.taken[-1].text:
            return False
        if self._small:
            return self.taken[-1].style == "chat"
        return all(each.text != self.taken[-1].text for each in self.taken[:-1])

    def _stays(self) -> tuple[Kept | None, str]:
        """Give what of the last answer stays, and the grammar of what is missing.

        Nothing stays for a model that cannot be given the start of its answer, nor where nothing
        would be left to write.
        """
        found = kept(self.taken[-1].text, self._check) if self._prefill else None
        grammar = rest(found.spec, found.needed) if found else ""
        return (found, grammar) if grammar else (None, self._first_grammar())

    def _first_grammar(self) -> str:
        """Give the grammar of a new specification; one that is changed may be written otherwise."""
        if self.wish.current is not None:
            return ""
        return whole(self.wish.agent_type, self.wish.constraints.get("horizon"))

    def _call_options(self) -> Mapping[str, Any]:
        if not self._small:
            own = self._options["temperature"]
            return {**self._options, "temperature": TEMPERATURE if own is None else own}
        # Fixed seeds: the same wish gets the same answers again.
        before = len(self.taken)
        usual = {
            "temperature": _SAMPLE_TEMPERATURE if before > 1 else 0.0,
            "seed": before,
            "max_tokens": _SMALL_MAX_TOKENS,
        }
        return {n: usual[n] if value is None else value for n, value in self._options.items()}

    def _looked_at(self, answer: str, finish_reason: str) -> Taken:
        try:
            found = extract(answer, self._check, finish_reason=finish_reason)
        except LLMOutputError as error:
            if finish_reason == "content_filter" or str(error).startswith("the model declined"):
                raise
            return Taken(None, "", (str(error),))
        report = found.report
        mends: tuple[str, ...] = ()
        if report.spec is None:
            report, mends = mended(found.text, report, self._check, self.wish.constraints)
        if report.spec is None:
            return Taken(None, found.text, report.errors, report.warnings)
        spec = report.spec
        try:
            run_once(spec)
        except GMNError as error:
            return Taken(None, found.text, error.findings or (str(error),), report.warnings)
        warnings = (*mends, *report.warnings)
        return Taken(replace(self._typed(spec), notes=warnings), found.text, (), warnings)

    def _check(self, source: str | Mapping[str, Any]) -> Report:
        return validate(source, **self.wish.constraints)

    def _typed(self, spec: Spec) -> Spec:
        """Write the type that was asked for into what does not say another one."""
        asked = self.wish.agent_type
        return replace(spec, agent_type=asked) if spec.agent_type == "general" else spec
