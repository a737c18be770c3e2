"""Who answers a request, and the way there and back: each step is on disk before the next one.

One provider is asked, or those that `fallback` lists one after the other.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import ConfigError, LLMStreamError
from llmport_magic.llm.cost import took
from llmport_magic.llm.model_size import sized
from llmport_magic.log.events import Event, Kind
from llmport_magic.progress import ModuleRequest, Noted, PipelineEvent, Started, Text
from llmport_magic.secrets import scrub
from llmport_magic.session import Session
from llmport_magic.settings import Settings, for_task

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import LLMCapabilities
    from llmport_magic.llm.connector import BaseLLMConnector
    from llmport_magic.llm.messages import Image
    from llmport_magic.llm.reply import LLMResponse
    from llmport_magic.llm.routing.failover import Asking
    from llmport_magic.llm.streams import ResponseStream
    from llmport_magic.modules.examples import Example
    from llmport_magic.modules.prompts import Request
    from llmport_magic.modules.strategy import AttemptPlan, AttemptRecord
    from llmport_magic.modules.trial.samples import Trying
    from llmport_magic.modules.verdict import Verdict

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


async def who_answers(settings: Settings, task: str = "code") -> tuple[str, str, BaseLLMConnector]:
    """Give the provider that is asked first, why, and what asks it and those after it.

    Args:
        settings: what `resolve` gave.
        task: what for, of those that the setting `models` may name a model for.

    Raises:
        ConfigError: nobody can be asked.
    """
    # Choosing may look at a local port: the loop must not wait for it.
    return await asyncio.to_thread(_chosen, for_task(settings, task))


def _chosen(settings: Settings) -> tuple[str, str, BaseLLMConnector]:
    from llmport_magic.llm.registry import choose_provider, connector_for

    if not settings.fallback:
        provider, why = choose_provider(settings)
        return provider, why, connector_for(replace(settings, provider=provider))
    from llmport_magic.llm.routing.health import shared_book
    from llmport_magic.llm.routing.router import LLMProviderFactory

    try:
        provider, why = choose_provider(settings)
    except ConfigError:
        if settings.provider.lower() != "auto" or settings.api_key:
            raise
        provider, why = settings.fallback[0], "the first of `fallback` that can be asked"
    router = LLMProviderFactory(replace(settings, provider=provider), health=shared_book())
    return provider, why, router


@dataclass(frozen=True, slots=True)
class AskedFor:
    """What all attempts of one request share."""

    request: ModuleRequest
    session: Session
    examples: Sequence[Example]
    connector: BaseLLMConnector
    trying: Trying | None = None

    @property
    def model(self) -> str:
        """The model's name as the provider spells it."""
        return self.connector.model_name_for_api

    @property
    def capabilities(self) -> LLMCapabilities:
        """What the model can do; a local server's is known by its name after the first answer."""
        return sized(self.connector.capabilities, self.model)


class OutOfTime(LLMStreamError):
    """The time that a cell may take was over while an answer was arriving."""


