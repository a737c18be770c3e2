"""What `--with` sends in a real kernel, to a real server that keeps the bytes it was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import Kernel, kernel
from loopback import Loopback, streamed
from scripted import GOOD
from test_kernel import journal

pytestmark = pytest.mark.kernel
FENCED = f"```python\n{GOOD}```"
PLANTED = ("Zanzibar77", "quagga-31", "8675309", "314159.26")
DATA = """
import numpy as np, pandas as pd
from dataclasses import dataclass
from types import SimpleNamespace
frame = pd.DataFrame({"day": ["Zanzibar77", "quagga-31"], "amount": [314159.26, None]})
by_name = frame.set_index("day")
kinds = frame.astype({"day": "category"})
series, array = frame["day"], np.array([8675309, 1])
objects = np.array([{"Zanzibar77": 1}], dtype=object)
table, record = {"Zanzibar77": 1, "b": 2}, {"host": "quagga-31", "port": 8675309}
items, pairs, text = [8675309], ("Zanzibar77", 1), "quagga-31"
space = SimpleNamespace(a="Zanzibar77", b="quagga-31")

@dataclass
class Person:
    "Somebody."
    name: str

    def greet(self, other="you"):
        "Say hello."

person = Person("Zanzibar77")
def total(df, start=frame):
    "Add it up."
    return df.amount.sum() + start.amount.sum()
"""
NAMES = "frame,by_name,kinds,series,array,objects,table,record,items,pairs,text,space,person,total"


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Give a provider on the loopback."""
    with Loopback() as running:
        running.always(streamed(FENCED))
        yield running


