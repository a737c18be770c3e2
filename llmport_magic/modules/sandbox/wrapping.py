"""The layer around a sandboxed process where the system has one: bubblewrap, or macOS's Seatbelt.

Both are programs that start another one in less of the world. Whether they work here is tried
once, for a program may be there and be forbidden; and each child sees for itself whether it holds.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from llmport_magic.modules.sandbox.inside.sandbox_confine import SYSTEM

Outer = Literal["", "bwrap", "seatbelt"]

# Not looked up on the user's path, which anybody may have put a program on.
_BWRAP = ("/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap")
_SEATBELT = "/usr/bin/sandbox-exec"
# Long, for a busy machine: what did not answer in time is not used until the kernel ends.
_PROBE_SECONDS = 30
_OURS = str(Path(__file__).with_name("inside"))
_GIVEN_UP: list[bool] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a process may see of the file system.

    Attributes:
        readable: folders that may be read with all that is in them.
        listed: the user's folders, of which hidden entries stay closed.
        writable: the only folder that may be written.
    """

    readable: tuple[str, ...]
    listed: tuple[str, ...]
    writable: str


def view(readable: Sequence[str], listed: Sequence[str], own: str) -> View:
    """Give the view of a process that may read these folders, besides Python's and ours."""
    whole = {sys.prefix, sys.base_prefix, sys.exec_prefix, _OURS, *readable}
    return View(readable=tuple(sorted(whole)), listed=tuple(sorted(listed)), writable=own)


def offered() -> Outer:
    """Name the layer that works here; the first call starts it once."""
    return "" if _GIVEN_UP else _tried()


def give_up() -> None:
    """Use no layer from now on: the one that is there did not start a child."""
    _GIVEN_UP.append(True)


@cache
def _tried() -> Outer:
    if sys.platform == "linux" and bwrap() and _works("bwrap"):
        return "bwrap"
    if sys.platform == "darwin" and Path(_SEATBELT).exists() and _works("seatbelt"):
        return "seatbelt"
    return ""


@cache
def bwrap() -> str:
    """Find bubblewrap; "" where it is not installed."""
    return next((path for path in _BWRAP if os.access(path, os.X_OK)), "")


def wrapped(
    outer: Outer, command: Sequence[str], seen: View, *, lasting: bool = False
) -> list[str]:
    """Give the command that starts another one within a layer.

    Args:
        outer: the layer; "" is none.
        command: what is started.
        seen: what it may see.
        lasting: whether it may outlive the thread that starts it.
    """
    if outer == "bwrap":
        return [bwrap(), *_bwrap_options(seen, lasting=lasting), "--", *command]
    if outer == "seatbelt":
        return [_SEATBELT, "-p", seatbelt_profile(seen), *command]
    return list(command)


def _works(outer: Outer) -> bool:
    """Start a Python within the layer once; it must see itself elsewhere than we are."""
    seen = view([], [], os.path.realpath(os.defpath.split(":", maxsplit=1)[0]))
    code = "import os; print(os.readlink('/proc/self/ns/mnt'))" if outer == "bwrap" else "print(1)"
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, no shell
            wrapped(outer, [sys.executable, "-I", "-S", "-c", code], seen),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={},
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    told = done.stdout.decode(errors="replace").strip()
    return done.returncode == 0 and told not in {"", outside()}


def outside() -> str:
    """Name the file systems that this process sees, as Linux numbers them; "" where it does not."""
    try:
        return str(Path("/proc/self/ns/mnt").readlink())
    except OSError:
        return ""


# -- bubblewrap ------------------------------------------------------------------------------------


def _bwrap_options(seen: View, *, lasting: bool) -> list[str]:
    """Give everything unshared, system and libraries to read, one folder to write."""
    options = ["--unshare-all", "--cap-drop", "ALL", "--dev", "/dev", "--proc", "/proc"]
    if not lasting:
        options.append("--die-with-parent")
    for path in SYSTEM:
        if not path.startswith("/dev/"):
            options += ["--ro-bind-try", path, path]
    for folder in seen.listed:
        options += ["--ro-bind-try", folder, folder, *_masked(folder)]
    # After the user's folders: an environment may lie in one of them, under a hidden name.
    for folder in sorted(seen.readable, key=len):
        options += ["--ro-bind-try", folder, folder]
    writable = seen.writable
    return [*options, "--bind", writable, writable, "--remount-ro", "/", "--chdir", writable]


def _masked(folder: str) -> list[str]:
    """Put nothing in the place of a folder's hidden entries: keys and settings lie in those."""
    options: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    options += ["--tmpfs", entry.path]
                elif entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                    options += ["--ro-bind", "/dev/null", entry.path]
    except OSError:
        return []
    return options


# -- Seatbelt --------------------------------------------------------------------------------------

# The operations and filters of the profile language as they stand in the profiles that macOS ships
# under /System/Library/Sandbox/Profiles, and in those that browsers ship; the last match decides.
_SEATBELT_BASE = """\
(version 1)
(deny default)
(allow process-exec process-fork)
(allow signal process-info* (target same-sandbox))
(allow sysctl-read)
(allow ipc-posix-sem)
(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))
(allow file-read-metadata)
(allow file-read* (literal "/") (literal "/dev/null") (literal "/dev/zero")
  (literal "/dev/random") (literal "/dev/urandom"))
(allow file-write-data (literal "/dev/null"))
"""
_MACOS_SYSTEM = (
    "/usr", "/bin", "/sbin", "/opt", "/System", "/Library/Frameworks", "/private/etc",
    "/private/var/db/dyld", "/private/var/db/timezone", "/Applications/Xcode.app",
)  # fmt: skip


def seatbelt_profile(seen: View) -> str:
    """Write the profile: no network, system and libraries to read, one folder to write."""
    lines = [_SEATBELT_BASE.rstrip()]
    listed = [os.path.realpath(folder) for folder in seen.listed]
    lines += _allowed("file-read*", listed)
    for folder in listed:
        pattern = re.escape(folder).replace("\\/", "/").replace('"', '\\"')
        lines.append(f'(deny file-read* (regex #"^{pattern}/\\.[^/]+"))')
    lines += _allowed("file-read*", [*_MACOS_SYSTEM, *map(os.path.realpath, seen.readable)])
    lines += _allowed("file-read* file-write*", [os.path.realpath(seen.writable)])
    return "\n".join(lines) + "\n"


def _allowed(operations: str, folders: Iterable[str]) -> list[str]:
    quoted = (folder.replace("\\", "\\\\").replace('"', '\\"') for folder in folders)
    return [f'(allow {operations} (subpath "{folder}"))' for folder in quoted]
