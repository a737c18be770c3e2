"""Say how the shipped table of packages differs from its sources, or write it anew.

    python scripts/package_table.py [--write]
    python scripts/package_table.py --record POPULARITY MODULES

The table, `llmport_magic/modules/packages.txt`, tells which distribution holds an import name. It
is made of two sources and of nothing else, both in `scripts/package_table/`:

- `seen.tsv`: the most downloaded distributions, the first one first, each with the top-level
  names that its wheel holds;
- `reviewed.toml`, kept by hand: names that the wheels do not tell or tell wrongly, names that
  several distributions share, and which name is whose where strangers could profit from a
  confusion.

To refresh it, record `seen.tsv` anew. POPULARITY is a text with a distribution and its rank in
each line, parted by a tab; MODULES the database of top-level names, `.db.sqlite3`, that the
package `pigar` ships: https://github.com/damnever/pigar (BSD-3-Clause; 2.2.0 read the wheels up to
2025-11-09). Look through what changes for the names of `reviewed.toml`, set its `reviewed` to the
day of that, and run this with `--write`. Nothing here asks the package index.
"""

from __future__ import annotations

import difflib
import keyword
import re
import sqlite3
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SEEN = HERE / "package_table" / "seen.tsv"
REVIEWED = HERE / "package_table" / "reviewed.toml"
TABLE = HERE.parent / "llmport_magic" / "modules" / "packages.txt"

RECORDED = 5_000
WELL_KNOWN = 1_500
# A wheel with more names, none of them its own, holds things that have everyday names.
FEW = 3
# What lies in many wheels by accident, and is nobody's to claim.
_ACCIDENTS = re.compile(
    r"assets|base|benchmarks?|bin|build|build_(backend|tools)|ci|cli|com|common|config|conftest|data|"
    r"demos?|dev|dist|docs?|examples?|exceptions|helpers|lib|license|main|meta|node_modules|"
    r"notebooks|noxfile|packaging_tools|plugin|release|requirements|resources|samples?|scripts?|"
    r"services|setup|site|src|tasks|test(s|ing|_utils)?|(integration|unit)_tests|third_party|tools|"
    r"tutorials|utils|version|wheelhouse"
)
# What Python 3.12 and 3.13 took out of the standard library has to be installed since; 3.11 never
# asks the table for it.
_TAKEN_OUT = (
    "aifc asynchat asyncore audioop cgi cgitb chunk crypt distutils imghdr imp lib2to3 mailcap "
    "msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu xdrlib"
)
STDLIB = sys.stdlib_module_names - set(_TAKEN_OUT.split())


@dataclass(frozen=True)
class Seen:
    """One distribution, its place among the most downloaded, and what its wheel holds."""

    rank: int
    name: str
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """What the shipped file holds, and what was decided by popularity alone."""

    text: str
    names: Mapping[str, str]
    well_known: frozenset[str]
    contested: Mapping[str, tuple[str, ...]]


def normal(name: str) -> str:
    """Give a distribution's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).casefold()


def seen() -> tuple[Seen, ...]:
    """Read what was recorded."""
    rows = (line.split("\t") for line in SEEN.read_text("utf-8").splitlines() if line[0] != "#")
    return tuple(Seen(int(rank), name, tuple(modules.split())) for rank, name, modules in rows)


def record(popularity: Path, modules: Path) -> str:
    """Give the text of `seen.tsv` out of a list of ranks and `pigar`'s database."""
    ranks: dict[str, int] = {}
    for line in popularity.read_text("utf-8").splitlines():
        name, _, rank = line.partition("\t")
        if rank.strip().isdecimal() and int(rank) <= RECORDED:
            ranks[normal(name)] = int(rank)
    spelled, held = _held(modules, ranks)
    today = datetime.now(UTC).date()
    lines = [
        f"# The {len(ranks)} most downloaded distributions, and what their wheels hold: {today}"
    ]
    for name, rank in sorted(ranks.items(), key=lambda item: item[1]):
        lines.append(f"{rank}\t{spelled.get(name, name)}\t{' '.join(sorted(held[name]))}")
    return "\n".join(lines) + "\n"


