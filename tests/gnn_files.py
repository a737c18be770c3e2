"""The GNN files among the fixtures, and the text of each."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "fixtures" / "gnn"


def text_of(name: str) -> str:
    """Read a file."""
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")
