"""What Python remembers of the folders that it imports from, forgotten from any thread."""

from __future__ import annotations

import importlib

_TIMES = 20


def forget_folders() -> None:
    """Do what `importlib.invalidate_caches` does, and do it again where another thread broke in.

    It walks over a copy of what is remembered and removes entries from the original: of two threads
    that do so at once, one finds an entry gone and ends halfway with a `KeyError`.
    """
    for _ in range(_TIMES):
        try:
            importlib.invalidate_caches()
        except KeyError:
            continue
        return
    importlib.invalidate_caches()
