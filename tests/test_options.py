"""The first line of a cell is read with care, and near misses are helped."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llmport_magic.errors import UsageError
from llmport_magic.notebook import commands
from llmport_magic.notebook.completion import complete
from llmport_magic.notebook.options import (
    CELL_OPTIONS,
    options_help,
    parse_cell_line,
    parse_module_line,
    parse_subcommand,
)


def test_reads_every_option() -> None:
    """All options of a prompt cell arrive as written (S0-36)."""
    line = parse_cell_line(
        "circle -p groq --model=llama -t 0.2 --update --with df,rates --tries 3 --no-cache "
        "--no-cell --no-log"
    )
    assert (line.name, line.provider, line.model, line.temperature) == (
        "circle",
        "groq",
        "llama",
        0.2,
    )
    assert line.update
    assert line.context == ("df", "rates")
    assert line.tries == 3
    assert line.no_cache
    assert line.no_cell
    assert line.no_log


def test_the_seed_spelling_of_regenerate_works() -> None:
    """`--overwrite` means `--regenerate` (S0-06)."""
    assert parse_cell_line("circle --overwrite").regenerate


def test_only_what_shapes_the_answer_is_in_the_key() -> None:
    """Flags that do not change the answer do not make another version (S0-05)."""
    assert parse_cell_line("circle --no-cell --tries 2").shaping() == {}
    assert parse_cell_line("circle -p groq --with df").shaping() == {
        "provider": "groq",
        "with": "df",
    }


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("circle --updat", "did you mean `--update`"),
        ("--update", "changes the module NAME"),
        ("circle --xyzzy", "lists what there is"),
        ("plot sales by month", "put the prompt below"),
        ("circle -t hot", "`--temperature` is a number, not 'hot'"),
        ("circle --tries 0", "from 1"),
        ("circle -p", "`--provider` needs its value"),
        ("circle --tries two", "`--tries` is a whole number"),
        ("circle --draft=3", "`--draft` takes no value"),
        ('circle "unclosed', "quote is not closed"),
        ("circle --api-key sk-123", "never stands in a cell"),
    ],
)
def test_a_bad_line_says_what_was_meant(line: str, says: str) -> None:
    """A bad option gives one line with the nearest match (S0-36)."""
    with pytest.raises(UsageError, match=says) as caught:
        parse_cell_line(line)
    assert "\n" not in str(caught.value)
    assert "sk-123" not in str(caught.value)


def test_help_names_every_option() -> None:
    """The help documents each flag (S0-36)."""
    for flags, *_ in CELL_OPTIONS:
        assert all(flag in options_help() for flag in flags)


def test_a_module_line_needs_its_base() -> None:
    """A module cell without a base says how it begins."""
    assert parse_module_line("circle --base abc --hold").hold
    with pytest.raises(UsageError, match="--base"):
        parse_module_line("circle")


@pytest.mark.parametrize(
    ("line", "says"), [("circle", "%%llmport circle"), ("modelss", "`%llmport models`")]
)
def test_a_near_miss_of_a_command_is_helped(line: str, says: str) -> None:
    """`%llmport circle` asks whether `%%llmport circle` was meant (S0-36)."""
    with pytest.raises(UsageError, match=says):
        parse_subcommand(line)


@pytest.mark.parametrize("command", ["modules", "panel", "help"])
def test_words_that_nobody_reads_are_refused(command: str) -> None:
    """A subcommand that takes nothing says so, and does not pass over what was written."""
    assert parse_subcommand(command) == (command, [])
    with pytest.raises(UsageError, match=f"`%llmport {command}` takes nothing .* leave out `a b`"):
        parse_subcommand(f"{command} a b")


def test_status_is_a_word_for_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    """`%llmport status` is `%llmport`, and takes nothing behind it."""
    for line in ("", "status"):
        command, words = parse_subcommand(line)
        commands.run(command, words, None)
    first, second = capsys.readouterr().out.split("answers ")[1:]

    assert first == second
    with pytest.raises(UsageError, match="takes nothing"):
        parse_subcommand("status all")


def test_completion_behind_a_subcommand_offers_its_own_words() -> None:
    """`cache`, `model` and `templates` take words of their own, and no name of a module."""

    def offered(line: str, symbol: str = "") -> list[str]:
        return complete(None, SimpleNamespace(line=line, symbol=symbol))

    assert offered("%llmport cache ") == ["clear"]
    assert offered("%llmport cache clear ") == []
    assert offered("%llmport model ") == offered("%llmport model in", "in") == ["install"]
    assert offered("%llmport model install ") == ["large", "small"]
    assert offered("%llmport templates wr", "wr") == ["write"]
    assert offered("%llmport config temp", "temp") == ["temperature", "templates"]
    assert offered("%llmport st", "st") == ["status"]