def _held(modules: Path, ranks: Mapping[str, int]) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Give how each distribution is spelled and which names it holds."""
    base = sqlite3.connect(f"file:{modules}?mode=ro", uri=True)
    known = base.execute("SELECT id, name FROM distributions")
    numbers = {number: name for number, name in known if normal(name) in ranks}
    held: dict[str, set[str]] = defaultdict(set)
    for number, name in base.execute("SELECT distribution_id, name FROM top_level_module_names"):
        if number in numbers and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name):
            held[normal(numbers[number])].add(name)
    return {normal(name): name for name in numbers.values()}, held


def build() -> Table:
    """Make the table out of what was recorded and what was reviewed."""
    reviewed = tomllib.loads(REVIEWED.read_text("utf-8"))
    rows = [row for row in seen() if not _is_left_out(row, reviewed)]
    claims: dict[str, list[Seen]] = defaultdict(list)
    for row in rows:
        for name in _claimed(row, reviewed):
            claims[name].append(row)
    names = {name: min(rows, key=lambda row: row.rank).name for name, rows in claims.items()}
    names |= dict(_of_families(rows, reviewed)) | reviewed["distributions"]
    popular = {name for name, rows in claims.items() if min(r.rank for r in rows) <= WELL_KNOWN}
    well_known = (popular | set(reviewed["distributions"])) - set(reviewed["free"])
    contested = {
        name: tuple(row.name for row in rows)
        for name, rows in claims.items()
        if len(rows) > 1 and name not in reviewed["distributions"]
    }
    holders = {normal(name) for name in names.values()}
    silent = [row.name for row in rows if normal(row.name) not in holders]
    text = _text(names, well_known, silent, reviewed["reviewed"])
    return Table(text, names, frozenset(well_known), contested)


def _is_left_out(row: Seen, reviewed: Mapping[str, Any]) -> bool:
    name = normal(row.name)
    # Type stubs hold names that nobody imports at run time.
    return name in reviewed["left_out"] or name.startswith("types-") or name.endswith("-stubs")


def _claimed(row: Seen, reviewed: Mapping[str, Any]) -> Iterator[str]:
    """Give the import names that a distribution is installed for."""
    own = [name for name in row.modules if normal(name) == normal(row.name)]
    for name in own or (row.modules if len(row.modules) <= FEW else ()):
        accident = _ACCIDENTS.fullmatch(name.casefold()) and name not in own
        private = name.startswith("_") or keyword.iskeyword(name) or "." in name
        shared = name in reviewed["shared"]
        if not (accident or private or shared or name in STDLIB):
            yield name


def _of_families(rows: list[Seen], reviewed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the dotted names of distributions that are named after their part of a namespace."""
    for row in rows:
        for prefix, (namespace, joint) in reviewed["families"].items():
            rest = normal(row.name).removeprefix(prefix)
            if rest != normal(row.name):
                yield f"{namespace}.{rest.replace('-', joint)}", row.name


def _text(names: Mapping[str, str], well_known: set[str], silent: list[str], reviewed: str) -> str:
    def rows(wanted: bool) -> list[str]:
        return [
            name if name == names[name] else f"{name} {names[name]}"
            for name in sorted(names, key=lambda name: (name.casefold(), name))
            if (name in well_known) is wanted
        ]

    parts = [
        "# Import names, each with the distribution to install where that is called otherwise.",
        "# Made by scripts/package_table.py: change its sources, not this file.",
        f"# reviewed: {reviewed}",
        "",
        "[well known]",
        *rows(True),
        "",
        "[further]",
        *rows(False),
        "",
        "[without a name to import]",
        *sorted(set(silent), key=str.casefold),
    ]
    return "\n".join(parts) + "\n"


def main(arguments: list[str]) -> int:
    """Record, write or compare; the result is the process's exit code."""
    if arguments[:1] == ["--record"]:
        SEEN.write_text(record(Path(arguments[1]), Path(arguments[2])), "utf-8")
        return 0
    table = build()
    for name, holders in table.contested.items():
        print(f"`{name}` is held by {', '.join(holders)}: {table.names[name]}, the most used")
    shipped = TABLE.read_text("utf-8") if TABLE.is_file() else ""
    if arguments == ["--write"]:
        TABLE.write_text(table.text, "utf-8")
    print(*difflib.unified_diff(shipped.splitlines(), table.text.splitlines(), n=0), sep="\n")
    return int(shipped != table.text and arguments != ["--write"])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
