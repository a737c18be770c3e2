"""Pairs for tuning out of the journal: what was asked, the answer that passed, and no secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scripted import GOOD, PROMPT, fenced, scripted

from llmport_magic import llmport
from llmport_magic.gmn.writing.prompting import Wish, first_messages
from llmport_magic.llm.messages import Message
from llmport_magic.log.events import Event, Kind
from llmport_magic.log.journal import Journal
from llmport_magic.log.pairs import export_pairs
from llmport_magic.secrets import Secret

ASKED = [message.to_dict() for message in first_messages(Wish.of("a lamp"), small=False)]
KEY = "sk-planted-0123456789abcdef0123"


def read(file: Path) -> list[dict[str, Any]]:
    """Read what was exported."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def write(
    folder: Path,
    *answers: tuple[str, str],
    run: str = "r",
    messages: Any = None,
    options: Any = None,
) -> None:
    """Write the attempts of one run into a journal: each answer, and its proof."""
    journal = Journal(folder)
    given = messages or ASKED
    for number, (text, proof) in enumerate(answers, start=1):
        who: dict[str, Any] = {"run": run, "module": "lamp", "provider": "p", "model": "m"}
        for kind, said, data in (
            (Kind.PROMPT, "a lamp", {"messages": given, "options": options or {}}),
            (Kind.RESPONSE, text, {"status": "complete"}),
            (Kind.VERIFY, proof, {"verdict": {"proof": proof, "safety": "clean"}}),
        ):
            journal.append_sync(
                Event(kind=kind, text=said, data={"attempt": number, **data}, **who)
            )
        given = [*given, {"role": "assistant", "content": text}, {"role": "user", "content": "no"}]
    journal.close()


def test_a_module_that_passed_is_a_pair(tmp_path: Path) -> None:
    """A module out of the real road has its messages, its answer and who gave it (S3-63)."""
    folder = tmp_path / "modules"
    with scripted(fenced("def area(r):\n    return r"), fenced(GOOD)):
        llmport("circle", PROMPT, provider="scripted", module_dir=str(folder))
    found = export_pairs(folder, tmp_path / "pairs.jsonl")

    (pair,) = read(tmp_path / "pairs.jsonl")
    assert (found.pairs, found.problems) == (1, ())
    assert [each["role"] for each in pair["messages"]] == ["system", "user", "assistant"]
    assert PROMPT in pair["messages"][1]["content"]
    assert pair["messages"][2]["content"] == fenced(GOOD)
    expected = {"task": "code", "name": "circle", "provider": "scripted", "attempt": 2}
    assert expected.items() <= pair["metadata"].items()


def test_the_schema(tmp_path: Path) -> None:
    """A line has messages of role and content, the last the assistant's, and metadata (S3-63)."""
    write(tmp_path, ("node state x {", "failed"), ("node state x { size: 2 }", "passed"))
    export_pairs(tmp_path, tmp_path / "pairs.jsonl")

    (pair,) = read(tmp_path / "pairs.jsonl")
    assert set(pair) == {"messages", "metadata"}
    assert all(set(each) == {"role", "content"} for each in pair["messages"])
    # The answer that failed, and what was said of it, is nothing to learn from.
    assert pair["messages"] == [
        *ASKED,
        {"role": "assistant", "content": "node state x { size: 2 }"},
    ]
    assert {key: type(value).__name__ for key, value in pair["metadata"].items()} == {
        "task": "str",
        "name": "str",
        "provider": "str",
        "model": "str",
        "attempt": "int",
        "proof": "str",
        "run": "str",
        "time": "float",
    }


def test_tasks_and_proof(tmp_path: Path) -> None:
    """Specifications and modules are told apart; what nothing proves comes on demand (S3-63)."""
    code = [Message("system", "You write Python").to_dict(), Message("user", "q").to_dict()]
    write(tmp_path, ("spec", "passed"), run="a")
    write(tmp_path, ("module", "unverified"), run="b", messages=code)
    write(tmp_path, ("wrong", "failed"), run="c")
    count = 0

    def exported(*task: Any, **options: Any) -> list[str]:
        nonlocal count
        count += 1
        export_pairs(tmp_path, tmp_path / f"{count}.jsonl", *task, **options)
        return [each["messages"][-1]["content"] for each in read(tmp_path / f"{count}.jsonl")]

    assert exported() == exported("gmn") == ["spec"]
    assert exported("code") == []
    assert exported("code", unverified=True) == ["module"]
    assert exported(unverified=True) == ["spec", "module"]
    with pytest.raises(ValueError, match="`gmn` or `code`, not `words`"):
        exported("words")


@pytest.mark.parametrize("small", [True, False])
def test_specifications_are_known_by_what_is_said_first(tmp_path: Path, small: bool) -> None:
    """Whether a model is small or large, its specifications are pairs of `gmn` (S3-63)."""
    asked = [message.to_dict() for message in first_messages(Wish.of("x"), small=small)]
    write(tmp_path, ("spec", "passed"), messages=asked)
    export_pairs(tmp_path, tmp_path / "pairs.jsonl")

    assert [each["metadata"]["task"] for each in read(tmp_path / "pairs.jsonl")] == ["gmn"]


def test_no_secret_is_exported(tmp_path: Path) -> None:
    """A key in a prompt or an answer is masked, also one the journal did not know yet (S3-63)."""
    asked = [*ASKED[:-1], {"role": "user", "content": f"use {KEY}"}]
    write(tmp_path, (f"the key is {KEY}", "passed"), messages=asked)
    late = "a-quite-ordinary-word-3141"
    asked = [*ASKED[:-1], {"role": "user", "content": f"take {late}"}]
    write(tmp_path, (f"and {late}", "passed"), run="late", messages=asked)
    Secret(late)
    export_pairs(tmp_path, tmp_path / "pairs.jsonl")

    text = (tmp_path / "pairs.jsonl").read_text("utf-8")
    assert len(text.splitlines()) == 2
    assert KEY not in text
    assert late not in text


def test_the_start_of_an_answer_belongs_to_it(tmp_path: Path) -> None:
    """What was given to a small model as the start is part of the pair, with its fence."""
    write(tmp_path, ("lamp { horizon: 1 }", "passed"), options={"prefill": "```gmn\nagent "})
    export_pairs(tmp_path, tmp_path / "pairs.jsonl")

    (pair,) = read(tmp_path / "pairs.jsonl")
    assert pair["messages"][-1]["content"] == "```gmn\nagent lamp { horizon: 1 }\n```"


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    """A file that is there stays, and the same pair is written once (S3-63)."""
    write(tmp_path, ("spec", "passed"), run="a")
    write(tmp_path, ("spec", "passed"), run="b")
    file = tmp_path / "pairs.jsonl"
    assert export_pairs(tmp_path, file).pairs == 1
    before = file.read_bytes()

    with pytest.raises(ValueError, match="is there already"):
        export_pairs(tmp_path, file)
    assert file.read_bytes() == before


def test_a_damaged_journal_gives_the_rest(tmp_path: Path) -> None:
    """A torn line is told, and the other pairs are there; half characters do no harm."""
    write(tmp_path, ("good \ud800", "passed"))
    (path,) = (tmp_path / ".llmport" / "journal").glob("*.jsonl")
    with path.open("ab") as journal:
        journal.write(b'{"v":1,"broken\n')
    found = export_pairs(tmp_path, tmp_path / "pairs.jsonl")

    assert found.pairs == len(read(tmp_path / "pairs.jsonl")) == 1
    assert "line 4" in found.problems[0]
