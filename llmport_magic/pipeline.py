"""The one road from a prompt to a module or a specification: whoever asks takes it.

    prompt -> context -> request -> connector -> stream -> extraction -> verification
           -> module store -> registration -> cell -> log

`write()` goes as far as the store and touches nothing of the user's namespace, so that it can run
on the background loop while a cell runs. `registration.register()` then makes a stored version
live, on the thread that owns the namespace. Each step's detail lives in the module named after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from llmport_magic.answering import record
from llmport_magic.attempts import ask, check_module
from llmport_magic.cautions import cautions
from llmport_magic.earlier import examples_of, examples_of_before
from llmport_magic.errors import (
    ConfigError,
    LLMPortError,
    MissingPackageError,
    UsageError,
    VerificationError,
)
from llmport_magic.explaining import explain
from llmport_magic.log.events import Kind
from llmport_magic.modules.sorts import MODULE, SPECIFICATION
from llmport_magic.progress import (
    Answer,
    Drafted,
    Kept,
    Left,
    ModuleRequest,
    Noted,
    PipelineEvent,
    Selected,
    Stored,
)
from llmport_magic.refusals import frozen, nobody_asked
from llmport_magic.session import Session, Waiting
from llmport_magic.settings import Settings
from llmport_magic.specifying import read_file, record_change, specify, valid_version

if TYPE_CHECKING:
    from llmport_magic.modules.examples import Example
    from llmport_magic.modules.selection import CellPrompt, Decision
    from llmport_magic.modules.store import ModuleStore
    from llmport_magic.modules.verification import Verdict
    from llmport_magic.modules.version import Version


async def write(request: ModuleRequest, session: Session) -> AsyncGenerator[PipelineEvent, None]:
    """Take a request from its prompt to a stored version.

    Yields what happens as it happens, and ends with one of `Selected`, `Left`, `Stored`,
    `Drafted` and `Told`.

    Raises:
        UserError: before anything is sent or written.
        LLMError: the model did not deliver; the log holds what arrived.
        VerificationError: no answer passed within the budget; the last one is kept as a draft.
        MissingPackageError: the module is stored, and needs a package to be registered.
    """
    is_about_code = request.purpose in {"fix", "explanation"}
    try:
        async with aclosing((_about if is_about_code else _write)(request, session)) as events:
            async for event in events:
                yield event
    except LLMPortError as error:
        kind = Kind.IMPORT_ERROR if isinstance(error, MissingPackageError) else Kind.ERROR
        await record(session, request, kind, str(error), status=type(error).__name__)
        raise


async def _write(request: ModuleRequest, session: Session) -> AsyncGenerator[PipelineEvent, None]:
    decision: Decision | None = None
    if not request.prompt.strip():
        raise UsageError("the prompt is empty: write below the first line what you want")
    if request.name is not None:
        decision = _decide(request, session)
        if decision.act != "call":
            async for event in _use_stored(request, session, decision):
                yield event
            return
    if _is_left(request, session, decision):
        yield Left(nobody_asked(request))
        return
    examples = _examples(request)
    request, notes = await _described(request)
    for note in (*notes, *cautions(request, examples)):
        yield note
    answer: Answer | None = None
    parent = decision.parent if decision else None
    async with aclosing(_asked(request, session, examples, parent)) as answers:
        async for step in answers:
            if isinstance(step, Answer):
                answer = step
            else:
                yield step
    assert answer is not None
    async for event in _ended(request, session, decision, answer):
        yield event


async def _ended(
    request: ModuleRequest, session: Session, decision: Decision | None, answer: Answer
) -> AsyncGenerator[PipelineEvent, None]:
    """Keep the answer, and tell what an update does to what was there before."""
    from llmport_magic.modules.version import normal_text

    last: Drafted | Stored
    if request.name is None or request.draft or decision is None:
        last = Drafted(answer.source, answer.verdict, answer.spent, answer.provider, answer.model)
    else:
        last = await _store(request, session, decision, answer)
    told = [Noted(decision.notice)] if decision and decision.notice else []
    parent = decision.parent if decision else None
    if parent is not None and normal_text(answer.source) == parent.source:
        # It is a version all the same: the prompt and its examples are new, and asked once.
        given = f"the model gave v{parent.number} back as it was"
        told.append(Noted(f"nothing changed: {given}; say more exactly what should"))
    elif parent is not None and request.sort is MODULE:
        # An example of before that hangs can be interrupted: what is kept by then is told first.
        if isinstance(last, Stored):
            yield Kept(last)
        told += await examples_of_before(request, session, parent, answer.source)
    for note in told:
        await record(session, request, Kind.NOTE, note.text)
        yield note
    yield last


def _examples(request: ModuleRequest) -> Sequence[Example]:
    """Give the prompt's examples; a specification has none."""
    from llmport_magic.modules.examples import parse_examples, refuse_unusable

    if request.purpose == "specification":
        return ()
    examples = parse_examples(request.prompt)
    refuse_unusable(
        examples,
        module_name=request.name or "",
        prompt=request.prompt,
        user_names=request.user_names - request.variables,
    )
    return examples


