"""What of a module runs when it is imported.

Everything outside functions does, and so do the functions that this calls, those that they call,
and what Python calls for them: the methods of a class that is made, a decorator, a metaclass.
Where the import calls something through a variable or a table, every function that it mentions
may be what is called. Each node is looked at a fixed number of times, and nothing recurses.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterable, Iterator, Sequence

from llmport_magic.modules.policy.foreign import Foreign
from llmport_magic.modules.policy.scopes import is_main_guard

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
# Python calls these itself while it builds classes.
_CALLED_BY_CLASSES = ("__init_subclass__", "__set_name__", "__prepare__", "__class_getitem__")
# Building a subclass of these makes its members, each with the methods of the class.
_ENUMS = {"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"}
_BUILTINS = {*dir(builtins), "get_ipython"}
_NAMESPACES = {"globals", "locals", "vars"}


class ImportTime:
    """What of one module runs at its import.

    Args:
        tree: the module.
        nodes: all of its nodes, as `ast.walk` gives them.
        imported: the names that stand for something of another module.

    Attributes:
        calls_indirectly: whether the import calls something through a variable, a table or the
            result of another call.
    """

    def __init__(
        self, tree: ast.Module, nodes: Sequence[ast.AST], imported: Collection[str]
    ) -> None:
        self.calls_indirectly = False
        self._tree = tree
        self._nodes = nodes
        self._functions: dict[str, list[_Function]] = {}
        self._classes: dict[str, list[ast.ClassDef]] = {}
        # A lambda that is only given a name, or kept in a table, does not run where it stands.
        self._kept: set[int] = set()
        self._executed: set[int] = set()
        self._tables: set[str] = set()
        # The functions that become attributes: `client.send = send`.
        self._set_as: dict[str, list[str]] = {}
        self._with_class_methods: list[str] = []
        # Names that are called, and those that are only read, while both are not yet followed.
        self._called: list[str] = [*_CALLED_BY_CLASSES]
        self._read: list[str] = []
        self._collect()
        own = {*self._functions, *self._classes}
        self._foreign = Foreign(self._nodes, imported, own)
        self._follow()

    def walk(self) -> Iterator[tuple[ast.AST, bool]]:
        """Give every node, and whether it runs when the module is imported."""
        waiting: list[tuple[ast.AST, bool]] = [(self._tree, True)]
        while waiting:
            node, at_import = waiting.pop()
            yield node, at_import
            body = _body(node)
            inside = id(node) in self._executed if self._waits(node) else at_import
            waiting.extend((child, at_import) for child in _around(node))
            waiting.extend((child, inside) for child in body)

    def _waits(self, node: ast.AST) -> bool:
        """Tell what runs only when it is called, or never at import."""
        if isinstance(node, ast.If):
            return is_main_guard(node.test)
        return isinstance(node, _FUNCTIONS) or id(node) in self._kept

    def _collect(self) -> None:
        for node in self._nodes:
            if isinstance(node, _FUNCTIONS):
                self._functions.setdefault(node.name, []).append(node)
            elif isinstance(node, ast.ClassDef):
                self._classes.setdefault(node.name, []).append(node)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
                for kept in _kept_lambdas(node.value) if len(names) == len(targets) else ():
                    self._kept.add(id(kept))
                    for name in names:
                        self._functions.setdefault(name, []).append(kept)
                        self._tables.add(name)
                if isinstance(node.value, ast.Name):
                    for target in targets:
                        if isinstance(target, ast.Attribute):
                            self._set_as.setdefault(target.attr, []).append(node.value.id)
        self._with_class_methods = [
            name for name, made in self._classes.items() if any(map(_has_class_method, made))
        ]

    # -- following calls -------------------------------------------------------------------------

    def _follow(self) -> None:
        waiting: list[ast.AST] = [self._tree]
        followed: set[str] = set()
        while waiting or self._called:
            while waiting:
                node = waiting.pop()
                self._see(node)
                waiting.extend(_around(node))
                if not self._waits(node):
                    waiting.extend(_body(node))
            if self.calls_indirectly:
                self._called += self._read
                self._read = []
            names, self._called = self._called, []
            for name in names:
                if name not in followed:
                    followed.add(name)
                    waiting.extend(self._started(name))

    def _started(self, name: str) -> Iterator[ast.AST]:
        """Give what begins to run when a name is called."""
        for function in self._functions.get(name, ()):
            yield from self._run(function)
        for made in self._classes.get(name, ()):
            yield from self._built(made)

    def _run(self, function: _Function) -> Iterator[ast.AST]:
        if id(function) not in self._executed:
            self._executed.add(id(function))
            yield from _body(function)

    def _built(self, made: ast.ClassDef) -> Iterator[ast.AST]:
        """Give what runs when an instance is made, and used by Python's own means."""
        self._called += [base.id for base in made.bases if isinstance(base, ast.Name)]
        for member in made.body:
            if isinstance(member, _FUNCTIONS) and member.name.startswith("__"):
                yield from self._run(member)

    def _see(self, node: ast.AST) -> None:
        """Note what a node that runs at import calls, or may call."""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            self._read.append(node.id)
        elif isinstance(node, ast.Call):
            parts = [node.func, *node.args, *(keyword.value for keyword in node.keywords)]
            # `sorted(xs, key=KEYS["size"])` hands over what lies in the table.
            tables = [part.value for part in parts if isinstance(part, ast.Subscript)]
            self._called += [part.id for part in [*parts, *tables] if isinstance(part, ast.Name)]
            self.calls_indirectly |= self._is_indirect(node.func)
        elif isinstance(node, ast.Attribute):
            self._see_attribute(node)
        elif isinstance(node, ast.Subscript):
            # What is put into the namespace under a computed name can be called by any name.
            self.calls_indirectly |= _stores_a_name(node)
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            self._see_decorators(node)
            if isinstance(node, ast.ClassDef):
                self._called += [k.value.id for k in node.keywords if isinstance(k.value, ast.Name)]
                if any(_last_name(base) in _ENUMS for base in node.bases):
                    self._called.append(node.name)

    def _is_indirect(self, function: ast.expr) -> bool:
        """Tell a call of which nobody can say what it runs; notes what is known of it."""
        if isinstance(function, ast.Name):
            name = function.id
            if name == "cls":
                # In a class method: the class is the module's own.
                self._called += self._with_class_methods
                return False
            known = name in self._functions or name in self._classes or name in _BUILTINS
            return not known and name not in self._foreign.names
        if isinstance(function, ast.Attribute) or self._foreign.leads_out(function):
            return False
        if isinstance(function, ast.Call) and isinstance(function.func, ast.Name):
            name = function.func.id
            if name in self._functions and name not in self._tables:
                self._called += self._returned(name)
                return False
            return name != "type"
        return True

    def _see_attribute(self, node: ast.Attribute) -> None:
        if self._foreign.leads_out(node.value):
            return
        if not node.attr.startswith("__"):
            self._called.append(node.attr)
            if isinstance(node.ctx, ast.Load):
                self._called += self._set_as.get(node.attr, ())
        elif isinstance(node.value, ast.Name):
            self._called += [node.value.id]
            self._called += [node.attr] * (node.value.id not in self._classes)
        elif not _is_super(node.value):
            self._called.append(node.attr)

    def _see_decorators(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Name):
                self._called.append(decorator.id)
            elif isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name):
                self._called += self._returned(decorator.func.id)
            own = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(own, ast.Lambda) or (
                isinstance(own, ast.Name) and own.id in self._functions
            ):
                # The decorator has the function in its hands, under a name of its own.
                self._read.append(node.name)

    def _returned(self, factory: str) -> Iterator[str]:
        """Name the functions that a decorator's factory gives back: they are called, too."""
        for function in self._functions.get(factory, ()):
            for node in _own_statements(function):
                if isinstance(node, ast.Return) and isinstance(node.value, ast.Name):
                    yield node.value.id


