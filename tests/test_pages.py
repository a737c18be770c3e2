"""The log notebook: a view of the journals that is valid, harmless and never in anybody's way."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from awaiting import PATIENCE, until
from log_pages import CODE, book, event, journal, pages

from llmport_magic.log import pages as pages_module
from llmport_magic.log.events import Event, Kind
from llmport_magic.log.journal import Journal
from llmport_magic.log.pages import Pages
from llmport_magic.secrets import Secret

__all__ = ["journal", "pages"]


def sources(directory: Path, name: str = "llmport_log.ipynb") -> list[tuple[str, str]]:
    """Give a page's cells as pairs of type and text."""
    return [(cell.cell_type, cell.source) for cell in book(directory, name).cells]


def notices(journal: Journal) -> str:
    """Give what the user would be told next."""
    return str(journal.append_sync(event("", Kind.PART)))


def test_prompts_and_answers_are_cells(tmp_path: Path, journal: Journal, pages: Pages) -> None:
    """A prompt is a Markdown cell, code is a code cell, prose is a raw cell (S0-33)."""
    journal.append_sync(event("area of a circle"))
    journal.append_sync(event(f"```python\n{CODE}```\n", Kind.RESPONSE, usage={"total_tokens": 9}))
    journal.append_sync(event("4 of 4 examples passed", Kind.VERIFY))
    journal.append_sync(event("again"))
    journal.append_sync(event("# made\n" + CODE, Kind.RESPONSE))
    journal.append_sync(event("again"))
    journal.append_sync(event(f"# Sure\n\nHere:\n```python\n{CODE}```\n", Kind.RESPONSE))
    journal.append_sync(event("no module", Kind.ERROR))

    pages.flush()

    cells = sources(tmp_path)
    kinds = [kind for kind, _ in cells]
    assert kinds == [
        "markdown",
        "code",
        "markdown",
        "markdown",
        "code",
        "markdown",
        "raw",
        "markdown",
    ]
    assert "```text\narea of a circle\n```" in cells[0][1]
    assert cells[1][1] == CODE.rstrip()
    assert cells[4][1] == "# made\n" + CODE.rstrip()
    assert "4 of 4 examples passed" in cells[2][1]
    node = book(tmp_path)
    assert (node.nbformat, node.nbformat_minor) == (4, 5)
    assert node.cells[1].outputs == []
    assert node.cells[1].execution_count is None
    assert node.cells[1].metadata.tags == ["skip-execution"]
    assert node.cells[1].metadata.llmport.usage == {"total_tokens": 9}
    assert len({cell.id for cell in node.cells}) == len(node.cells)


@pytest.mark.parametrize(
    "text",
    [
        "``` \n<script>alert(1)</script>\n```",
        "`" * 40 + "\n<img src=http://x/y.png onerror=alert(1)>",
        "~~~\n</pre>\n[x](javascript:alert(1))",
        "![x](http://example.com/a.png)",
        "a\r```\r<b>\r",
    ],
)
def test_a_prompt_cannot_leave_its_fence(
    tmp_path: Path, journal: Journal, pages: Pages, text: str
) -> None:
    """No text of a prompt, a finding or a name is read as Markdown or HTML (S0-33)."""
    hostile = Event(kind=Kind.PROMPT, run="r", module=text, provider=text, model=text, text=text)
    journal.append_sync(hostile)
    journal.append_sync(event(text, Kind.ERROR))
    pages.flush()

    fenced = [source for _, source in sources(tmp_path) if source.startswith("**")]
    assert len(fenced) == 2  # the prompt and the error
    for source in fenced:
        heading, _, rest = source.partition("\n\n")
        assert "\n" not in heading
        outside = "".join(heading.split("`")[0::2])
        assert not set("<[!(") & set(outside)
        fence = rest.split("text\n", 1)[0]
        assert set(fence) == {"`"}
        inner = rest.split("\n")[1:-1]
        assert rest.endswith("\n" + fence)
        assert all(len(line) - len(line.lstrip("`")) < len(fence) for line in inner)


@pytest.mark.parametrize("text", ["\0\x1b", "\ud800 and \udc00", "\u2028🎈ü", "x" * 300_000, ""])
def test_every_text_gives_a_valid_page(
    tmp_path: Path, journal: Journal, pages: Pages, text: str
) -> None:
    """NUL, lone surrogates and long answers give valid JSON in UTF-8 (S0-33)."""
    for kind in Kind:
        journal.append_sync(event(text, kind, run=text[:9], error=text))
    pages.flush()

    data = (tmp_path / "llmport_log.ipynb").read_bytes()
    json.loads(data.decode("utf-8", "strict"))
    assert len(data) < 400_000
    assert len(book(tmp_path).cells) >= 6