def _asked(
    request: ModuleRequest, session: Session, examples: Sequence[Example], parent: Version | None
) -> AsyncGenerator[PipelineEvent | Answer, None]:
    if request.purpose == "specification":
        return specify(request, session, parent)
    return ask(request, session, examples, parent)


async def _about(request: ModuleRequest, session: Session) -> AsyncGenerator[PipelineEvent, None]:
    """Ask about code that is there: for a corrected cell, or for an explanation."""
    settings = request.settings
    if settings.mode == "frozen":
        raise ConfigError(f"{frozen(settings)}; set `live` to ask one")
    request, notes = await _described(request)
    for note in notes:
        yield note
    if request.purpose == "explanation":
        async with aclosing(explain(request, session)) as told:
            async for event in told:
                yield event
        return
    async with aclosing(ask(request, session, (), None)) as answers:
        async for step in answers:
            if isinstance(step, Answer):
                yield Drafted(step.source, step.verdict, step.spent, step.provider, step.model)
            else:
                yield step


async def _described(request: ModuleRequest) -> tuple[ModuleRequest, list[Noted]]:
    """Describe what `--with` names, now that somebody is asked; tells what is sent of it."""
    if request.describe is None:
        return request, []
    # Counting what is missing takes its time in a large frame: the loop must not wait for it.
    described = await asyncio.to_thread(request.describe)
    notes = [Noted(f"with {line}") for line in described.sent] + [
        Noted(line) for line in described.notes
    ]
    return replace(request, context=described.text, describe=None), notes


def _cell(request: ModuleRequest) -> CellPrompt:
    from llmport_magic.modules.selection import CellPrompt

    assert request.name is not None
    return CellPrompt(
        name=request.name,
        prompt=request.prompt,
        options=request.options,
        update=request.update,
        regenerate=request.regenerate or request.draft,
    )


def _decide(request: ModuleRequest, session: Session) -> Decision:
    from llmport_magic.modules.selection import select_for_prompt

    assert request.name is not None
    store = session.store(request.settings, request.sort)
    check_name(request.name, store)
    own = store.foreign_text(request.name) if request.sort is SPECIFICATION else None
    if request.update and own is not None:
        read_file(store, request.name)  # a text that nothing can be changed in is no version
    current = session.current(request.settings, request.name, request.sort)
    return select_for_prompt(store, _cell(request), current)


def check_name(name: str, store: ModuleStore) -> None:
    """Refuse a name that what the store keeps cannot have.

    Raises:
        ModuleNameError: with another name to take.
    """
    from llmport_magic.modules.names import check_module_name, check_specification_name

    if store.sort is SPECIFICATION:
        check_specification_name(name)
    else:
        check_module_name(name, directory=store.directory)


def _is_left(request: ModuleRequest, session: Session, decision: Decision | None) -> bool:
    """Tell whether nobody is asked; the module cell below then stands for the prompt."""
    is_frozen = request.settings.mode == "frozen"
    if decision is None or not (is_frozen or _is_linked(request, decision)):
        return is_frozen
    session.waiting[decision.key[:8]] = Waiting(_cell(request), decision)
    return True


