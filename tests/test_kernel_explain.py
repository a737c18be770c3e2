"""`%llmport explain` in a real kernel, against a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from kernels import Kernel
from loopback import HANG, Loopback, failure, streamed
from questioning import KEY, said, shell
from test_kernel import journal, wait_for_line

from llmport_magic.modules.templates import TEMPLATES

__all__ = ["shell"]
pytestmark = pytest.mark.kernel

FAILING = "ratio = 1 / 0"
PROSE = "You divide by zero.\n\n**Line 1** does it. <b>Do not.</b>"
MODULE = '"""Halves."""\n\n\ndef half(n):\n    return n / 2\n'


def kinds(shell: Kernel) -> list[tuple[str, str]]:
    """Give what the journal records: each entry's kind and its status."""
    lines: list[dict[str, Any]] = journal(shell.folder)
    return [(line["kind"], line["body"]["data"].get("status", "")) for line in lines]


def test_the_last_error_is_explained_as_text(shell: Kernel, server: Loopback) -> None:
    """The prose stays below the cell as plain text, a record line at its end, and in the log."""
    shell.run("planted = 'Ada Lovelace'")
    shell.run(FAILING)
    server.script(streamed("You divide", PROSE.removeprefix("You divide")))
    outcome = shell.run("%llmport explain")

    assert said(server) == [
        TEMPLATES["explain_system"].strip("\n"),
        f"""This cell of a notebook fails:

{FAILING}

The error:

Traceback (most recent call last):
  cell, line 1: {FAILING}
ZeroDivisionError: division by zero

Explain why it fails, in which line, and what to change.""",
    ]
    assert b"lanted" not in server.requests[0].body
    (shown,) = (updates[-1] for updates in outcome.displays.values())
    assert shown.startswith(PROSE + "\n\n✓ explanation of ZeroDivisionError\n")
    assert "openai m-1 · 1 attempt · 7 + 3 tokens · " in shown.splitlines()[-1]
    assert "sends: the error  1 line of its traceback" in outcome.stdout
    assert outcome.next_cell == ""
    assert kinds(shell) == [("PROMPT", ""), ("RESPONSE", "complete")]
    assert shell.run("%llmport log").status == "ok"
    page = nbformat.read(shell.folder / "llmport_log.ipynb", as_version=4)
    assert [(cell.cell_type, cell.source) for cell in page.cells][-1] == ("raw", PROSE)


def test_values_keys_and_the_home_folder_stay_here(
    shell: Kernel, server: Loopback, tmp_path: Path
) -> None:
    """No value, key or home folder is sent of an error's message, its lines and its cell."""
    home = tmp_path / "marked-home"
    shell.run(f"def load(key):\n    return open('{home}/data-' + key)\nwho = 'Ada Lovelace'")
    server.script(streamed(PROSE), streamed(PROSE), streamed(PROSE))
    shell.run(f"key = '{KEY}'\nload('1')")
    assert ", keys in it masked" in shell.run("%llmport explain").stdout
    shell.run("float(who)")
    shell.run("%llmport explain")
    whole = shell.run("%llmport explain --values")

    assert "key = '********'\nload('1')" in said(server, 0)[1]
    assert "in load: return open('/home/user/data-' + key)" in said(server, 0)[1]
    assert "could not convert string to float: <value>" in said(server, 1)[1]
    sent = [request.body.decode() for request in server.requests]
    assert not [word for word in ("planted-key", "marked-home") if word in "".join(sent)]
    assert "Ada" not in sent[0] + sent[1]
    assert "could not convert string to float: 'Ada Lovelace'" in said(server, 2)[1]
    assert "with the values that its message quotes" in whole.stdout


def test_keys_in_a_module_stay_here(shell: Kernel, server: Loopback, tmp_path: Path) -> None:
    """A key and the home folder in a module's source are masked, and that is said."""
    module = f"PLACE = '{tmp_path}/marked-home/x'\npassword = 'hunter22'\n"
    cell = f"%%llmport_module places --base 0123456789abcdef\n{module}"
    assert shell.run(cell).status == "ok"
    server.script(streamed("It names a place."))
    outcome = shell.run("%llmport explain places")

    assert "PLACE = '/home/user/x'\npassword = '********'" in said(server)[1]
    assert not [word for word in ("marked-home", "hunter22") if word in said(server)[1]]
    assert ", keys in it masked" in outcome.stdout


