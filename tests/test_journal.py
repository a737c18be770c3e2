"""The journal: what it holds, how it is read, and what it does when the disk will not."""

from __future__ import annotations

import asyncio
import json
import os
import random
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from awaiting import PATIENCE, soon

from llmport_magic.errors import StoreError
from llmport_magic.log.events import Event, Kind
from llmport_magic.log.journal import Journal, new_session
from llmport_magic.log.lines import encode
from llmport_magic.log.reader import read_session, sessions
from llmport_magic.secrets import Secret


def event(text: str = "hello", kind: Kind = Kind.NOTE, run: str = "run", **data: object) -> Event:
    """Make an event."""
    return Event(kind=kind, run=run, module="circle", provider="mock", text=text, data=data)


def texts(directory: Path) -> list[str]:
    """Give the texts of all sessions."""
    return [each.text for path in sessions(directory) for each in read_session(path)[0]]


async def test_an_event_reads_back_as_it_was(tmp_path: Path) -> None:
    """Every field of an event survives the journal (S0-31)."""
    journal = Journal(tmp_path)
    written = event(usage={"prompt_tokens": 3}, verdict={"findings": ["a"]}, cost=None)

    assert await journal.append(written, commit=True) is None

    assert read_session(journal.path) == ([written], [])
    assert journal.path.parent == tmp_path / ".llmport" / "journal"


@pytest.mark.parametrize(
    "text",
    [
        "\0",
        "\ud800",
        "\udfff\ud800",
        "\u2028\u2029\x85\x0c\x1c",
        "🎈ü",
        '"\\\r\n{"v":1,"seq":9',
        "",
    ],
)
def test_every_text_round_trips(tmp_path: Path, text: str) -> None:
    """NUL, lone surrogates, odd line ends and quotes read back to the letter (S0-33)."""
    journal = Journal(tmp_path)
    journal.append_sync(event(text, key=text))

    (read,), problems = read_session(journal.path)

    assert (read.text, read.data, problems) == (text, {"key": text}, [])
    assert journal.path.read_bytes().count(b"\n") == 1


def test_what_json_cannot_hold_is_kept_as_text(tmp_path: Path) -> None:
    """An event with any Python value in it is written."""
    journal = Journal(tmp_path)
    journal.append_sync(event(a=float("nan"), b={1: (2, Path("x"))}, c={"s"}))

    (read,), _ = read_session(journal.path)

    assert read.data["a"] == "nan"
    assert read.data["c"] == ["s"]
    assert read.data["b"]["1"][0] == 2


