"""A log page that somebody edits, opens or put in our way is theirs; the log goes on beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from log_pages import CODE, book, event, journal, pages

from llmport_magic.log.events import Kind
from llmport_magic.log.journal import Journal
from llmport_magic.log.pages import Pages

__all__ = ["journal", "pages"]


def notices(journal: Journal) -> str:
    """Give what the user would be told next."""
    return str(journal.append_sync(event("", Kind.PART)))


def edit(path: Path, change: str) -> bytes:
    """Change a page as a user in a front end would."""
    content = json.loads(path.read_bytes())
    if change == "cell":
        content["cells"].append({**content["cells"][0], "id": "mine", "source": ["my note"]})
    elif change == "text":
        content["cells"][0]["source"] += "!"
    elif change == "output":
        content["cells"][1]["outputs"] = [
            {"output_type": "stream", "name": "stdout", "text": ["x"]}
        ]
    elif change == "gone":
        del content["cells"][0]
    else:
        content = change
    path.write_text(json.dumps(content))
    return path.read_bytes()


@pytest.mark.parametrize("change", ["cell", "text", "output", "gone", "something else"])
@pytest.mark.parametrize("restart", [False, True])
def test_an_edited_page_is_the_users(
    tmp_path: Path, journal: Journal, pages: Pages, change: str, restart: bool
) -> None:
    """A page that a user changed is never overwritten; the log goes on beside it (S0-33)."""
    journal.append_sync(event("p"))
    journal.append_sync(event(CODE, Kind.RESPONSE))
    pages.flush()
    page = tmp_path / "llmport_log.ipynb"
    edited = edit(page, change)
    if restart:
        pages = Pages(tmp_path, journal)
    journal.append_sync(event("next"))

    pages.flush()

    assert page.read_bytes() == edited
    assert len(book(tmp_path, "llmport_log.1.ipynb").cells) == 4
    told = notices(journal)
    assert "`llmport_log.ipynb`" in told
    assert "`llmport_log.1.ipynb`" in told
    journal.append_sync(event("more"))
    pages.flush()
    assert page.read_bytes() == edited
    assert not (tmp_path / "llmport_log.2.ipynb").exists()


def test_an_edited_page_without_news_is_left_alone(
    tmp_path: Path, journal: Journal, pages: Pages
) -> None:
    """A note on a page to which nothing is added makes no second page (S0-33)."""
    journal.append_sync(event("p"))
    pages.flush()
    content = json.loads((tmp_path / "llmport_log.ipynb").read_bytes())
    content["cells"][0]["source"] += "!"
    (tmp_path / "llmport_log.ipynb").write_text(json.dumps(content))

    pages.flush()
    Pages(tmp_path, journal).flush()

    assert [path.name for path in tmp_path.glob("*.ipynb")] == ["llmport_log.ipynb"]


def test_an_open_page_is_not_fought_over(tmp_path: Path, journal: Journal, pages: Pages) -> None:
    """A page that a front end keeps saving is left to it; after a restart it is ours (S0-33)."""
    page = tmp_path / "llmport_log.ipynb"
    journal.append_sync(event("p"))
    pages.flush()
    page.write_text(json.dumps(json.loads(page.read_bytes()), indent=2))
    saved = page.read_bytes()
    journal.append_sync(event("q"))

    pages.flush()
    assert page.read_bytes() == saved
    assert len(book(tmp_path, "llmport_log.1.ipynb").cells) == 4

    (tmp_path / "llmport_log.1.ipynb").unlink()
    Pages(tmp_path, journal).flush()
    assert len(book(tmp_path).cells) == 4


@pytest.mark.parametrize("what", ["link", "directory", "foreign", "newer"])
def test_what_is_not_our_page_is_left(
    tmp_path: Path, journal: Journal, pages: Pages, what: str
) -> None:
    """Nothing is written through a link or over a file that we did not write (S0-33)."""
    page, outside = tmp_path / "llmport_log.ipynb", tmp_path / "outside"
    if what == "link":
        page.symlink_to(outside)
    elif what == "directory":
        page.mkdir()
    elif what == "foreign":
        page.write_text("{}")
    else:
        journal.append_sync(event("p"))
        pages.flush()
        page.write_text(page.read_text().replace('"v": 1', '"v": 2', 1))
        journal.append_sync(event("q"))
    before = page.read_bytes() if page.is_file() else None
    journal.append_sync(event("p"))

    pages.flush()

    assert not outside.exists()
    assert (page.read_bytes() if page.is_file() else None) == before
    assert (tmp_path / "llmport_log.1.ipynb").exists()


def test_a_page_that_cannot_be_replaced_gets_a_sibling(
    tmp_path: Path, journal: Journal, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Windows keeps an open page from being replaced, the next name is used (X-08)."""
    journal.append_sync(event("p"))
    pages.flush()
    journal.append_sync(event("q"))
    real = os.replace

    def busy(source: Any, target: Any, **more: Any) -> None:
        if str(target).endswith("llmport_log.ipynb"):
            raise PermissionError(13, "in use")
        real(source, target, **more)

    monkeypatch.setattr(os, "replace", busy)
    pages.flush()

    assert len(book(tmp_path, "llmport_log.1.ipynb").cells) == 4
    assert "cannot be replaced" in notices(journal)
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("name", ["open", "write", "fsync", "stat", "replace", "mkdir", "fdopen"])
def test_every_file_operation_may_fail_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whichever call fails, nothing is raised and the next page is whole (S0-33)."""
    real = getattr(os, name)
    for turn in range(10):
        place = tmp_path / f"{turn}"
        place.mkdir()
        journal = Journal(place)
        pages = Pages(place, journal)
        journal.append_sync(event("p"))
        pages.flush()
        journal.append_sync(event("q"))
        left = [turn]

        def fail_once(*args: Any, _left: list[int] = left, **more: Any) -> Any:
            _left[0] -= 1
            if _left[0] == -1:
                raise OSError(5, "Input/output error")
            return real(*args, **more)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail_once)
            pages.flush()
        journal.append_sync(event("r"))
        pages.flush()

        newest = sorted(path.name for path in place.glob("*.ipynb"))
        assert len(book(place, newest[0] if len(newest) > 1 else newest[-1]).cells) == 6, turn
        assert not list(place.glob("*.tmp"))
