"""Which names of a module stand for nothing that the module itself defines.

`logger = logging.getLogger()` is such a name, `HANDLERS = {"a": handle}` is not: a call through the
second may run the module's own functions, one through the first cannot.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterator, Sequence

# These give back what lies in their arguments, or anything at all.
_OPEN_BUILTINS = {
    "getattr", "type", "vars", "globals", "locals", "eval", "exec", "__import__", "next", "iter",
    "map", "filter", "super", "min", "max", "reversed", "sorted", "zip", "enumerate", "compile",
}  # fmt: skip
_CLOSED_BUILTINS = {name for name in dir(builtins) if name not in _OPEN_BUILTINS}
_MAX_ROUNDS = 10


class Foreign:
    """The names of one module that can lead to nothing of the module's own.

    Args:
        nodes: all nodes of the module.
        imported: names that stand for something of another module.
        own: the module's functions and classes.
    """

    def __init__(
        self, nodes: Sequence[ast.AST], imported: Collection[str], own: Collection[str]
    ) -> None:
        self._own = set(own)
        self._roots: dict[int, ast.expr] = {}
        values, stores = _bindings(nodes)
        given = {node.arg for node in nodes if isinstance(node, ast.arg)}
        imported = set(imported) - self._own - given - set(stores)
        names = {
            name
            for name, bound in values.items()
            if len(bound) >= stores.get(name, 0) and name not in given and name not in own
        }
        needs = {name: [self._needs(value) for value in values[name]] for name in names}
        for _ in range(_MAX_ROUNDS):
            self.names = names | imported | _CLOSED_BUILTINS
            lost = {
                name
                for name in names
                if not all(need is not None and need <= self.names for need in needs[name])
            }
            if not lost:
                return
            names -= lost
        self.names = imported | _CLOSED_BUILTINS

    def leads_out(self, node: ast.expr) -> bool:
        """Tell whether a chain of calls and attributes begins with a foreign name or a literal."""
        root = self._root_of(node)
        if isinstance(root, ast.Name):
            return root.id in self.names
        return isinstance(root, (ast.Constant, ast.JoinedStr))

    def _root_of(self, node: ast.expr) -> ast.expr:
        """Give what a chain begins with; every part of a chain is looked at once."""
        way: list[int] = []
        while id(node) not in self._roots:
            way.append(id(node))
            if isinstance(node, (ast.Attribute, ast.Subscript)):
                node = node.value
            elif isinstance(node, ast.Call):
                node = node.func
            else:
                self._roots[id(node)] = node
        root = self._roots[id(node)]
        self._roots.update(dict.fromkeys(way, root))
        return root

    def _needs(self, value: ast.expr) -> set[str] | None:
        """Give the names that must be foreign for a value to be; `None` if it never is."""
        if isinstance(value, (ast.Dict, ast.List, ast.Tuple, ast.Set, ast.BinOp)):
            names: set[str] = set()
            for part in ast.walk(value):
                if isinstance(part, ast.Lambda):
                    return None
                if isinstance(part, ast.Name):
                    names.add(part.id)
            return None if names & self._own else names
        root = self._root_of(value)
        if isinstance(root, ast.Name):
            return {root.id}
        return set() if isinstance(root, (ast.Constant, ast.JoinedStr)) else None


def _bindings(nodes: Sequence[ast.AST]) -> tuple[dict[str, list[ast.expr]], dict[str, int]]:
    """Give the values that each name is given, and how often it is given any."""
    values: dict[str, list[ast.expr]] = {}
    stores: dict[str, int] = {}
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            stores[node.id] = stores.get(node.id, 0) + 1
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    values.setdefault(target.id, []).append(node.value)
    for name, item in _items(nodes):
        # What is put into a table belongs to the table.
        values.setdefault(name, []).append(item)
        stores[name] = stores.get(name, 0) + 1
    return values, stores


def _items(nodes: Sequence[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                root = target
                while isinstance(root, (ast.Attribute, ast.Subscript)):
                    root = root.value
                if isinstance(root, ast.Name) and root is not target:
                    yield root.id, node.value
