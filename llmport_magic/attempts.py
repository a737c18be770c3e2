"""Asking a model until an answer passes: request, stream, extraction and check, try by try.

Each step is on disk before the next one: the prompt before it is sent, the answer before it is
checked. What to try next is the strategy's business (`modules/strategy.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import LLMOutputError, LLMStreamError, VerificationError
from llmport_magic.llm.cost import took
from llmport_magic.log.events import Event, Kind
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
from llmport_magic.secrets import redact, scrub
from llmport_magic.session import Session
from llmport_magic.settings import Settings

if TYPE_CHECKING:
    from llmport_magic.llm.connector import BaseLLMConnector
    from llmport_magic.llm.reply import LLMResponse
    from llmport_magic.modules.examples import Example
    from llmport_magic.modules.prompts import Request
    from llmport_magic.modules.strategy import AttemptPlan, AttemptRecord
    from llmport_magic.modules.verification import Verdict
    from llmport_magic.modules.version import Version

_PART_SECONDS = 2.0
_PART_CHARACTERS = 16_000


async def record(
    session: Session,
    request: ModuleRequest,
    kind: Kind,
    text: str,
    *,
    commit: bool = True,
    provider: str | None = None,
    model: str | None = None,
    **data: Any,
) -> str | None:
    """Write what happens to a request into the log."""
    event = Event(
        kind=kind,
        run=request.run,
        module=request.name,
        provider=provider,
        model=model,
        text=text,
        data=data,
    )
    return await session.record(request.settings, event, commit=commit)


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


@dataclass(frozen=True, slots=True)
class AskedFor:
    """What all attempts of one request share."""

    request: ModuleRequest
    session: Session
    examples: Sequence[Example]
    connector: BaseLLMConnector

    @property
    def model(self) -> str:
        """The model's name as the provider spells it."""
        return self.connector.model_name_for_api


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
    provider, why, connector = await _connector(settings)
    asked = AskedFor(request, session, examples, connector)
    spent, begun = Spent(), time.monotonic()
    history: list[AttemptRecord] = []
    verdicts: list[Verdict] = []
    plan: AttemptPlan | None = first_attempt(connector.capabilities, settings)
    while plan is not None:
        wire = _wire(asked, plan, parent)
        number = len(history) + 1
        if number == 1:
            refuse_over_budget(_longest(asked, wire), settings)
        yield Started(provider, asked.model, why, number, plan.style)
        attempt = Attempt(asked, wire, number)
        if wire.opening:
            yield Text(redact(wire.opening))
        async with aclosing(attempt.stream()) as pieces:
            async for text in pieces:
                yield Text(text)
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
            yield Answer(source, verdict, spent, provider, asked.model)
            return
        history.append(attempt.outcome(plan, source, verdict))
        verdicts.append(verdict)
        plan = next_attempt(connector.capabilities, tuple(history), settings)
    raise given_up(request, session, history, verdicts)


async def _connector(settings: Settings) -> tuple[str, str, BaseLLMConnector]:
    from llmport_magic.llm.registry import choose_provider, connector_for

    # Choosing may look at a local port: the loop must not wait for it.
    provider, why = await asyncio.to_thread(choose_provider, settings)
    return provider, why, connector_for(replace(settings, provider=provider))


def _longest(asked: AskedFor, wire: Request) -> int | None:
    """Give the longest answer that a request asks for, where that is known."""
    config = getattr(asked.connector, "config", asked.request.settings)
    longest: int | None = wire.options.get("max_tokens") or getattr(config, "max_tokens", None)
    return longest


def _wire(asked: AskedFor, plan: AttemptPlan, parent: Version | None) -> Request:
    from llmport_magic.modules.prompts import build_request

    request = asked.request
    return build_request(
        name=request.name or "",
        prompt=request.prompt,
        capabilities=asked.connector.capabilities,
        plan=plan,
        current=parent.source if parent else None,
        context=request.context,
        templates=request.settings.templates,
    )


