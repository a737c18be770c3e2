"""What the sandbox keeps from code, told apart from what the code does wrong.

Both are exceptions. The sandbox's is one of those below, in code that can do what it forbids: the
policy has said so before. Bubblewrap hides a file, Landlock denies it, a read-only file system
refuses; so the classes of an exception count, not its number.
"""

from __future__ import annotations

from collections.abc import Collection

# What the sandbox keeps from code, or what only the user may start.
OUTSIDE = frozenset({"files", "deletes files", "network", "processes", "threads"})

# Threads are the sandbox's, too: a timeout in them is the code's own.
_DENIED = OUTSIDE - {"threads"} | {"pickles", "native code", "ends or replaces the process"}
_CONNECTING = frozenset(
    {"URLError", "gaierror", "ConnectionError", "ConnectError", "NewConnectionError",
     "ClientConnectorError", "ConnectTimeout"}
)  # fmt: skip
# What no sandbox brings about, though each is an `OSError`: `UnsupportedOperation` and what
# `requests` cannot read are a `ValueError`, too.
_OF_THE_CODE = frozenset(
    {"ValueError", "FileExistsError", "IsADirectoryError", "NotADirectoryError"}
)
# The classes of an exception, what the code must be able to do, and what is said; the first counts.
_KEPT: tuple[tuple[frozenset[str], frozenset[str], str], ...] = (
    (_CONNECTING, frozenset({"network"}), "it needs the network"),
    (frozenset({"EOFError"}), frozenset({"asks the user"}), "it asks the user"),
    (frozenset({"FileNotFoundError"}), _DENIED, "the sandbox does not have the file or folder"),
    (frozenset({"OSError"}), _DENIED, "the sandbox does not allow what it does"),
)


def kept_away(bases: Collection[str], abilities: Collection[str]) -> str:
    """Say what the sandbox kept from code that raised an exception; "" where it is the code's own.

    Args:
        bases: the names of the exception's classes.
        abilities: what the code can do, in the policy's words.
    """
    classes, can = set(bases), set(abilities)
    if classes & _OF_THE_CODE:
        return ""
    return next((why for errors, needs, why in _KEPT if classes & errors and can & needs), "")


def memory_told(bases: Collection[str], megabytes: int) -> str:
    """Name the setting behind an exception of memory, to be put behind what is said of it."""
    return f" (`sandbox_memory_mb` is {megabytes})" if "MemoryError" in bases else ""