async def test_a_commit_is_on_disk_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A committed event is synced, a part is not, and the loop goes on meanwhile (S0-31)."""
    journal, synced = Journal(tmp_path), list[bool]()
    begun, gone_on = threading.Event(), threading.Event()
    journal.append_sync(event("first"))
    real, first = os.fsync, journal.path.stat()

    def slow(descriptor: int) -> None:
        if not os.path.samestat(os.fstat(descriptor), first):  # what another test left running
            return real(descriptor)
        begun.set()
        synced.append(gone_on.wait(PATIENCE))
        return real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)

    async def go_on() -> None:
        await soon(begun.is_set)
        gone_on.set()

    task = asyncio.create_task(go_on())
    await journal.append(event("part", Kind.PART), commit=False)
    assert synced == []
    await journal.append(event("prompt", Kind.PROMPT), commit=True)
    await task

    assert synced == [True]


def test_secrets_never_reach_the_disk(tmp_path: Path) -> None:
    """No spelling of a key is in a line or a long text, and the lines stay whole (X-07)."""
    key = 'hunter"2\\secret-value-0123456789'
    Secret(key)
    journal = Journal(tmp_path)
    journal.append_sync(event(f"my key is {key}!", messages=[{"content": key, key: 1}]))
    journal.append_sync(event("sk-abcdefghijklmnop1234567890\u00fc" + key[-8:]))
    journal.append_sync(event("x" * 999_990 + key + "y" * 300_000))
    journal.close()

    read, problems = read_session(journal.path)

    assert (len(read), problems) == (3, [])
    everything = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    for spelling in (key, json.dumps(key)[1:-1], key[-8:], "sk-abcdef"):
        assert spelling.encode() not in everything
    assert "my key is" in read[0].text


def test_a_long_text_lies_in_its_own_file(tmp_path: Path) -> None:
    """A long answer is stored by its hash, and a damaged one is reported (S0-33)."""
    text = "ü\ud800x" * 200_000
    journal = Journal(tmp_path)
    journal.append_sync(event(text))

    assert journal.path.stat().st_size < 1000
    assert read_session(journal.path)[0][0].text == text
    assert read_session(journal.path, blobs=False)[0][0].text == ""

    (blob,) = (journal.path.parent / "blobs").iterdir()
    blob.write_bytes(b"other")
    (read,), problems = read_session(journal.path)
    assert read.text == ""
    assert "damaged" in problems[0]


@pytest.mark.skipif(os.name == "nt", reason="POSIX file modes")
def test_only_the_user_can_read_it(tmp_path: Path) -> None:
    """Files are 0600 and folders 0700 under any umask (S0-33)."""
    old = os.umask(0)
    try:
        Journal(tmp_path).append_sync(event("x" * 300_000))
    finally:
        os.umask(old)

    home = tmp_path / ".llmport"
    for path in [home, *home.rglob("*")]:
        expected = 0o700 if path.is_dir() else 0o600
        if path.name != ".gitignore":
            assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_a_journal_cut_anywhere_keeps_whole_events(tmp_path: Path) -> None:
    """At every byte offset each whole event is read and none is invented (S0-33)."""
    journal = Journal(tmp_path)
    for n in range(4):
        journal.append_sync(event(f"ü{n}", n=n))
    data = journal.path.read_bytes()
    whole, _ = read_session(journal.path)
    ends = [i + 1 for i, byte in enumerate(data) if byte == 10]

    for cut in range(len(data) + 1):
        journal.path.write_bytes(data[:cut])
        read, problems = read_session(journal.path)
        assert read == whole[: sum(end <= cut for end in ends)]
        assert bool(problems) == (cut not in {0, *ends})


def test_the_owner_mends_a_torn_end(tmp_path: Path) -> None:
    """Going on with a session cuts half a line off, keeps it as `.torn`, and counts on (X-09)."""
    journal = Journal(tmp_path)
    for n in range(3):
        journal.append_sync(event(f"{n}"))
    data = journal.path.read_bytes()
    journal.close()
    journal.path.write_bytes(data[:-7])
    torn = data.splitlines(keepends=True)[2][:-7]

    again = Journal(tmp_path, session=journal.session)
    again.append_sync(event("next"))

    read, problems = read_session(again.path)
    assert ([each.text for each in read], problems) == (["0", "1", "next"], [])
    assert again.path.with_suffix(".torn").read_bytes() == torn
    assert b'"seq":3,' in again.path.read_bytes()


def test_a_foreign_torn_end_is_reported_and_left(tmp_path: Path) -> None:
    """Only its owner changes a journal; others report what they skip."""
    journal = Journal(tmp_path)
    journal.append_sync(event())
    torn = journal.path.read_bytes()[:-3]
    journal.path.write_bytes(torn)

    Journal(tmp_path).append_sync(event("mine"))

    assert read_session(journal.path)[1] == [f"`{journal.path.name}`, line 1: cut off"]
    assert journal.path.read_bytes() == torn
    assert len(sessions(tmp_path)) == 2


def test_flipped_bits_cost_the_lines_they_hit(tmp_path: Path) -> None:
    """Random damage is reported by line, the other lines are kept, nothing is raised (S0-33)."""
    chance = random.Random(5)
    events = [event(f"text {n}", n=n) for n in range(20)]
    lines = [encode(each, seq=n + 1, mono=n) for n, each in enumerate(events)]
    path = tmp_path / f"{new_session()}.jsonl"
    for _ in range(400):
        data = bytearray(b"".join(lines))
        hit = set()
        for _ in range(chance.randint(1, 5)):
            at = chance.randrange(len(data))
            data[at] ^= 1 << chance.randrange(8)
            hit.add(bytes(b"".join(lines))[:at].count(b"\n"))
        path.write_bytes(data)

        read, problems = read_session(path)

        kept = {each.id for each in read}
        # A flip in a line end may also hide where the next line begins, never what it holds.
        assert {each.id for n, each in enumerate(events) if n not in hit} <= kept
        assert all(each in events for each in read)
        assert problems or len(read) == len(events)


def test_a_newer_journal_is_read_only(tmp_path: Path) -> None:
    """A session that a later version wrote is reported and never written to (S0-33)."""
    journal = Journal(tmp_path)
    journal.append_sync(event())
    journal.close()
    newer = journal.path.read_bytes().replace(b'{"v":1,', b'{"v":2,')
    journal.path.write_bytes(newer)

    assert "newer" in read_session(journal.path)[1][0]
    with pytest.raises(StoreError, match="newer"):
        Journal(tmp_path, session=journal.session).append_sync(event())
    assert journal.path.read_bytes() == newer


# In a process of its own: a fork of the tests' own would have their threads' locks, and no threads.
_FORKING = """
import multiprocessing, sys
from llmport_magic.log.events import Event, Kind
from llmport_magic.log.journal import Journal