def test_no_key_is_on_a_page(tmp_path: Path, journal: Journal, pages: Pages) -> None:
    """A key is on no page, in no spelling and in no metadata (X-07)."""
    key = 'planted"page\\secret/with+signs==77'
    Secret(key)
    for kind in Kind:
        planted = event(f"a {key} b", kind, run=key, error=key, usage={key: key}, status=key)
        journal.append_sync(replace(planted, module=key, provider=key, model=key))
    journal.append_sync(event("x" * 300_000 + key, Kind.RESPONSE))
    pages.flush()

    spellings = [key, json.dumps(key)[1:-1], quote(key, safe=""), b64encode(key.encode()).decode()]
    for path in tmp_path.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not any(spelling.encode() in data for spelling in spellings), path


def test_a_long_answer_shows_its_ends(tmp_path: Path, journal: Journal, pages: Pages) -> None:
    """A very long answer shows beginning, end and where all of it lies (S0-33)."""
    journal.append_sync(event("p"))
    journal.append_sync(event("begin " + "ü" * 5_000_000 + " end", Kind.RESPONSE))
    pages.flush()

    (_, text) = sources(tmp_path)[1]

    assert text.startswith("[the whole text: .llmport/journal/blobs/")
    where = text.split(": ", 1)[1].split("]")[0]
    assert (tmp_path / where).stat().st_size > 10_000_000
    assert "begin ü" in text
    assert text.endswith("ü end")
    assert len(text) < 100_000


def test_a_deleted_page_comes_back_the_same(tmp_path: Path, journal: Journal, pages: Pages) -> None:
    """Pages depend on nothing but the journal: the same bytes, in any process (S0-33)."""
    for n in range(700):
        journal.append_sync(event(f"{n}", Kind.NOTE), commit=False)
    pages.flush()
    names = ["llmport_log-0002.ipynb", "llmport_log.ipynb"]
    before = [(tmp_path / name).read_bytes() for name in names]
    assert sorted(p.name for p in tmp_path.glob("*.ipynb")) == names
    for name in names:
        (tmp_path / name).unlink()

    pages.flush()
    assert [(tmp_path / name).read_bytes() for name in names] == before

    for name in names:
        (tmp_path / name).unlink()
    Pages(tmp_path, Journal(tmp_path)).flush()
    assert [(tmp_path / name).read_bytes() for name in names] == before


def test_a_full_page_stays_as_it_is(tmp_path: Path, journal: Journal, pages: Pages) -> None:
    """At most 500 events stand on a page, and a full page is not written again (S0-33)."""
    for n in range(500):
        journal.append_sync(event(f"{n}", Kind.NOTE), commit=False)
    pages.flush()
    before = (tmp_path / "llmport_log.ipynb").stat()
    for n in range(3):
        journal.append_sync(event(f"more {n}", Kind.NOTE))
        pages.flush()

    assert (tmp_path / "llmport_log.ipynb").stat() == before
    assert len(book(tmp_path).cells) == 500
    assert len(book(tmp_path, "llmport_log-0002.ipynb").cells) == 3


def test_an_unfinished_answer_is_marked(tmp_path: Path, journal: Journal, pages: Pages) -> None:
    """What had arrived when a kernel was killed is shown as interrupted (S0-31, S0-33)."""
    journal.append_sync(event("p", run="killed"))
    for text in ("def", " f"):
        journal.append_sync(event(text, Kind.PART, run="killed"), commit=False)
    journal.append_sync(event("q", run="done"))
    journal.append_sync(event("par", Kind.PART, run="done"), commit=False)
    pages.flush()
    journal.append_sync(event("part", Kind.RESPONSE, run="done", status="cancelled"))
    pages.flush()

    cells = book(tmp_path).cells
    assert [cell.cell_type for cell in cells] == ["markdown", "raw", "markdown", "raw"]
    assert cells[1].source.startswith("[interrupted")
    assert cells[1].source.endswith("\ndef f")
    assert cells[1].metadata.llmport.status == "interrupted"
    assert cells[3].source == "[cancelled]\npart"


def test_a_failing_view_fails_nothing(
    journal: Journal, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error while a page is written is told, not raised (S0-33)."""
    journal.append_sync(event("p"))

    def broken(*_: object, **__: object) -> bytes:
        raise RuntimeError("broken view")

    monkeypatch.setattr(pages_module, "page", broken)
    pages.flush()
    pages.changed()
    pages.close()

    assert "broken view" in notices(journal)


def test_a_read_only_folder_is_told_at_once(
    journal: Journal, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no page can be written at all it is tried twice, not a hundred times (S0-33)."""
    journal.append_sync(event("p"))
    calls = []

    def refuse(*args: object, **_: object) -> None:
        calls.append(args)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pages_module.Folder, "write", refuse)
    pages.flush()

    assert len(calls) == 2
    assert "Permission denied" in notices(journal)


