"""Cells in a real kernel whose provider fails: who is asked then, what is said and written down."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernels import Kernel, kernel
from loopback import CUT, Loopback, event, events, failure, streamed
from scripted import GOOD
from test_kernel import CELL, journal

pytestmark = pytest.mark.kernel
FIRST = "first-key-0123456789abcdef"
SECOND = "second-key-fedcba9876543210"
FENCED = f"```python\n{GOOD}```"


@pytest.fixture
def first() -> Iterator[Loopback]:
    """Serve as the provider that is asked first."""
    with Loopback() as running:
        yield running


@pytest.fixture
def second() -> Iterator[Loopback]:
    """Serve as the provider that is listed in `fallback`."""
    with Loopback() as running:
        yield running


@pytest.fixture
def shell(first: Loopback, second: Loopback, tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel that asks the first server as OpenAI, and knows the second as Groq."""
    with kernel(tmp_path / "work") as running:
        tables = {
            "openai": {"base_url": first.url, "api_key": FIRST, "model": "m-o", "attempts": 1},
            "groq": {"base_url": second.url, "api_key": SECOND, "model": "m-g", "attempts": 1},
        }
        setup = f"from llmport_magic import configure\nconfigure(provider='openai', llm={tables!r})"
        assert running.run(setup).status == "ok"
        yield running


def asks_groq_next(shell: Kernel) -> None:
    """List Groq as the provider that is asked where the first fails."""
    assert shell.run("configure(fallback=['groq'])").status == "ok"


def kinds(shell: Kernel) -> list[tuple[Any, ...]]:
    """Give the prompts and answers of the journal: kind, provider, model, status."""
    found = [body(line) | {"kind": line["kind"]} for line in journal(shell.folder)]
    return [
        (each["kind"], each["provider"], each["model"], each["data"].get("status"))
        for each in found
        if each["kind"] in ("PROMPT", "RESPONSE")
    ]


def body(line: dict[str, Any]) -> dict[str, Any]:
    """Give what an entry of the journal says."""
    found: dict[str, Any] = line["body"]
    return found


def test_nobody_else_is_asked_unless_listed(
    shell: Kernel, first: Loopback, second: Loopback
) -> None:
    """A prompt goes to no provider that `fallback` does not list, whoever has a key (S3-05)."""
    first.always(failure(500))
    outcome = shell.run(CELL, cell_id="p1")

    assert outcome.status == "error"
    assert second.requests == []


def test_the_next_one_answers_and_the_cell_says_so(
    shell: Kernel, first: Loopback, second: Loopback
) -> None:
    """The cell names who failed, why and who answers; the version is of who answered (S3-05)."""
    asks_groq_next(shell)
    first.always(failure(500, "out of order"))
    shown = threading.Event()
    second.always(streamed(FENCED[:40], shown, FENCED[40:]))
    request = shell.start(CELL, cell_id="p1")
    shell.wait_until_shown("circle ← groq m-g")
    shown.set()
    outcome = shell.finish(request)

    assert outcome.status == "ok", outcome.shown
    (updates,) = outcome.displays.values()
    assert "openai failed (`openai` answered 500 (out of order)" in updates[-1]
    assert "groq is asked" in updates[-1]
    assert "groq m-g · 1 attempt" in updates[-1]
    assert outcome.stderr == ""
    assert kinds(shell) == [
        ("PROMPT", "openai", "m-o", None),
        ("RESPONSE", "openai", "m-o", "failed"),
        ("PROMPT", "groq", "m-g", None),
        ("RESPONSE", "groq", "m-g", "complete"),
    ]
    answer = journal(shell.folder)[3]
    assert [each["provider"] for each in body(answer)["data"]["attempts"]] == ["openai", "groq"]
    assert first.requests[0].headers["authorization"] == f"Bearer {FIRST}"
    assert second.requests[0].headers["authorization"] == f"Bearer {SECOND}"
    assert first.requests[0].json["messages"] == second.requests[0].json["messages"]
    for path in shell.folder.rglob("*"):
        if path.is_file():
            assert FIRST.encode() not in path.read_bytes(), path


def test_what_was_shown_is_not_asked_for_again(
    shell: Kernel, first: Loopback, second: Loopback
) -> None:
    """An answer that breaks off in the cell fails the cell, with its text in the log (S3-60)."""
    asks_groq_next(shell)
    first.always(events(event("```python\nx = 1"), CUT))
    outcome = shell.run(CELL, cell_id="p1")

    assert outcome.status == "error"
    assert second.requests == []
    assert kinds(shell)[-1] == ("RESPONSE", "openai", "m-o", "truncated")
    assert "x = 1" in json.dumps(journal(shell.folder))


def test_a_script_is_warned(shell: Kernel, first: Loopback, second: Loopback) -> None:
    """`llmport()` fails over, too, and a warning says who failed (S3-05)."""
    asks_groq_next(shell)
    first.always(failure(500, "out of order"))
    second.always(streamed(FENCED))
    outcome = shell.run("from llmport_magic import llmport\nllmport('circle', 'A circle.').area(2)")

    assert outcome.status == "ok", outcome.shown
    assert "12.566" in outcome.result
    assert "openai failed (`openai` answered 500 (out of order)" in outcome.stderr


def test_all_failed_is_one_line(shell: Kernel, first: Loopback, second: Loopback) -> None:
    """Where nobody answers the cell's error names both, and the log has both (S3-05)."""
    asks_groq_next(shell)
    first.always(failure(500, "out of order"))
    second.always(failure(401, f"no key {SECOND}"))
    outcome = shell.run(CELL, cell_id="p1")

    assert outcome.status == "error"
    assert outcome.name == "LLMFailoverError"
    assert "\n" not in outcome.error
    assert "`openai` answered 500" in outcome.error
    assert "`groq` answered 401" in outcome.error
    assert SECOND not in outcome.shown
    assert [line[1] for line in kinds(shell)] == ["openai", "openai", "groq", "groq"]


def test_one_without_a_key_is_said_to_be_passed_over(
    shell: Kernel, first: Loopback, second: Loopback
) -> None:
    """A provider without a key is named with its variable, and the next is asked (S3-51)."""
    assert shell.run("configure(fallback=['deepseek', 'groq'])").status == "ok"
    first.always(failure(500))
    second.always(streamed(FENCED))
    outcome = shell.run(CELL, cell_id="p1")

    assert outcome.status == "ok", outcome.shown
    assert "deepseek is passed over" in outcome.shown
    assert "DEEPSEEK_API_KEY" in outcome.shown


def test_one_that_is_down_is_remembered_by_the_session(
    shell: Kernel, first: Loopback, second: Loopback
) -> None:
    """After three cells that it failed a provider is passed over by the fourth (S3-09)."""
    asks_groq_next(shell)
    first.always(failure(500))
    second.always(streamed(FENCED))
    for number in range(5):
        cell = CELL.replace("%%llmport circle", f"%%llmport circle{number}")
        assert cell != CELL
        outcome = shell.run(cell, cell_id=f"p{number}")
        assert outcome.status == "ok", outcome.shown

    assert (len(first.requests), len(second.requests)) == (3, 5)
    assert "openai failed" not in outcome.shown
    assert "openai is passed over (it failed too often, and is tried again in " in outcome.shown
    assert "circle4 " in outcome.shown
    assert "groq m-g" in outcome.shown
