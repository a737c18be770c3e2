"""Kept answers on the road from a prompt to a module: given again, and never a wrong one twice."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback, streamed
from scripted import BETTER, GOOD, PROMPT, fenced

from llmport_magic import configure, llmport, update
from llmport_magic import session as sessions
from llmport_magic.errors import ConfigError, LLMOutputError, VerificationError
from llmport_magic.llm.cache import answers_folder
from llmport_magic.llm.registry import close_connectors

BAD = fenced("def area(radius):\n    return 0\n")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Loopback) -> Iterator[Path]:
    """Work in folders of their own, with answers kept."""
    monkeypatch.chdir(tmp_path)
    sessions.close_session()
    configure(provider="local", base_url=server.url, model="m", cache=True)
    yield tmp_path
    sessions.close_session()
    from llmport_magic import bridge

    bridge.run(close_connectors())


def make(where: str, **given: Any) -> Any:
    """Write the module of one prompt into a folder."""
    Path(where).mkdir(exist_ok=True)
    sys.modules.pop("circle", None)
    return llmport("circle", PROMPT, module_dir=where, **given)


def responses(where: str) -> list[dict[str, Any]]:
    """Read what the journal says of the answers."""
    lines = [
        json.loads(line)
        for path in sorted(Path(where).glob(".llmport/journal/*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    return [line["body"]["data"] for line in lines if line["kind"] == "RESPONSE"]


def test_the_same_prompt_in_another_folder_asks_nobody(server: Loopback) -> None:
    """A module is made of a kept answer, which costs no tokens and is marked in the log (S3-62)."""
    server.script(streamed(fenced(GOOD)))

    first = make("a")
    second = make("b")

    assert first.area(1) == second.area(1)
    assert len(server.requests) == 1
    totals = sessions.session().totals
    assert (totals.calls, totals.cached_calls, totals.total_tokens) == (1, 1, 10)
    assert "cached" not in responses("a")[0]
    (logged,) = responses("b")
    assert logged["cached"] is True
    assert (logged["cost"], logged["cost_source"]) == (0.0, "cached")
    assert logged["usage"]["total_tokens"] == 10


def test_asking_again_takes_no_kept_answer(server: Loopback) -> None:
    """`overwrite`, as `--regenerate`, always asks, and one call may leave the cache out (S3-62)."""
    server.always(streamed(fenced(GOOD)))

    make("a")
    make("a", overwrite=True)
    assert len(server.requests) == 2
    make("b", overwrite=True, cache=True)
    assert len(server.requests) == 3
    make("c", cache=False)
    assert len(server.requests) == 4
    make("d")
    assert len(server.requests) == 4


def test_a_module_that_fails_is_not_made_again_of_the_same_answer(server: Loopback) -> None:
    """What did not pass its examples is forgotten, so that each run asks anew (S3-62)."""
    # It raises: answers that agreed on a value would doubt the example, and end the run.
    raises = fenced("def area(radius):\n    raise ValueError(radius)\n")
    server.script(*[streamed(raises)] * 3, streamed(fenced(GOOD)))

    with pytest.raises(VerificationError):
        make("a", tries=3)
    # The third asked with the words of the first, and got an answer of its own.
    assert len(server.requests) == 3
    assert not list(answers_folder().glob("*.json"))
    assert make("b").area(0) == 0

    assert len(server.requests) == 4


def test_an_answer_without_a_module_is_forgotten(server: Loopback) -> None:
    """A chat in the place of a module is not given again."""
    server.script(streamed("I would rather not."), streamed(fenced(GOOD)))

    with pytest.raises((LLMOutputError, VerificationError)):
        make("a", tries=1)
    make("b")

    assert len(server.requests) == 2


def test_a_repair_is_given_again_only_with_the_answer_that_it_repairs(server: Loopback) -> None:
    """The second try is another request, and its answer stays where the module passes."""
    server.script(streamed(BAD), streamed(fenced(GOOD)), streamed(fenced(GOOD)))

    make("a")
    assert len(server.requests) == 2
    make("b")

    # The first answer was forgotten; the new one passes at once.
    assert len(server.requests) == 3
    assert len(list(answers_folder().glob("*.json"))) == 2


def test_an_update_of_changed_code_asks(server: Loopback) -> None:
    """The same words about other code are another request (S3-62)."""
    changed = GOOD.replace("Area of a circle", "The area")
    server.script(streamed(fenced(GOOD)), streamed(fenced(BETTER)), streamed(fenced(BETTER)))
    make("a")
    make("b")
    update("circle", "Add sectors.", module_dir="b")
    assert len(server.requests) == 2

    sessions.close_session()
    sys.modules.pop("circle")
    Path("c").mkdir()
    (Path("c") / "circle.py").write_text(changed)
    update("circle", "Add sectors.", module_dir="c")

    assert len(server.requests) == 3
    assert "The area" in json.dumps(server.requests[2].json["messages"])


def test_an_answer_that_may_pass_the_budget_is_not_asked_for(server: Loopback) -> None:
    """A first request longer than the cell's budget is refused with both numbers (S3-61)."""
    with pytest.raises(ConfigError) as refused:
        make("a", budget_tokens=2000)

    for part in ("nothing was sent", "4,096 tokens", "`max_tokens`", "2,000", "argument"):
        assert part in str(refused.value)
    assert not server.requests

    server.script(streamed(fenced(GOOD)))
    assert make("a", budget_tokens=2000, max_tokens=2000).area(0) == 0
    assert server.requests[0].json["max_tokens"] == 2000
