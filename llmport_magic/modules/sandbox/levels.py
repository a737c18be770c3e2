"""How strongly generated code is held, from nothing to all that a system can offer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from llmport_magic.settings.values import SandboxLevel

# The weakest first.
LEVELS: tuple[str, ...] = get_args(SandboxLevel)
# From here on code may act when it is imported: files, network and processes are out of its reach.
CONFINED = "landlock+seccomp"


def level_of(holds: Sequence[str], *, limited: bool) -> str:
    """Name the level of what holds a process.

    Args:
        holds: any of `bwrap` or `seatbelt`, `landlock`, `seccomp`, in this order.
        limited: whether there are limits on memory, time and files.
    """
    return "+".join(holds) or ("rlimits only" if limited else "process only")


def reaches(level: str, least: str) -> bool:
    """Tell whether a level is at least another."""
    return level in LEVELS and LEVELS.index(level) >= LEVELS.index(least)


def accepted(least: str, *, confined: bool) -> list[str]:
    """Name the levels at which code may run.

    Args:
        least: the weakest that the user accepts.
        confined: whether the code acts when imported and must be held.
    """
    return [
        level
        for level in LEVELS
        if reaches(level, least) and (not confined or reaches(level, CONFINED))
    ]


def too_weak(level: str, least: str) -> str:
    """Say in one line that this system does not reach what the user asks for, and what to do."""
    return (
        f"nothing was run: `sandbox_least` asks for `{least}`, and this system reaches `{level}`; "
        "docs/checks.md says what each level needs, or lower the setting"
    )
