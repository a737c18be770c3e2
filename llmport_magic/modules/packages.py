"""Which package an import name belongs to: from a shipped, dated table, never from the network.

A model invents package names, and strangers register what models invent. A name that neither the
standard library, nor this environment, nor the table knows therefore gets no install command.
The table, `packages.txt`, is made by `scripts/package_table.py`.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from llmport_magic.errors import MissingPackageError
from llmport_magic.modules.import_caches import forget_folders
from llmport_magic.modules.parsing import parse

_PACKAGE_FOLDERS = ("site-packages", "dist-packages")
_TABLE = Path(__file__).with_name("packages.txt")
_SHORTEST = 3


@dataclass(frozen=True, slots=True)
class MissingImport:
    """An import that this environment cannot serve.

    Attributes:
        name: the import name, for example `cv2`.
        line: the line of the import; 0 where it is not known.
        distribution: what to install, or `None` when it is unknown.
        deferred: whether the import stands in a function, so that the module itself imports.
    """

    name: str
    line: int = 0
    distribution: str | None = None
    deferred: bool = False

    @property
    def message(self) -> str:
        """Say in one line what is missing and what to do."""
        where = f"line {self.line}: " if self.line else ""
        return where + install_hint(self.name)


@dataclass(frozen=True, slots=True)
class _Table:
    """The shipped table.

    Attributes:
        reviewed: the day of its review, ISO 8601.
        distributions: by import name; dotted ones are parts of namespaces that packages share.
        well_known: the import names that most people know.
        unnamed: distributions that are installed for something else than an import.
    """

    reviewed: str
    distributions: dict[str, str]
    well_known: frozenset[str]
    unnamed: frozenset[str]


@cache
def _table() -> _Table:
    """Read the table, when a name is first looked up."""
    head, known, further, unnamed = _TABLE.read_text("utf-8").split("\n\n")
    # By hand: thousands of lines of TOML take a tenth of a second.
    first, more = (_rows(part) for part in (known, further))
    return _Table(
        reviewed=head.rpartition("reviewed: ")[2].strip(),
        distributions=first | more,
        well_known=frozenset(first),
        unnamed=frozenset(unnamed.splitlines()[1:]),
    )


def _rows(part: str) -> dict[str, str]:
    parted = (line.partition(" ") for line in part.splitlines()[1:])
    return {name: distribution or name for name, _, distribution in parted}


def reviewed() -> str:
    """Give the day on which the table was last reviewed, ISO 8601."""
    return _table().reviewed


@cache
def well_known_names() -> frozenset[str]:
    """Give the case-folded top-level names that a generated module must not take."""
    return frozenset(name.partition(".")[0].casefold() for name in _table().well_known)


@cache
def _shared() -> frozenset[str]:
    """Give the top-level names that several packages share, and that none of them is."""
    dotted = {name.partition(".")[0] for name in _table().distributions if "." in name}
    return frozenset(dotted - set(_table().distributions))


@cache
def _installed_distributions() -> dict[str, str]:
    from importlib.metadata import packages_distributions

    return {name: owners[0] for name, owners in packages_distributions().items()}


def installed_names() -> frozenset[str]:
    """Give the case-folded top-level names that lie in the folders of installed packages."""
    return _names_in(tuple(entry for entry in sys.path if entry.endswith(_PACKAGE_FOLDERS)))


@cache
def _names_in(folders: tuple[str, ...]) -> frozenset[str]:
    found: set[str] = set()
    for folder in folders:
        with contextlib.suppress(OSError):
            # By hand: the metadata of every distribution takes seconds in a large environment.
            found.update(entry.partition(".")[0].casefold() for entry in os.listdir(folder))  # noqa: PTH208
    return frozenset(found)


def is_stdlib(import_name: str) -> bool:
    """Tell whether a name is the standard library's."""
    return import_name.partition(".")[0] in sys.stdlib_module_names