def test_last_and_the_error_after_it_are_the_same(shell: Kernel, server: Loopback) -> None:
    """`explain last` asks what `explain` asks, also after a failed answer."""
    shell.run(FAILING)
    server.script(failure(401, "no"), streamed(PROSE), streamed(PROSE))
    assert "401" in shell.run("%llmport explain").error
    assert shell.run("%llmport explain last").status == "ok"
    assert shell.run("%llmport explain").status == "ok"

    assert said(server, 0) == said(server, 1) == said(server, 2)


def test_a_module_is_explained_by_its_current_version(shell: Kernel, server: Loopback) -> None:
    """`explain NAME` sends the module's source and nothing of the notebook; no error is needed."""
    server.script(streamed(MODULE), streamed("It halves."))
    assert shell.run("%%llmport halves\nHalf of a number.").status == "ok"
    outcome = shell.run("%llmport explain halves")

    assert said(server)[1] == (
        f"This is the Python module `halves`:\n\n{MODULE.strip()}\n\n"
        "Explain what it does, function by function, and what to look out for when using it."
    )
    assert "sends: halves v1  5 lines, " in outcome.stdout
    assert "It halves.\n\n✓ explanation of halves v1\n" in outcome.shown
    assert "did you mean `halves`" in shell.run("%llmport explain halfes").error


def test_without_an_error_the_usage_is_said(shell: Kernel, server: Loopback) -> None:
    """Before the first error `explain` alone says what can be explained."""
    for _ in range(2):
        outcome = shell.run("%llmport explain")
        assert outcome.name == "UsageError"
        assert "`%llmport explain NAME`" in outcome.error
    assert server.requests == []


def test_a_preview_sends_nothing(shell: Kernel, server: Loopback) -> None:
    """`--preview` shows the request to the letter, and nobody is asked."""
    shell.run(FAILING)
    outcome = shell.run("%llmport explain --preview")

    assert "ZeroDivisionError: division by zero" in outcome.stdout
    assert TEMPLATES["explain_system"].strip() in outcome.stdout
    assert server.requests == []


def test_an_explanation_keeps_to_the_budget(shell: Kernel, server: Loopback) -> None:
    """What may be more than a cell's budget is not sent, for prose as for modules."""
    shell.run(FAILING)
    shell.run("import llmport_magic; llmport_magic.configure(max_tokens=500, budget_tokens=100)")
    outcome = shell.run("%llmport explain")

    assert outcome.name == "ConfigError"
    assert "`budget_tokens` allows 100" in outcome.error
    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "finish", "says"),
    [
        ("", "stop", "the answer is empty"),
        ("It", "content_filter", "withheld"),
    ],
)
def test_no_answer_is_an_error(
    shell: Kernel, server: Loopback, answer: str, finish: str, says: str
) -> None:
    """Nothing, or an answer that the provider withheld, is no explanation."""
    shell.run(FAILING)
    server.script(streamed(answer, finish=finish))
    outcome = shell.run("%llmport explain")

    assert outcome.status == "error"
    assert says in outcome.error


def test_an_answer_at_the_token_limit_says_so(shell: Kernel, server: Loopback) -> None:
    """Half an explanation is shown, and said to be half (S0-24)."""
    shell.run(FAILING)
    server.script(streamed("You divide by", finish="length"))
    outcome = shell.run("%llmport explain")

    assert outcome.status == "ok"
    assert "You divide by\n\n" in outcome.shown
    assert "cut off at the token limit" in outcome.shown


def test_an_interrupt_keeps_what_had_arrived(shell: Kernel, server: Loopback) -> None:
    """An interrupt frees the cell; the part that had arrived stays on screen and in the log."""
    shell.run(FAILING)
    server.script(streamed("You divide by ", "zero", HANG))
    request = shell.start("%llmport explain")
    shell.wait_until_shown("zero")
    shell.interrupt()
    outcome = shell.finish(request)

    assert "Interrupted: " in outcome.error
    assert "You divide by zero\n\n✗ explanation of ZeroDivisionError · interrupted" in outcome.shown
    assert server.requests[0].closed.wait(60)
    wait_for_line(shell.folder, "RESPONSE")
    assert kinds(shell)[:2] == [("PROMPT", ""), ("RESPONSE", "cancelled")]
