"""The last error as text, what of a cell stays here, and the words that ask for a correction."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from llmport_magic.errors import UsageError
from llmport_magic.modules.error_prompts import build_question
from llmport_magic.modules.strategy import AttemptPlan
from llmport_magic.modules.templates import TEMPLATES
from llmport_magic.notebook import completion
from llmport_magic.notebook.covering import Covered, private
from llmport_magic.notebook.last_error import LastError, last_error
from llmport_magic.notebook.options import parse_question_line, parse_subcommand

LARGE = SimpleNamespace(size="large", prefill=False, reasoning=False)
SMALL = SimpleNamespace(size="small", prefill=True, reasoning=False)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """Give a shell without a front end, in which nothing has failed yet."""
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        monkeypatch.delattr(sys, name, raising=False)
    yield InteractiveShell()
    InteractiveShell.clear_instance()


def failed(shell: InteractiveShell, *cells: str) -> LastError:
    """Run cells and give the error of the last."""
    for cell in cells:
        shell.run_cell(cell, store_history=True)
    error = last_error(shell)
    assert error is not None
    return error


def test_nothing_failed_yet(shell: InteractiveShell) -> None:
    """Before the first error there is none."""
    shell.run_cell("1 + 1", store_history=True)
    assert last_error(shell) is None


def test_an_error_has_its_cell_and_its_lines(shell: InteractiveShell) -> None:
    """The cell's source, its number and the failing line come from IPython's own frame."""
    error = failed(shell, "x = 1", "\n\ny = 2\nx / (y - 2)\n")
    assert (error.cell, error.count) == ("y = 2\nx / (y - 2)", 2)
    assert error.text() == (
        "Traceback (most recent call last):\n  cell, line 2: x / (y - 2)\n"
        "ZeroDivisionError: division by zero"
    )


def test_an_error_of_a_cell_without_history_has_its_own_source(shell: InteractiveShell) -> None:
    """A cell that is not in the history is never taken for the one with its number."""
    shell.run_cell("a = 1", store_history=True)
    shell.run_cell("1 / 0")
    error = last_error(shell)
    assert error is not None
    assert error.cell == "1 / 0"


def test_a_cause_is_one_line(shell: InteractiveShell) -> None:
    """What led to an error is named with its type, its values taken out as well."""
    error = failed(
        shell,
        "who = 'Ada Lovelace'",
        "try:\n    {}[who]\nexcept KeyError as e:\n    raise ValueError('no such key') from e",
    )
    assert error.text().endswith("ValueError: no such key\ncaused by KeyError: <value>")
    assert error.text(values=True).endswith("caused by KeyError: 'Ada Lovelace'")


def test_a_deep_recursion_is_shortened(shell: InteractiveShell) -> None:
    """Of a thousand frames the beginning and the end are sent."""
    error = failed(shell, "def f(n):\n    return f(n + 1)\nf(0)")
    assert error.kind == "RecursionError"
    assert len(error.frames) < 25
    assert "  … " in error.text()


def test_words_of_the_system_and_of_libraries_stay(shell: InteractiveShell) -> None:
    """A message keeps the words that come from no data: the system's, and a library's own line."""
    missing = failed(shell, "name = 'planted.csv'", "open(name)")
    assert "[Errno 2] No such file or directory: <value>" in missing.text().replace("'", "")
    empty = failed(shell, "import statistics\nplanted = []", "statistics.mean(planted)")
    assert "StatisticsError: mean requires at least one data point" in empty.text()
    assert "planted.csv" not in missing.text()


def test_an_error_that_is_named_after_a_value_is_its_base(shell: InteractiveShell) -> None:
    """An exception's type is named as its module has it: data can name none."""
    cells = ("name = 'Ada'", "class Own(ValueError): pass", "raise type(name, (Own,), {})()")
    assert failed(shell, *cells).kind == "Own"
    assert failed(shell, "import json", "json.loads('')").kind == "json.decoder.JSONDecodeError"
    told = failed(shell, "E = type(name, (KeyError,), {'__module__': name})\nraise E(name)").text()
    assert "KeyError: <value>" in told
    assert "Ada" not in told


def test_a_group_of_errors_is_read(shell: InteractiveShell) -> None:
    """An exception group is sent with its own message."""
    error = failed(shell, "raise ExceptionGroup('two things', [ValueError(1), TypeError(2)])")
    assert error.text().startswith("Traceback")
    assert "ExceptionGroup: two things" in error.text()


def test_what_a_group_holds_is_sent_too(shell: InteractiveShell) -> None:
    """Each error of a group, of groups in it too, is a line; the data in it stays here."""
    error = failed(
        shell,
        "inner = ExceptionGroup('in', [KeyError('Ada')])\nname = 'Ada Lovelace'",
        "raise ExceptionGroup('many', [ValueError(name), TypeError('many'), inner])",
    )

    assert error.text().splitlines()[-4:] == [
        "ExceptionGroup: many (<value> sub-exceptions)",
        "  holds ValueError: <value>",
        "  holds TypeError: many",
        "  holds KeyError: <value>",
    ]
    assert "  holds ValueError: Ada Lovelace" in error.text(values=True)


