"""A specification of an agent: asked for until one is valid, checked, and read from the store.

What is asked and what is made of an answer is decided in `gmn/writing/drafting.py`; here are the
calls, each on record as every other, and what the checks mean for a cell.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from llmport_magic import bridge
from llmport_magic.answering import (
    AskedFor,
    OutOfTime,
    Sending,
    picture_in_words,
    record,
    who_answers,
)
from llmport_magic.errors import GMNError, LLMOutputError, ModuleNotStoredError
from llmport_magic.log.events import Kind
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
from llmport_magic.session import Session
from llmport_magic.settings import Settings
from llmport_magic.tries import Tries

if TYPE_CHECKING:
    from llmport_magic.gmn.spec import Spec
    from llmport_magic.gmn.writing.drafting import Drafting, Taken
    from llmport_magic.gmn.writing.prompting import Wish
    from llmport_magic.llm.capabilities import LLMCapabilities
    from llmport_magic.modules.store import ModuleStore
    from llmport_magic.modules.verdict import Verdict
    from llmport_magic.modules.version import Version

_LIKE_A_SPECIFICATION = re.compile(r"[{\[]|^#", re.MULTILINE)


async def specify(
    request: ModuleRequest, session: Session, parent: Version | None
) -> AsyncGenerator[PipelineEvent | Answer, None]:
    """Ask until an answer is a valid specification or the budget is spent; ends with an `Answer`.

    Raises:
        UsageError: there is a picture, and the model takes none.
        GMNOutputError: no answer was valid; the last one is kept as a draft.
        LLMError: the model did not deliver; the log holds what arrived.
    """
    from llmport_magic.gmn.writing.generation import refuse_unseeing
    from llmport_magic.modules.strategy import AttemptPlan

    provider, why, connector = await who_answers(request.settings, "gmn")
    asked = AskedFor(request, session, (), connector)
    if request.wish and request.wish.images:
        refuse_unseeing(connector, asked.capabilities.vision)
    drafting, settings = begin(request, parent, asked.capabilities)
    asked = replace(asked, request=replace(request, settings=settings))
    for image in drafting.wish.images:
        yield Noted(f"sends the picture: {picture_in_words(image)}")
    tries = Tries(asked, parent)
    while drafting.spec is None:
        number, wire = drafting.number, drafting.next_request()
        tries.allow(wire)
        started = Started(provider, asked.model, why, number, drafting.style)
        yield started
        sending = Sending(asked, wire, started, tries.seconds_left())
        if wire.opening:
            yield Text(wire.opening)
        try:
            async with aclosing(sending.stream()) as events:
                async for event in events:
                    yield event
        except OutOfTime as error:
            raise tries.late(error) from None
        for notice in filter(None, (tries.answered(sending.response), *sending.notices)):
            yield Noted(notice)
        yield Checking(number)
        verdict, taken = await _look_at(sending, drafting)
        tries.checked()
        yield Checked(number, verdict)
        if taken.spec is None:
            sending.forget()
            failed = sending.outcome_of(AttemptPlan(), source=taken.text, findings=taken.findings)
            tries.failed(failed)
    # What comes back as it was keeps its text to the letter, with its comments.
    same = parent is not None and drafting.spec == drafting.wish.current
    text = parent.source if parent is not None and same else drafting.spec.to_text()
    who = sending.asked
    yield Answer(text, verdict, tries.spent, who.provider, who.model)


def begin(
    request: ModuleRequest, parent: Version | None, capabilities: LLMCapabilities
) -> tuple[Drafting, Settings]:
    """Give what asks for the specification, and the settings with the tries that the model gets."""
    from llmport_magic.gmn.writing.drafting import Drafting, tries_of

    settings, wish = request.settings, _wish(request, parent)
    settings = replace(settings, tries=tries_of(settings, capabilities))
    drafting = Drafting(
        wish,
        capabilities,
        tries=settings.tries + 1,  # the budget ends it, in one place for everything that is asked
        temperature=settings.temperature,
        seed=settings.seed,
        max_tokens=settings.max_tokens,
    )
    return drafting, settings


def _wish(request: ModuleRequest, parent: Version | None) -> Wish:
    from llmport_magic.gmn.writing.prompting import Wish

    wish = request.wish or Wish.of(request.prompt)
    if parent is None:
        return wish
    current = read(parent)
    kind = wish.agent_type if wish.agent_type != "general" else current.agent_type
    return replace(wish, current=current, agent_type=kind)


async def _look_at(sending: Sending, drafting: Drafting) -> tuple[Verdict, Taken]:
    """Check an answer; what was found is in the log."""
    response = sending.response
    try:
        taken = await bridge.in_thread(drafting.take, response.content, response.finish_reason)
    except LLMOutputError as error:
        error.provider, error.model = sending.asked.provider, sending.asked.model
        sending.forget()
        await sending.log_check(str(error), _verdict((str(error),), ()))
        raise
    verdict = _verdict(taken.findings, taken.warnings)
    await sending.log_check("\n".join([verdict.line(), *verdict.findings[:5]]), verdict)
    return verdict, taken


# -- what checking finds -------------------------------------------------------------------------


def _verdict(errors: tuple[str, ...], warnings: tuple[str, ...]) -> Verdict:
    from llmport_magic.modules.verdict import Verdict

    count = len(errors or warnings)
    noun = ("error" if errors else "warning") + "s" * (count != 1)
    head = "not valid" if errors else "valid"
    return Verdict(
        safety="clean",
        proof="failed" if errors else "passed",
        findings=errors or warnings,
        summary=f"{head}, {count} {noun}" if count else head,
    )


async def check_text(source: str, limits: Mapping[str, int] | None = None) -> Verdict:
    """Validate a text, with limits as for `gmn.validate()`; no model is asked."""
    from llmport_magic.gmn.validation import validate

    report = await bridge.in_thread(lambda: validate(source, **(limits or {})))
    return _verdict(report.errors, report.warnings)


async def valid_version(version: Version) -> Verdict:
    """Check a stored version.

    Raises:
        GMNError: it is not valid.
    """
    verdict = await check_text(version.source)
    if verdict.proof == "failed":
        raise GMNError(
            f"`{version.name}` v{version.number} is stored, but is not valid: "
            f"{'; '.join(verdict.findings[:2])}",
            findings=verdict.findings,
        )
    return verdict


async def valid_text(
    store: ModuleStore,
    name: str,
    source: str,
    current: Version | None,
    limits: Mapping[str, int] | None = None,
) -> Verdict:
    """Check the text of a cell; one that is not valid is kept as a draft.

    Raises:
        GMNError: it is not valid; nothing has changed.
    """
    verdict = await check_text(source, limits)
    if verdict.proof != "failed":
        return verdict
    await bridge.in_thread(store.keep_draft, name, source)
    stays = f"v{current.number} stays" if current else f"there is no `{name}`"
    more = len(verdict.findings) - 2
    also = f" (and {more} more)" if more > 0 else ""
    hint = ""
    if not _LIKE_A_SPECIFICATION.search(source):
        hint = f". It reads like a prompt: `%%gmn {name}`, without `--validate`, asks a model"
    raise GMNError(
        f"the text of `{name}` is not valid, {stays}: {'; '.join(verdict.findings[:2])}{also}"
        f"{hint}",
        findings=verdict.findings,
    )


# -- from the store ------------------------------------------------------------------------------


def read(version: Version) -> Spec:
    """Give the specification that a version holds.

    Raises:
        GMNError: it is not valid.
    """
    return _parsed(version.source, f"`{version.name}` v{version.number}")


def read_file(store: ModuleStore, name: str) -> Spec:
    """Give the specification in a file of the user's own.

    Raises:
        ModuleNotStoredError: it has just been deleted.
        GMNError: it is not valid.
    """
    source = store.current_text(name)
    if source is None:
        raise ModuleNotStoredError(f"`{store.path(name)}` has just been deleted: run the cell")
    return _parsed(source, f"`{store.path(name).name}`")


def _parsed(source: str, what: str) -> Spec:
    from llmport_magic.gmn.validation import validate

    report = validate(source)
    if report.spec is None:
        raise GMNError(
            f"{what} is not valid: {'; '.join(report.errors[:2])}", findings=report.errors
        )
    return report.spec


def select(
    version: Version, settings: Settings, session: Session, *, cell_id: str | None = None
) -> Spec:
    """Make a stored version the current one: in its file, and in this process.

    Args:
        version: the version.
        settings: the settings of the call.
        session: this process's memory.
        cell_id: the cell that holds its text.

    Raises:
        ConflictError: the file holds a text of the user's own.
        GMNError: the version is not valid.
    """
    specification = read(version)
    session.store(settings, version.sort).write_current(version)
    session.select(settings, version, cell_id)
    return specification


async def record_change(
    request: ModuleRequest, session: Session, old: Version, new: Version
) -> None:
    """Write into the log what a refinement changed, and what was said to have it changed."""
    names = (f"{old.name} v{old.number}", f"{new.name} v{new.number}")
    texts = (old.source.splitlines(), new.source.splitlines())
    changed = "\n".join(difflib.unified_diff(*texts, *names, lineterm=""))
    await record(
        session,
        request,
        Kind.NOTE,
        changed or "nothing changed",
        version=new.id,
        parent=old.id,
        feedback=request.prompt,
    )
