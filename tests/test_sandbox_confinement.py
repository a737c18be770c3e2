"""Code in the sandbox reaches nothing outside, and where less holds it that is said."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from sandboxed import posix, run

from llmport_magic.modules import sandbox

pytestmark = posix

confined = pytest.mark.skipif(
    sandbox.level() != "landlock+seccomp", reason="this kernel confines less"
)
TRY = """
import os, socket, subprocess, sys
def attempt(f, *a):
    try:
        f(*a)
    except OSError as e:
        return type(e).__name__
    return "done"
"""


@confined
async def test_nothing_outside_can_be_read_or_written(tmp_path: Path) -> None:
    """Files outside the import path are closed, whatever the code does when called (S0-43)."""
    secret = tmp_path / "id_rsa"
    secret.write_text("key")

    result = await run(
        TRY,
        f"attempt(open, {str(secret)!r})",
        f"attempt(os.listdir, {str(tmp_path)!r})",
        f"attempt(open, {str(tmp_path / 'new')!r}, 'w')",
        f"attempt(os.unlink, {str(secret)!r})",
        f"attempt(os.rename, 'circle.py', {str(tmp_path / 'moved')!r})",
        f"attempt(os.truncate, {str(secret)!r}, 0)",
        f"attempt(os.symlink, '/', {str(tmp_path / 'link')!r})",
        f"os.chmod({str(secret)!r}, 0o777)",
        "attempt(open, 'here', 'w')",
    )

    seen = [o.value for o in result.observations.values()]
    assert seen == ["'PermissionError'"] * 7 + [None, "'done'"]
    assert secret.read_text() == "key"
    assert secret.stat().st_mode & 0o777 != 0o777
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "moved").exists()


@confined
async def test_hidden_entries_of_the_users_folders_stay_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the notebook's folder code can read modules, but not what is hidden (S0-43)."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id").write_text("key")
    (tmp_path / "data.txt").write_text("data")
    monkeypatch.chdir(tmp_path)

    result = await run(
        TRY,
        f"attempt(open, {str(tmp_path / '.ssh' / 'id')!r})",
        f"attempt(open, {str(tmp_path / 'data.txt')!r})",
    )

    assert [o.value for o in result.observations.values()] == ["'PermissionError'", "'done'"]


@confined
async def test_neither_network_nor_other_processes_are_in_reach() -> None:
    """No socket, no signal and no look at the kernel's process leaves the sandbox (S0-43)."""
    kernel = psutil.Process().pid

    result = await run(
        TRY,
        "attempt(socket.socket)",
        "attempt(socket.create_connection, ('127.0.0.1', 9))",
        f"attempt(os.kill, {kernel}, 0)",
        f"attempt(open, '/proc/{kernel}/environ')",
        f"attempt(open, '/proc/{kernel}/mem')",
        "attempt(os.setsid)",
        "len(socket.socketpair())",
        "subprocess.run([sys.executable, '-c', 'print(3)'], capture_output=True).stdout",
        "attempt(open, '/proc/self/status')",
    )

    seen = [o.value for o in result.observations.values()]
    assert [text for text in seen[:6] if text not in {"'PermissionError'", "'gaierror'"}] == []
    assert seen[6:] == ["2", "b'3\\n'", "'done'"]


async def test_less_confinement_is_stated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the kernel confines nothing, the check still runs and says what held it (S0-43)."""
    child = tmp_path / "sandbox_child.py"
    child.write_bytes(sandbox._CHILD.read_bytes())
    monkeypatch.setattr(sandbox, "_CHILD", child)

    result = await run("x = 1", "x")

    assert (result.status, result.level) == ("ok", "rlimits only")
