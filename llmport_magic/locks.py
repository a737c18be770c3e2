"""Locks that are free in a forked child: whoever held them lives on in the parent only."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

_made: weakref.WeakSet[Any] = weakref.WeakSet()


def lock() -> threading.RLock:
    """Make a lock for `with`; a thread may take again what it holds.

    A child that is forked while another thread holds a usual lock waits for ever for that thread,
    which it does not have. What these guard is a step of bookkeeping, good enough to go on from.
    An object of C, as an interrupt may not come between taking it and the block.
    """
    made = threading.RLock()
    _made.add(made)
    return made


def _free_all() -> None:
    for made in _made:
        made._at_fork_reinit()  # noqa: SLF001 - what the standard library frees its own with


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)
