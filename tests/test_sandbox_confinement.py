"""Code in the sandbox reaches nothing outside, cold and warm; where less holds it that is said."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sandboxed import MODES, confined, entered, posix, run

from llmport_magic.modules.sandbox import sandboxing, warming
from llmport_magic.modules.sandbox.inside.sandbox_confine import _landlock_abi, available

pytestmark = posix

TRY = """
import ctypes, os, signal, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(f, *a):
    try:
        f(*a)
    except OSError as e:
        return type(e).__name__
    return "done"
def call(number, *a):
    ctypes.set_errno(0)
    return "done" if libc.syscall(number, *a) >= 0 else ctypes.get_errno()
def to(address, kind, family=socket.AF_UNIX):
    with socket.socket(family, kind) as s:
        s.connect(address) if kind != socket.SOCK_DGRAM else s.sendto(b"x", address)
"""


@pytest.fixture(params=MODES)
async def level(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """Run a test in each mode; gives the level that must be reached."""
    for level in entered(request.param, monkeypatch):
        yield level


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[dict[str, object]]:
    """Listen in this process on one address of each kind; `got` is who came."""
    got: list[object] = []
    # An address of its own: another test may try a port of 127.0.0.1 that nobody had before.
    here = f"127.{1 + os.getpid() // 256 % 250}.{os.getpid() % 256}.77"
    kinds = {
        "tcp": (socket.AF_INET, socket.SOCK_STREAM, (here, 0)),
        "udp": (socket.AF_INET, socket.SOCK_DGRAM, (here, 0)),
        "unix": (socket.AF_UNIX, socket.SOCK_STREAM, str(tmp_path / "stream")),
        "datagram": (socket.AF_UNIX, socket.SOCK_DGRAM, str(tmp_path / "datagram")),
        "abstract": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0llmport-{os.getpid()}"),
        "abstract datagram": (socket.AF_UNIX, socket.SOCK_DGRAM, f"\0llmport-d-{os.getpid()}"),
    }
    open_sockets, addresses = [], {}
    for name, (family, kind, address) in kinds.items():
        own = socket.socket(family, kind)
        own.bind(address)
        own.settimeout(0.2)
        if kind == socket.SOCK_STREAM:
            own.listen()
        addresses[name] = own.getsockname()
        open_sockets.append((name, kind, own))
    yield {"addresses": addresses, "got": got}
    for name, kind, own in open_sockets:
        with contextlib.suppress(TimeoutError):
            got.append((name, own.accept() if kind == socket.SOCK_STREAM else own.recv(9)))
        own.close()
    assert got == []


@confined
async def test_the_level_is_reached_in_truth(level: str) -> None:
    """Where the kernel has Landlock, the child is held by it and seccomp, in each mode (S0-43)."""
    result = await run(
        "x = 1",
        "open('/proc/self/status').read().split('Seccomp:')[1].split()[0]",
        "open('/proc/self/status').read().split('NoNewPrivs:')[1].split()[0]",
        "os.listdir('/root')" if os.getuid() == 0 else "open('/etc/nothing', 'w')",
    )

    assert _landlock_abi(ctypes.CDLL(None)) > 0
    assert available() == ("landlock", "seccomp")
    assert result.level == level
    assert [o.value for o in result.observations.values()][:2] == ["'2'", "'1'"]
    assert result.observations[2].error


@confined
async def test_nothing_outside_can_be_read_or_written(level: str, tmp_path: Path) -> None:
    """Files outside the import path are closed, whatever the code does when called (S0-43, V57)."""
    secret = tmp_path / ".ssh" / "id_rsa"
    secret.parent.mkdir()
    secret.write_text("key")
    connection = tmp_path / "runtime" / "kernel-1.json"
    connection.parent.mkdir()
    connection.write_text(json.dumps({"key": "k"}))

    result = await run(
        TRY,
        f"attempt(open, {str(secret)!r})",
        f"attempt(open, {str(connection)!r})",
        f"attempt(os.listdir, {str(tmp_path)!r})",
        f"attempt(open, {str(tmp_path / 'new')!r}, 'w')",
        f"attempt(os.unlink, {str(secret)!r})",
        f"attempt(os.rename, 'circle.py', {str(tmp_path / 'moved')!r})",
        f"attempt(os.link, 'circle.py', {str(tmp_path / 'linked')!r})",
        f"attempt(os.truncate, {str(secret)!r}, 0)",
        f"attempt(os.symlink, '/', {str(tmp_path / 'link')!r})",
        f"attempt(os.chmod, {str(secret)!r}, 0o777)",
        f"os.path.exists({str(secret)!r}) and {'bwrap' in level}",
        "attempt(open, 'here', 'w')",
    )

    seen = [o.value for o in result.observations.values()]
    refused = {"'PermissionError'", "'FileNotFoundError'", "'OSError'"}
    assert result.level == level
    assert [text for text in seen[:9] if text not in refused] == []
    assert seen[10:] == ["False", "'done'"]
    assert secret.read_text() == "key"
    assert secret.stat().st_mode & 0o777 != 0o777
    assert sorted(os.listdir(tmp_path)) == [".ssh", "home", "runtime"]  # noqa: PTH208


@confined
async def test_hidden_entries_of_the_users_folders_stay_closed(
    level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the notebook's folder code can read modules, but not what is hidden (S0-43)."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id").write_text("key")
    (tmp_path / ".env").write_text("KEY=1")
    (tmp_path / "data.txt").write_text("data")
    monkeypatch.chdir(tmp_path)

    result = await run(
        TRY,
        f"attempt(open, {str(tmp_path / '.ssh' / 'id')!r})",
        f"attempt(open, {str(tmp_path / '.env')!r})",
        f"attempt(open, {str(tmp_path / 'data.txt')!r})",
        f"attempt(open, {str(tmp_path / 'data.txt')!r}, 'a')",
    )

    seen = [o.value for o in result.observations.values()]
    assert seen[0] in {"'PermissionError'", "'FileNotFoundError'"}
    assert seen[1:] in (
        ["'PermissionError'", "'done'", "'PermissionError'"],
        ["'PermissionError'", "'done'", "'OSError'"],
    )


@confined
@pytest.mark.parametrize("named", ["/", "above", "../above", "link"])
async def test_a_folder_that_holds_the_home_is_not_opened(
    level: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the notebook's folder nor the import path opens what lies above the home (S0-43)."""
    above, work = tmp_path / "above", tmp_path / "work"
    hidden = above / "me" / ".ssh" / "id"
    for folder in (hidden.parent, work):
        folder.mkdir(parents=True)
    hidden.write_text("key")
    (tmp_path / "link").symlink_to(above)
    monkeypatch.setenv("HOME", str(tmp_path / "link" / "me"))
    monkeypatch.chdir("/" if named == "/" else above)

    here = await run(TRY, f"attempt(open, {str(hidden)!r})", search_path=("", *sys.path))
    monkeypatch.chdir(work)
    entry = named if named == "/" else str(tmp_path / named)
    path = await run(TRY, f"attempt(open, {str(hidden)!r})", search_path=(*sys.path, entry))

    for result in (here, path):
        assert result.status == "ok", result
        assert result.observations[0].value in {"'PermissionError'", "'FileNotFoundError'"}


