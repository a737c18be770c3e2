"""The shape of the package: imports go downward, one door to each outside thing, small files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import llmport_magic

PACKAGE = Path(llmport_magic.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ROOT = Path(__file__).resolve().parents[1]
BESIDE = sorted(
    path for name in ("tests", "scripts", "benchmarks") for path in (ROOT / name).rglob("*.py")
)
LONGEST_FILE = 400
LONGEST_FUNCTION = 60

# The lowest first. A file imports only from its own layer and from those above it in this list.
LAYERS = (
    ("errors", "secrets", "settings", "bridge", "files", "lazy", "locks"),
    ("llm",),
    ("modules",),
    ("gmn",),
    ("log",),
    (
        "progress",
        "session",
        "cautions",
        "refusals",
        "answering",
        "explaining",
        "specifying",
        "tries",
        "attempts",
        "earlier",
        "registration",
        "pipeline",
        "editing",
        "api",
    ),
    ("seed_names",),
    ("notebook",),
)
# These two stand beside each other: neither knows the other.
APART = {("log", "modules")}
# The wire's errors inherit the HTTP library's: `errors` loads them when they are named.
LAZY = {("errors", "llmport_magic.llm.transport")}


def _part(dotted: str) -> str:
    """Give `llm` for `llmport_magic.llm.connector`, and "" for the package itself."""
    return dotted.partition(".")[2].partition(".")[0]


def _dotted(path: Path) -> str:
    inner = path.relative_to(PACKAGE.parent).with_suffix("")
    return ".".join(part for part in inner.parts if part != "__init__")


def _imports(path: Path, *, at_load: bool = False) -> Iterator[tuple[str, int]]:
    """Give each import of a file with its line; `at_load` leaves out those in functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = _loaded(tree.body) if at_load else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _loaded(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from _loaded([n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)])


def _rank(part: str) -> int:
    for rank, names in enumerate(LAYERS):
        if part in names:
            return rank
    raise AssertionError(f"`llmport_magic.{part}` belongs to no layer: add it to LAYERS")


# The package's own names are lazy: `__init__.py` knows every layer and loads none.
@pytest.mark.parametrize("path", [p for p in FILES if _part(_dotted(p))], ids=_dotted)
def test_imports_go_downward(path: Path) -> None:
    """No file imports from a layer above its own, not even inside a function (S0-35)."""
    own = _part(_dotted(path))
    rank = _rank(own)
    wrong = [
        f"line {line}: {name}"
        for name, line in _imports(path)
        if name.startswith("llmport_magic.")
        and (own, name) not in LAZY
        and (_rank(_part(name)) > rank or (own, _part(name)) in APART)
    ]

    assert wrong == []


def _in_order(files: Iterable[Path], *, at_load: bool) -> None:
    """Refuse files that import each other in a circle."""
    names = {_dotted(path) for path in FILES}
    graph = {
        _dotted(path): {
            found
            for name, _ in _imports(path, at_load=at_load)
            if (found := name if name in names else name.rpartition(".")[0]) in names
            and found not in {_dotted(path), "llmport_magic"}
        }
        for path in files
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"import cycle: {' -> '.join(error.args[1])}") from None


def test_no_import_cycles() -> None:
    """The package's files can be loaded in an order in which each comes after what it imports."""
    _in_order(FILES, at_load=True)


def test_the_road_has_no_hidden_cycles() -> None:
    """No two steps of the road import each other, not even inside a function."""
    road = [path for path in FILES if _part(_dotted(path)) in LAYERS[_rank("pipeline")]]

    assert len(road) == len(LAYERS[_rank("pipeline")])
    _in_order(road, at_load=False)


@pytest.mark.parametrize(
    ("package", "home"),
    [
        ("httpx", "llm/transport.py"),
        ("httpx2", "llm/transport.py"),
        # Loaded by a name that is made of the HTTP library's, which no import here shows.
        ("httpcore", "llm/clients.py"),
        # The files of the embedded models come from where no connector asks.
        ("urllib.request", "llm/weight_sources.py"),
        ("http.client", "llm/transport.py"),
        ("IPython", "notebook/"),
        ("ipykernel", "notebook/"),
        ("ipywidgets", "notebook/"),
        ("comm", "notebook/"),
        ("opentelemetry", "llm/tracing.py"),
        ("matplotlib", "gmn/"),
        ("xllamacpp", "llm/"),
        ("llama_cpp", "llm/"),
    ],
)
def test_one_door_to_each_outside_package(package: str, home: str) -> None:
    """HTTP, IPython and the embedded runtime are each imported in one place only (S0-35)."""
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        for name, _ in _imports(path)
        if f"{name}.".startswith(f"{package}.")
    }

    assert all(importer.startswith(home) for importer in importers), importers


def _environment_uses(path: Path) -> Iterator[int]:
    words = {"environ", "environb", "getenv", "putenv", "unsetenv"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in words:
            yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (node.lineno for alias in node.names if alias.name in words)


_READERS = ("settings/environment.py", "secrets.py")


def test_the_environment_is_read_in_two_files() -> None:
    """Only `settings/environment.py` and `secrets.py` touch the environment's variables (S0-35)."""
    uses = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in FILES
        if path.relative_to(PACKAGE).as_posix() not in _READERS
        for line in _environment_uses(path)
    ]

    assert uses == []


def test_settings_and_secrets_do_read_it() -> None:
    """The search above finds what it is meant to find (S0-35)."""
    for reader in _READERS:
        assert list(_environment_uses(PACKAGE / reader))


def _long_functions(text: str) -> list[tuple[str, int, int]]:
    """Give name, line and length of each function that is too long."""
    return [
        (node.name, node.lineno, length)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]


@pytest.mark.parametrize("path", [*FILES, *BESIDE], ids=lambda path: "/".join(path.parts[-3:]))
def test_files_and_functions_are_short(path: Path) -> None:
    """No file is longer than 400 lines and no function longer than 60."""
    text = path.read_text(encoding="utf-8")

    assert len(text.splitlines()) <= LONGEST_FILE
    assert _long_functions(text) == []


def test_each_of_several_functions_with_one_name_is_measured() -> None:
    """A long function is found, also where a short one of its name comes after it."""
    long = "def same():\n" + "    pass\n" * LONGEST_FUNCTION
    text = f"{long}\n\ndef same():\n    pass\n"

    assert _long_functions(text) == [("same", 1, LONGEST_FUNCTION + 1)]


_IGNORE = re.compile(
    r"# (?:noqa: [A-Z0-9, ]+|type: ignore\[[\w, -]+\])(?P<reason>.*)$", re.MULTILINE
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-3:]))
def test_what_a_checker_is_not_to_say_has_its_reason(path: Path) -> None:
    """Every ignore of the package names its rule and says why, behind it or in the line above."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    bare = [
        number
        for number, line in enumerate(lines)
        if (found := _IGNORE.search(line)) and not found["reason"].strip(" -#")
    ]

    assert not re.search(r"# (?:noqa|type: ignore)(?![:\[])", text)
    assert [lines[number] for number in bare if not lines[number - 1].strip().startswith("#")] == []


def test_files_are_named_after_their_subject() -> None:
    """No file of the package is a bag: none is called utils, helpers, common, core or the like."""
    bags = {"utils", "util", "helpers", "helper", "common", "core", "misc", "types", "manager"}

    assert [path for path in FILES if path.stem.lstrip("_") in bags] == []
