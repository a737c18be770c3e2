"""What one process knows: its stores and log, which version is current, what was spent."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmport_magic.llm.cost import Totals
from llmport_magic.log.events import Event
from llmport_magic.modules.sorts import MODULE, Sort
from llmport_magic.settings import Settings

if TYPE_CHECKING:
    from llmport_magic.log.sink import Sink
    from llmport_magic.modules.selection import CellPrompt, Decision
    from llmport_magic.modules.store import ModuleStore
    from llmport_magic.modules.version import Version


@dataclass(slots=True)
class _Place:
    """What is known about one module folder."""

    sink: Sink
    stores: dict[Sort, ModuleStore] = field(default_factory=dict)
    current: dict[tuple[Sort, str], Version] = field(default_factory=dict)


@dataclass(slots=True)
class Waiting:
    """A prompt that was not sent because its linked cell holds what it once made."""

    cell: CellPrompt
    decision: Decision


class Session:
    """The memory of one kernel or one script; nothing in it needs to survive a restart."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.totals = Totals()
        self.waiting: dict[str, Waiting] = {}
        # The prompt cell that `%llmport keep` inserted last, by the module's name.
        self.kept: dict[str, str] = {}
        self.last_request: dict[str, Any] = {}
        self.last_asked = ("", "")
        self._places: dict[Path, _Place] = {}
        self._made_by_cell: dict[tuple[Sort, str, str], str] = {}
        self._superseded: dict[tuple[Sort, str], set[str]] = {}

    def _place(self, settings: Settings) -> _Place:
        directory = Path(settings.module_dir).resolve()
        if directory not in self._places:
            from llmport_magic.log.sink import Sink
            from llmport_magic.modules.store import ModuleStore

            store = ModuleStore(settings.module_dir)
            self._places[directory] = _Place(Sink(directory), {MODULE: store})
        return self._places[directory]

    def store(self, settings: Settings, sort: Sort = MODULE) -> ModuleStore:
        """Give the store of the module folder that the settings name: of modules unless said."""
        stores = self._place(settings).stores
        if sort not in stores:
            from llmport_magic.modules.store import ModuleStore

            stores[sort] = ModuleStore(settings.module_dir, sort=sort)
        return stores[sort]

    def sink(self, settings: Settings) -> Sink:
        """Give the log of the module folder that the settings name."""
        return self._place(settings).sink

    def current(self, settings: Settings, name: str, sort: Sort = MODULE) -> Version | None:
        """Give the version of `name` that is registered in this process."""
        return self._place(settings).current.get((sort, name))

    def select(self, settings: Settings, version: Version, cell_id: str | None = None) -> None:
        """Make a version current, and note which cell of its text stands for it."""
        self._place(settings).current[version.sort, version.name] = version
        if cell_id:
            self._made_by_cell[version.sort, version.name, cell_id] = version.id

    def stands_for(self, name: str, cell_id: str | None, sort: Sort = MODULE) -> str | None:
        """Give the id of the version that this cell stood for when it last ran here."""
        return self._made_by_cell.get((sort, name, cell_id)) if cell_id else None

    def supersede(self, store: ModuleStore, version: Version, cell_id: str | None) -> None:
        """Note that a prompt cell has just made `version` by a call.

        The versions that the same prompt cell made before, hand edits included, are superseded:
        a cell that still holds one must not undo the new one. Where the front end gives no
        cell ids, every older version of the name with the same parent or prompt counts.
        """
        gone = self._superseded.setdefault((version.sort, version.name), set())
        gone.discard(version.id)
        for old in store.versions(version.name):
            if old.id == version.id or old.source == version.source:
                continue
            root = next((v for v in store.lineage(old) if v.origin != "cell"), old)
            same_cell = cell_id is not None and root.cell_id == cell_id
            unknown = cell_id is None or root.cell_id is None
            alike = root.parent == version.parent or root.prompt == version.prompt
            if same_cell or (unknown and alike):
                gone.add(old.id)

    def superseded(self, name: str, sort: Sort = MODULE) -> frozenset[str]:
        """Give the ids of versions whose own prompt cell has made a newer one in this session."""
        return frozenset(self._superseded.get((sort, name), ()))

    async def record(self, settings: Settings, event: Event, *, commit: bool = True) -> str | None:
        """Write an event to the log; gives a notice for the user where there is one."""
        if not settings.log:
            return None
        return await self.sink(settings).record(
            event, commit=commit, text=settings.log_text, echo=settings.stdout
        )

    def record_now(self, settings: Settings, event: Event) -> str | None:
        """Write an event to the log from the calling thread, and wait until it is on disk."""
        from llmport_magic import bridge

        if not settings.log:
            return None
        return bridge.run(self.record(settings, event))

    def close(self) -> None:
        """Write what is still due and let go of every file."""
        for place in self._places.values():
            place.sink.close()
        self._places.clear()


_session: Session | None = None


def session() -> Session:
    """Give this process's session, making it on first use."""
    global _session
    if _session is None:
        import atexit

        _session = Session()
        atexit.register(_session.close)
    return _session


def close_session() -> None:
    """Write what is due and forget what this process knew."""
    global _session
    if _session is not None:
        _session.close()
        _session = None
