"""An empty journal and the log notebook of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from llmport_magic.log.events import Event, Kind
from llmport_magic.log.journal import Journal
from llmport_magic.log.pages import Pages

CODE = "def area(r):\n    return r\n"


def event(text: str, kind: Kind = Kind.PROMPT, run: str = "run", **data: Any) -> Event:
    """Make an event."""
    return Event(
        kind=kind, run=run, module="circle", provider="mock", model="m", text=text, data=data
    )


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Give an empty journal."""
    return Journal(tmp_path)


@pytest.fixture
def pages(tmp_path: Path, journal: Journal) -> Pages:
    """Give the log notebook of the journal."""
    return Pages(tmp_path, journal)


def book(directory: Path, name: str = "llmport_log.ipynb") -> Any:
    """Read a page and check it."""
    node = nbformat.read(directory / name, as_version=4)
    nbformat.validate(node)
    return node