class Attempt:
    """One request, its answer and its check, each written down before the next step."""

    def __init__(self, asked: AskedFor, wire: Request, number: int) -> None:
        self._asked = asked
        self._wire = wire
        self._number = number
        self._begun = time.monotonic()
        self.notices: list[str] = []
        self.response: LLMResponse

    async def _log(self, kind: Kind, text: str, *, commit: bool = True, **data: Any) -> None:
        connector = self._asked.connector
        notice = await record(
            self._asked.session,
            self._asked.request,
            kind,
            text,
            commit=commit,
            provider=connector.provider_name,
            model=self._asked.model,
            attempt=self._number,
            **data,
        )
        if notice:
            self.notices.append(notice)

    async def stream(self) -> AsyncGenerator[str, None]:
        """Send the request and give its text; the prompt is on disk before it is sent."""
        from llmport_magic.secrets import StreamRedactor

        messages = [message.to_dict() for message in self._wire.messages]
        self._asked.session.last_request = {"messages": messages, **self._wire.options}
        await self._log(
            Kind.PROMPT,
            self._asked.request.prompt,
            messages=messages,
            options=dict(self._wire.options),
        )
        parts: list[str] = []
        # Each part holds only what is new: whole answers again and again would fill the disk.
        new: list[str] = []
        redactor, size, written_at = StreamRedactor(), 0, time.monotonic()
        stream = self._asked.connector.stream(self._wire.messages, **self._wire.options)
        try:
            async for text in stream:
                parts.append(text)
                shown = redactor.feed(text)
                if shown:
                    yield shown
                    new.append(shown)
                    size += len(shown)
                late = time.monotonic() - written_at > _PART_SECONDS
                if new and (late or size > _PART_CHARACTERS):
                    await self._log(Kind.PART, "".join(new), commit=False)
                    new, size, written_at = [], 0, time.monotonic()
            rest = redactor.flush()
            if rest:
                yield rest
        except BaseException as error:
            if isinstance(error, Exception):
                scrub(error)
            await stream.aclose()
            await self._broke_off(error, "".join(parts), stream.arrived)
            raise
        finally:
            await stream.aclose()
            if stream.arrived is not None:
                self._asked.session.totals.add(stream.arrived)
        self.response = stream.response
        await self._log(
            Kind.RESPONSE,
            self.response.content,
            status="complete",
            finish_reason=self.response.finish_reason,
            **took(self.response),
            seconds=round(time.monotonic() - self._begun, 3),
            request_id=self.response.metadata.get("request_id"),
        )

    async def _broke_off(self, error: BaseException, partial: str, got: LLMResponse | None) -> None:
        cancelled = isinstance(error, (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt))
        truncated = isinstance(error, LLMStreamError)
        status = "cancelled" if cancelled else "truncated" if truncated else "failed"
        spent = took(got) if got is not None else {}
        await self._log(Kind.RESPONSE, partial, status=status, error=str(error), **spent)

    async def check(self) -> tuple[Verdict, str]:
        """Extract the code and verify it; what was found is in the log."""
        from llmport_magic.modules.extraction import extract_module
        from llmport_magic.modules.verification import Verdict, check_plain

        request = self._asked.request
        source = ""
        try:
            source = extract_module(
                self._wire.opening + self.response.content,
                finish_reason=self.response.finish_reason,
            )
        except VerificationError as error:
            source = error.source
            verdict = Verdict(safety="clean", proof="failed", findings=error.findings)
        except LLMOutputError as error:
            error.provider, error.model = self._asked.connector.provider_name, self._asked.model
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
            completion_tokens=_written(self.response),
            seconds=time.monotonic() - self._begun,
        )


def _written(response: LLMResponse) -> int:
    """Count what a model wrote now: a kept answer takes nothing out of the budget."""
    return 0 if response.metadata.get("cached") else response.usage["completion_tokens"]
