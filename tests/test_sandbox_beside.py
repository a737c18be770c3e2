"""Code reads a file beside the notebook by its relative name, and what it writes stays inside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sandboxed import MODES, entered, posix, run
from trials import tried

from llmport_magic.modules.sandbox import beside, sandboxing, wrapping

pytestmark = posix

READ = "import os\n\ndef read(name):\n    with open(name) as file:\n        return file.read()\n"


@pytest.fixture(autouse=True)
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook's folder, with a file outside of it and data in it."""
    here = tmp_path / "notebook"
    (here / "data").mkdir(parents=True)
    (tmp_path / "outside.csv").write_text("outside")
    (here / "data.csv").write_text("a,b")
    (here / "data" / "more.csv").write_text("c,d")
    (here / "named.csv").write_text("e,f")
    (here / ".env").write_text("hidden")
    (here / "link.csv").symlink_to(tmp_path / "outside.csv")
    (here / "env.csv").symlink_to(".env")
    monkeypatch.chdir(here)
    return here


@pytest.fixture(params=MODES)
async def mode(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """Run a test in each mode; gives the level that must be reached."""
    for level in entered(request.param, monkeypatch):
        yield level


async def test_a_file_is_read_by_its_relative_name(mode: str) -> None:
    """What an example, a default or the import names lies in the check's folder (S0-43)."""
    source = (
        f"{READ}\nX = open('data.csv').read()\n\nmore = lambda name='data/more.csv': read(name)\n"
    )
    names = {"NAMED": "'named.csv'"}

    result = await run(
        source, "read('./data.csv')", "more()", "X", "read(NAMED)", fixed_names=names
    )

    assert (result.status, result.level) == ("ok", mode)
    values = [result.observations[number].value for number in range(4)]
    assert values == ["'a,b'", "'c,d'", "'a,b'", "'e,f'"]


@pytest.mark.parametrize("held", [True, False])
async def test_what_is_written_stays_in_the_check(
    held: bool, notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that writes to a file writes to a copy, also where nothing holds it (S0-43)."""
    if not held:
        monkeypatch.setattr(wrapping, "offered", lambda: "")
        monkeypatch.setattr(sandboxing, "_offered", lambda: ())
    source = "def save(name):\n    open(name, 'a').write('new')\n    return open(name).read()\n"

    result = await run(source, "save('data.csv')")

    assert result.observations[0].value == "'a,bnew'"
    assert (notebook / "data.csv").read_text() == "a,b"


@pytest.mark.parametrize(
    "name", [".env", "../outside.csv", "link.csv", "env.csv", "data", "a\0b", "x" * 300, ""]
)
async def test_what_is_hidden_or_leads_out_is_not_given(name: str) -> None:
    """Hidden files, and names that lead out of the notebook's folder, are not copied (S0-43)."""
    result = await run(READ, f"{name!r} in os.listdir()", "sorted(os.listdir())")

    assert result.observations[0].value == "False"
    assert result.observations[1].value == "['circle.py']"


async def test_a_folder_that_holds_the_home_gives_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a notebook that lies above the user's home, no file is given (S0-43)."""
    home = tmp_path / "notebook" / "home"
    monkeypatch.setattr(Path, "home", lambda: home)

    result = await run(READ, "'data.csv' in os.listdir()")

    assert result.observations[0].value == "False"


async def test_too_much_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into the room that the copies have is left out, and the rest given."""
    monkeypatch.setattr(beside, "MOST_BYTES", 5)

    result = await run(READ, "[name for name in os.listdir() if name in {'data.csv'}]")
    both = await run(READ, "'data.csv', 'data/more.csv', sorted(os.listdir())")

    assert result.observations[0].value == "['data.csv']"
    assert both.observations[0].value.count(".csv") == 3


async def test_only_what_is_named_is_given(notebook: Path) -> None:
    """Nothing else of the notebook's folder lies in that of the check, however much there is."""
    for number in range(50):
        (notebook / f"{number}.csv").touch()

    result = await run(READ, "sorted(os.listdir()), '7.csv'")

    assert result.observations[0].value == "(['7.csv', 'circle.py'], '7.csv')"


async def test_a_module_of_that_name_is_the_candidate(notebook: Path) -> None:
    """A file with the name of the module does not come in its place."""
    (notebook / "circle.py").write_text("OLD = 1\n")

    result = await run("NEW = 2\n", "open('circle.py').read()")

    assert result.observations[0].value == repr("NEW = 2\n")


@pytest.mark.parametrize("name", ["sales", None])
async def test_the_trial_reads_it_as_well(name: str | None) -> None:
    """A trial of a module, and of a plain cell, reads a file beside the notebook (S0-43)."""
    source = "def size(df):\n    return open('data.csv').read() + str(len(df))\n"
    if name is None:
        source += "shown = size(df)\n"

    verdict = await tried(source, {"df": [1, 2]}, name=name)

    assert "does not" not in verdict.tried
    assert "str" in verdict.tried
