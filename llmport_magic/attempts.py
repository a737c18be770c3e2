"""Asking a model until an answer passes: request, stream, extraction and check, try by try.

Each step is on disk before the next one: the prompt before it is sent, the answer before it is
checked. What to try next is the strategy's business (`modules/strategy.py`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmport_magic.answering import AskedFor, OutOfTime, Sending, who_answers
from llmport_magic.errors import LLMOutputError, VerificationError
from llmport_magic.progress import (
    Answer,
    Checked,
    Checking,
    ModuleRequest,
    Noted,
    PipelineEvent,
    Started,
    Text,
)
from llmport_magic.refusals import refused
from llmport_magic.secrets import redact
from llmport_magic.session import Session
from llmport_magic.settings import Settings
from llmport_magic.tries import Tries, longest

if TYPE_CHECKING:
    from llmport_magic.modules.examples import Example
    from llmport_magic.modules.strategy import AttemptPlan, AttemptRecord
    from llmport_magic.modules.trial.samples import Trying
    from llmport_magic.modules.verification import Verdict
    from llmport_magic.modules.version import Version

# One mend may uncover what the next one is for.
_MOST_MENDS = 3


async def check_module(
    source: str,
    name: str,
    examples: Sequence[Example],
    settings: Settings,
    *,
    consent: bool = False,
    variables: Collection[str] = (),
    trying: Trying | None = None,
) -> Verdict:
    """Verify the source of a module against its examples.

    Args:
        source: the module's text.
        name: its name.
        examples: what must hold.
        settings: the limits of the check.
        consent: whether the user's own act allows its import-time effects.
        variables: the notebook's variables that the examples may use.
        trying: copies of them, on which the module is tried.
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
        variables=variables,
        trying=trying,
    )


async def ask(
    request: ModuleRequest,
    session: Session,
    examples: Sequence[Example],
    parent: Version | None,
) -> AsyncGenerator[PipelineEvent | Answer, None]:
    """Ask until an answer passes its checks or the budget is spent; ends with an `Answer`.

    Raises:
        ConfigError: this system holds code less than `sandbox_least` asks; nobody is asked.
        LLMError: the model did not deliver; the log holds what arrived.
        VerificationError: no answer passed; the last one is kept as a draft.
    """
    from llmport_magic.modules.sandbox import sandboxing

    sandboxing.refuse_weak(request.settings)
    provider, why, connector = await who_answers(request.settings)
    asked = AskedFor(request, session, examples, connector, _trying(request))
    sandboxing.warm_up(request.settings)
    tries = Tries(asked, parent)
    while True:
        plan, wire = tries.next_request()
        started = Started(provider, asked.model, why, tries.number, plan.style)
        yield started
        attempt = Attempt(asked, wire, started, tries.seconds_left())
        if wire.opening:
            yield Text(redact(wire.opening))
        try:
            async with aclosing(attempt.stream()) as events:
                async for event in events:
                    yield event
        except OutOfTime as error:
            raise tries.late(error) from None
        if told := tries.answered(attempt.response):
            yield Noted(told)
        yield Checking(started.attempt)
        try:
            verdict, source = await attempt.check(tries.history)
        except LLMOutputError as error:
            tries.failed(attempt.no_module(plan, error), error)
            continue
        tries.checked()
        for notice in (*attempt.notices, *sandboxing.new_notes()):
            yield Noted(notice)
        yield Checked(started.attempt, verdict)
        if verdict.safety == "refuse":
            raise refused(request, session, source, verdict)
        if verdict.proof != "failed" or verdict.missing:
            who = attempt.asked
            yield Answer(source, verdict, tries.spent, who.provider, who.model)
            return
        tries.failed(attempt.outcome(plan, source, verdict))


def _trying(request: ModuleRequest) -> Trying | None:
    """Give what answers are tried on: copies of what `--with` names, if it names anything."""
    from llmport_magic.modules.trial.samples import Trying

    if request.samples is None:
        return None
    return Trying(
        request.samples,
        names=request.variables,
        prompt=request.prompt,
        context=f"{request.context}\n{request.code}\n{request.error}",
        user_names=request.user_names,
    )


