"""Limits that kernels share: one file, one line of kernels, never more than the limit."""

from __future__ import annotations

import asyncio
import heapq
import json
import sqlite3
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sharing import one

from llmport_magic.errors import ConfigError
from llmport_magic.llm import shared_limits
from llmport_magic.llm.limits import Limiter, RateLimits, TooLongError, charge, seconds_each
from llmport_magic.llm.shared_limits import SharedBuckets

_names = count()
# How late a kernel may be to take what was its turn.
LATE = 0.3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder for the files of a test."""
    return tmp_path


def never_above(sent: list[float], per_minute: float) -> None:
    """Check every window between two requests, and so every window of a minute."""
    each = 60 / 0.99 / per_minute
    for index, begin in enumerate(sent):
        for apart, end in enumerate(sent[index:]):
            assert end - begin >= apart * each - LATE - 1e-4
    for index in range(len(sent) - int(per_minute)):
        assert sent[index + int(per_minute)] - sent[index] >= 60


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kernels=st.integers(1, 5),
    per_minute=st.integers(1, 40),
    late=st.lists(st.floats(0, 2), min_size=1, max_size=20),
    leaving=st.sets(st.integers(0, 60), max_size=10),
)
def test_no_minute_holds_more_than_the_limit(
    folder: Path, kernels: int, per_minute: int, late: list[float], leaving: set[int]
) -> None:
    """However late kernels look, and whoever leaves, no 60 s hold more than N (S1-09)."""
    clock = SimpleNamespace(now=1_000.0)
    account, wanted = f"account {next(_names)}", one(per_minute)
    opened = [SharedBuckets(account, folder, lambda: clock.now) for _ in range(kernels)]
    sent: list[float] = []
    looks = [(clock.now, number) for number in range(kernels)]
    for step in range(40 + 2 * per_minute):
        clock.now, number = heapq.heappop(looks)
        waits = opened[number]._attempt(wanted)
        if not any(waits):
            sent.append(clock.now)
        elif step in leaving:
            opened[number]._leave()
        soon = clock.now + min(max(waits), 1.0)
        heapq.heappush(looks, (soon + late[step % len(late)] ** 4 / 10, number))
    for each in opened:
        each.close()

    assert sent
    never_above(sent, per_minute)


def test_kernels_take_turns(folder: Path) -> None:
    """Four kernels that always want to ask are let through in turn, with nothing left unused."""
    clock, wanted, sent = SimpleNamespace(now=0.0), one(60), []
    opened = [SharedBuckets("a", folder, lambda: clock.now) for _ in range(4)]
    for turn in range(40):
        for _ in range(50):
            for number, kernel in enumerate(opened):
                if not any(kernel._attempt(wanted)):
                    sent.append((clock.now, number))
            clock.now += 0.02
        assert len(sent) >= turn
    order = [number for _, number in sent]

    assert order[4:36] == order[0:32]
    assert sorted(order[:4]) == [0, 1, 2, 3]
    assert len(sent) >= 0.98 * 40


def test_a_kernel_that_is_gone_is_passed_over(folder: Path) -> None:
    """The place of a kernel that was killed is given up a second after its turn."""
    clock, wanted = SimpleNamespace(now=0.0), one(60)
    first, gone, last = (SharedBuckets("a", folder, lambda: clock.now) for _ in range(3))
    assert not any(first._attempt(wanted))
    assert any(gone._attempt(wanted))
    assert any(last._attempt(wanted))

    clock.now = 1.6
    assert any(last._attempt(wanted)), "the other may still come"
    clock.now = 1.8
    assert not any(last._attempt(wanted))
    # The one that was gone comes back, at the end of the line.
    assert max(gone._attempt(wanted)) == pytest.approx(60 / 0.99 / 60 - LATE)


def test_who_leaves_lets_the_others_move_up(folder: Path) -> None:
    """A kernel whose calls were cancelled takes no place, and what it gives back is there."""
    clock, wanted = SimpleNamespace(now=0.0), one(2)
    first, leaving, last = (SharedBuckets("a", folder, lambda: clock.now) for _ in range(3))
    first._attempt(wanted)
    leaving._attempt(wanted)
    assert max(last._attempt(wanted)) == pytest.approx(60 / 0.99 - LATE)

    leaving._leave()
    assert max(last._attempt(wanted)) == pytest.approx(30 / 0.99 - LATE)
    first._correct((-30 / 0.99, 0.0))
    assert last._attempt(wanted) == (0, 0)


def test_tokens_of_another_kernel_count_and_come_back(folder: Path) -> None:
    """Who waits for tokens sees that another kernel's answer was short (S1-09)."""
    clock, limits = SimpleNamespace(now=0.0), RateLimits(tokens_per_minute=6_000)
    first, second = (SharedBuckets("a", folder, lambda: clock.now) for _ in range(2))
    wanted = charge(limits, 6_000, shared=True)
    first._attempt(wanted)
    assert second._attempt(wanted)[1] == pytest.approx(60 / 0.99 - LATE)

    first._correct((0.0, -5_000 * seconds_each(limits, shared=True)))

    assert second._attempt(wanted)[1] == pytest.approx(10 / 0.99 - LATE)


