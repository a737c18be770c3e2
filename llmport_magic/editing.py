"""A cell that holds a text: what the user edited becomes a version, and is checked first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from llmport_magic.attempts import check_module
from llmport_magic.earlier import examples_of
from llmport_magic.errors import VerificationError
from llmport_magic.log.events import Event, Kind
from llmport_magic.modules.sorts import MODULE, SPECIFICATION, Sort
from llmport_magic.pipeline import check_name, raise_for_missing_package, ready
from llmport_magic.progress import Left, Selected
from llmport_magic.session import Session
from llmport_magic.settings import Settings
from llmport_magic.specifying import valid_text

if TYPE_CHECKING:
    from llmport_magic.modules.selection import Decision
    from llmport_magic.modules.store import ModuleStore
    from llmport_magic.modules.verification import Verdict
    from llmport_magic.modules.version import NewVersion, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class CellText:
    """The text of a cell that stands for a version.

    Attributes:
        name: of the module or the specification.
        source: the text.
        base: the version that it grew out of; empty where the cell names none.
        sort: what the text is.
        limits: what a specification must keep, as for `gmn.validate()`.
        cell_id: the cell's id, where the front end gives one.
    """

    name: str
    source: str
    base: str = ""
    sort: Sort = MODULE
    limits: Mapping[str, int] = field(default_factory=dict)
    cell_id: str | None = None


async def write_cell(
    text: CellText, settings: Settings, session: Session, *, run: str
) -> tuple[Selected | Left, bool]:
    """Take the text of a cell to a stored version; tells whether the version is new.

    Args:
        text: the cell's.
        settings: the settings of the call.
        session: this process's memory.
        run: the log's id of the run.

    Raises:
        UserError: the text is on a version that is not current any more.
        VerificationError: the text does not import.
        GMNError: it is no valid specification; it is kept as a draft.
    """
    store = session.store(settings, text.sort)
    check_name(text.name, store)
    current = session.current(settings, text.name, text.sort)
    decision = _decide(text, store, current, session)
    if decision.act == "nothing":
        return Left(decision.notice), False
    if text.sort is SPECIFICATION:
        verdict = await valid_text(store, text.name, text.source, current, text.limits)
    if decision.version is not None:
        version, verdict = await ready(decision.version, settings, session)
        return Selected(version, verdict), False
    new = _new(text, decision, session)
    if text.sort is MODULE:
        verdict = await _check_edit(store, new, decision.parent, settings)
    version = await asyncio.to_thread(store.add, replace(new, verdict=verdict.to_dict()))
    data = {"origin": "cell"}
    event = Event(kind=Kind.SELECTED, run=run, module=text.name, text=text.source, data=data)
    await session.record(settings, event)
    raise_for_missing_package(version, verdict)
    return Selected(version, verdict), True


def _decide(
    text: CellText, store: ModuleStore, current: Version | None, session: Session
) -> Decision:
    from llmport_magic.modules.selection import select_for_cell

    stood_for = session.stands_for(text.name, text.cell_id, text.sort)
    return select_for_cell(
        store,
        name=text.name,
        base=text.base,
        source=text.source,
        current=current,
        superseded=session.superseded(text.name, text.sort),
        same_cell=text.cell_id is None or (current is not None and stood_for == current.id),
    )


def _new(text: CellText, decision: Decision, session: Session) -> NewVersion:
    from llmport_magic.modules.version import NewVersion

    waiting = session.waiting.get(text.base[:8])
    return NewVersion(
        name=text.name,
        key=waiting.decision.key if waiting else decision.key,
        parent=decision.parent.id if decision.parent else None,
        origin="cell",
        source=text.source,
        prompt=waiting.cell.prompt if waiting else "",
        options=dict(waiting.cell.options) if waiting else {},
        cell_id=text.cell_id,
    )


async def _check_edit(
    store: ModuleStore, new: NewVersion, parent: Version | None, settings: Settings
) -> Verdict:
    from llmport_magic.modules.examples import parse_examples
    from llmport_magic.modules.trial.samples import named_variables

    if new.prompt:
        examples = tuple(parse_examples(new.prompt))
    else:
        examples = examples_of(store, parent) if parent else ()
    named = named_variables((new, *(store.lineage(parent) if parent else ())))
    verdict = await check_module(
        new.source, new.name, examples, settings, consent=True, variables=named
    )
    if verdict.safety == "refuse" or (verdict.broken and not verdict.missing):
        store.keep_draft(new.name, new.source)
        raise VerificationError(
            f"the edited `{new.name}` does not run, the version before it stays: "
            f"{'; '.join(verdict.findings[:2])}",
            findings=verdict.findings,
            source=new.source,
        )
    return verdict
