"""Levels: their order, what is named when less holds, and that too little runs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from awaiting import PATIENCE
from sandboxed import confined, posix

from llmport_magic.errors import ConfigError
from llmport_magic.modules.sandbox import sandboxing, wrapping
from llmport_magic.modules.sandbox.job import SandboxJob
from llmport_magic.modules.sandbox.levels import LEVELS, accepted, reaches
from llmport_magic.modules.sandbox.process import command
from llmport_magic.modules.sandbox.wrapping import View, seatbelt_profile, view, wrapped
from llmport_magic.modules.verification import verify
from llmport_magic.settings import Settings

pytestmark = posix

needs_bwrap = pytest.mark.skipif(not wrapping.bwrap(), reason="bubblewrap is not installed")


def test_levels_stand_in_one_order() -> None:
    """The list of levels goes from nothing to all, and each reaches those before it (S0-43)."""
    assert LEVELS[0] == "static only"
    assert LEVELS[-1] == "bwrap+landlock+seccomp"
    for number, level in enumerate(LEVELS):
        assert [reaches(level, other) for other in LEVELS] == [
            position <= number for position in range(len(LEVELS))
        ]
    assert accepted("static only", confined=True) == ["landlock+seccomp", "bwrap+landlock+seccomp"]
    assert not reaches("something else", "static only")


@pytest.mark.parametrize("warm", [False, True])
async def test_below_the_least_level_nothing_runs(
    warm: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system reaches less than `sandbox_least`, nothing runs and it says why (S0-43)."""
    monkeypatch.setattr(sandboxing, "level", lambda: "rlimits only")
    mark = tmp_path / "mark"
    job = SandboxJob(
        source=f"open({str(mark)!r}, 'w')", module_name="m", least="landlock", warm=warm
    )

    result = await sandboxing.run(job)

    assert (result.status, result.level, result.too_weak) == ("unavailable", "static only", True)
    assert "`sandbox_least` asks for `landlock`" in result.error
    assert "reaches `rlimits only`" in result.error
    assert not mark.exists()


async def test_a_child_held_less_than_thought_refuses_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that finds less holding it than was promised ends before it runs any code (S0-43)."""
    child = tmp_path / "sandbox_child.py"
    child.write_bytes(sandboxing._CHILD.read_bytes())
    monkeypatch.setattr(sandboxing, "_CHILD", child)
    monkeypatch.setattr(wrapping, "offered", lambda: "")
    mark = tmp_path / "mark"
    job = SandboxJob(
        source=f"open({str(mark)!r}, 'w')",
        module_name="m",
        least="landlock+seccomp",
        warm=False,
        seconds=PATIENCE,
    )
    monkeypatch.setattr(sandboxing, "level", lambda: "landlock+seccomp")

    result = await sandboxing.run(job)

    assert (result.status, result.too_weak, result.level) == ("unavailable", True, "rlimits only")
    assert not mark.exists()


def test_a_child_held_less_than_thought_needs_nobody_to_stop_it(tmp_path: Path) -> None:
    """The child ends by itself: it does not wait for the kernel to see how it is held (S0-43)."""
    child = tmp_path / "sandbox_child.py"
    child.write_bytes(sandboxing._CHILD.read_bytes())
    mark = tmp_path / "mark"
    job = SandboxJob(
        source=f"open({str(mark)!r}, 'w')", module_name="m", least="landlock+seccomp", warm=False
    )
    message = sandboxing._Child(job, warm=False)._message(str(tmp_path))

    done = subprocess.run(
        command(child), input=json.dumps(message).encode(), capture_output=True, check=False
    )

    assert done.returncode == 1
    assert [json.loads(line)["kind"] for line in done.stdout.splitlines()] == ["begin"]
    assert not mark.exists()


async def test_what_may_not_be_checked_waits_for_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that `sandbox_least` keeps from the sandbox does not get into the kernel unasked."""
    monkeypatch.setattr(sandboxing, "level", lambda: "rlimits only")
    settings = Settings(sandbox_least="landlock+seccomp")

    verdict = await verify("def f(): return 1", module_name="m", settings=settings)
    consented = await verify("def f(): return 1", module_name="m", settings=settings, consent=True)

    assert (verdict.safety, verdict.proof, verdict.level) == ("ask", "unverified", "static only")
    assert any("sandbox_least" in finding for finding in verdict.findings)
    assert consented.safety == "clean"


