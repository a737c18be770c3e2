"""Updates that send only what they need: over the wire, through the store, and when they fail."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernels import kernel
from loopback import Loopback, streamed
from test_outline import SHAPES

from llmport_magic import configure, llmport, update
from llmport_magic import session as sessions
from llmport_magic.errors import VerificationError
from llmport_magic.llm.cost import estimate_tokens
from llmport_magic.modules import loader
from llmport_magic.modules.prompts import build_request
from llmport_magic.modules.strategy import AttemptPlan

# Like the shapes of `test_outline`, and it can be run.
MODULE = SHAPES.replace("async def sector", "def sector")
PROMPT = "Shapes.\n\n>>> round(shapes.area(2), 3)\n12.566"
CHANGE = (
    "Let sector take its degrees as a keyword.\n\n"
    ">>> round(shapes.sector(2, degrees=180), 3)\n6.283"
)
SECTOR = '''def sector(r: float, *, degrees: float) -> float:
    """Area of a sector."""
    return area(r) * degrees / 360
'''
START = MODULE.index("def sector")
OLD_SECTOR = MODULE[START : MODULE.index("\n\n\n", START) + 1]
MERGED = MODULE.replace(OLD_SECTOR, SECTOR)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_registry: None) -> Iterator[Path]:
    """Work in a folder of its own, with a fresh session and no module left over."""
    monkeypatch.chdir(tmp_path)
    sessions.close_session()
    yield tmp_path
    sessions.close_session()
    loader.uninstall()
    sys.modules.pop("shapes", None)
    configure()


def answering(server: Loopback, *answers: str, context: str = "needed") -> dict[str, Any]:
    """Script answers, and give the settings under which they come."""
    server.script(*(streamed(f"```python\n{answer}```\n") for answer in answers))
    return {
        "provider": "local",
        "base_url": server.url,
        "model": "m-1",
        "update_context": context,
        "cache": False,
    }


def said(server: Loopback, number: int = -1) -> str:
    """Give all that one request says."""
    return "\n".join(each["content"] for each in server.requests[number].json["messages"])


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Give the journal's records of one kind."""
    lines = [
        json.loads(line)
        for path in sorted((folder / ".llmport" / "journal").glob("*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    return [line for line in lines if line["kind"] == kind]


def test_an_update_sends_what_it_needs_and_stores_the_module(
    server: Loopback, folder: Path
) -> None:
    """The request has the outline and the named function, the store the whole module (S3-61)."""
    made = llmport("shapes", PROMPT, **answering(server, MODULE))
    assert update("shapes", CHANGE, **answering(server, SECTOR)) is made
    text = said(server)
    assert OLD_SECTOR.rstrip() in text
    assert "def area(r: float" in text
    assert '    """The last one."""\n        ...' in text
    for body in ("return self[-1]", "return self.append", "return r\n", "print(", "secret"):
        assert body not in text
    assert (folder / "shapes.py").read_text("utf-8") == MERGED
    assert round(made.sector(2, degrees=180), 3) == 6.283
    assert events(folder, "RESPONSE")[-1]["body"]["text"] == f"```python\n{SECTOR}```\n"


def test_needed_takes_fewer_tokens_than_whole(server: Loopback, folder: Path) -> None:
    """Of the same update `needed` sends and asks for far less than `whole` (S3-61)."""
    llmport("shapes", PROMPT, **answering(server, MODULE))
    update("shapes", CHANGE, **answering(server, SECTOR))
    needed = estimate_tokens(said(server)), estimate_tokens(SECTOR)
    loader.uninstall()
    sys.modules.pop("shapes", None)
    whole = "shapes_again"
    llmport(whole, PROMPT.replace("shapes", whole), **answering(server, MODULE))
    update(whole, CHANGE.replace("shapes", whole), **answering(server, MERGED, context="whole"))
    sys.modules.pop(whole, None)
    assert (folder / f"{whole}.py").read_text("utf-8") == MERGED
    sent, back = estimate_tokens(said(server)), estimate_tokens(MERGED)
    assert needed[0] < 0.75 * sent, (needed, sent)
    assert needed[1] < 0.1 * back, (needed, back)


def test_whole_is_what_happens_unless_asked(server: Loopback, folder: Path) -> None:
    """By default an update sends the whole source, and the answer is the whole module (S0-07)."""
    llmport("shapes", PROMPT, **answering(server, MODULE))
    settings = answering(server, MERGED)
    del settings["update_context"]
    update("shapes", CHANGE, **settings)
    assert MODULE.strip() in said(server)
    assert (folder / "shapes.py").read_text("utf-8") == MERGED


def test_a_repair_is_of_the_merged_module(server: Loopback, folder: Path) -> None:
    """A merged answer that fails is repaired with its findings, on an outline of it (S3-61)."""
    llmport("shapes", PROMPT, **answering(server, MODULE))
    wrong = SECTOR.replace("/ 360", "/ 90") + "\n\ndef half(r):\n    return area(r) / 2\n"
    update("shapes", CHANGE, **answering(server, wrong, SECTOR))
    assert len(server.requests) == 3
    text = said(server)
    assert "return area(r) * degrees / 90" in text
    assert "expected 6.283" in text
    assert CHANGE.split("\n", 1)[0] in text
    assert "return self[-1]" not in text
    stored = (folder / "shapes.py").read_text("utf-8")
    assert stored == merged_before_main("\n\ndef half(r):\n    return area(r) / 2\n")


def merged_before_main(text: str) -> str:
    """Give the merged module with a text before its `__main__` block."""
    return MERGED.replace("if __name__", f"{text.strip()}\n\n\nif __name__")


def test_an_answer_that_cannot_be_put_in_gets_the_whole(server: Loopback, folder: Path) -> None:
    """Where the answer changes what it was not shown, the next request has the whole (S3-61)."""
    llmport("shapes", PROMPT, **answering(server, MODULE))
    blind = SECTOR + "\n\ndef check(r):\n    return abs(r)\n"
    update("shapes", CHANGE, **answering(server, blind, MERGED))
    assert "`check`, whose text was not given" in said(server)
    assert MODULE.strip() in said(server)
    assert (folder / "shapes.py").read_text("utf-8") == MERGED


@pytest.mark.parametrize(
    "answer",
    [
        SECTOR.replace("/ 360", "/ 90"),
        "def sector(r, *, degrees)\n    return 0\n",
        "def sector(r, *, degrees):\n    ...\n",
        "from math import nothing_of_that_kind\n" + SECTOR,
        "raise SystemExit(1)\n",
    ],
    ids=["wrong", "syntax", "left out", "import", "exit"],
)
def test_a_failed_update_leaves_the_module(server: Loopback, folder: Path, answer: str) -> None:
    """No answer that fails changes the file or the live module, in this mode either (S0-09)."""
    made = llmport("shapes", PROMPT, **answering(server, MODULE))
    with pytest.raises(VerificationError):
        update("shapes", CHANGE, tries=3, **answering(server, answer, answer, answer))
    assert (folder / "shapes.py").read_text("utf-8") == MODULE
    assert made.sector(2, 180) == pytest.approx(6.283, abs=1e-3)


def test_a_module_of_which_nothing_is_named_is_sent_whole(server: Loopback, folder: Path) -> None:
    """With nothing named the whole goes along, and the answer is taken as the whole (S3-61)."""
    llmport("shapes", PROMPT, **answering(server, MODULE))
    update("shapes", "Add a greeting.", **answering(server, "x = 1\n"))
    assert MODULE.strip() in said(server)
    assert (folder / "shapes.py").read_text("utf-8") == "x = 1\n"


class _Small:
    """A small model's capabilities, as far as the prompts ask for them."""

    size = "small"
    prefill = True
    reasoning = False


def test_a_small_model_gets_a_part_where_it_chats() -> None:
    """A small model's chat has the part; where it continues text, it gets the whole (S3-61)."""
    given: dict[str, Any] = {
        "name": "shapes", "prompt": CHANGE, "capabilities": _Small(),
        "current": MODULE, "part": True,
    }  # fmt: skip
    chat = build_request(plan=AttemptPlan("chat", 0.0, 0), **given)
    assert chat.excerpt is not None
    assert chat.options["prefill"] == "```python\n"
    raw = build_request(plan=AttemptPlan("completion", 0.0, 0), **given)
    assert raw.excerpt is None
    assert MODULE.strip() in raw.messages[0].content


@pytest.mark.kernel
def test_the_magic_and_its_preview(server: Loopback, tmp_path: Path) -> None:
    """In a kernel `--preview` shows what is then sent, and the cell holds the merge (S3-61)."""
    setup = (
        "from llmport_magic import configure\n"
        f"configure(provider='local', base_url={server.url!r}, model='m-1',"
        " update_context='needed')"
    )
    answers = [streamed(f"```python\n{MODULE}```"), streamed(f"```python\n{SECTOR}```")]
    server.always(lambda _: answers.pop(0))
    with kernel(tmp_path / "work") as shell:
        assert shell.run(setup).status == "ok"
        assert shell.run(f"%%llmport shapes\n{PROMPT}", cell_id="p1").status == "ok"
        shown = shell.run(f"%%llmport shapes --update --preview\n{CHANGE}", cell_id="p2").stdout
        assert len(server.requests) == 1, "the preview asks nobody for anything"
        outcome = shell.run(f"%%llmport shapes --update\n{CHANGE}", cell_id="p3")
        assert outcome.status == "ok", outcome.shown
        sent = [request.json for request in server.requests]
        for message in sent[1]["messages"]:
            assert message["content"] in shown
        assert "return self[-1]" not in shown
        assert outcome.next_cell.rstrip("\n").endswith(MERGED.rstrip("\n"))
        assert (shell.folder / "shapes.py").read_text("utf-8") == MERGED