class Sending:
    """One request on its way to a provider, and its answer, each on disk before the next step.

    Args:
        asked_for: what all attempts share.
        wire: what is sent.
        started: who is asked first.
        seconds: how long the answer may take; `None` leaves it to the connector.

    Attributes:
        asked: who is asked now.
    """

    def __init__(
        self, asked_for: AskedFor, wire: Request, started: Started, seconds: float | None = None
    ) -> None:
        self._asked = asked_for
        self._seconds = seconds
        self._wire = wire
        self.asked = started
        self._told: list[PipelineEvent] = []
        self._sent = False
        self._begun = time.monotonic()
        self.notices: list[str] = []
        self.response: LLMResponse

    async def _log(self, kind: Kind, text: str, *, commit: bool = True, **data: Any) -> None:
        notice = await record(
            self._asked.session,
            self._asked.request,
            kind,
            text,
            commit=commit,
            provider=self.asked.provider,
            model=self.asked.model,
            attempt=self.asked.attempt,
            style=self.asked.style,
            seed=self._wire.options.get("seed"),
            **data,
        )
        if notice:
            self.notices.append(notice)

    async def _begin(self) -> ResponseStream:
        """Make the stream of the answer; the prompt is on disk before it is sent to anybody."""
        connector, wire = self._asked.connector, self._wire
        messages = [message.to_dict() for message in wire.messages]
        self._asked.session.last_request = {"messages": messages, **wire.options}
        if self._asked.request.settings.fallback:
            return connector.stream(wire.messages, on_ask=self._turn, **wire.options)
        await self._log_prompt()
        return connector.stream(wire.messages, **wire.options)

    async def _turn(self, asking: Asking) -> None:
        """Write down to whom the prompt goes now, and who failed before."""
        if asking.failed:
            last = asking.failed[-1]
            await self._log(Kind.RESPONSE, "", status="failed", error=last.error)
        before = [(each.provider, f"failed ({each.error})") for each in asking.failed[-1:]]
        before += [(name, f"is passed over ({why})") for name, why in asking.skipped.items()]
        for name, what in before:
            self._told.append(Noted(f"{name} {what}: {asking.provider} is asked"))
        if (asking.provider, asking.model) != (self.asked.provider, self.asked.model):
            why = f"after {', '.join(name for name, _ in before)}" if before else self.asked.why
            self.asked = replace(self.asked, provider=asking.provider, model=asking.model, why=why)
            self._told.append(self.asked)
        await self._log_prompt()

    async def _log_prompt(self) -> None:
        self._sent = True
        self._asked.session.last_asked = (self.asked.provider, self.asked.model)
        messages = self._asked.session.last_request["messages"]
        options = dict(self._wire.options)
        # Who asks what is wrong need not say more than that.
        said = self._asked.request.prompt or self._asked.request.error
        pictures = [image for message in self._wire.messages for image in message.images]
        seen: dict[str, Any] = (
            {"pictures": [picture_in_words(each) for each in pictures]} if pictures else {}
        )
        await self._log(Kind.PROMPT, said, messages=messages, options=options, **seen)

    def _news(self) -> list[PipelineEvent]:
        """Give what happened since it was last asked for."""
        told, self._told = self._told, []
        return told

    async def stream(self) -> AsyncGenerator[PipelineEvent, None]:
        """Send the request and give its text, and who is asked where that changes."""
        from llmport_magic.secrets import StreamRedactor

        parts: list[str] = []
        # Each part holds only what is new: whole answers again and again would fill the disk.
        new: list[str] = []
        redactor, size, written_at = StreamRedactor(), 0, time.monotonic()
        try:
            stream = await self._begin()
        except asyncio.CancelledError as error:
            # The prompt may be on disk already: it is not left without its end.
            await self._broke_off(error, "", None)
            raise
        try:
            pieces = aiter(stream)
            while (text := await self._piece(pieces)) is not None:
                for event in self._news():
                    yield event
                parts.append(text)
                shown = redactor.feed(text)
                if shown:
                    yield Text(shown)
                    new.append(shown)
                    size += len(shown)
                late = time.monotonic() - written_at > _PART_SECONDS
                if new and (late or size > _PART_CHARACTERS):
                    await self._log(Kind.PART, "".join(new), commit=False)
                    new, size, written_at = [], 0, time.monotonic()
            rest = redactor.flush()
            if rest:
                yield Text(rest)
        except BaseException as error:
            if isinstance(error, Exception):
                scrub(error)
            await self._hang_up(stream)
            await self._broke_off(error, "".join(parts), stream.arrived)
            raise
        await self._hang_up(stream)
        self.response = stream.response
        await self._log(
            Kind.RESPONSE,
            self.response.content,
            status="complete",
            finish_reason=self.response.finish_reason,
            **took(self.response),
            **_asked_of(self.response.metadata.get("attempts")),
            seconds=round(time.monotonic() - self._begun, 3),
            request_id=self.response.metadata.get("request_id"),
        )

    async def _hang_up(self, stream: ResponseStream) -> None:
        """Close the stream and count what came of it, before anything waits for the disk."""
        await stream.aclose()
        if stream.arrived is not None:
            self._asked.session.totals.add(stream.arrived)

    async def _piece(self, pieces: AsyncIterator[str]) -> str | None:
        """Give the next piece of an answer, `None` behind the last.

        Raises:
            OutOfTime: the time is over.
        """
        left = None if self._seconds is None else self._begun + self._seconds - time.monotonic()
        try:
            async with asyncio.timeout(left) as waiting:
                return await anext(pieces, None)
        except TimeoutError as error:
            if not waiting.expired():
                raise
            most = self._asked.request.settings.budget_seconds
            raise OutOfTime(
                f"the answer was not whole when `budget_seconds` = {most:g} was over: raise it, "
                "or ask for less",
                provider=self.asked.provider,
                model=self.asked.model,
            ) from error

    async def _broke_off(self, error: BaseException, partial: str, got: LLMResponse | None) -> None:
        cancelled = isinstance(error, (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt))
        truncated = isinstance(error, LLMStreamError)
        status = "cancelled" if cancelled else "truncated" if truncated else "failed"
        if not self._sent:
            # Nobody could be asked.
            return
        spent = took(got) if got is not None else {}
        asked = _asked_of(getattr(error, "attempts_made", ()))
        await self._log(Kind.RESPONSE, partial, status=status, error=str(error), **spent, **asked)

    # -- once it is checked ------------------------------------------------------------------

    def forget(self) -> None:
        """Let the answer be asked for anew: kept, it would fail again in the same way."""
        if self.response.metadata.get("cache_key"):
            from llmport_magic.llm.cache import forget

            forget(self.response)

    async def log_check(self, found: str, verdict: Verdict) -> None:
        """Write down what the check came to, with what the answer took."""
        asked, usage = self.asked, self.response.usage
        seed = self._wire.options.get("seed")
        how = asked.style if seed is None else f"{asked.style}, seed {seed}"
        took = f"{usage['prompt_tokens']:,} + {usage['completion_tokens']:,} tokens"
        cost = self.response.cost
        price = "price unknown" if cost.dollars is None else f"${cost.dollars:.4f} {cost.source}"
        head = f"attempt {asked.attempt} ({how}): {took}, {price}"
        await self._log(Kind.VERIFY, f"{head}\n{found}", verdict=verdict.to_dict())

    def outcome_of(self, plan: AttemptPlan, **found: Any) -> AttemptRecord:
        """Say what of the budget this took, with what was found of it."""
        from llmport_magic.modules.strategy import AttemptRecord

        return AttemptRecord(
            plan=plan,
            completion_tokens=_written(self.response),
            seconds=time.monotonic() - self._begun,
            cost=self.response.cost.dollars,
            **found,
        )


def picture_in_words(image: Image) -> str:
    """Say which picture is sent: it is shown and logged by its digest only."""
    digest = hashlib.sha256(image.data).hexdigest()[:16]
    return f"{image.media_type}, {len(image.data):,} bytes, sha256 {digest}…"


def _written(response: LLMResponse) -> int:
    """Count what a model wrote now: a kept answer takes nothing out of the budget."""
    return 0 if response.metadata.get("cached") else response.usage["completion_tokens"]


def _asked_of(attempts: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    return {"attempts": [dict(each) for each in attempts]} if attempts else {}