def test_a_newer_journal_keeps_the_pages(tmp_path: Path, journal: Journal, pages: Pages) -> None:
    """Where a newer version writes too, its pages are not written over, and it is said (S0-33)."""
    journal.append_sync(event("p"))
    pages.flush()
    before = (tmp_path / "llmport_log.ipynb").read_bytes()
    other = Journal(tmp_path)
    other.append_sync(event("q"))
    other.path.write_bytes(other.path.read_bytes().replace(b'{"v":1', b'{"v":2'))

    pages.flush()

    assert (tmp_path / "llmport_log.ipynb").read_bytes() == before
    assert "newer" in notices(journal)


def test_sessions_are_merged_in_time(tmp_path: Path) -> None:
    """Two kernels' events stand in the order of their clocks, each once (S0-33, X-09)."""
    one, two = Journal(tmp_path), Journal(tmp_path)
    for n in range(3):
        one.append_sync(event(f"one {n}", Kind.NOTE))
        two.append_sync(event(f"two {n}", Kind.NOTE))
    copy = two.path.with_name("01ARZ3NDEKTSV4RRFFQ69G5FAV.jsonl")
    copy.write_bytes(two.path.read_bytes())

    Pages(tmp_path, one).flush()

    shown = [source.split("text\n")[1].split("\n")[0] for _, source in sources(tmp_path)]
    assert shown == [f"{who} {n}" for n in range(3) for who in ("one", "two")]


def test_a_clock_that_jumps_back_changes_no_page(
    tmp_path: Path, journal: Journal, pages: Pages
) -> None:
    """Inside a session events stand as they were written, whatever the clock said (S0-33)."""
    for n, jump in enumerate([0, -86400, 315e6]):
        note = Event(kind=Kind.NOTE, run="r", text=f"note {n}", ts=time.time() + jump)
        journal.append_sync(note)
    pages.flush()

    shown = [source.split("text\n")[1].split("\n")[0] for _, source in sources(tmp_path)]
    assert shown == ["note 0", "note 1", "note 2"]


def test_the_page_follows_in_the_background(
    tmp_path: Path, journal: Journal, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages are written a little after the event, once for many, and at the end (S0-33)."""
    pauses, written, over = list[float](), list[int](), threading.Event()
    due, wait, flush = pages._due, pages._due.wait_for, pages.flush

    def waiting(holds: Callable[[], bool], seconds: float | None = None) -> bool:
        if seconds is None:
            return wait(holds)
        pauses.append(seconds)
        return wait(lambda: over.is_set() or holds())

    def counted() -> None:
        flush()
        written.append(len(book(tmp_path).cells))

    monkeypatch.setattr(due, "wait_for", waiting)
    monkeypatch.setattr(pages, "flush", counted)
    for n in range(20):
        journal.append_sync(event(f"{n}", Kind.NOTE), commit=False)
        pages.changed()
    until(lambda: pauses)
    assert pauses == [pages_module._PAUSE]
    assert not (tmp_path / "llmport_log.ipynb").exists()
    with due:
        over.set()
        due.notify_all()
    until(lambda: written)
    assert written == [20]

    journal.append_sync(event("last", Kind.NOTE))
    pages.changed()
    pages.close()

    assert len(book(tmp_path).cells) == 21


_KERNEL = """
import sys
from llmport_magic.log.events import Event, Kind
from llmport_magic.log.journal import Journal
from llmport_magic.log.pages import Pages
journal = Journal(sys.argv[1])
pages = Pages(sys.argv[1], journal)
print("ready", flush=True)
for n in range(int(sys.argv[2])):
    journal.append_sync(Event(kind=Kind.NOTE, run="r", text=f"{n}"), commit=False)
    pages.flush()
"""


def test_two_kernels_share_the_pages(tmp_path: Path) -> None:
    """Two kernels that render at once leave valid pages with every event once (S0-33)."""
    command = [sys.executable, "-c", _KERNEL, str(tmp_path), "40"]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(PATIENCE) for process in running] == [0, 0]

    Pages(tmp_path, Journal(tmp_path)).flush()

    assert [path.name for path in tmp_path.glob("*.ipynb")] == ["llmport_log.ipynb"]
    assert len(book(tmp_path).cells) == 80


def test_a_kill_while_rendering_leaves_a_page(tmp_path: Path) -> None:
    """After `kill -9` in the middle the page is valid and is rendered on from (S0-33)."""
    for kill in range(6):
        place = tmp_path / str(kill)
        place.mkdir()
        command = [sys.executable, "-c", _KERNEL, str(place), "100000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            until((place / "llmport_log.ipynb").exists)
            time.sleep(kill * 0.013)
            process.kill()

        book(place)
        Pages(place, Journal(place)).flush()

        assert [path.name for path in place.glob("*.ipynb")] == ["llmport_log.ipynb"]