def _is_linked(request: ModuleRequest, decision: Decision) -> bool:
    if request.linked is None or request.regenerate or request.draft:
        return False
    return any(base[:8] == decision.key[:8] for base in request.linked())


async def _use_stored(
    request: ModuleRequest, session: Session, decision: Decision
) -> AsyncGenerator[PipelineEvent, None]:
    from llmport_magic.modules.drift import drift

    store = session.store(request.settings, request.sort)
    assert request.name is not None
    if decision.act == "adopt":
        yield Left(decision.notice, foreign_file=store.path(request.name))
        return
    assert decision.version
    version, verdict = await ensure_checked(decision.version, request.settings, session)
    await record(session, request, Kind.SELECTED, version.source, version=version.id)
    raise_for_missing_package(version, verdict)
    for line in drift(store, version, decision.key, request.digests):
        yield Noted(line)
    yield Selected(version, verdict)


async def ensure_checked(
    version: Version, settings: Settings, session: Session
) -> tuple[Version, Verdict]:
    """Give a stored version with a verdict of this user's: a foreign one is checked anew.

    Raises:
        VerificationError: the version does not pass here.
        GMNError: the specification is not valid.
    """
    from llmport_magic.modules.trial.samples import named_variables
    from llmport_magic.modules.verification import Verdict

    if version.sort is SPECIFICATION:
        return version, await valid_version(version)
    if version.signed and version.verdict is not None:
        verdict = Verdict.from_dict(version.verdict)
        if not verdict.missing:
            return version, verdict
    store = session.store(settings)
    verdict = await check_module(
        version.source,
        version.name,
        examples_of(store, version),
        settings,
        consent=version.consented,
        variables=named_variables(store.lineage(version)),
    )
    by_hand = version.origin in {"cell", "file"}
    failed = verdict.proof == "failed" and not by_hand and not verdict.missing
    if failed or verdict.safety == "refuse":
        raise VerificationError(
            f"`{version.name}` v{version.number} is stored, but does not pass here: "
            f"{'; '.join(verdict.findings[:2])}",
            findings=verdict.findings,
            source=version.source,
        )
    return store.confirm(version, verdict.to_dict()), verdict


async def _store(
    request: ModuleRequest, session: Session, decision: Decision, answer: Answer
) -> Stored:
    from llmport_magic.modules.version import NewVersion

    assert request.name is not None
    store = session.store(request.settings, request.sort)
    # The store waits for the disk: the loop that streams other answers must not.
    version = await asyncio.to_thread(
        store.add,
        NewVersion(
            name=request.name,
            key=decision.key,
            parent=decision.parent.id if decision.parent else None,
            origin="update" if request.update else "prompt",
            source=answer.source,
            prompt=request.prompt,
            options=dict(request.options),
            provider=answer.provider,
            model=answer.model,
            verdict=answer.verdict.to_dict(),
            usage={
                "prompt_tokens": answer.spent.prompt_tokens,
                "completion_tokens": answer.spent.completion_tokens,
            },
            cost=answer.spent.cost,
            seconds=round(answer.spent.seconds, 3),
            cell_id=request.cell_id,
            context=dict(request.digests),
        ),
    )
    session.supersede(store, version, request.cell_id)
    if decision.parent is not None and request.purpose == "specification":
        await record_change(request, session, decision.parent, version)
    raise_for_missing_package(version, answer.verdict)
    return Stored(version, answer.verdict, answer.spent)


async def ready(version: Version, settings: Settings, session: Session) -> tuple[Version, Verdict]:
    """Give a stored version that can be registered here, with this user's verdict on it.

    Raises:
        MissingPackageError: it needs a package that is not installed.
        VerificationError: it does not pass here.
    """
    version, verdict = await ensure_checked(version, settings, session)
    raise_for_missing_package(version, verdict)
    return version, verdict


def raise_for_missing_package(version: Version, verdict: Verdict | None) -> None:
    """Say what to install before a stored version can be registered.

    Raises:
        MissingPackageError: it needs packages that are not there.
    """
    if verdict is None or not verdict.missing:
        return
    from llmport_magic.modules.packages import lacking

    said = f"`{version.name}` v{version.number} is stored, but not registered"
    raise lacking(said, version.name, [each.name for each in verdict.missing])