def distribution_for(import_name: str) -> str | None:
    """Name the distribution that holds a module, or `None` when it is not known.

    The shipped table comes first: what is installed under a name may be another package.
    """
    row = _row(import_name)
    if row is not None:
        return _table().distributions[row]
    top = import_name.partition(".")[0]
    return None if is_stdlib(top) or top in _shared() else _installed_distributions().get(top)


def _row(import_name: str) -> str | None:
    """Give the longest part of a name that the table has."""
    known = _table().distributions
    return next((name for name in _prefixes(import_name) if name in known), None)


def is_installed(import_name: str, *, search_path: Sequence[str] = ()) -> bool:
    """Tell whether the top level of a name can be imported here; imports nothing."""
    top = import_name.partition(".")[0]
    if is_stdlib(top) or top in sys.builtin_module_names:
        return True
    if search_path and PathFinder.find_spec(top, list(search_path)) is not None:
        return True
    try:
        # Not only the path: editable installs are found by finders of their own.
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return top in sys.modules


def missing_imports(
    source: str, *, search_path: Sequence[str] = (), own_names: Collection[str] = ()
) -> tuple[MissingImport, ...]:
    """Find the imports whose package is not installed, each package once, in their order.

    An import that the code itself guards (`try` with `except ImportError`, `TYPE_CHECKING`) is
    not missing. Submodules are left to the sandbox, which really imports.

    Args:
        source: the module's text, which parses.
        search_path: further folders to look in, such as the module folder.
        own_names: modules that exist without a file on the path.
    """
    # What was installed a moment ago counts.
    forget_folders()
    found: dict[str, MissingImport] = {}
    for name, line, deferred in _imports(parse(source)):
        top = name.partition(".")[0]
        key = _row(name) or (name if top in _shared() else top)
        known = found.get(key)
        if (known and not known.deferred) or top in own_names:
            continue
        if known is None and is_installed(name, search_path=search_path):
            continue
        if known is None or not deferred:
            found[key] = MissingImport(key, line, distribution_for(name), deferred)
    return tuple(found.values())


def _imports(tree: ast.Module) -> Iterator[tuple[str, int, bool]]:
    """Give each import that nothing guards: its name, its line, whether it is in a function."""
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, deferred = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, deferred) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                # `from google.cloud import storage` is about the package of `storage`.
                dotted = f"{node.module}.{alias.name}"
                known = dotted in _table().distributions
                yield dotted if known else node.module, node.lineno, deferred
        inside = deferred or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        waiting.extend((child, inside) for child in reversed(list(_unguarded(node))))


def _unguarded(node: ast.AST) -> Iterator[ast.AST]:
    skipped: list[ast.stmt] = []
    if isinstance(node, (ast.Try, ast.TryStar)) and any(map(_catches_import, node.handlers)):
        skipped = [*node.body, *(s for handler in node.handlers for s in handler.body)]
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        skipped = node.body
    return (child for child in _children(node) if child not in skipped)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ExceptHandler):
            yield from child.body
        else:
            yield child


def _catches_import(handler: ast.ExceptHandler) -> bool:
    names = {node.id for node in ast.walk(handler.type or handler) if isinstance(node, ast.Name)}
    wide = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
    return handler.type is None or bool(names & wide)


def install_hint(import_name: str) -> str:
    """Say in one line how to get a missing module; no command for a name that is not known."""
    top = import_name.partition(".")[0]
    if is_stdlib(top):
        return f"`{import_name}` belongs to Python, but is not in this Python"
    if is_installed(top) and import_name != top and not shares_a_namespace(import_name):
        return f"the installed `{top}` has no module `{import_name}`: its version may differ"
    known = _row(import_name)
    if known:
        command = f"{_installer()} {_table().distributions[known]}"
        return f"`{import_name}` is not installed: run `{command}`"
    if top in _shared():
        return f"`{import_name}` is in no package known to llmport; it may not exist"
    near = nearest_known(top)
    hint = f"; did you mean `{near}`?" if near else ""
    return f"`{top}` is not a package known to llmport; it may not exist{hint}"