@confined
async def test_no_socket_reaches_anybody(
    level: str, listening: dict[str, dict[str, object]]
) -> None:
    """Neither TCP, UDP, netlink nor Unix sockets, named or abstract, reach a listener (S0-43)."""
    at = listening["addresses"]
    stream, datagram = "socket.SOCK_STREAM", "socket.SOCK_DGRAM"

    result = await run(
        TRY,
        f"attempt(to, {at['tcp']!r}, {stream}, socket.AF_INET)",
        f"attempt(to, {at['udp']!r}, {datagram}, socket.AF_INET)",
        f"attempt(to, {at['unix']!r}, {stream})",
        f"attempt(to, {at['datagram']!r}, {datagram})",
        f"attempt(to, {at['abstract']!r}, {stream})",
        f"attempt(to, {at['abstract datagram']!r}, {datagram})",
        "attempt(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, 0)",
        "attempt(socket.socket, socket.AF_INET6, socket.SOCK_STREAM)",
        "attempt(socket.socket, socket.AF_PACKET, socket.SOCK_RAW)",
        f"attempt(lambda: socket.socketpair(socket.AF_UNIX, {datagram}))",
        f"attempt(socket.create_connection, {at['tcp']!r})",
        "len(socket.socketpair())",
    )

    seen = [o.value for o in result.observations.values()]
    refused = {"'PermissionError'", "'FileNotFoundError'", "'ConnectionRefusedError'"}
    assert [text for text in seen[:11] if text not in refused] == []
    assert seen[11] == "2"


