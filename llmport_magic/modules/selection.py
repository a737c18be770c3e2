"""Which version a cell stands for: decided from the store and the session, without a call.

A prompt cell stands for the version that its prompt made, or for the newest hand edit of it; a
cell of a module or of a specification for the version whose text it holds. Running a notebook again
therefore selects what is stored, free, and nothing that somebody edited is left behind silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from llmport_magic.errors import ConflictError, ModuleNotStoredError, UsageError
from llmport_magic.modules.store import ModuleStore
from llmport_magic.modules.version import Version, normal_text, version_id, version_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What running a cell means.

    Attributes:
        act: `reuse` a version, `call` a model, `adopt` a file that we did not make, `store` a
            text as a new version, or do `nothing`.
        version: the version to reuse, or the one whose text is already there.
        parent: what a new version grows out of.
        key: the key of a new version.
        notice: what the user should be told.
    """

    act: Literal["reuse", "call", "adopt", "store", "nothing"]
    version: Version | None = None
    parent: Version | None = None
    key: str = ""
    notice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPrompt:
    """A prompt cell as far as its version's key goes."""

    name: str
    prompt: str
    options: Mapping[str, str]
    update: bool = False
    regenerate: bool = False


def select_for_prompt(store: ModuleStore, cell: CellPrompt, current: Version | None) -> Decision:
    """Decide what a prompt cell stands for.

    Args:
        store: where the versions lie.
        cell: the prompt and its options.
        current: the version that is current in this session, if any.

    Raises:
        ModuleNotStoredError: for an update of a module that is not there.
        ConflictError: when a new root would leave hand edits behind.
    """
    foreign = store.foreign_text(cell.name)
    current = current or on_disk(store, cell.name)
    if cell.update:
        return _select_for_update(store, cell, current, foreign)
    key = version_key(cell.name, "", cell.prompt, cell.options)
    if foreign is not None and not cell.regenerate:
        return Decision(act="adopt", key=key, notice=_notice(store, cell.name))
    stored = None if cell.regenerate else store.by_key(cell.name, key)
    if stored:
        return Decision(act="reuse", version=store.newest_edit(stored) or stored, key=key)
    if current and current.origin == "cell" and not cell.regenerate:
        raise ConflictError(
            f"the prompt of `{cell.name}` has changed, but v{current.number} is edited by hand and "
            f"would be left behind: add `--update` to change the edited {store.sort.text}, or "
            "`--regenerate` to start anew (the edit stays stored)"
        )
    if foreign is not None:
        store.adopt(cell.name)
    return Decision(act="call", key=key)


def _notice(store: ModuleStore, name: str) -> str:
    """Say that a file is the user's, and how to go on with it."""
    versions = store.versions(name)
    what = f"was edited since v{versions[-1].number}" if versions else "was here before"
    kept = "a version" if versions else "version 0"
    return (
        f"`{store.path(name).name}` {what}: it is {store.sort.adopted} as it is. Use `--update` to "
        f"change it, `--regenerate` to write it anew; either keeps its text as {kept}"
    )


def _select_for_update(
    store: ModuleStore, cell: CellPrompt, current: Version | None, foreign: str | None
) -> Decision:
    # Another kernel's, where it is not the current one of this kernel.
    held = on_disk(store, cell.name)
    # What the user saved is what is to be changed, whatever ran before.
    parent = store.adopt(cell.name) if foreign is not None else _saved(store, cell.name) or current
    if parent is None and (stored_so_far := store.versions(cell.name)):
        # Made in the panel, and its cell has not been run yet.
        parent = stored_so_far[-1]
    if parent is None:
        known = ", ".join(f"`{name}`" for name in store.names()) or "none yet"
        noun, magic = store.sort.noun, store.sort.magic
        raise ModuleNotStoredError(
            f"there is no {noun} `{cell.name}` to update (`{store.path(cell.name)}` does not "
            f"exist): run `{magic} {cell.name}` first. Known {noun}s: {known}"
        )
    if not cell.regenerate:
        stored = _made_by(store, cell, parent) or store.by_key(cell.name, _key(cell, parent))
        if stored:
            return Decision(
                act="reuse", version=store.newest_edit(stored) or stored, key=stored.key
            )
    elif made := _made_by(store, cell, parent):
        # The same cell again, anew: what it grew out of is its parent, not its own result.
        parent = store.get(cell.name, made.parent or "") or parent
    notice = ""
    if held and current and held.source != current.source:
        file = store.path(cell.name).name
        notice = f"grew from v{parent.number}; {file} held v{held.number}, which stays stored"
    return Decision(act="call", parent=parent, key=_key(cell, parent), notice=notice)