def test_of_a_large_group_the_first_errors_are_sent(shell: InteractiveShell) -> None:
    """Five errors say enough; how many more there are is said."""
    error = failed(shell, "raise ExceptionGroup('many', [ValueError(n) for n in range(9)])")

    assert error.text().count("holds ValueError") == 5
    assert error.text().endswith("\n  holds 4 more")


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline\nimport os\nfiles = !ls\nif files:\n    !pip list",
        "%%time\nx = 7 % 2",
        "df.head?\n??print\n%run script.py",
        "a = b \\\n    % c\nif a != b:\n    print('100%')",
        "text = '''\n%s and !bang\n'''",
    ],
)
def test_commands_come_back_to_the_letter(source: str) -> None:
    """What is sent has no command of the notebook, and the way back gives the cell as it was."""
    covered = Covered(source)
    assert covered.uncover(covered.text) == source
    kept = [line for line in covered.text.split("\n") if line.startswith(("%", "!", "?"))]
    assert kept == []


def test_plain_python_is_sent_as_it_is() -> None:
    """A cell without commands, keys and home is not touched."""
    source = "x = 5 % 2\nassert x != 3, 'what?'\nprint(f'{x:>5}%')  # why?\n"
    assert Covered(source).text == source


def test_keys_and_home_come_back_also_in_changed_lines() -> None:
    """The home folder is put back everywhere, a key where its line was kept, else it is missed."""
    home = str(Path.home())
    covered = Covered(f"password = 'hunter22'\nread('{home}/a.csv')")
    assert covered.text == "password = '********'\nread('/home/user/a.csv')"
    assert covered.masked
    kept = covered.uncover("password = '********'\nx = read('/home/user/a.csv', 1)")
    assert kept == f"password = 'hunter22'\nx = read('{home}/a.csv', 1)"
    assert not covered.lost(kept)
    assert covered.lost(covered.uncover("login(password='********')"))
    assert private(f"in {home}/x") == "in /home/user/x"


def test_words_and_options_mix() -> None:
    """What is wanted is said as people write, with options before, after and between."""
    command, words = parse_subcommand(
        "fix don't sort, keep -p groq the index --with df,x --tries 2"
    )
    line = parse_question_line(command, words)
    assert " ".join(line.words) == "don't sort, keep the index"
    assert (line.provider, line.context, line.tries) == ("groq", ("df", "x"), 2)
    assert not line.replace


@pytest.mark.parametrize(
    ("command", "words", "says"),
    [
        ("fix", "--replase", "did you mean `--replace`"),
        ("fix", "--tries 0", "from 1"),
        ("fix", "--api-key=abc", "never stands in a cell"),
        ("explain", "--xyzzy", "there is -p, --provider"),
        ("explain", "--replace", "no option `--replace`"),
    ],
)
def test_wrong_options_are_named(command: str, words: str, says: str) -> None:
    """An option that is not there is an error that helps."""
    with pytest.raises(UsageError, match=says):
        parse_question_line(command, words.split())


def ask(purpose: Any = "fix", **given: Any) -> Any:
    """Build a request about a cell."""
    values = {"code": "1 / 0", "error": "ZeroDivisionError", "capabilities": LARGE}
    return build_question(**{"purpose": purpose, "plan": AttemptPlan(), **values, **given})


def test_each_purpose_and_size_has_its_words() -> None:
    """A correction and an explanation have their own templates, small models theirs."""
    assert ask().messages[0].content == TEMPLATES["fix_system"]
    assert ask("explanation").messages[0].content == TEMPLATES["explain_system"]
    small = ask(capabilities=SMALL)
    assert "Change only what is wrong" in small.messages[1].content
    assert small.options["prefill"] == "```python\n"
    prose = ask("explanation", capabilities=SMALL)
    assert "prefill" not in prose.options
    module = ask("explanation", error="", name="circle")
    assert "module `circle`" in module.messages[1].content


def test_what_stands_in_the_cell_is_no_placeholder() -> None:
    """`<<prompt>>` in the user's own code arrives to the letter."""
    said = ask(code="x = '<<prompt>> <<error>>'", prompt="keep <<code>>").messages[1].content
    assert "x = '<<prompt>> <<error>>'" in said
    assert "What is wanted: keep <<code>>" in said


def test_the_words_can_be_replaced(tmp_path: Path) -> None:
    """A user's file replaces the words of a correction, and must not lose the error."""
    from llmport_magic.errors import ConfigError

    path = tmp_path / "templates.toml"
    path.write_text("fix = 'Bitte: <<code>> <<error>>'", encoding="utf-8")
    assert ask(templates=str(path)).messages[1].content == "Bitte: 1 / 0 ZeroDivisionError"
    path.write_text("fix = 'Bitte: <<code>>'", encoding="utf-8")
    with pytest.raises(ConfigError, match="lacks `<<error>>`"):
        ask(templates=str(path))


def test_names_and_options_are_completed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After `explain` the modules and `last` are offered, after `fix` its options."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(completion, "stored_names", lambda *_: ["circle"])

    def offered(line: str, symbol: str = "") -> list[str]:
        return completion.complete(None, SimpleNamespace(line=line, symbol=symbol))

    assert {"circle", "last", "--preview"} <= set(offered("%llmport explain "))
    assert offered("%llmport explain ci", "ci") == ["circle"]
    assert "--replace" in offered("%llmport fix --re", "--re")
    assert "circle" not in offered("%llmport fix ")
    assert {"fix", "explain"} <= set(offered("%llmport "))
