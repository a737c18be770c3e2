"""The table of packages is what its sources say, made again byte for byte."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from project_scripts import script

from llmport_magic.modules import packages

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = script("package_table")
MADE = SCRIPT.build()


def test_shipped_table_is_made_of_its_sources() -> None:
    """The recorded wheels and the reviewed names give the shipped file to the letter (S0-34)."""
    assert packages._TABLE.read_text("utf-8") == MADE.text
    assert packages._table().distributions == MADE.names
    assert packages._table().well_known == MADE.well_known


def test_every_reviewed_name_is_as_reviewed() -> None:
    """What was decided by hand is what is shipped, whatever the wheels say (S0-34)."""
    reviewed = SCRIPT.tomllib.loads(SCRIPT.REVIEWED.read_text("utf-8"))

    assert reviewed["distributions"].items() <= packages._table().distributions.items()
    assert not set(reviewed["shared"]) & set(packages._table().distributions)
    assert not set(reviewed["free"]) & packages._table().well_known


def test_no_package_that_attackers_would_take_is_named() -> None:
    """No hint leads to a distribution that is called as another one's import name (S0-34)."""
    reviewed = SCRIPT.tomllib.loads(SCRIPT.REVIEWED.read_text("utf-8"))
    named = {SCRIPT.normal(name) for name in packages._table().distributions.values()}

    assert not named & set(reviewed["left_out"])
    assert {"sklearn", "cv2", "bs4", "dotenv", "jwt", "attr"} <= set(reviewed["left_out"])


def test_an_import_name_is_an_identifier() -> None:
    """Every name of the table can be imported; each Python's own library has none (S0-34)."""
    for name in packages._table().distributions:
        assert all(part.isidentifier() for part in name.split("."))
        assert name not in SCRIPT.STDLIB


def test_recording_reads_a_list_of_ranks_and_a_database_of_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranks and top-level names become one dated line each; accidents claim no name (S0-34)."""
    ranks, wheels = tmp_path / "ranks.tsv", tmp_path / "wheels.sqlite3"
    ranks.write_text("name\trank\npy-yaml\t1\nunknown\t2\nbig_one\t3\nrare\t9000\n")
    base = sqlite3.connect(wheels)
    base.executescript(
        "CREATE TABLE distributions (id INTEGER, name TEXT, version TEXT);"
        "CREATE TABLE top_level_module_names (id INTEGER, distribution_id INTEGER, name TEXT);"
        "INSERT INTO distributions VALUES (1, 'Py.YAML', '1'), (2, 'big-one', '1'), "
        "(3, 'rare', '1');"
        "INSERT INTO top_level_module_names VALUES (1, 1, 'yamlx'), (2, 1, 'tests'), "
        "(3, 1, '_yamlx'), (4, 2, 'big_one'), (5, 2, 'util'), (6, 3, 'rare'), (7, 1, '../etc');"
    )
    base.commit()

    text = SCRIPT.record(ranks, wheels)

    assert text.splitlines()[1:] == [
        "1\tPy.YAML\t_yamlx tests yamlx",
        "2\tunknown\t",
        "3\tbig-one\tbig_one util",
    ]
    (tmp_path / "seen.tsv").write_text(text)
    monkeypatch.setattr(SCRIPT, "SEEN", tmp_path / "seen.tsv")
    names = SCRIPT.build().names
    assert (names["yamlx"], names["big_one"]) == ("Py.YAML", "big-one")
    assert not {"tests", "_yamlx", "util", "rare"} & set(names)


def test_what_python_took_out_gets_its_package_named() -> None:
    """`audioop` is in the library up to Python 3.12; after that `audioop-lts` holds it (S0-34)."""
    found = packages.missing_imports("import audioop\n")

    if packages.is_stdlib("audioop"):
        assert found == ()
    else:
        assert [missing.distribution for missing in found] == ["audioop-lts"]
