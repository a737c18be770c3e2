"""Many processes write one module, and some are killed: every text stays whole, and one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from awaiting import PATIENCE

from llmport_magic.modules.signing import Signer
from llmport_magic.modules.store import ModuleStore

_WRITER = """
import itertools, os, random, sys
from pathlib import Path
from llmport_magic.errors import ConflictError
from llmport_magic.modules.signing import Signer
from llmport_magic.modules.store import ModuleStore, NewVersion, version_key
folder, who = Path(sys.argv[1]), sys.argv[2]
chance = random.Random(who)
store = ModuleStore(folder, signer=Signer(folder.parent / "key"))
for turn in itertools.count():
    if turn >= 60 and (folder.parent / "enough").exists():
        break
    body = f"WHO = {who!r}\\nTURN = {turn}\\n"
    source = body + f"# {who} {turn}\\n" * 200
    act = chance.random()
    if act < 0.1:  # the user's editor saves
        mine = folder / f".mine-{who}"
        mine.write_text("MINE = 1\\n" + source)
        os.replace(mine, folder / "circle.py")
        continue
    if act < 0.3 and store.versions("circle"):  # a rollback
        version = chance.choice(store.versions("circle"))
    else:
        key = version_key("circle", "", source, {})
        version = store.add(
            NewVersion(name="circle", source=source, key=key, verdict={"by": who}, consented=True)
        )
    try:
        store.write_current(version)
    except ConflictError:
        store.adopt("circle")  # what `--update` does
"""


def _start(folder: Path, who: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "error", "-c", _WRITER, str(folder), who]
    return subprocess.Popen(command)


def _check_file(folder: Path, store: ModuleStore) -> None:
    """The file is one whole text: a stored one, or one that an editor saved."""
    text = store.current_text("circle")
    if text is None or store.by_text("circle", text):
        return
    assert text.startswith("MINE = 1\n")
    assert text.count("\n") == 203
    assert len(set(text.splitlines()[3:])) == 1


def _kill_some(
    folder: Path,
    store: ModuleStore,
    running: dict[str, subprocess.Popen[bytes]],
    chance: random.Random,
) -> int:
    """Watch the writers to their end, kill eight that have written, and let others follow."""
    kills, end = 0, time.monotonic() + 4 * PATIENCE
    while any(process.poll() is None for process in running.values()):
        assert time.monotonic() < end
        _check_file(folder, store)
        time.sleep(chance.uniform(0.01, 0.1))
        written = {(version.verdict or {}).get("by") for version in store.versions("circle")}
        alive = [who for who in running if who in written and running[who].poll() is None]
        if alive and kills < 8 and chance.random() < 0.3:
            who = chance.choice(alive)
            os.kill(running[who].pid, signal.SIGKILL)
            running[who].wait()
            kills += 1
            running[f"{who}k"] = _start(folder, f"{who}k")
        if kills == 8:
            (folder.parent / "enough").touch()
    return kills


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_writers_never_mix_texts(tmp_path: Path, seed: int) -> None:
    """Four processes write, roll back and edit one module; kill -9 leaves it whole (C21)."""
    folder = tmp_path / "work"
    folder.mkdir()
    watching = ModuleStore(folder, signer=Signer(tmp_path / "key"))
    running = {f"{seed}-{n}": _start(folder, f"{seed}-{n}") for n in range(4)}
    try:
        kills = _kill_some(folder, watching, running, random.Random(seed))
        codes = {process.wait() for process in running.values()}
    finally:
        for process in running.values():
            process.kill()

    assert kills == 8
    assert codes <= {0, -signal.SIGKILL}, codes
    third = ModuleStore(folder, signer=Signer(tmp_path / "key"))
    versions = third.versions("circle")
    assert len(versions) > 100
    assert versions == watching.versions("circle")
    records = list((folder / ".llmport" / "modules" / "circle").glob("v*.json"))
    assert len(records) == len(versions)
    assert len({version.number for version in versions}) == len(versions)
    for version in versions:
        lines = version.source.splitlines()
        assert len(set(lines[-200:])) == 1
        assert version.origin == "file" or version.signed
        assert version.origin == "file" or version.verdict == {"by": lines[0].split("'")[1]}
    _check_file(folder, third)
