"""`%llmport fix` in a real kernel, against a real server: what is sent, shown and placed."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest
from kernels import Kernel
from loopback import HANG, Loopback, failure, streamed
from questioning import KEY, said, shell
from test_kernel import journal

from llmport_magic.modules.templates import TEMPLATES

__all__ = ["shell"]
pytestmark = pytest.mark.kernel

FAILING = "prices = [1, 2]\nprint(total / len(prices))"
CORRECTED = "prices = [1, 2]\nprint(sum(prices) / len(prices))"


def test_the_error_and_the_cell_are_sent_and_nothing_else(shell: Kernel, server: Loopback) -> None:
    """What goes over the wire is the failing cell and its traceback, to the letter."""
    shell.run("planted_variable = 'Ada Lovelace'\n# planted comment of another cell")
    assert shell.run(FAILING).name == "NameError"
    server.script(streamed(CORRECTED))
    outcome = shell.run("%llmport fix")

    assert outcome.status == "ok", outcome.shown
    assert said(server) == [
        TEMPLATES["fix_system"].strip("\n"),
        f"""This cell of a notebook fails:

{FAILING}

The error:

Traceback (most recent call last):
  cell, line 2: print(total / len(prices))
NameError: name 'total' is not defined""",
    ]
    body = server.requests[0].body.decode()
    assert not [word for word in ("planted", "Ada", "another cell") if word in body]


def test_what_is_sent_is_said_before_it_is_sent(shell: Kernel, server: Loopback) -> None:
    """The cell says what it sends, with sizes, while the request is still unanswered."""
    shell.run(FAILING)
    server.script(streamed(HANG))
    request = shell.start("%llmport fix")
    server.wait_for_requests(1)
    shell.interrupt()
    outcome = shell.finish(request)

    assert "sends: the error  1 line of its traceback, its message as it is" in outcome.stdout
    assert f"2 lines, {len(FAILING)} characters" in outcome.stdout
    assert "tokens; `--preview` shows them to the letter" in outcome.stdout


def test_the_correction_is_a_coloured_diff_and_a_cell_below(
    shell: Kernel, server: Loopback
) -> None:
    """The proposal is shown as a diff in text, put below, and not run; the log has both ways."""
    shell.run(FAILING, cell_id="c1")
    server.script(streamed("```python\n", CORRECTED, "\n```\n"))
    outcome = shell.run("%llmport fix", cell_id="c2")

    assert outcome.next_cell == CORRECTED
    shown = outcome.stdout.replace("\x1b[7m", "").replace("\x1b[27m", "")
    assert "\x1b[31m-print(total / len(prices))\x1b[0m" in shown
    assert "\x1b[32m+print(sum(prices) / len(prices))\x1b[0m" in shown
    assert "placed below: read it and run it" in outcome.stdout
    assert "openai m-1 · 1 attempt · 7 + 3 tokens" in outcome.shown
    assert "1.5\n" not in outcome.stdout
    kinds = [line["kind"] for line in journal(shell.folder)]
    assert kinds == ["PROMPT", "RESPONSE", "VERIFY"]
    assert shell.run(outcome.next_cell).stdout == "1.5\n"


def test_data_in_a_message_stays_here_unless_it_is_asked_for(
    shell: Kernel, server: Loopback
) -> None:
    """A value that only the data has is taken out of the message; `--values` sends it."""
    shell.run("names = ['Ada Lovelace']")
    shell.run("float(names[0])")
    server.script(streamed("len(names)"), streamed("len(names)"))
    plain = shell.run("%llmport fix")
    whole = shell.run("%llmport fix --values")

    assert "ValueError: could not convert string to float: <value>" in said(server, 0)[1]
    assert "without the values that its message quotes (`--values` sends them)" in plain.stdout
    assert b"Ada" not in server.requests[0].body
    assert "could not convert string to float: 'Ada Lovelace'" in said(server, 1)[1]
    assert "with the values that its message quotes" in whole.stdout


def test_keys_and_the_home_folder_stay_here_and_come_back(
    shell: Kernel, server: Loopback, tmp_path: Path
) -> None:
    """A key and the home folder in the cell are masked on the wire and whole in the correction."""
    home = tmp_path / "marked-home"
    cell = f"key = '{KEY}'\npath = '{home}/data.csv'\nopen(path).read(1)"
    assert shell.run(cell).name == "FileNotFoundError"
    sent = "key = '********'\npath = '/home/user/data.csv'\nopen(path).read(1)"
    server.script(streamed(sent + "\nprint('done')"))
    outcome = shell.run("%llmport fix")

    assert sent in said(server)[1]
    body = server.requests[0].body.decode()
    assert not [word for word in ("planted-key", "marked-home") if word in body]
    assert outcome.next_cell == cell + "\nprint('done')"
    assert ", keys in it masked" in outcome.stdout


def test_a_lost_key_and_an_answer_without_a_change_are_told(
    shell: Kernel, server: Loopback
) -> None:
    """The cell says where a key has to be put back, and where nothing was changed."""
    cell = f"key = '{KEY}'\nlen(5)"
    assert shell.run(cell).name == "TypeError"
    server.script(streamed("login(key='********')"), streamed("key = '********'\nlen(5)"))
    lost = shell.run("%llmport fix")
    same = shell.run("%llmport fix")

    assert "a key was masked: put it back where the cell has `********`" in lost.shown
    assert lost.next_cell == "login(key='********')"
    assert "the answer is the cell as it is" in same.shown
    assert "put it back" not in same.shown
    assert same.next_cell == ""


def test_what_is_described_holds_neither_key_nor_home(
    shell: Kernel, server: Loopback, tmp_path: Path
) -> None:
    """The source that `--with` sends, and a line of another cell, are masked as the cell is."""
    home = tmp_path / "marked-home"
    shell.run(f"def load():\n    key = '{KEY}'\n    return open('{home}/data.csv')")
    assert shell.run("load()").name == "FileNotFoundError"
    server.script(streamed("load"))
    shell.run(f"%llmport fix --with load:source not {KEY} and not {home}/x")

    assert "What is wanted: not ******** and not /home/user/x" in said(server)[1]
    assert said(server)[1].count("return open('/home/user/data.csv')") == 2
    body = server.requests[0].body.decode()
    assert not [word for word in ("planted-key", "marked-home") if word in body]


def test_named_data_is_described_and_tried(shell: Kernel, server: Loopback) -> None:
    """`--with df` sends columns and no value; the correction is tried on a copy of it (S0-22)."""
    shell.run("import pandas as pd\ndf = pd.DataFrame({'price': [1.25], 'who': ['Ada Lovelace']})")
    assert shell.run("total = df['prise'].sum()").name == "KeyError"
    server.script(streamed("total = df['price'].sum()"))
    outcome = shell.run("%llmport fix don't round it --with df")

    assert "'price'" in said(server)[1]
    assert "What is wanted: don't round it" in said(server)[1]
    assert not [word for word in ("Ada", "1.25") if word in server.requests[0].body.decode()]
    assert "df 1x2 -> total float64; df unchanged" in outcome.shown
    assert outcome.next_cell == "total = df['price'].sum()"


def test_a_preview_sends_nothing(shell: Kernel, server: Loopback) -> None:
    """`--preview` shows the request to the letter, and nobody is asked."""
    shell.run(FAILING)
    outcome = shell.run("%llmport fix --preview keep the list")

    assert outcome.status == "ok", outcome.shown
    assert "NameError: name 'total' is not defined" in outcome.stdout
    assert FAILING in outcome.stdout
    assert "What is wanted: keep the list" in outcome.stdout
    assert server.requests == []
    assert outcome.next_cell == ""


def test_a_frozen_notebook_asks_nobody(shell: Kernel, server: Loopback) -> None:
    """With `mode = frozen` nothing is sent, and the cell says so."""
    shell.run(FAILING)
    shell.run("import llmport_magic; llmport_magic.configure(mode='frozen')")
    outcome = shell.run("%llmport fix")

    assert outcome.name == "ConfigError"
    assert "no model is asked" in outcome.error
    assert server.requests == []


def test_a_syntax_error_is_sent_with_its_line(shell: Kernel, server: Loopback) -> None:
    """An error that Python finds before it runs anything is corrected as any other."""
    # In Python 3.13 and newer it is a kind of SyntaxError with a name of its own.
    assert issubclass(getattr(builtins, shell.run("x = 1\ny = (1,\n").name), SyntaxError)
    server.script(streamed("x = 1\ny = (1,)"))
    outcome = shell.run("%llmport fix")

    assert "  cell, line 2: y = (1,\nSyntaxError: " in said(server)[1]
    assert outcome.next_cell == "x = 1\ny = (1,)"


def test_an_answer_that_is_no_python_is_worked_on(shell: Kernel, server: Loopback) -> None:
    """A corrected cell that does not parse goes back with what is wrong, within the tries."""
    shell.run(FAILING)
    server.script(streamed("print(sum(prices)"), streamed(CORRECTED))
    outcome = shell.run("%llmport fix")

    assert outcome.next_cell == CORRECTED
    assert said(server, 1)[2].strip() == "print(sum(prices)"
    assert "The corrected cell was checked and does not pass:" in said(server, 1)[3]
    assert "2 attempts" in outcome.shown

    server.script(streamed("print(sum(prices)"))
    failed = shell.run("%llmport fix --tries 1")
    assert failed.name == "VerificationError"
    assert failed.next_cell == ""
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("I'm sorry, I can't help with that.", "the model declined"),
        ("Have you tried to turn it off and on again?", "no Python"),
        ("", "empty"),
    ],
)
def test_an_answer_without_code_places_nothing(
    shell: Kernel, server: Loopback, answer: str, says: str
) -> None:
    """A refusal, prose or nothing at all fails the cell in one line."""
    shell.run(FAILING)
    server.script(streamed(answer))
    outcome = shell.run("%llmport fix")

    assert outcome.name == "LLMOutputError"
    assert says in outcome.error
    assert outcome.next_cell == ""


def test_asking_again_after_a_failure_is_about_the_same_error(
    shell: Kernel, server: Loopback
) -> None:
    """A refused key, a wrong option and an interrupt do not take the place of the last error."""
    shell.run(FAILING)
    server.script(failure(401, "no"))
    assert "401" in shell.run("%llmport fix").error
    assert "did you mean `--replace`" in shell.run("%llmport fix --replase").error
    server.script(streamed(CORRECTED))
    outcome = shell.run("%llmport fix")

    assert outcome.next_cell == CORRECTED
    assert said(server, 0) == said(server, 1)


def test_an_error_keeps_no_object_of_the_notebook(shell: Kernel, server: Loopback) -> None:
    """What is remembered of an error is text: the objects of its frames can go."""
    shell.run(
        "import gc, weakref\nclass Big: pass\n"
        "def fail():\n    big = Big()\n    seen.append(weakref.ref(big))\n    1 / 0\nseen = []"
    )
    shell.run("fail()")
    server.script(failure(401, "no"))
    assert "401" in shell.run("%llmport fix").error
    # IPython keeps the traceback that it drew last: now it is another one.
    shell.run("1 / 0")

    assert shell.value("(gc.collect(), seen[0]())[1]") == "None"


def test_frames_of_other_cells_and_libraries_are_one_line_each(
    shell: Kernel, server: Loopback
) -> None:
    """Of another cell the line that failed is sent, of a library its name and no text."""
    shell.run("import json\n# planted\ndef read(text):\n    return json.loads(text)")
    shell.run("read('{')")
    server.script(streamed("read('{}')"))
    shell.run("%llmport fix")

    frames = said(server)[1].partition("Traceback (most recent call last):\n")[2].splitlines()
    assert frames[0] == "  cell, line 1: read('{')"
    assert frames[1].endswith("line 4, in read: return json.loads(text)")
    assert frames[1].startswith("  cell [")
    assert frames[2].startswith("  json, line ")
    assert frames[3].endswith("in JSONDecoder.decode")
    assert frames[5].startswith("json.decoder.JSONDecodeError: ")
    assert "planted" not in said(server)[1]


def test_an_error_of_a_generated_module_offers_its_update(shell: Kernel, server: Loopback) -> None:
    """Where the last line is in a generated module, the text that changes the module is shown."""
    module = "def half(n):\n    return n / 0\n"
    server.script(streamed(module), streamed("print(2 / 2)"))
    assert shell.run("%%llmport halves\nHalf of a number.").status == "ok"
    shell.run("halves.half(2)")
    outcome = shell.run("%llmport fix")

    assert "  module halves, line 2, in half: return n / 0" in said(server)[1]
    assert "%%llmport halves --update\nhalf fails with ZeroDivisionError in `return n / 0`." in (
        outcome.stdout
    )
    assert outcome.next_cell == "print(2 / 2)"


def test_errors_of_ours_and_interrupts_are_not_sent(shell: Kernel, server: Loopback) -> None:
    """There is nothing to correct in a magic's own error: the cell says what to do instead."""
    assert shell.run("%llmport fix").name == "UsageError"
    assert shell.run("%%llmport circle --updat\nx").status == "error"
    ours = shell.run("%llmport fix")
    assert ours.status == "ok"
    assert "llmport's own" in ours.stdout
    assert "did you mean `--update`" in ours.stdout
    shell.run("raise KeyboardInterrupt")
    assert "was interrupted" in shell.run("%llmport fix").stdout
    assert shell.run("%%bash\nexit 3\n").status == "error"
    assert "only a cell of Python" in shell.run("%llmport fix").error
    assert server.requests == []


