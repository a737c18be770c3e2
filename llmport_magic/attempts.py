"""Asking a model until an answer passes: request, stream, extraction and check, try by try.

Each step is on disk before the next one: the prompt before it is sent, the answer before it is
checked. What to try next is the strategy's business (`modules/strategy.py`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from llmport_magic.answering import AskedFor, Sending, who_answers
from llmport_magic.errors import LLMOutputError, VerificationError
from llmport_magic.log.events import Kind
from llmport_magic.progress import (
    Answer,
    Checked,
    Checking,
    ModuleRequest,
    Noted,
    PipelineEvent,
    Spent,
    Started,
    Text,
)
from llmport_magic.refusals import given_up, refused
from llmport_magic.secrets import redact
from llmport_magic.session import Session
from llmport_magic.settings import Settings

if TYPE_CHECKING:
    from llmport_magic.llm.reply import LLMResponse
    from llmport_magic.modules.examples import Example
    from llmport_magic.modules.prompts import Request
    from llmport_magic.modules.strategy import AttemptPlan, AttemptRecord
    from llmport_magic.modules.verification import Verdict
    from llmport_magic.modules.version import Version


async def check_module(
    source: str,
    name: str,
    examples: Sequence[Example],
    settings: Settings,
    *,
    consent: bool = False,
) -> Verdict:
    """Verify the source of a module against its examples.

    Args:
        source: the module's text.
        name: its name.
        examples: what must hold.
        settings: the limits of the check.
        consent: whether the user's own act allows its import-time effects.
    """
    from llmport_magic.modules.verification import verify

    directory = Path(settings.module_dir).resolve()  # noqa: ASYNC240 - no disk is slower than a call
    return await verify(
        source,
        module_name=name,
        examples=tuple(examples),
        settings=settings,
        module_dir=directory,
        consent=consent,
    )


async def ask(
    request: ModuleRequest,
    session: Session,
    examples: Sequence[Example],
    parent: Version | None,
) -> AsyncGenerator[PipelineEvent | Answer, None]:
    """Ask until an answer passes its checks or the budget is spent; ends with an `Answer`.

    Raises:
        LLMError: the model did not deliver; the log holds what arrived.
        VerificationError: no answer passed; the last one is kept as a draft.
    """
    from llmport_magic.modules.strategy import first_attempt, next_attempt, refuse_over_budget

    settings = request.settings
    provider, why, connector = await who_answers(settings)
    asked = AskedFor(request, session, examples, connector)
    spent, begun = Spent(), time.monotonic()
    history: list[AttemptRecord] = []
    verdicts: list[Verdict] = []
    plan: AttemptPlan | None = first_attempt(connector.capabilities, settings)
    while plan is not None:
        wire = _wire(asked, plan, parent, history)
        number = len(history) + 1
        if number == 1:
            refuse_over_budget(_longest(asked, wire), settings)
        started = Started(provider, asked.model, why, number, plan.style)
        yield started
        attempt = Attempt(asked, wire, started)
        if wire.opening:
            yield Text(redact(wire.opening))
        async with aclosing(attempt.stream()) as events:
            async for event in events:
                yield event
        response = attempt.response
        spent = spent.plus(response, response.cost.dollars, time.monotonic() - begun)
        yield Checking(number)
        try:
            verdict, source = await attempt.check()
        except LLMOutputError as error:
            # A small model that rambled may do better in another style; a large one meant it.
            history.append(attempt.no_module(plan, error))
            plan = next_attempt(connector.capabilities, tuple(history), settings)
            if connector.capabilities.size != "small" or plan is None:
                raise
            continue
        spent = replace(spent, seconds=time.monotonic() - begun)
        for notice in attempt.notices:
            yield Noted(notice)
        yield Checked(number, verdict)
        if verdict.safety == "refuse":
            raise refused(request, session, source, verdict)
        if verdict.proof != "failed" or verdict.missing:
            yield Answer(source, verdict, spent, attempt.asked.provider, attempt.asked.model)
            return
        history.append(attempt.outcome(plan, source, verdict))
        verdicts.append(verdict)
        plan = next_attempt(connector.capabilities, tuple(history), settings)
    raise given_up(request, session, history, verdicts)


def _longest(asked: AskedFor, wire: Request) -> int | None:
    """Give the longest answer that a request asks for, where that is known."""
    config = getattr(asked.connector, "config", asked.request.settings)
    longest: int | None = wire.options.get("max_tokens") or getattr(config, "max_tokens", None)
    return longest


def _wire(
    asked: AskedFor, plan: AttemptPlan, parent: Version | None, history: Sequence[AttemptRecord]
) -> Request:
    from llmport_magic.modules.prompts import build_request

    request = asked.request
    # Who could not answer with a part of the module, or begins anew, gets all of it.
    again = plan.style == "repair" and all(record.usable for record in history)
    return build_request(
        name=request.name or "",
        prompt=request.prompt,
        capabilities=asked.connector.capabilities,
        plan=plan,
        current=parent.source if parent else None,
        context=request.context,
        templates=request.settings.templates,
        part=request.settings.update_context == "needed" and (again or not history),
    )


class Attempt(Sending):
    """One request, its answer and its check, each written down before the next step."""

    usable = True

    async def check(self) -> tuple[Verdict, str]:
        """Extract the code and verify it; what was found is in the log."""
        from llmport_magic.modules.extraction import extract_module
        from llmport_magic.modules.merging import merge
        from llmport_magic.modules.verification import Verdict, check_plain

        request = self._asked.request
        source = ""
        try:
            source = extract_module(
                self._wire.opening + self.response.content,
                finish_reason=self.response.finish_reason,
            )
            if (sent := self._wire.excerpt) is not None:
                source = merge(sent.source, source, sent.shown)
        except VerificationError as error:
            self.usable, source = False, error.source
            verdict = Verdict(safety="clean", proof="failed", findings=error.findings)
        except LLMOutputError as error:
            error.provider, error.model = self.asked.provider, self.asked.model
            self._forget()
            raise
        else:
            if request.name is None:
                verdict = await check_plain(source, request.settings)
            else:
                verdict, source = await self._check_and_mend(request.name, source)
        if verdict.safety == "refuse" or (verdict.proof == "failed" and not verdict.missing):
            self._forget()
        found = "\n".join([verdict.line(), *verdict.findings[:5]])
        await self._log(Kind.VERIFY, found, verdict=verdict.to_dict())
        return verdict, source

    def _forget(self) -> None:
        """Let the answer be asked for anew: kept, it would fail again in the same way."""
        if self.response.metadata.get("cache_key"):
            from llmport_magic.llm.cache import forget

            forget(self.response)

    async def _check_and_mend(self, name: str, source: str) -> tuple[Verdict, str]:
        """Check, and where only an import of the standard library is missing, add it."""
        from llmport_magic.modules.strategy import add_missing_imports

        examples, settings = self._asked.examples, self._asked.request.settings
        verdict = await check_module(source, name, examples, settings)
        mended = add_missing_imports(source, verdict.findings) if verdict.findings else None
        if mended is None:
            return verdict, source
        again = await check_module(mended, name, examples, settings)
        better = len(again.findings) < len(verdict.findings) or again.proof != "failed"
        return (again, mended) if better else (verdict, source)

    def no_module(self, plan: AttemptPlan, error: LLMOutputError) -> AttemptRecord:
        """Say that this attempt brought no module at all."""
        from llmport_magic.modules.strategy import AttemptRecord

        return AttemptRecord(
            plan=plan,
            findings=(str(error),),
            completion_tokens=_written(self.response),
            seconds=time.monotonic() - self._begun,
        )

    def outcome(self, plan: AttemptPlan, source: str, verdict: Verdict) -> AttemptRecord:
        """Say what the strategy needs to know about this attempt."""
        from llmport_magic.modules.strategy import AttemptRecord

        return AttemptRecord(
            plan=plan,
            source=source,
            findings=verdict.findings,
            usable=self.usable,
            completion_tokens=_written(self.response),
            seconds=time.monotonic() - self._begun,
        )


def _written(response: LLMResponse) -> int:
    """Count what a model wrote now: a kept answer takes nothing out of the budget."""
    return 0 if response.metadata.get("cached") else response.usage["completion_tokens"]