def test_a_state_from_before_a_reboot_starts_afresh(folder: Path) -> None:
    """The machine's clock begins anew with it: an old file makes nobody wait for hours."""
    before, after = SimpleNamespace(now=50_000.0), SimpleNamespace(now=3.0)
    old = SharedBuckets("a", folder, lambda: before.now)
    for _ in range(20):
        old._attempt(one(2))
    old._correct((5_000.0, 5_000.0))
    old.close()

    new = SharedBuckets("a", folder, lambda: after.now)

    assert new._attempt(one(2)) == (0, 0)
    assert max(new._attempt(one(2))) < 31


def test_a_file_that_was_tidied_away_is_made_anew(folder: Path) -> None:
    """A kernel does not go on with a file that the others no longer see."""
    old, wanted = SharedBuckets("a", folder), one(2)
    old._attempt(wanted)
    for file in folder.glob("limits-*"):
        file.unlink()

    new = SharedBuckets("a", folder)
    assert not any(new._attempt(wanted))

    assert any(old._attempt(wanted)), "it sees what the other has taken"


async def test_disk_work_is_done_in_threads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is never touched on the loop's own thread."""
    threads: set[int] = set()
    real = shared_limits._forget_before_reboot

    def noted(database: sqlite3.Connection, now: float) -> None:
        threads.add(threading.get_ident())
        real(database, now)

    monkeypatch.setattr(shared_limits, "_forget_before_reboot", noted)
    buckets = SharedBuckets("a", folder)
    limiter = Limiter(buckets)
    await limiter.admit(one(6_000, 100, tokens_per_minute=100_000), 30)
    limiter.settle(0.0, -0.01)
    await limiter.admit(one(1), 30)
    with pytest.raises(TooLongError):
        await limiter.admit(one(1), 30)
    await asyncio.gather(*buckets._corrections)

    assert threads
    assert threading.get_ident() not in threads


def test_a_broken_file_is_an_error(folder: Path) -> None:
    """A file that is no database is named, with what to do."""
    buckets = SharedBuckets("a", folder)
    (folder / buckets._file).write_bytes(b"something else, and long enough to be read" * 50)

    with pytest.raises(ConfigError, match=r"limits-\w+\.sqlite3.*delete that file"):
        buckets._attempt(one(2))


KERNEL = """
import asyncio, json, sys
from pathlib import Path
from llmport_magic import bridge
from llmport_magic.llm.limits import Limiter, RateLimits, charge
from llmport_magic.llm.shared_limits import SharedBuckets
import time

folder, per_minute, each = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
sent, seen = [], []

def clock():
    seen.append(time.monotonic())
    return seen[-1]

class Noting(SharedBuckets):
    def now(self):
        return time.monotonic()
    def _attempt(self, wanted):
        waits = super()._attempt(wanted)
        if not any(waits):
            sent.append(seen[-1])
        return waits

async def main():
    limiter = Limiter(Noting("account", folder, clock))
    wanted = charge(RateLimits(per_minute), 0, shared=True)
    async def work():
        for _ in range(each):
            await limiter.admit(wanted, 600)
    await asyncio.gather(*(work() for _ in range(3)))

print("ready", flush=True)
sys.stdin.readline()
bridge.run(main())
print(json.dumps(sent))
"""


def test_four_processes_never_get_more_than_the_limit(folder: Path) -> None:
    """Four kernels on one limit: by the file's own times no window holds more (S1-09)."""
    per_minute = 1_200
    command = [sys.executable, "-c", KERNEL, str(folder), str(per_minute), "10"]
    kernels = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for kernel in kernels:
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == "ready\n"
    for kernel in kernels:
        assert kernel.stdin is not None
        kernel.stdin.write("go\n")
        kernel.stdin.flush()
    told = [kernel.communicate(timeout=200)[0] for kernel in kernels]
    by_kernel = [json.loads(text) for text in told]

    assert all(kernel.returncode == 0 for kernel in kernels)
    assert [len(sent) for sent in by_kernel] == [30] * 4
    never_above(sorted(moment for sent in by_kernel for moment in sent), per_minute)
