"""The tries of one request so far: what the next one sends, and what ends them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from llmport_magic.answering import AskedFor, OutOfTime
from llmport_magic.errors import LLMOutputError, LLMPortError
from llmport_magic.progress import ModuleRequest, Spent
from llmport_magic.refusals import given_up

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import LLMCapabilities
    from llmport_magic.llm.reply import LLMResponse
    from llmport_magic.modules.budget import End
    from llmport_magic.modules.prompts import Request
    from llmport_magic.modules.strategy import AttemptPlan, AttemptRecord
    from llmport_magic.modules.version import Version


@dataclass(slots=True)
class Tries:
    """What one request has come to so far; each attempt is added as it ends.

    Attributes:
        asked: what all attempts share.
        parent: the version that is to be changed.
        spent: what the attempts took together.
        history: those that failed.
    """

    asked: AskedFor
    parent: Version | None
    spent: Spent = field(default_factory=Spent)
    history: list[AttemptRecord] = field(default_factory=list)
    _nothing: LLMOutputError | None = None
    _begun: float = field(default_factory=time.monotonic)

    @property
    def number(self) -> int:
        """The next attempt's number, from 1."""
        return len(self.history) + 1

    def next_request(self) -> tuple[AttemptPlan, Request]:
        """Give how the next answer is asked for, and what is sent.

        Raises:
            ConfigError: the first request alone may be more than the budget.
            LLMOutputError: the last answer held no module, and there is no further try.
            VerificationError: no answer passed, and there is no further try.
        """
        from llmport_magic.modules.strategy import next_attempt

        plan = next_attempt(self._capabilities, self.history, self.asked.request.settings)
        wire = self._wire(plan)
        self.allow(wire)
        return plan, wire

    def allow(self, wire: Request) -> None:
        """Refuse to send what would be more than the budget.

        Raises:
            ConfigError: the first request alone may be more than the budget.
            LLMOutputError: the last answer held nothing that could be used.
            VerificationError: no answer passed.
            GMNOutputError: no answer was a valid specification.
        """
        end = self._end(wire)
        if end is not None:
            raise self._given_up(end)

    def seconds_left(self) -> float:
        """Give how long the next answer may take."""
        from llmport_magic.modules.budget import seconds_left

        return seconds_left(self.history, self.asked.request.settings)

    def answered(self, response: LLMResponse) -> str:
        """Count an answer that arrived; gives what the user should know about its price."""
        seconds = time.monotonic() - self._begun
        self.spent = self.spent.plus(response, response.cost.dollars, seconds)
        most = self.asked.request.settings.budget_dollars
        if most is None or response.cost.dollars is not None or self.history:
            return ""
        return (
            f"`budget_dollars` = {most:g} cannot be counted: the price of {response.provider} "
            f"{response.model} is not known; `tries`, `budget_tokens` and `budget_seconds` count"
        )

    def checked(self) -> None:
        """Count the time that a check took."""
        self.spent = replace(self.spent, seconds=time.monotonic() - self._begun)

    def failed(self, attempt: AttemptRecord, nothing: LLMOutputError | None = None) -> None:
        """Add an attempt that failed.

        Args:
            attempt: what came of it.
            nothing: what is said of an answer that held no module.

        Raises:
            LLMOutputError: it held none, and to ask again makes no sense: a small model that
                rambled may do better in another style, a large one meant it.
        """
        self.history.append(attempt)
        self._nothing = nothing
        if nothing is not None and self._capabilities.size != "small" and not attempt.cut_off:
            raise nothing

    def late(self, error: OutOfTime) -> LLMPortError:
        """Say what it means that the time was over while an answer was arriving."""
        from llmport_magic.modules.budget import out_of_time

        if not self.history:
            return error
        return self._given_up(out_of_time(self.history, self.asked.request.settings))

    def _given_up(self, end: End) -> LLMPortError:
        if self._nothing is not None:
            told = f"{self._nothing}; {end.text}"
            return LLMOutputError(told, provider=self._nothing.provider, model=self._nothing.model)
        return given_up(self.asked.request, self.asked.session, self.history, end, self.spent)

    @property
    def _capabilities(self) -> LLMCapabilities:
        """What the model can do here: a cell that is there is no text to be continued."""
        able = self.asked.capabilities
        fixes = self.asked.request.purpose == "fix"
        return replace(able, completion_style=False) if fixes else able

    def _wire(self, plan: AttemptPlan) -> Request:
        from llmport_magic.modules.prompts import build_request

        request = self.asked.request
        if request.purpose in {"fix", "explanation"}:
            return question(request, self.asked.capabilities, plan)
        # Who could not answer with a part of the module, or begins anew, gets all of it.
        again = plan.style == "repair" and all(record.usable for record in self.history)
        return build_request(
            name=request.name or "",
            prompt=request.prompt,
            capabilities=self.asked.capabilities,
            plan=plan,
            current=self.parent.source if self.parent else None,
            context=request.context,
            templates=request.settings.templates,
            part=request.settings.update_context == "needed" and (again or not self.history),
        )

    def _end(self, wire: Request) -> End | None:
        """Say why a request must not be sent; the first one is refused with an error."""
        from llmport_magic.modules.budget import ended, refuse_over_budget

        settings, cost = self.asked.request.settings, self._expected_cost(wire)
        if not self.history:
            # An answer that may be kept from before costs nothing.
            prompt_cost = None if settings.cache else cost
            refuse_over_budget(longest(self.asked, wire), settings, prompt_cost)
        return ended(self.history, settings, self.asked.capabilities, cost)

    def _expected_cost(self, wire: Request) -> float | None:
        from llmport_magic.llm.cost import estimate_tokens, family_named
        from llmport_magic.modules.budget import expected_cost

        if self.asked.request.settings.budget_dollars is None:
            return None
        family = family_named(self.asked.model)
        tokens = sum(estimate_tokens(message.content, family) for message in wire.messages)
        return expected_cost(self.history, tokens, self.asked.capabilities)


def question(request: ModuleRequest, capabilities: LLMCapabilities, plan: AttemptPlan) -> Request:
    """Give what is sent for a fix or an explanation."""
    from llmport_magic.modules.error_prompts import build_question

    return build_question(
        purpose="fix" if request.purpose == "fix" else "explanation",
        code=request.code,
        error=request.error,
        capabilities=capabilities,
        plan=plan,
        name=request.name or "",
        prompt=request.prompt,
        context=request.context,
        templates=request.settings.templates,
    )


def longest(asked: AskedFor, wire: Request) -> int | None:
    """Give the longest answer that a request asks for, where that is known."""
    config = getattr(asked.connector, "config", asked.request.settings)
    most: int | None = wire.options.get("max_tokens") or getattr(config, "max_tokens", None)
    return most