def _saved(store: ModuleStore, name: str) -> Version | None:
    """Find the user's own text in the file, which an update that got no answer has kept."""
    version = on_disk(store, name)
    return version if version and version.origin == "file" else None


def _made_by(store: ModuleStore, cell: CellPrompt, current: Version) -> Version | None:
    """Find the version in the current one's ancestry that this same update cell made."""
    for version in store.lineage(current):
        if version.parent and version.key == _key_on(cell, version.parent):
            return version
    return None


def _key(cell: CellPrompt, parent: Version) -> str:
    return _key_on(cell, parent.id)


def _key_on(cell: CellPrompt, parent_id: str) -> str:
    return version_key(cell.name, parent_id, cell.prompt, cell.options)


def select_for_cell(
    store: ModuleStore,
    *,
    name: str,
    base: str,
    source: str,
    current: Version | None,
    superseded: frozenset[str] = frozenset(),
    same_cell: bool = False,
) -> Decision:
    """Decide what a cell that holds a text stands for.

    Args:
        store: where the versions lie.
        name: the module's name.
        base: the version id in the cell's first line.
        source: the cell's text below it.
        current: the version that is current in this session, if any.
        superseded: ids of versions whose own prompt cell made a newer one in this session.
        same_cell: whether the current version is an earlier text of this very cell.

    Raises:
        ConflictError: for a new text on a version that is not current any more, or not stored.
        UsageError: for an empty cell.
    """
    if not source.strip():
        raise UsageError(
            f"the cell of `{name}` holds no {store.sort.text}: undo, or delete the cell"
        )
    current = current or on_disk(store, name)
    same_text = store.by_text(name, source)
    if same_text:
        stands_for = next((v for v in same_text if v.id == base), same_text[-1])
        if current and current.source == stands_for.source:
            stands_for = current
        # One that a rollback made current again is what its cell stands for.
        if stands_for.id in superseded and stands_for is not current:
            notice = (
                f"this cell holds `{name}` v{stands_for.number}; its prompt cell has since made "
                f"v{current.number if current else '?'}, which stays: delete this cell"
            )
            return Decision(act="nothing", version=stands_for, notice=notice)
        return Decision(act="reuse", version=stands_for)
    origin = store.get(name, base)
    if origin is not None:
        newest = current
        follows = current is None or _grew_from(store, current, origin, same_cell)
    else:
        newest = current or (store.versions(name) or (None,))[-1]
        follows = not base or _travelled(base, source, current, same_cell)
    if newest and not follows:
        raise _conflict(store, name, origin, base, newest)
    parent = current or origin
    key = version_key(name, parent.id if parent else "", "", {"origin": "cell"})
    return Decision(act="store", parent=parent, key=key)


def _conflict(
    store: ModuleStore, name: str, origin: Version | None, base: str, newest: Version
) -> ConflictError:
    edits = f"v{origin.number}, but" if origin else f"`{base}`, which is not stored here, and"
    return ConflictError(
        f"this cell edits `{name}` {edits} v{newest.number} is current: run "
        f"`{store.sort.command} show {name}` to see it, then put `--base {newest.id}` in this "
        "cell's first line to let your text follow it"
    )


def _travelled(base: str, source: str, current: Version | None, same_cell: bool) -> bool:
    """Tell whether a base that is not stored is one that only the notebook's own cell holds."""
    if version_id(base, normal_text(source)) == base:
        return True
    return same_cell and current is not None and current.origin == "cell"


def _grew_from(store: ModuleStore, current: Version, base: Version, same_cell: bool) -> bool:
    if current.id == base.id or current.source == base.source:
        return True
    if not same_cell or current.origin != "cell":
        return False
    return any(version.id == base.id for version in store.lineage(current))


def on_disk(store: ModuleStore, name: str) -> Version | None:
    """Find the version whose text the current file holds, the newest if there are several."""
    text = store.current_text(name)
    versions = store.by_text(name, text) if text is not None else ()
    return versions[-1] if versions else None
