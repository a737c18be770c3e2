"""Which names of the user's are a module's old functions and classes, and become the new ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

_HISTORY = re.compile(r"_+\d*\Z|_i+\d*\Z|_(?:dh|oh|ih)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebinding:
    """Names of the user's, by what became of them."""

    rebound: tuple[str, ...]
    stale: tuple[str, ...]
    instances: tuple[str, ...]


def rebind(
    module: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    namespaces: Sequence[MutableMapping[str, Any]],
) -> Rebinding:
    """Rebind what is identical with the module's old functions and classes.

    Args:
        module: the module's name.
        old: its dictionary before the update.
        new: its dictionary now.
        namespaces: where to look; changed in place.
    """
    before = _definitions(module, old)
    classes = {id(each) for each in old.values() if isinstance(each, type)}
    rebound, stale, instances = [], [], []
    for namespace in namespaces:
        for name, value in list(namespace.items()):
            if _HISTORY.match(name):
                continue
            if id(value) in before:
                successor = _successor(before[id(value)], value, new)
                if successor is None:
                    stale.append(name)
                elif new[successor] is not value:
                    namespace[name] = new[successor]
                    rebound.append(name)
            elif id(type(value)) in classes and type(value).__module__ == module:
                instances.append(name)
    return Rebinding(
        rebound=tuple(sorted(rebound)),
        stale=tuple(sorted(stale)),
        instances=tuple(sorted(instances)),
    )


def _definitions(module: str, names: Mapping[str, Any]) -> dict[int, list[str]]:
    """Map the identity of the module's own functions and classes to their names."""
    found: dict[int, list[str]] = {}
    for name, value in names.items():
        # Instances have no `__qualname__`: they are the user's to make anew.
        own = getattr(value, "__module__", None) == module
        if own and callable(value) and hasattr(value, "__qualname__"):
            found.setdefault(id(value), []).append(name)
    return found


def _successor(names: list[str], value: Any, new: Mapping[str, Any]) -> str | None:
    first = getattr(value, "__name__", "")
    for name in sorted(names, key=lambda each: each != first):
        if name in new:
            return name
    return None
