"""The lines of `%%gmn` and `%gmn` are read with care, and near misses are helped."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llmport_magic.errors import ModuleNameError, UsageError
from llmport_magic.modules.names import check_specification_name
from llmport_magic.notebook import completion
from llmport_magic.notebook.gmn_options import (
    GMN_COMMANDS,
    GMN_OPTIONS,
    REFINE_OPTIONS,
    parse_gmn_command,
    parse_gmn_line,
    parse_refine_line,
    refuse_specification,
)
from llmport_magic.notebook.options import options_help


def test_reads_every_option() -> None:
    """All options of a `%%gmn` cell arrive as written (S3-49)."""
    line = parse_gmn_line(
        "walker --type explorer --max-states 9 --max-actions=4 --max-observations 8 "
        "--max-factors 3 --horizon 2 --image map.png -p groq -m llama -t 0.2 --update --tries 3 "
        "--no-cache --no-cell --no-log"
    )
    assert (line.name, line.agent_type, line.image) == ("walker", "explorer", "map.png")
    assert line.limits == {
        "max_states": 9,
        "max_actions": 4,
        "max_observations": 8,
        "max_factors": 3,
        "horizon": 2,
    }
    assert (line.provider, line.model, line.temperature, line.tries) == ("groq", "llama", 0.2, 3)
    assert line.update
    assert line.no_cache
    assert line.no_cell
    assert line.no_log
    text = parse_gmn_line("walker --validate --base 0123abcd --max-states 3")
    assert (text.validate, text.base, text.limits) == (True, "0123abcd", {"max_states": 3})


def test_only_what_shapes_the_answer_is_in_the_key() -> None:
    """Flags that do not change the answer make no other version; the type and limits do (S3-49)."""
    plain = parse_gmn_line("walker --no-cell --tries 2").shaping()
    assert plain == {"magic": "gmn"}
    assert parse_gmn_line("walker --type trader --max-states 4").shaping() == {
        **plain,
        "agent_type": "trader",
        "max_states": "4",
    }


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "which agent"),
        ("--type explorer", "which agent"),
        ("walker --typ explorer", "did you mean `--type`"),
        ("walker --xyzzy", r"`%%gmn\?` lists what there is"),
        ("walker in a grid", "put the prompt below"),
        ("refine walker add memory", "did you mean `%gmn refine walker add memory`"),
        ("history", "is a command"),
        ("walker --max-states 0", "from 1"),
        ("walker --max-states many", "`--max-states` is a whole number"),
        ("walker --base abcd", "--validate --base abcd"),
        ("walker --validate --type explorer", "`--type` means nothing here"),
        ("walker --validate -p groq", "`-p` means nothing here"),
        ("walker --with df", "no option `--with`"),
        ("walker --api-key sk-123", "never stands in a cell"),
    ],
)
def test_a_bad_line_says_what_was_meant(line: str, says: str) -> None:
    """A bad line gives one line with what to do, and never repeats a key (S3-49)."""
    with pytest.raises(UsageError, match=says) as caught:
        parse_gmn_line(line)
    assert "\n" not in str(caught.value)
    assert "sk-123" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "node state place { size: 3 }",
        "# a walker\n\nagent walker { type: explorer }\nnode state place { size: 3 }",
        "\n  node emission see {\n  to: sight }",
        "```gmn\nnode state place { size: 3 }\n```",
        "node state place: {\n  size: 3\n}",
        '{"agent": {"name": "walker"}, "nodes": []}',
        '```json\n{\n  "nodes": []\n}\n```',
        "# GNN Example: a walker\n# Version: 1.0\n\n## GNNSection\nWalker\n",
        "## StateSpaceBlock\ns[2]\n",
    ],
)
def test_a_specification_is_no_prompt(text: str) -> None:
    """A specification without `--validate` is not sent to a model (S3-49)."""
    with pytest.raises(UsageError, match="`%%gmn walker --validate`"):
        refuse_specification("walker", text)
    refuse_specification("walker", f"Change this as I say:\n{text}")


@pytest.mark.parametrize(
    "text", ["{{ what }} in a grid", "# A walker\nwalks", "```\na walker\n```"]
)
def test_a_prompt_is_no_specification(text: str) -> None:
    """A variable, a heading or a fence at its beginning makes a prompt no specification."""
    refuse_specification("walker", text)


@pytest.mark.parametrize(
    ("line", "feedback"),
    [
        ('walker "add memory"', "add memory"),
        ("walker don't wait at the door", "don't wait at the door"),
        ("walker add memory -p mock --no-cell", "add memory"),
        ("walker --tries 2 add memory", "add memory"),
    ],
)
def test_feedback_is_said_as_people_write(line: str, feedback: str) -> None:
    """Feedback needs no quotes, and an apostrophe opens none (S3-41)."""
    command, words = parse_gmn_command(f"refine {line}")
    found = parse_refine_line(words)
    assert (command, found.name, found.words, found.update) == (
        "refine",
        "walker",
        (feedback,),
        True,
    )


def test_a_refinement_takes_a_picture() -> None:
    """What should change may be seen in a picture, as for `refine()` (S3-40)."""
    assert parse_refine_line(["walker", "--image", "map.png", "as", "drawn"]).image == "map.png"


@pytest.mark.parametrize("line", ["", "walker", 'walker ""', "walker --type explorer add"])
def test_a_refinement_needs_a_name_and_feedback(line: str) -> None:
    """Nothing is sent without a name and something to change (S3-40)."""
    with pytest.raises(UsageError, match=r"refine NAME|no option `--type`"):
        parse_refine_line(line.split())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("walker", "`%%gmn walker`, with two percent signs"),
        ("explorer", "`%gmn show explorer` shows it"),
        ("delete walker", "`%gmn help` lists what there is"),
        ("refin walker more", "did you mean `%gmn refine`"),
        ("hist walker", "did you mean `%gmn history`"),
        ("3x", "`%gmn help` lists"),
        ('show "walker', "quote is not closed"),
    ],
)
def test_a_near_miss_of_a_command_is_helped(line: str, says: str) -> None:
    """`%gmn walker` says how `%%gmn walker` is written (S3-49)."""
    with pytest.raises(UsageError, match=says):
        parse_gmn_command(line)


def test_help_names_every_option() -> None:
    """The help documents each flag, and each command has a line in `%gmn help` (S3-49)."""
    from llmport_magic.notebook.gmn_commands import _COMMANDS, _USAGE

    shown = options_help(GMN_OPTIONS)
    assert [flag for flags, *_ in GMN_OPTIONS for flag in flags if flag not in shown] == []
    assert [name for name in GMN_COMMANDS if f"%gmn {name}" not in _USAGE] == []
    refining = _USAGE[_USAGE.index("%gmn refine") : _USAGE.index("%gmn validate")]
    refused = [flags for flags, *_ in {*GMN_OPTIONS} - {*REFINE_OPTIONS}]
    assert [flags[-1] for flags in refused if flags[-1] not in refining] == []
    assert {*GMN_COMMANDS, ""} == {*_COMMANDS, "refine"}


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("%%gmn walker --max", ["--max-states", "--max-actions"]),
        ("%%gmn walker --type ex", ["explorer"]),
        ("%%gmn wal", ["walker"]),
        ("%%gmn walker -p mo", ["mock"]),
        ("%gmn ref", ["refine"]),
        ("%gmn plot wal", ["walker"]),
        ("%gmn plot walker --", ["--seed", "--dark"]),
        ("%gmn refine wal", ["walker"]),
        ("%gmn refine walker more --tr", ["--tries"]),
    ],
)
def test_what_can_follow_is_completed(
    line: str, wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options, types, providers, commands and names are offered where they can stand (S3-49)."""
    monkeypatch.setattr(completion, "stored_names", lambda *_: ["walker"])
    symbol = line.rsplit(maxsplit=1)[-1]
    offered = completion.complete(None, SimpleNamespace(line=line, symbol=symbol))
    assert set(wanted) <= set(offered)
    assert all(word.startswith(symbol) for word in offered)


@pytest.mark.parametrize("name", ["walker", "json", "numpy", "größe", "explorer_2"])
def test_a_specification_may_have_any_variables_name(name: str) -> None:
    """A specification is no file to import: it shadows no package (S3-49)."""
    assert check_specification_name(name) == name


@pytest.mark.parametrize("name", ["list", "class", "a.b", "../x", "", "con", "2x", "__x__"])
def test_a_name_that_means_something_is_refused(name: str) -> None:
    """Keywords, builtins, paths and device names are refused, with another name to take (S3-49)."""
    with pytest.raises(ModuleNameError):
        check_specification_name(name)
