"""An answer in prose: asked for once, streamed, on record as every other, and never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from llmport_magic.answering import AskedFor, Sending, who_answers
from llmport_magic.errors import LLMOutputError
from llmport_magic.progress import ModuleRequest, Noted, PipelineEvent, Started, Told
from llmport_magic.secrets import redact
from llmport_magic.session import Session
from llmport_magic.tries import Tries

_NOT_WHOLE = {
    "content_filter": "the provider withheld the answer: word the prompt differently",
    "error": "the answer ended with an error: ask again",
}


async def explain(request: ModuleRequest, session: Session) -> AsyncGenerator[PipelineEvent, None]:
    """Ask for prose once; ends with `Told`.

    Raises:
        ConfigError: nobody can be asked, or one answer may be more than the budget.
        LLMError: the model did not deliver; the log holds what arrived.
    """
    provider, why, connector = await who_answers(request.settings)
    asked = AskedFor(request, session, (), connector)
    tries = Tries(asked, None)
    plan, wire = tries.next_request()
    started = Started(provider, asked.model, why, 1, plan.style)
    yield started
    sending = Sending(asked, wire, started, tries.seconds_left())
    async with aclosing(sending.stream()) as events:
        async for event in events:
            yield event
    answer, who = sending.response, sending.asked
    told = tries.answered(answer)
    for notice in filter(None, (told, *sending.notices)):
        yield Noted(notice)
    text = redact(answer.content).strip()
    if (wrong := _NOT_WHOLE.get(answer.finish_reason)) or not text:
        wrong = wrong or "the answer is empty: ask again or use another model"
        raise LLMOutputError(wrong, provider=who.provider, model=who.model)
    if answer.finish_reason == "length":
        yield Noted("the answer was cut off at the token limit: raise `max_tokens`")
    yield Told(text, tries.spent, who.provider, who.model)