def append(text):
    journal.append_sync(Event(kind=Kind.NOTE, run="r", text=text))

def append_in_child():
    append("child")
    journal.close()

journal = Journal(sys.argv[1])
append("parent")
child = multiprocessing.get_context("fork").Process(target=append_in_child)
child.start()
child.join()
sys.exit(child.exitcode)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_writes_nothing(tmp_path: Path) -> None:
    """A child of the kernel does not write into its parent's journal (S0-33)."""
    command = [sys.executable, "-c", _FORKING, str(tmp_path)]

    assert subprocess.run(command, check=False, timeout=PATIENCE).returncode == 0
    assert texts(tmp_path) == ["parent"]


def test_order_is_that_of_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that jumps does not change the order of a session's events."""
    journal = Journal(tmp_path)
    for n, jump in enumerate([0, -86400, 315e6]):
        at = time.time() + jump
        journal.append_sync(Event(kind=Kind.NOTE, run="r", text=f"{n}", ts=at))

    assert texts(tmp_path) == ["0", "1", "2"]


async def test_a_cancel_that_comes_with_the_end_of_a_write_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted just when an event is on disk, its writer is cancelled all the same (S0-39)."""
    shield = asyncio.shield

    def ending(done: asyncio.Future[None]) -> asyncio.Future[None]:
        outer = shield(done)
        # The first to be told of the end: the writer has not gone on yet.
        outer.add_done_callback(lambda _: writing.cancel())
        return outer

    monkeypatch.setattr(asyncio, "shield", ending)
    journal = Journal(tmp_path)
    writing = asyncio.create_task(journal.append(Event(kind=Kind.PROMPT, run="r", text="x")))
    with pytest.raises(asyncio.CancelledError):
        await writing

    journal.close()


async def test_two_cells_at_once_do_not_mix(tmp_path: Path) -> None:
    """Events of two runs at once are whole lines, and each run's order is kept (S0-31)."""
    journal = Journal(tmp_path)

    async def run(name: str) -> None:
        for n in range(25):
            await journal.append(event(f"{n}", run=name), commit=n % 5 == 0)

    await asyncio.gather(run("a"), run("b"))

    read, problems = read_session(journal.path)
    assert problems == []
    for name in "ab":
        assert [each.text for each in read if each.run == name] == [f"{n}" for n in range(25)]


def test_an_answer_without_an_end_is_found(tmp_path: Path) -> None:
    """After a kill all that had arrived of an answer is there, without an end of it (S0-31)."""
    journal = Journal(tmp_path)
    for attempt, kinds in enumerate([(Kind.PROMPT, Kind.PART, Kind.RESPONSE), (Kind.PROMPT,)]):
        for kind in kinds:
            journal.append_sync(event(f"{kind}", kind, attempt=attempt))
    for text in ("def", " f"):
        journal.append_sync(event(text, Kind.PART, attempt=1), commit=False)

    read, _ = read_session(journal.path)

    left = [each for each in read if each.data["attempt"] == 1]
    assert [each.kind for each in left] == [Kind.PROMPT, Kind.PART, Kind.PART]
    assert "".join(each.text for each in left[1:]) == "def f"


_WRITER = """
import sys, itertools
from llmport_magic.log.events import Event, Kind
from llmport_magic.log.journal import Journal
journal = Journal(sys.argv[1])
for n in range(int(sys.argv[2])) if sys.argv[2] != "0" else itertools.count():
    journal.append_sync(Event(kind=Kind.NOTE, run="r", text=f"{n} " + "x" * (n % 50) * 100))
    print(n, flush=True)
"""


def test_four_processes_lose_nothing(tmp_path: Path) -> None:
    """Four kernels that write at once keep every event of each (S0-33)."""
    command = [sys.executable, "-c", _WRITER, str(tmp_path), "100"]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(PATIENCE) for process in running] == [0] * 4

    found = [read_session(path) for path in sessions(tmp_path)]

    assert [(len(events), problems) for events, problems in found] == [(100, [])] * 4


def test_a_killed_kernel_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """After `kill -9` at any moment every acknowledged event is readable (S0-33)."""
    chance = random.Random(3)
    for kill in range(12):
        place = tmp_path / str(kill)
        command = [sys.executable, "-c", _WRITER, str(place), "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.random() * 0.05)
            process.kill()
            acknowledged = sum(line.endswith("\n") for line in process.stdout) + 1

        (path,) = sessions(place)
        read, problems = read_session(path)

        assert len(read) >= acknowledged
        assert [int(each.text.split()[0]) for each in read] == list(range(len(read)))
        assert len(problems) <= 1