class Attempt(Sending):
    """One request, its answer and its check, each written down before the next step."""

    usable = True

    async def check(self, earlier: Sequence[AttemptRecord] = ()) -> tuple[Verdict, str]:
        """Extract the code and verify it; what was found is in the log.

        Args:
            earlier: the answers that failed before, whose functions may be right one by one.
        """
        from llmport_magic.modules.extraction import extract_module
        from llmport_magic.modules.installs import install_notices
        from llmport_magic.modules.merging import merge
        from llmport_magic.modules.verification import Verdict, check_plain

        request = self._asked.request
        self.notices += install_notices(self.response.content)
        source = ""
        try:
            source = extract_module(
                self._wire.opening + self.response.content,
                finish_reason=self.response.finish_reason,
                cell=request.name is None,
            )
            if (sent := self._wire.excerpt) is not None:
                source = merge(sent.source, source, sent.shown)
        except VerificationError as error:
            self.usable, source = False, error.source
            verdict = Verdict(safety="clean", proof="failed", findings=error.findings)
        except LLMOutputError as error:
            error.provider, error.model = self.asked.provider, self.asked.model
            self.forget()
            failed = Verdict(safety="clean", proof="failed", findings=(str(error),))
            await self.log_check(str(error), failed)
            raise
        else:
            if request.name is None:
                verdict = await check_plain(
                    source,
                    request.settings,
                    trying=self._asked.trying,
                    module_dir=Path(request.settings.module_dir).resolve(),  # noqa: ASYNC240 - no file is read
                )
            else:
                verdict, source = await self._check_and_mend(request.name, source)
                verdict, source = await self._combined(request.name, earlier, verdict, source)
        if verdict.safety == "refuse" or (verdict.proof == "failed" and not verdict.missing):
            self.forget()
        told = [verdict.line(), verdict.tried, *self.notices, *verdict.findings[:5]]
        await self.log_check("\n".join(filter(None, told)), verdict)
        return verdict, source

    @property
    def _against(self) -> dict[str, Any]:
        return {"variables": self._asked.request.variables, "trying": self._asked.trying}

    async def _check_and_mend(self, name: str, source: str) -> tuple[Verdict, str]:
        """Check, mend what needs no model, and check again while that gets further."""
        from llmport_magic.modules.mending import is_better, mend
        from llmport_magic.modules.prompts import called_names

        examples, settings = self._asked.examples, self._asked.request.settings
        wanted = called_names(self._asked.request.prompt, name)
        unnamed = "" if self._asked.request.update else name
        verdict = await check_module(source, name, examples, settings, **self._against)
        for _ in range(_MOST_MENDS):
            mended = mend(source, verdict, module=unnamed, wanted=wanted)
            if mended is None:
                break
            again = await check_module(mended.source, name, examples, settings, **self._against)
            if not is_better(again, verdict):
                break
            verdict, source = again, mended.source
            self.notices += mended.told
        return verdict, source

    async def _combined(
        self, name: str, earlier: Sequence[AttemptRecord], verdict: Verdict, source: str
    ) -> tuple[Verdict, str]:
        """Take each function out of the answer that has it right, where that passes every check."""
        from llmport_magic.modules.combining import combine
        from llmport_magic.modules.strategy import AttemptPlan, AttemptRecord

        if verdict.proof != "failed" or verdict.missing or verdict.safety == "refuse":
            return verdict, source
        newest = AttemptRecord(AttemptPlan(), source, examples=verdict.examples)
        both = combine([*earlier, newest])
        if both is None:
            return verdict, source
        again = await check_module(
            both, name, self._asked.examples, self._asked.request.settings, **self._against
        )
        if again.proof != "passed" or again.safety == "refuse":
            return verdict, source
        self.notices.append("no answer passed as a whole: each part is of one that has it right")
        return again, both

    def no_module(self, plan: AttemptPlan, error: LLMOutputError) -> AttemptRecord:
        """Say that this attempt brought no module at all."""
        cut_off = self.response.finish_reason == "length"
        at = longest(self._asked, self._wire) or self.response.usage["completion_tokens"]
        return self.outcome_of(plan, findings=(str(error),), cut_off=at if cut_off else 0)

    def outcome(self, plan: AttemptPlan, source: str, verdict: Verdict) -> AttemptRecord:
        """Say what the strategy needs to know about this attempt."""
        return self.outcome_of(
            plan,
            source=source,
            findings=verdict.findings,
            examples=verdict.examples,
            usable=self.usable,
        )
