"""What `docs/gmn-pictures.md` shows runs, and comes out as it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from llmport_magic.gmn import History

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "gmn-pictures.md").read_text("utf-8")


def test_the_code_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its blocks run one after the other, and write the figure, the GIF and the graph (S3-46)."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    told = capsys.readouterr().out.splitlines()

    assert told[0].startswith("<History: 12 steps: location 24, believed 24")
    assert told[1].startswith("<History: 10 steps, the environment was done: location 24")
    assert Image.open("walk.gif").n_frames == 12  # type: ignore[attr-defined]
    assert Image.open("beliefs.png").width == 1000
    assert Path("explorer.svg").read_text("utf-8").startswith("<svg")


def test_the_names_in_its_table_are_those_of_a_history() -> None:
    """Every name in the first column of its table is one that a history has."""
    rows = PAGE.partition("| of a history |")[2].partition("## Plot")[0].splitlines()[2:]
    told = {name for row in rows for name in re.findall(r"`(\w+)", row.partition(" | ")[0])}
    own = {*vars(History), *History.__dataclass_fields__}

    assert len(told) == 13
    assert told <= own


@pytest.mark.parametrize("name", ["gmn-beliefs.png", "gmn-graph.png"])
def test_its_pictures_are_there_and_small(name: str) -> None:
    """Each picture is on the page, has a text for who cannot see it, and less than 150 kB."""
    described = re.search(rf"!\[(.{{30,}})\]\({name}\)", PAGE)
    picture = np.asarray(Image.open(DOCS / name).convert("L"))

    assert described
    assert (DOCS / name).stat().st_size < 150_000
    assert picture.std() > 10