def test_too_little_is_said_before_anybody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `sandbox_least` is out of reach the error comes before a request, with a way on."""
    monkeypatch.setattr(sandboxing, "level", lambda: "rlimits only")

    sandboxing.refuse_weak(Settings())
    with pytest.raises(ConfigError, match=r"`sandbox_least` asks for `bwrap`.*docs/checks.md"):
        sandboxing.refuse_weak(Settings(sandbox_least="bwrap"))


@needs_bwrap
@confined
async def test_bubblewrap_alone_is_named_and_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Landlock and seccomp, bubblewrap holds files, processes and the network (S0-43)."""
    if not wrapping._works("bwrap"):
        pytest.skip("bubblewrap may not be used here")
    child = tmp_path / "sandbox_child.py"
    child.write_bytes(sandboxing._CHILD.read_bytes())
    monkeypatch.setattr(sandboxing, "_CHILD", child)
    monkeypatch.setattr(wrapping, "_OURS", str(tmp_path))
    monkeypatch.setattr(wrapping, "offered", lambda: "bwrap")
    monkeypatch.setattr(sandboxing, "_offered", lambda: ())
    secret = tmp_path.parent / f"{tmp_path.name}-secret"
    secret.write_text("key")
    examples = [
        f"os.path.exists({str(secret)!r})",
        "[name for name in os.listdir('/proc') if name.isdigit()].__len__() < 5",
        "open('/usr/new', 'w')",
        "socket.create_connection(('127.0.0.1', 9), 60)",
        "[i[1] for i in socket.if_nameindex()]",
    ]

    job = SandboxJob(
        source="import os, socket",
        module_name="m",
        examples=list(enumerate(examples)),
        seconds=PATIENCE,
    )
    result = await sandboxing.run(job)

    seen = result.observations
    assert (result.status, result.level, result.warm) == ("ok", "bwrap", False)
    assert [seen[0].value, seen[1].value, seen[4].value] == ["False", "True", "['lo']"]
    assert seen[2].error == "OSError"
    assert seen[3].error == "ConnectionRefusedError"
    secret.unlink()


async def test_bubblewrap_that_may_not_start_is_not_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bubblewrap that is there and is denied its namespaces gives the next level (S0-43)."""
    denied = tmp_path / "bwrap"
    denied.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    denied.chmod(0o755)
    monkeypatch.setattr(wrapping, "bwrap", lambda: str(denied))
    wrapping._tried.cache_clear()

    try:
        result = await sandboxing.run(
            SandboxJob(source="x = 1", module_name="m", warm=False, seconds=PATIENCE)
        )
        assert wrapping.offered() == ""
        assert "bwrap" not in sandboxing.level()
        assert (result.status, result.level) == ("ok", sandboxing.level())
    finally:
        # What was found out with this bubblewrap is nothing to the tests that follow.
        wrapping._tried.cache_clear()


async def test_bubblewrap_that_lies_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that only says it is bubblewrap is not named: the child looks (S0-43)."""
    liar = tmp_path / "bwrap"
    liar.write_text('#!/bin/sh\nwhile [ "$1" != "--" ]; do shift; done\nshift\nexec "$@"\n')
    liar.chmod(0o755)
    monkeypatch.setattr(wrapping, "bwrap", lambda: str(liar))

    assert not wrapping._works("bwrap")
    monkeypatch.setattr(wrapping, "offered", lambda: "bwrap")
    result = await sandboxing.run(
        SandboxJob(source="x = 1", module_name="m", warm=False, seconds=PATIENCE)
    )

    assert result.status == "ok"
    assert "bwrap" not in result.level


