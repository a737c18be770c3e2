"""The one description of the messages between panel and kernel, read from the kernel's side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmport_magic.modules.sorts import MODULE, SPECIFICATION
from llmport_magic.modules.store import ModuleStore, NewVersion, version_key
from llmport_magic.notebook.cells import linked_bases, module_cell
from llmport_magic.notebook.comm import PROTOCOL, cell_message, check_message

FIXTURE = json.loads(
    (Path(__file__).parent / "fixtures" / "comm_messages.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("kind", sorted(FIXTURE["front_to_kernel"]))
def test_every_message_of_the_panel_is_taken(kind: str) -> None:
    """The kernel takes each message that the panel sends, whole (S0-42)."""
    message = FIXTURE["front_to_kernel"][kind]
    expected = {name: value for name, value in message.items() if name != "v"}
    assert check_message(message) == expected


@pytest.mark.parametrize("message", FIXTURE["invalid_for_kernel"], ids=lambda item: str(item)[:60])
def test_anything_else_is_dropped(message: Any) -> None:
    """A message that is not of the protocol, from whatever script, is dropped (S0-42)."""
    assert check_message(message) is None


def test_foreign_fields_are_taken_off() -> None:
    """A message cannot name a path, a URL or a key: fields beyond the protocol are gone (S0-42)."""
    message = FIXTURE["front_to_kernel"]["generate"] | {
        "base_url": "http://example.com",
        "api_key": "sk-planted",
        "module_dir": "/tmp",
    }
    checked = check_message(message)
    assert checked is not None
    assert set(checked) == set(FIXTURE["front_to_kernel"]["generate"]) - {"v"}


def test_a_huge_message_is_dropped() -> None:
    """A message of a megabyte is dropped, not worked on (S0-42)."""
    message = FIXTURE["front_to_kernel"]["generate"] | {"prompt": "x" * 1_000_000}
    assert check_message(message) is None


@pytest.mark.parametrize("cell", FIXTURE["linked_cells"], ids=lambda cell: cell["source"][:40])
def test_the_kernel_knows_the_same_linked_cells(
    cell: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell that holds a version is known by both sides, and a prompt is none (S3-49)."""
    monkeypatch.chdir(tmp_path)
    sources = ["a prompt", cell["source"]]
    cells = [{"cell_type": "code", "source": source} for source in sources]
    (tmp_path / "work.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    found = {
        base
        for sort in (MODULE, SPECIFICATION)
        for base in linked_bases(cell["name"], "a prompt", sort)
    }
    assert found == ({"0123456789abcdef"} if cell["linked"] else set())


def test_the_kernel_writes_the_cells_that_the_panel_knows(tmp_path: Path) -> None:
    """The cell of a version is what the fixture has as a linked cell (S3-49)."""
    for sort, row in zip((MODULE, SPECIFICATION), FIXTURE["linked_cells"], strict=False):
        first, _, text = row["source"].partition("\n")
        key = version_key("walker", "", "p", {})
        version = ModuleStore(tmp_path, sort=sort).add(
            NewVersion(name="walker", source=text, key=key)
        )
        assert module_cell(version) == f"{first.rpartition(' ')[0]} {version.id}\n{text}"


def test_the_kernel_places_what_the_fixture_says() -> None:
    """The cell that the kernel asks for has the fields that the panel was tested with (S0-04)."""
    place = FIXTURE["kernel_to_front"]["place"]
    said = cell_message(
        place["cell"]["source"], name=place["name"], base=place["base"], after=place["after"]
    )
    assert place == {"v": PROTOCOL, "type": "place", "re": "g1", "id": "p1", **said}
