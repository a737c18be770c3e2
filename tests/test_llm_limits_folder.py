"""The folder in which kernels share limits: what calls put there, and where it must not be."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from asking import KEY, asking
from loopback import Loopback, reply
from sharing import one

from llmport_magic import bridge
from llmport_magic.errors import ConfigError
from llmport_magic.llm import admission, shared_limits
from llmport_magic.llm.limits import RateLimits
from llmport_magic.llm.shared_limits import SharedBuckets, runtime_folder


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the tests' files out of the user's own run-time folder."""
    place = tmp_path / "run"
    place.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    admission._limiters.clear()
    yield
    for limiter in admission._limiters.values():
        getattr(limiter._buckets, "close", lambda: None)()
    admission._limiters.clear()


async def test_calls_share_the_limit_through_the_file(server: Loopback, tmp_path: Path) -> None:
    """`shared_limits` puts the account's line into a file whose name holds no key (S1-09)."""
    server.always(reply())
    # Half a second between calls; the minute of the bucket would be more than a call may take.
    llm = asking(
        server,
        api_key=KEY,
        rate_limits=RateLimits(120),
        shared_limits=True,
        provider="mine",
        timeout_ms=30_000,
    )
    begun = time.monotonic()

    for _ in range(3):
        await llm.complete("q")

    (file,) = (tmp_path / "run" / "llmport_magic").glob("*.sqlite3")
    with closing(sqlite3.connect(file)) as database:
        (full,) = database.execute("SELECT requests FROM account").fetchone()
    assert full - begun >= 3 * 0.5
    assert KEY not in file.name
    assert KEY.encode() not in file.read_bytes()
    assert "mine" not in file.name
    assert (file.parent.stat().st_mode & 0o777) == 0o700


async def test_a_cancelled_call_leaves_the_shared_line(server: Loopback) -> None:
    """A call that is cancelled while it waits for other kernels takes nobody's place."""
    server.always(reply())
    llm = asking(server, rate_limits=RateLimits(1), shared_limits=True)
    await llm.complete("q")
    (limiter,) = admission._limiters.values()
    buckets = limiter._buckets
    assert isinstance(buckets, SharedBuckets)
    waiting = asyncio.ensure_future(llm.complete("q"))
    await _standing(buckets, 1)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await _standing(buckets, 0)


async def _standing(buckets: SharedBuckets, count: int) -> None:
    """Wait until the line of kernels has so many places."""

    def places() -> int:
        with buckets._transaction() as (database, _):
            (found,) = database.execute("SELECT count(*) FROM line").fetchone()
        return int(found)

    while await asyncio.to_thread(places) != count:  # noqa: ASYNC110 - a file tells nobody
        await asyncio.sleep(0.01)


def _unfit_link(place: Path) -> None:
    (place / "elsewhere").mkdir(mode=0o700)
    (place / "folder").symlink_to(place / "elsewhere")


def _unfit_open(place: Path) -> None:
    (place / "folder").mkdir()
    (place / "folder").chmod(0o755)


def _unfit_file(place: Path) -> None:
    (place / "folder").write_text("no folder")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_unfit_link, "is a link, or no folder"),
        (_unfit_open, "is open to others"),
        (_unfit_file, "File exists"),
    ],
)
def test_an_unfit_folder_is_an_error_and_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object, says: str
) -> None:
    """A link, a folder that others read, a file in its place: one line, and nothing is written."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shared_limits, "_FOLDER", "folder")
    monkeypatch.setattr(Path, "home", lambda: Path("/nowhere"))
    make(tmp_path)  # type: ignore[operator]
    (tmp_path / "folder").rename(tmp_path / f"folder-{os.getuid()}")

    with pytest.raises(ConfigError, match=says) as caught:
        SharedBuckets("a")._attempt(one(2))

    assert "`shared_limits` to false" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("limits-*"))


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that another user made beforehand is not trusted."""
    place = tmp_path / "other"
    place.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: 12_345)

    assert shared_limits._why_unfit(place) == "belongs to somebody else"


def test_a_home_or_another_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locks do not hold on file systems of other machines, as homes often are."""
    place = tmp_path / "run time"
    place.mkdir(mode=0o700)
    mounts = tmp_path / "mounts"
    line = "36 35 98:0 / {} rw,noatime master:1 - {} server:/export rw\n"
    escaped = str(place).replace(" ", "\\040")
    mounts.write_text(line.format("/", "ext4") + line.format(escaped, "nfs4"))
    monkeypatch.setattr(shared_limits, "_MOUNTS", mounts)
    monkeypatch.setattr(Path, "home", lambda: Path("/nowhere"))
    assert shared_limits._why_unfit(place) == "is on another machine (nfs4)"

    mounts.write_text(line.format("/", "ext4"))
    assert shared_limits._why_unfit(place) is None
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert shared_limits._why_unfit(place) == "is in a home directory"


def test_the_variable_is_used_only_where_it_names_a_folder_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run-time folder that is open to others is passed over for the temporary one."""
    monkeypatch.setattr(Path, "home", lambda: Path("/nowhere"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert runtime_folder() == tmp_path / "run" / "llmport_magic"
    (tmp_path / "run").chmod(0o777)

    assert runtime_folder() == tmp_path / f"llmport_magic-{os.getuid()}"
    assert (runtime_folder().stat().st_mode & 0o777) == 0o700


async def test_an_unusable_folder_is_an_error_of_the_call(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where kernels cannot share, a call fails before it is sent, and never counts by itself."""
    server.always(reply())
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    llm = asking(server, rate_limits=RateLimits(60), shared_limits=True)

    for _ in range(2):
        with pytest.raises(ConfigError, match="kernels cannot share limits in"):
            await llm.complete("q")
    assert server.requests == []


def test_a_forked_child_begins_anew() -> None:
    """A child does not use the parent's open file, nor close it."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    limiter = admission.limiter_for("forked", shared=True)
    bridge.run(limiter.admit(one(600), 60))
    child = os.fork()
    if not child:
        ours = admission.limiter_for("forked", shared=True)
        os._exit(0 if ours is not limiter else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    bridge.run(limiter.admit(one(600), 60))
