"""Kept answers on disk: who can read them, spoilt files, and processes that write at once."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from asking import KEY, asking, pieces_of
from keeping import files, forget_memory
from loopback import Loopback, reply
from loopback import streamed as stream_of

from llmport_magic.llm import cache
from llmport_magic.llm.cache import answers_folder, clear_cache, kept_answers


@pytest.mark.skipif(os.name == "nt", reason="modes are of POSIX")
async def test_only_the_user_can_read_what_is_kept(server: Loopback) -> None:
    """The folder is 0700 and its files 0600, and a file holds no word of the prompt (S3-62)."""
    server.script(reply("answer"))
    await asking(server, cache=True, api_key=KEY).call("the secret plan")

    (path,) = files()
    assert stat.S_IMODE(answers_folder().stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert json.loads(text)["chunk"]["text"] == "answer"
    assert "secret plan" not in text
    assert KEY not in text


@pytest.mark.parametrize("said", [f"your key is {KEY}", "sk-" + "a1B2" * 8])
async def test_what_looks_like_a_key_is_not_written(server: Loopback, said: str) -> None:
    """An answer with a key, known or not, is neither kept nor changed by being kept (S3-62)."""
    half = len(said) // 2
    server.always(stream_of(said[:half], said[half:]))
    llm = asking(server, cache=True, api_key=KEY)

    await pieces_of(llm)
    await pieces_of(llm)

    assert len(server.requests) == 2
    assert not files()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _of_other_format(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": cache.FORMAT + 1}))


def _of_other_request(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "key": "0" * 64}))


def _of_the_future(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "created": time.time() + 1e6}))


def _of_wrong_type(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "chunk": {"text": 5}}))


@pytest.mark.parametrize("new_process", [False, True])
@pytest.mark.parametrize(
    "spoil",
    [
        _truncated,
        _of_other_format,
        _of_other_request,
        _of_the_future,
        _of_wrong_type,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff\x00"),
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.unlink(),
    ],
    ids=["cut", "format", "request", "future", "type", "empty", "bytes", "deep", "gone"],
)
async def test_a_file_that_is_not_ours_is_replaced(
    server: Loopback, spoil: Callable[[Path], object], new_process: bool
) -> None:
    """A corrupted, foreign or missing file is no answer; the next one takes its place (S3-62)."""
    server.script(reply("1"), reply("2"))
    llm = asking(server, cache=True)
    await llm.call("q")
    await llm.call("q")
    (path,) = files()

    spoil(path)
    if new_process:
        forget_memory()
        llm = asking(server, cache=True)

    assert (await llm.call("q")).content == "2"
    assert (await llm.call("q")).metadata["cached"] is True
    assert files() == [path]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
async def test_a_link_in_the_place_of_an_answer_is_not_followed(
    server: Loopback, tmp_path: Path
) -> None:
    """A planted link is neither read nor written through, and an answer takes its place."""
    server.script(reply("1"), reply("2"))
    await asking(server, cache=True).call("q")
    (path,) = files()
    target = tmp_path / "target"
    target.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(target)
    forget_memory()
    before = target.read_bytes()

    response = await asking(server, cache=True).call("q")

    assert response.content == "2"
    assert target.read_bytes() == before
    assert not path.is_symlink()
    assert b'"2"' in path.read_bytes()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
async def test_a_folder_that_cannot_be_written_is_told(server: Loopback) -> None:
    """An answer is given also where it cannot be kept, and the user is told why."""
    answers_folder().mkdir(parents=True)
    answers_folder().chmod(0o500)
    server.script(reply("1"))

    with pytest.warns(RuntimeWarning, match="answers cannot be kept"):
        assert (await asking(server, cache=True).call("q")).content == "1"


async def test_a_file_in_the_place_of_the_folder_is_told_once(server: Loopback) -> None:
    """Where no folder can be, each call is a request, and one warning says so."""
    answers_folder().parent.mkdir(parents=True, exist_ok=True)
    answers_folder().write_text("")
    server.always(reply("1"))
    llm = asking(server, cache=True)

    with pytest.warns(RuntimeWarning, match="answers cannot be kept") as told:
        await asyncio.gather(*(llm.call("q") for _ in range(3)))

    assert len([each for each in told if each.category is RuntimeWarning]) == 1
    assert len(server.requests) == 3


async def test_the_cache_is_cleared(server: Loopback) -> None:
    """`clear_cache()` deletes every answer, of other connectors and in memory, too."""
    server.always(reply("1"))
    llm = asking(server, cache=True)
    await llm.call("q")
    await llm.call("r")
    await llm.call("q")
    assert kept_answers().size()[0] == 2

    assert clear_cache() == 2

    assert not files()
    assert kept_answers().size() == (0, 0)
    await llm.call("q")
    assert len(server.requests) == 3


async def test_an_answer_that_another_process_deleted_is_gone(server: Loopback) -> None:
    """What is in memory counts only as long as its file lies there."""
    server.always(reply("1"))
    llm = asking(server, cache=True)
    await llm.call("q")
    await llm.call("q")

    files()[0].unlink()
    await llm.call("q")

    assert len(server.requests) == 2


WRITER = """
import sys, time
from pathlib import Path
from llmport_magic.llm.cache import FORMAT, Answer, KeptAnswers
from llmport_magic.llm.reply import Chunk

answers = KeptAnswers(Path(sys.argv[1]))
bad = 0
for turn in range(150):
    key = f"{turn % 5:064x}"
    text = sys.argv[2] * (turn * 50)
    answers.keep(Answer(FORMAT, key, time.time(), Chunk(text=text)), 1000, 0.03)
    found = answers.find(key, 1000)
    # Another process may have written or deleted it since, but never half of it.
    bad += found is not None and len(set(found.chunk.text)) > 1
sys.exit(bad)
"""


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    """Two processes that keep, find and delete the same answers never read half of one (S3-62)."""
    folder = tmp_path / "answers"
    command = [sys.executable, "-c", WRITER, str(folder)]

    running = [subprocess.Popen([*command, letter]) for letter in "ab"]

    assert [process.wait(200) for process in running] == [0, 0]
    assert not list(folder.glob(".llmport-*"))