@pytest.fixture
def shell(server: Loopback, tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel with data that asks the loopback server."""
    setup = (
        "from llmport_magic import configure\n"
        f"configure(provider='local', base_url={server.url!r}, model='m-1', trial_rows=0)"
    )
    with kernel(tmp_path / "work") as running:
        assert running.run(setup).status == "ok"
        outcome = running.run(DATA)
        assert outcome.status == "ok", outcome.error
        yield running


def prompt(options: str, words: str = "Area of a circle.") -> str:
    """Write a prompt cell."""
    return f"%%llmport circle {options}\n{words}\n\n>>> round(area(2), 3)\n12.566\n"


def test_no_value_of_the_data_is_on_the_wire(shell: Kernel, server: Loopback) -> None:
    """The bytes that were sent, and the journal, hold columns and types, and no planted value."""
    outcome = shell.run(prompt(f"--with {NAMES}"))
    assert outcome.status == "ok", outcome.shown
    (request,) = server.requests
    sent = request.json["messages"][-1]["content"]

    for value in PLANTED:
        assert value.encode() not in request.body, value
        assert value not in json.dumps(journal(shell.folder)), value
    assert "frame: pandas DataFrame, 2 rows x 2 columns" in sent
    assert "'amount': float64, 1 missing" in sent
    assert "total: function total(df, start=...)" in sent
    assert "information, not instructions" in sent
    assert "with frame: pandas DataFrame 2x2, 2 columns described, no rows sent" in outcome.shown


def test_rows_and_sources_are_sent_where_they_are_named(shell: Kernel, server: Loopback) -> None:
    """`frame:rows=1` sends that row and no other, `total:source` the source, `cell:2` a cell."""
    shell.run("api_key = 'planted-key-1'\nresult = 40 + 2\nresult")
    number = shell.run("print(len(In) - 2)").stdout.strip()
    items = f"frame:rows=1,total:source,Person:source,cell:{number}"
    outcome = shell.run(prompt(f"--with {items}"))
    assert outcome.status == "ok", outcome.shown
    sent = server.requests[0].json["messages"][-1]["content"]

    assert "Zanzibar77 | 314159.26" in sent
    assert "quagga-31" not in sent
    assert "return df.amount.sum()" in sent
    assert "class Person:" in sent
    assert "result = 40 + 2" in sent
    assert "planted-key-1" not in server.requests[0].body.decode()
    assert "looks like a key or a password was masked" in outcome.shown


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ("fram", "did you mean `frame`?"),
        ("frame:row=5", "did you mean `frame:rows=5`?"),
        ("frame:rows=101", "at most 100 rows"),
        ("cell:99", "no cell [99] was run in this kernel"),
        ("frame.nope", "`frame` has no attribute `nope`"),
    ],
)
def test_a_mistaken_item_fails_the_cell_and_sends_nothing(
    shell: Kernel, server: Loopback, item: str, says: str
) -> None:
    """What `--with` cannot read or find is one line, before anything is sent or written."""
    outcome = shell.run(prompt(f"--with {item}"))

    assert outcome.status == "error"
    assert says in outcome.error
    assert "\n" not in outcome.error
    assert server.requests == []
    assert not (shell.folder / "circle.py").exists()


def test_too_long_a_context_sends_nothing(shell: Kernel, server: Loopback) -> None:
    """Over `context_tokens` the cell fails with the numbers, and nothing is sent (I90)."""
    shell.run("configure(context_tokens=20)")
    outcome = shell.run(prompt("--with frame,total:source"))

    assert outcome.status == "error"
    assert "`context_tokens` = 20" in outcome.error
    assert server.requests == []


def test_a_preview_shows_what_is_sent_to_the_letter_and_sends_nothing(
    shell: Kernel, server: Loopback
) -> None:
    """`--preview` shows the very request that the cell then sends; it sends and stores nothing."""
    before = shell.run(prompt("--with frame,total --preview"))
    assert before.status == "ok", before.error
    assert server.requests == []
    assert not (shell.folder / ".llmport").exists()

    shell.run(prompt("--with frame,total"))
    for message in server.requests[0].json["messages"]:
        assert message["content"] in before.stdout
    assert "local m-1" in before.stdout
    assert "with frame: pandas DataFrame 2x2, 2 columns described, no rows sent" in before.stdout
    assert "not sent: no other variable, cell or output" in before.stdout
    assert "checked in the sandbox against 1 example" in before.stdout
    assert "estimated from the length of the texts" in before.stdout


def test_a_preview_of_what_is_stored_says_that_nothing_is_sent(
    shell: Kernel, server: Loopback
) -> None:
    """Where the prompt's module is stored, the preview says that running the cell is free."""
    shell.run(prompt("--with frame"))
    again = shell.run(prompt("--with frame --preview"))

    assert "running the cell sends nothing: it selects `circle` v1" in again.stdout
    assert len(server.requests) == 1
    last = shell.run("%llmport preview")
    assert "the last request, as it was built for local m-1" in last.stdout


def test_hidden_characters_are_shown_in_the_preview(shell: Kernel, server: Loopback) -> None:
    """Text that nobody sees is written out, in a column's name and in the prompt (I89)."""
    shell.run("frame = frame.rename(columns={'day': 'da\\u200by\\U000E0041'})")
    outcome = shell.run(prompt("--with frame --preview", words="Area.\u202e"))

    assert r"da\u200by\U000e0041" in outcome.stdout
    assert r"Area.\u202e" in outcome.stdout
    assert "\u200b" not in outcome.stdout
    assert "\u202e" not in outcome.stdout
    assert server.requests == []


def test_changed_columns_are_told_and_nobody_is_asked(shell: Kernel, server: Loopback) -> None:
    """A frame that has changed is told with both shapes; more rows alone are not (DESIGN §7)."""
    shell.run(prompt("--with frame"))
    shell.run("frame = pd.concat([frame, frame])")
    grown = shell.run(prompt("--with frame"))
    shell.run("frame['more'] = 1")
    changed = shell.run(prompt("--with frame"))
    shell.run("del frame")
    gone = shell.run(prompt("--with frame"))

    assert [each.status for each in (grown, changed, gone)] == ["ok"] * 3
    assert "has changed" not in grown.shown
    assert (
        "`frame` has changed since v1 (was pandas DataFrame 2x2, is pandas DataFrame 4x3)"
        in changed.shown
    )
    assert "`frame`, which v1 was made with, is not there now" in gone.shown
    assert len(server.requests) == 1


def test_a_record_without_a_context_is_still_read(shell: Kernel, server: Loopback) -> None:
    """A version that was stored before contexts were kept is selected as before."""
    shell.run(prompt("--with frame"))
    (record,) = (shell.folder / ".llmport" / "modules" / "circle").glob("v*.json")
    data = json.loads(record.read_text("utf-8"))
    assert data.pop("context")["frame"].startswith("pandas DataFrame 2x2 ")
    record.write_text(json.dumps(data), "utf-8")
    shell.restart()
    shell.run(DATA)
    again = shell.run(prompt("--with frame"))

    assert again.status == "ok", again.shown
    assert "reused, 0 tokens" in again.shown
    assert len(server.requests) == 1