def install_hints(import_names: Collection[str]) -> str:
    """Say in one line how to get several missing modules, with one command for the known ones."""
    rows = {name: row for name in import_names if (row := _row(name)) and not is_installed(name)}
    known = dict.fromkeys(_table().distributions[row] for row in rows.values())
    hints = [install_hint(name) for name in import_names if name not in rows]
    if len(rows) > 1:
        named = "` and `".join(rows)
        command = f"{_installer()} {' '.join(known)}"
        hints.insert(0, f"`{named}` are not installed: run `{command}`")
    elif rows:
        hints.insert(0, install_hint(*rows))
    return "; ".join(hints)


def lacking(said: str, module: str, import_names: Sequence[str]) -> MissingPackageError:
    """Make the error of a module that waits for packages.

    Args:
        said: what became of the module.
        module: its name.
        import_names: what it imports and does not find; the first one is the error's.
    """
    distribution = distribution_for(import_names[0])
    retry, anew = "call again", "call again with `overwrite=True`"
    if in_ipython():
        retry, anew = f"`%llmport retry {module}`", "run the cell with `--regenerate`"
    then = f"; then {retry}: no model is asked" if distribution else ""
    if not all(map(distribution_for, import_names)):
        then += f"; {anew} for code without it"
    return MissingPackageError(
        f"{said}: {install_hints(import_names)}{then}",
        module=import_names[0],
        distribution=distribution,
    )


def _installer() -> str:
    # A shell's `pip` may be another environment's.
    return "%pip install" if in_ipython() else "pip install"


def in_ipython() -> bool:
    """Tell whether this process is IPython's, where line magics can be run."""
    shell = sys.modules.get("IPython")
    return shell is not None and shell.get_ipython() is not None


def is_known_distribution(name: str) -> bool:
    """Tell whether a distribution is in the table or installed here."""
    from importlib.metadata import PackageNotFoundError, distribution

    if _normal(name) in _known_distributions():
        return True
    try:
        distribution(name)
    except (PackageNotFoundError, ValueError):
        return False
    return True


@cache
def _known_distributions() -> frozenset[str]:
    table = _table()
    return frozenset(map(_normal, [*table.distributions.values(), *table.unnamed]))


def _normal(distribution: str) -> str:
    """Give a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).casefold()


def full_name(import_name: str, source: str) -> str:
    """Complete the part of a name that Python missed by what the code imports.

    Python names `google.cloud` when `google.cloud.storage` is missing.
    """
    for node in ast.walk(parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.startswith(f"{import_name}.") and shares_a_namespace(name):
                return name
    return import_name


def shares_a_namespace(import_name: str) -> bool:
    """Tell a name such as `google.cloud.storage`, whose top level several packages share."""
    return any("." in name and name in _table().distributions for name in _prefixes(import_name))


def _prefixes(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]


def nearest_known(import_name: str) -> str | None:
    """Give the well-known name that one letter's change turns this one into."""
    folded = import_name.casefold().replace("-", "_")
    names = sorted({*_table().well_known, *sys.stdlib_module_names})
    for known in names:
        if known.casefold() == folded and known != import_name:
            return known
    return next((known for known in names if _one_apart(folded, known.casefold())), None)


def _one_apart(one: str, other: str) -> bool:
    """Tell whether two names differ by one letter added, left out, changed or swapped."""
    if abs(len(one) - len(other)) > 1 or one == other or min(len(one), len(other)) < _SHORTEST:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if start is None:
        return True
    rest, other_rest = one[start:], other[start:]
    swapped = rest[:2] == other_rest[1::-1] and rest[2:] == other_rest[2:]
    return rest[1:] in (other_rest[1:], other_rest) or rest == other_rest[1:] or swapped