def _own_statements(function: _Function) -> Iterator[ast.AST]:
    """Give the nodes of a function without those of the functions in it."""
    waiting: list[ast.AST] = _body(function)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (*_FUNCTIONS, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def _body(node: ast.AST) -> list[ast.AST]:
    """Give what of a node can run later than the node itself."""
    if isinstance(node, (*_FUNCTIONS, ast.If)):
        return [*node.body]
    return [node.body] if isinstance(node, ast.Lambda) else []


def _around(node: ast.AST) -> Iterable[ast.AST]:
    """Give what of a node runs together with it."""
    if isinstance(node, _FUNCTIONS):
        returns = [node.returns] if node.returns else []
        return [*node.decorator_list, node.args, *returns]
    if isinstance(node, ast.If):
        return [node.test, *node.orelse]
    return [node.args] if isinstance(node, ast.Lambda) else ast.iter_child_nodes(node)


def _kept_lambdas(value: ast.expr) -> Iterator[ast.Lambda]:
    """Give the lambdas that a value is, or that lie in the table that it is."""
    items: list[ast.expr | None] = [value]
    if isinstance(value, ast.Dict):
        items = [*value.values]
    elif isinstance(value, (ast.List, ast.Tuple, ast.Set)):
        items = [*value.elts]
    for item in items:
        if isinstance(item, ast.Lambda):
            yield item


def _stores_a_name(node: ast.Subscript) -> bool:
    call = node.value
    return (
        isinstance(node.ctx, ast.Store)
        and isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in _NAMESPACES
    )


def _has_class_method(made: ast.ClassDef) -> bool:
    return any(
        isinstance(member, _FUNCTIONS)
        and any(_last_name(decorator) == "classmethod" for decorator in member.decorator_list)
        for member in made.body
    )


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _last_name(node.func) == "super"


def _last_name(node: ast.expr) -> str:
    return getattr(node, "attr", "") or getattr(node, "id", "")
