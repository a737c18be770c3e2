"""The project of somebody else, in whose folder the user works, and a key of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

KEY = "planted-key-0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the folder of a project that somebody else made, as the working directory."""
    project = tmp_path / "cloned"
    (project / ".git").mkdir(parents=True)
    monkeypatch.chdir(project)
    return project


def written(folder: Path, text: str, name: str = "llmport.toml") -> Path:
    """Write a file of the project."""
    path = folder / name
    path.write_text(text, "utf-8")
    return path
