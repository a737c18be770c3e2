"""How long answers are kept, and how much room they may take."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from asking import asking
from keeping import files, forget_memory
from loopback import Loopback, reply

from llmport_magic.llm import cache
from llmport_magic.llm.cache import Answer, KeptAnswers, answers_folder
from llmport_magic.llm.reply import Chunk


async def test_an_old_answer_is_asked_for_again(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer is given for `cache_seconds`, in memory and from disk, and then replaced."""
    server.script(reply("old"), reply("new"))
    llm = asking(server, cache=True, cache_seconds=100)
    now = time.time()
    monkeypatch.setattr(cache.time, "time", lambda: now)
    await llm.call("q")

    monkeypatch.setattr(cache.time, "time", lambda: now + 99)
    assert (await llm.call("q")).content == "old"
    forget_memory()
    assert (await asking(server, cache=True, cache_seconds=100).call("q")).content == "old"
    monkeypatch.setattr(cache.time, "time", lambda: now + 101)
    assert (await llm.call("q")).content == "new"
    assert (await llm.call("q")).content == "new"

    assert len(files()) == 1


async def test_the_longest_unused_answers_go_first(server: Loopback) -> None:
    """What is more than `cache_megabytes` is deleted, and what was used last stays."""
    server.always(lambda _: reply("x" * 1000))
    llm = asking(server, cache=True, cache_megabytes=0.004)
    keys = []
    for number in range(3):
        response = await llm.call(f"q{number}")
        keys.append(response.metadata["cache_key"])
        path = answers_folder() / f"{keys[-1]}.json"
        os.utime(path, (number + 1, path.stat().st_mtime))

    await llm.call("q0")  # used again, so that `q1` is the longest unused
    await llm.call("q3")

    assert not (answers_folder() / f"{keys[1]}.json").exists()
    assert (answers_folder() / f"{keys[0]}.json").exists()
    assert sum(path.stat().st_size for path in files()) <= 4000


def test_the_limit_holds_for_many_answers(tmp_path: Path) -> None:
    """The folder stays within its limit and a hundredth, however many answers are kept."""
    answers = KeptAnswers(tmp_path / "answers")
    limit = 0.05

    for number in range(300):
        text = "x" * (100 + number)
        answer = Answer(cache.FORMAT, f"{number:064x}", time.time(), Chunk(text=text))
        assert answers.keep(answer, 1000, limit)
        assert answers.size()[1] <= limit * 1.01e6 + 1000


async def test_an_answer_larger_than_the_limit_is_not_kept(server: Loopback) -> None:
    """One answer cannot push out everything else."""
    server.always(lambda _: reply("x" * 5000))
    llm = asking(server, cache=True, cache_megabytes=0.001)

    response = await llm.call("q")

    assert "cache_key" not in response.metadata
    assert not files()
