"""The one description of the messages between panel and kernel, read from the kernel's side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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


def test_the_kernel_places_what_the_fixture_says() -> None:
    """The cell that the kernel asks for has the fields that the panel was tested with (S0-04)."""
    place = FIXTURE["kernel_to_front"]["place"]
    said = cell_message(
        place["cell"]["source"], name=place["name"], base=place["base"], after=place["after"]
    )
    assert place == {"v": PROTOCOL, "type": "place", "re": "g1", "id": "p1", **said}
