"""A module's text as its top-level statements: what each binds, and which lines it stands on."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from llmport_magic.modules.gate import parse_module
from llmport_magic.modules.policy.scopes import is_main_guard

# The block that runs when the module is the script is told by this name.
MAIN = "__main__"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)
_BLOCKS = (ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While, ast.Match)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement at the top level; lines count from 0.

    Attributes:
        node: the parsed statement.
        names: what it binds.
        above: the first of the comment lines that stand directly above it, else `first`.
        comment: these lines.
        first: its first line, decorators included.
        end: the line after its last one.
        text: its lines, a comment behind it included.
        shares: whether another statement stands on one of its lines.
    """

    node: ast.stmt
    names: frozenset[str]
    above: int
    comment: str
    first: int
    end: int
    text: str
    shares: bool

    @property
    def is_import(self) -> bool:
        """Whether it only imports, maybe under a condition."""
        return _only_imports(self.node)

    @property
    def is_block(self) -> bool:
        """Whether it is an `if`, a `try` or another block that is no definition."""
        return isinstance(self.node, _BLOCKS)

    @property
    def commented(self) -> str:
        """Its text with the comment above it."""
        return f"{self.comment}\n{self.text}" if self.comment else self.text

    @property
    def is_docstring(self) -> bool:
        """Whether it is a text that stands alone, as the module's docstring does."""
        value = self.node.value if isinstance(self.node, ast.Expr) else None
        return isinstance(value, ast.Constant) and isinstance(value.value, str)


def read_statements(source: str) -> tuple[Statement, ...]:
    """Read a module's top-level statements; nothing is executed.

    Raises:
        VerificationError: the text is not Python, or must not reach the parser.
    """
    lines = source.split("\n")
    nodes = parse_module(source).body
    spans = [(_first(node) - 1, node.end_lineno or node.lineno) for node in nodes]
    found: list[Statement] = []
    for number, (node, (first, end)) in enumerate(zip(nodes, spans, strict=True)):
        before = spans[number - 1][1] if number else 0
        after = spans[number + 1][0] if number + 1 < len(spans) else len(lines)
        above = first
        while above > before and lines[above - 1].startswith("#"):
            above -= 1
        found.append(
            Statement(
                node=node,
                names=frozenset(_bound(node)),
                above=above,
                comment="\n".join(lines[above:first]),
                first=first,
                end=end,
                text="\n".join(lines[first:end]),
                shares=before > first or after < end,
            )
        )
    return tuple(found)


def alias_name(alias: ast.alias) -> str:
    """Give the name that an import binds; `*` for all of a module's."""
    return alias.asname or alias.name.split(".")[0]


def names_of(nodes: Iterable[ast.AST]) -> set[str]:
    """Give every name that stands in these nodes."""
    return {n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)}


def methods_of(node: ast.AST) -> dict[str, ast.stmt]:
    """Give what a class defines in its body, by name; nothing for what is no class."""
    body = node.body if isinstance(node, ast.ClassDef) else []
    return {item.name: item for item in body if isinstance(item, DEFINITIONS)}


def _first(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, DEFINITIONS) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, DEFINITIONS):
        yield node.name
    elif isinstance(node, IMPORTS):
        yield from map(alias_name, node.names)
    elif isinstance(node, ast.If) and is_main_guard(node.test):
        yield MAIN
        yield from (name for item in node.orelse for name in _bound(item))
    elif isinstance(node, _BLOCKS):
        yield from _bound_in(node)
    elif not isinstance(node, (ast.Expr, ast.Delete)):
        yield from _targets(node)


def _bound_in(block: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(block):
        if isinstance(child, ast.stmt):
            yield from _bound(child)
        elif isinstance(child, (ast.ExceptHandler, ast.match_case)):
            yield from _bound_in(child)
        else:
            yield from _targets(child)


def _targets(node: ast.AST) -> Iterator[str]:
    own = {
        id(name)
        for inner in ast.walk(node)
        if isinstance(inner, ast.comprehension)
        for name in ast.walk(inner.target)
    }
    for inner in ast.walk(node):
        if (
            isinstance(inner, ast.Name)
            and isinstance(inner.ctx, ast.Store)
            and id(inner) not in own
        ):
            yield inner.id


def _only_imports(node: ast.stmt) -> bool:
    """Tell an import, also one that stands in an `if` or a `try`."""
    if isinstance(node, IMPORTS):
        return True
    if not isinstance(node, (ast.If, ast.Try)):
        return False
    parts = [node.body, node.orelse]
    if isinstance(node, ast.Try):
        parts += [node.finalbody, *(handler.body for handler in node.handlers)]
    inner = [item for part in parts for item in part]
    imports = [item for item in inner if _only_imports(item)]
    # `except ImportError: np = None` belongs to the import.
    return bool(imports) and all(
        item in imports or isinstance(item, (ast.Assign, ast.Pass)) for item in inner
    )