@confined
async def test_the_kernel_and_the_worker_are_out_of_reach(level: str) -> None:
    """Code can neither signal, trace, read nor limit the kernel or the warm worker (S0-43)."""
    await run("x = 1")
    worker = warming.current()
    process = worker._process.pid if worker and worker.alive else os.getpid()
    targets = [os.getpid(), process]
    groups = [os.getpgid(pid) for pid in targets]
    before = resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE)
    affinity = os.sched_getaffinity(0)

    result = await run(
        f"{TRY}\npids = [*{targets}, os.getppid()]",
        "[attempt(os.kill, pid, signal.SIGKILL) for pid in pids]",
        "[attempt(os.kill, pid, 0) for pid in pids]",
        "[call(101, 16, pid, 0, 0) for pid in pids]",
        "[attempt(open, f'/proc/{pid}/environ') for pid in pids]",
        "[attempt(open, f'/proc/{pid}/mem', 'r+b') for pid in pids]",
        "[attempt(os.listdir, f'/proc/{pid}/fd') for pid in pids]",
        "[attempt(os.sched_setaffinity, pid, [0]) for pid in pids]",
        "[attempt(os.setpriority, os.PRIO_PROCESS, pid, 19) for pid in pids]",
        "attempt(os.setpriority, os.PRIO_USER, 0, 19)",
        "[attempt(__import__('resource').prlimit, pid, 7, (3, 3)) for pid in pids]",
        f"[attempt(os.killpg, group, signal.SIGKILL) for group in {groups}]",
        "attempt(os.setsid), attempt(os.setpgid, 0, 0)",
        "attempt(open, '/proc/self/status')",
        "subprocess.run([sys.executable, '-c', 'print(3)'], capture_output=True).stdout",
    )

    seen = [o.value or o.error for o in result.observations.values()]
    assert (result.status, result.level) == ("ok", level), result
    assert "done" not in str(seen[:12])
    assert seen[12:] == ["'done'", "b'3\\n'"]
    assert resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE) == before
    assert os.sched_getaffinity(0) == affinity
    if worker and worker.alive:
        assert (await run("x = 1")).warm == ("warm" in str(os.environ["PYTEST_CURRENT_TEST"]))


@confined
async def test_a_program_that_code_starts_is_held_too(level: str, tmp_path: Path) -> None:
    """What the code starts inherits what holds it, other programs included (S0-43)."""
    secret = tmp_path / "secret"
    secret.write_text("key")

    result = await run(
        TRY,
        f"subprocess.run(['/bin/cat', {str(secret)!r}], capture_output=True).stdout",
        f"subprocess.run(['/bin/sh', '-c', 'echo > {secret}'], capture_output=True).returncode > 0",
        "subprocess.run(['/bin/echo', 'x'], capture_output=True).stdout",
    )

    assert [o.value for o in result.observations.values()] == ["b''", "True", "b'x\\n'"]
    assert secret.read_text() == "key"


async def test_less_confinement_is_stated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the kernel confines nothing, the check still runs and says what held it (S0-43)."""
    monkeypatch.setattr(sandboxing.wrapping, "offered", lambda: "")
    child = shutil.copy(sandboxing._CHILD, tmp_path)
    monkeypatch.setattr(sandboxing, "_CHILD", Path(child))

    result = await run("x = 1", "x")

    assert (result.status, result.level) == ("ok", "rlimits only")