async def test_bubblewrap_that_fails_later_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the layer stops working, the check runs once without it and names the level (V61)."""
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    given_up: list[bool] = []
    monkeypatch.setattr(wrapping, "_GIVEN_UP", given_up)
    monkeypatch.setattr(wrapping, "_tried", lambda: "bwrap")
    monkeypatch.setattr(wrapping, "bwrap", lambda: str(broken))

    job = SandboxJob(
        source="x = 1", module_name="m", examples=[(0, "x")], warm=False, seconds=PATIENCE
    )
    result = await sandboxing.run(job)

    assert result.status == "ok"
    assert result.observations[0].value == "1"
    assert "bwrap" not in result.level
    assert given_up


@needs_bwrap
async def test_a_hidden_file_that_goes_away_costs_no_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an editor hides while it saves, gone when bubblewrap starts, is looked for anew."""
    given_up: list[bool] = []
    monkeypatch.setattr(wrapping, "_GIVEN_UP", given_up)
    monkeypatch.setattr(wrapping, "offered", lambda: "bwrap")
    monkeypatch.chdir(tmp_path)
    saving, masked = tmp_path / ".~work.ipynb", wrapping._masked
    saving.touch()

    def and_goes_away(folder: str) -> list[str]:
        found = masked(folder)
        if folder == str(tmp_path):
            saving.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(wrapping, "_masked", and_goes_away)
    result = await sandboxing.run(
        SandboxJob(source="x = 1", module_name="m", warm=False, seconds=PATIENCE)
    )

    assert not saving.exists()
    assert result.status == "ok"
    assert "bwrap" in result.level
    assert not given_up


def test_the_command_of_bubblewrap_opens_no_more_than_needed(tmp_path: Path) -> None:
    """Everything is unshared, one folder can be written, hidden entries are covered (S0-43)."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".env").touch()
    own = View(readable=("/usr/lib/x",), listed=(str(tmp_path),), writable="/tmp/own")

    command = wrapped("bwrap", ["python"], own)

    text = " ".join(command)
    assert "--unshare-all" in command
    assert "--die-with-parent" in command
    assert "--remount-ro / " in text
    assert command.count("--bind") == 1
    assert "--bind /tmp/own /tmp/own" in text
    assert f"--tmpfs {tmp_path}/.ssh" in text
    assert f"--ro-bind /dev/null {tmp_path}/.env" in text
    assert command[-2:] == ["--", "python"]
    assert "--die-with-parent" not in wrapped("bwrap", ["python"], own, lasting=True)


def test_the_profile_of_seatbelt_denies_what_it_does_not_name(tmp_path: Path) -> None:
    """The profile for macOS denies by default, names no network, and writes one folder only."""
    strange = tmp_path / 'a "quoted" \\ folder'
    strange.mkdir()
    own = View(readable=(sys.prefix,), listed=(str(tmp_path),), writable=str(strange))

    profile = seatbelt_profile(own)
    command = wrapped("seatbelt", ["python"], own)

    lines = profile.splitlines()
    assert lines[:2] == ["(version 1)", "(deny default)"]
    assert "network" not in profile
    quoted = f'{tmp_path.resolve()}/a \\"quoted\\" \\\\ folder'
    writes = f'(allow file-read* file-write* (subpath "{quoted}"))'
    assert [line for line in lines if "file-write*" in line] == [writes]
    assert profile.count("(") == profile.count(")")
    hidden = next(n for n, line in enumerate(lines) if line.startswith("(deny file-read*"))
    assert lines.index(f'(allow file-read* (subpath "{tmp_path.resolve()}"))') < hidden
    assert hidden < lines.index(f'(allow file-read* (subpath "{Path(sys.prefix).resolve()}"))')
    assert command == ["/usr/bin/sandbox-exec", "-p", profile, "python"]


@needs_bwrap
def test_the_probe_really_starts_bubblewrap() -> None:
    """Whether bubblewrap works is what starting it once says, by the file systems it sees."""
    seen = view([], [], "/usr")
    code = "import os; print(os.readlink('/proc/self/ns/mnt'))"

    done = subprocess.run(
        wrapped("bwrap", [sys.executable, "-I", "-S", "-c", code], seen),
        capture_output=True,
        text=True,
        check=False,
    )

    holds = done.returncode == 0 and done.stdout.strip() != wrapping.outside()
    assert wrapping._works("bwrap") == holds