def test_commands_of_the_notebook_survive(shell: Kernel, server: Loopback) -> None:
    """`%time`, `!ls` and `%%time` reach the model as comments and the new cell as they were."""
    shell.run("%%time\n%precision 3\nif True:\n    !true\n1 / 0")
    server.script(
        streamed(
            "# notebook: %%time\n# notebook: %precision 3\nif True:\n"
            "    pass  # notebook: !true\n1 / 1"
        )
    )
    outcome = shell.run("%llmport fix")

    assert "  cell, line 5: 1 / 0" in said(server)[1]
    assert "%%time\n1" not in said(server)[1].replace("# notebook: %%time", "")
    expected = "%%time\n%precision 3\nif True:\n    !true\n1 / 1"
    assert outcome.next_cell == expected


def test_an_interrupt_frees_the_cell(shell: Kernel, server: Loopback) -> None:
    """An interrupted fix hangs up, places nothing and can be asked again (S0-39)."""
    shell.run(FAILING)
    server.script(streamed("print(", HANG), streamed(CORRECTED))
    request = shell.start("%llmport fix")
    server.wait_for_requests(1)
    shell.interrupt()
    outcome = shell.finish(request)

    assert outcome.error == (
        "Interrupted: nothing was written; the answer so far is in `%llmport log`"
    )
    assert server.requests[0].closed.wait(60)
    assert shell.run("%llmport fix").next_cell == CORRECTED


def test_what_a_correction_can_do_is_named_or_refused(shell: Kernel, server: Loopback) -> None:
    """The policy names processes beside the proposal, and what escapes it is not placed (S0-22)."""
    shell.run(FAILING)
    server.script(streamed("import subprocess\nsubprocess.run(['ls'])"))
    assert "can use: processes" in shell.run("%llmport fix").shown
    server.script(streamed("__builtins__.x = 1"))
    refused = shell.run("%llmport fix")

    assert "refused, neither placed nor run: line 1: uses `__builtins__`" in refused.error
    assert refused.next_cell == ""
