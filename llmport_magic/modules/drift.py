"""What `--with` named has changed since a version was made: told, never a reason to call."""

from __future__ import annotations

from collections.abc import Mapping

from llmport_magic.modules.store import ModuleStore
from llmport_magic.modules.version import Version


def drift(
    store: ModuleStore, version: Version, key: str, digests: Mapping[str, str]
) -> tuple[str, ...]:
    """Say what is described otherwise now than when a prompt's version was made.

    Args:
        store: where the version lies.
        version: the version that is selected: the prompt's own, or a hand edit of it.
        key: the key of the prompt's own version.
        digests: what is there now: a few words and a digest, as `NewVersion.context` keeps them.
    """
    made = next((each for each in store.lineage(version) if each.key == key), version)
    notes = []
    for name, before in made.context.items():
        was, _, old = before.rpartition(" ")
        now, _, new = digests.get(name, "").rpartition(" ")
        if not new:
            notes.append(f"`{name}`, which v{made.number} was made with, is not there now")
        elif new != old:
            how = f"was {was}, is {now}" if was != now else f"{was}, of other columns or types"
            notes.append(f"`{name}` has changed since v{made.number} ({how})")
    return tuple(notes)
