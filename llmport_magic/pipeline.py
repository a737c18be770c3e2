"""The one road from a prompt to a module; magic, panel, Python API and tests all take it.

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
from llmport_magic.errors import (
    LLMPortError,
    MissingPackageError,
    UsageError,
    VerificationError,
)
from llmport_magic.log.events import Event, Kind
from llmport_magic.progress import (
    Answer,
    Drafted,
    Left,
    ModuleRequest,
    PipelineEvent,
    Selected,
    Stored,
)
from llmport_magic.registration import needs_consent
from llmport_magic.session import Session, Waiting
from llmport_magic.settings import Settings

if TYPE_CHECKING:
    from llmport_magic.modules.examples import Example
    from llmport_magic.modules.selection import CellPrompt, Decision
    from llmport_magic.modules.store import ModuleStore
    from llmport_magic.modules.verification import Verdict
    from llmport_magic.modules.version import NewVersion, Version


async def write(request: ModuleRequest, session: Session) -> AsyncGenerator[PipelineEvent, None]:
    """Take a request from its prompt to a stored version.

    Yields what happens as it happens, and ends with one of `Selected`, `Left`, `Stored` and
    `Drafted`.

    Raises:
        UserError: before anything is sent or written.
        LLMError: the model did not deliver; the log holds what arrived.
        VerificationError: no answer passed within the budget; the last one is kept as a draft.
        MissingPackageError: the module is stored, and needs a package to be registered.
    """
    try:
        async with aclosing(_write(request, session)) as events:
            async for event in events:
                yield event
    except LLMPortError as error:
        await record(session, request, Kind.ERROR, str(error), status=type(error).__name__)
        raise


async def _write(request: ModuleRequest, session: Session) -> AsyncGenerator[PipelineEvent, None]:
    from llmport_magic.modules.examples import parse_examples

    decision: Decision | None = None
    if not request.prompt.strip():
        raise UsageError("the prompt is empty: write below the first line what you want")
    if request.name is not None:
        decision = _decide(request, session)
        if decision.act != "call":
            async for event in _use_stored(request, session, decision):
                yield event
            return
        if request.settings.mode == "frozen" or _is_linked(request, decision):
            session.waiting[decision.key[:8]] = Waiting(_cell(request), decision)
            yield Left(
                f"`{request.name}` is not in this folder's store; the code in the cell below is "
                "used, and no model is asked (`--regenerate` asks one)"
            )
            return
    examples = parse_examples(request.prompt)
    _refuse_unknown_names(request, examples)
    answer: Answer | None = None
    parent = decision.parent if decision else None
    async with aclosing(ask(request, session, examples, parent)) as answers:
        async for step in answers:
            if isinstance(step, Answer):
                answer = step
            else:
                yield step
    assert answer is not None
    if request.name is None or request.draft or decision is None:
        yield Drafted(answer.source, answer.verdict, answer.spent)
        return
    yield await _store(request, session, decision, answer)


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
    from llmport_magic.modules.names import check_module_name
    from llmport_magic.modules.selection import select_for_prompt

    assert request.name is not None
    store = session.store(request.settings)
    check_module_name(request.name, directory=store.directory)
    current = session.current(request.settings, request.name)
    return select_for_prompt(store, _cell(request), current)


def _is_linked(request: ModuleRequest, decision: Decision) -> bool:
    if request.linked is None or request.regenerate or request.draft:
        return False
    return any(base[:8] == decision.key[:8] for base in request.linked())


async def _use_stored(
    request: ModuleRequest, session: Session, decision: Decision
) -> AsyncGenerator[PipelineEvent, None]:
    store = session.store(request.settings)
    assert request.name is not None
    if decision.act == "adopt":
        yield Left(decision.notice, foreign_file=store.path(request.name))
        return
    assert decision.version
    version, verdict = await ensure_checked(decision.version, request.settings, session)
    await record(session, request, Kind.SELECTED, version.source, version=version.id)
    _raise_for_missing_package(version, verdict)
    yield Selected(version, verdict)


async def ensure_checked(
    version: Version, settings: Settings, session: Session
) -> tuple[Version, Verdict]:
    """Give a stored version with a verdict of this user's: a foreign one is checked anew.

    Raises:
        VerificationError: the version does not pass here.
    """
    from llmport_magic.modules.verification import Verdict

    if version.signed and version.verdict is not None:
        verdict = Verdict.from_dict(version.verdict)
        if not verdict.missing:
            return version, verdict
    store = session.store(settings)
    examples = examples_of(store, version)
    verdict = await check_module(
        version.source, version.name, examples, settings, consent=version.consented
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


def examples_of(store: ModuleStore, version: Version) -> tuple[Example, ...]:
    """Give the examples that a version answers to: those of its prompt and of what it updates."""
    from llmport_magic.modules.examples import parse_examples

    for ancestor in store.lineage(version):
        if ancestor.prompt:
            return tuple(parse_examples(ancestor.prompt))
    return ()


def _refuse_unknown_names(request: ModuleRequest, examples: Sequence[Example]) -> None:
    from llmport_magic.modules.examples import unknown_names

    unknown = unknown_names(
        examples,
        module_name=request.name or "",
        prompt=request.prompt,
        user_names=request.user_names,
    )
    if unknown:
        raise UsageError(
            f"the examples use `{'`, `'.join(unknown)}`, which only your notebook knows: write the "
            "value into the example, or fill it in with `{{ name }}`"
        )


async def _store(
    request: ModuleRequest, session: Session, decision: Decision, answer: Answer
) -> Stored:
    from llmport_magic.modules.version import NewVersion

    assert request.name is not None
    store = session.store(request.settings)
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
        ),
    )
    session.supersede(store, version, request.cell_id)
    _raise_for_missing_package(version, answer.verdict)
    hold = needs_consent(version, request.settings)
    return Stored(version, answer.verdict, answer.spent, hold=hold)


def _raise_for_missing_package(version: Version, verdict: Verdict | None) -> None:
    if verdict is None or not verdict.missing:
        return
    from llmport_magic.modules.packages import distribution_for, install_hint

    missing = verdict.missing[0].name
    raise MissingPackageError(
        f"`{version.name}` v{version.number} is stored, but not registered: "
        f"{install_hint(missing)}",
        module=missing,
        distribution=distribution_for(missing),
    )


async def write_cell(
    name: str,
    base: str,
    source: str,
    settings: Settings,
    session: Session,
    *,
    cell_id: str | None = None,
    run: str,
) -> tuple[Selected | Left, bool]:
    """Take a module cell's text to a stored version; tells whether the version is new.

    Raises:
        UserError: the text is on a version that is not current any more.
        VerificationError: the text does not import.
    """
    from llmport_magic.modules.names import check_module_name
    from llmport_magic.modules.selection import select_for_cell
    from llmport_magic.modules.version import NewVersion

    store = session.store(settings)
    check_module_name(name, directory=store.directory)
    current = session.current(settings, name)
    decision = select_for_cell(
        store,
        name=name,
        base=base,
        source=source,
        current=current,
        superseded=session.superseded(name),
        same_cell=cell_id is None
        or (current is not None and session.stands_for(name, cell_id) == current.id),
    )
    if decision.act == "nothing":
        return Left(decision.notice), False
    if decision.version is not None:
        version, verdict = await ensure_checked(decision.version, settings, session)
        _raise_for_missing_package(version, verdict)
        return Selected(version, verdict), False
    waiting = session.waiting.get(base[:8])
    new = NewVersion(
        name=name,
        key=waiting.decision.key if waiting else decision.key,
        parent=decision.parent.id if decision.parent else None,
        origin="cell",
        source=source,
        prompt=waiting.cell.prompt if waiting else "",
        options=dict(waiting.cell.options) if waiting else {},
        cell_id=cell_id,
    )
    version, verdict = await _store_edit(store, new, decision.parent, settings)
    event = Event(kind=Kind.SELECTED, run=run, module=name, text=source, data={"origin": "cell"})
    await session.record(settings, event)
    _raise_for_missing_package(version, verdict)
    return Selected(version, verdict), True


async def _store_edit(
    store: ModuleStore, new: NewVersion, parent: Version | None, settings: Settings
) -> tuple[Version, Verdict]:
    from llmport_magic.modules.examples import parse_examples

    if new.prompt:
        examples = tuple(parse_examples(new.prompt))
    else:
        examples = examples_of(store, parent) if parent else ()
    verdict = await check_module(new.source, new.name, examples, settings, consent=True)
    if verdict.safety == "refuse" or (verdict.broken and not verdict.missing):
        store.keep_draft(new.name, new.source)
        raise VerificationError(
            f"the edited `{new.name}` does not run, the version before it stays: "
            f"{'; '.join(verdict.findings[:2])}",
            findings=verdict.findings,
            source=new.source,
        )
    return await asyncio.to_thread(store.add, replace(new, verdict=verdict.to_dict())), verdict
