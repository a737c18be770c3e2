"""What the names of a module lead to, and what of it runs when it is imported."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# Python calls these itself while it builds classes.
_CALLED_BY_CLASSES = {"__init_subclass__", "__set_name__", "__prepare__", "__class_getitem__"}
# Modules that others import, and that can be reached as their attributes.
_REACHED_THROUGH = {
    "os", "sys", "subprocess", "socket", "builtins", "shutil", "importlib", "ctypes", "pickle",
    "marshal", "posix", "nt", "pty", "inspect", "gc",
}  # fmt: skip
_MAX_CHAIN = 60


class Scopes:
    """One module's names and its import time; everything is found without recursion."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._aliases: dict[str, str] = {}
        self._own = set(_own_names(tree))
        self._callees = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
        self._passed = {
            id(argument)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]
        }
        self._decorators = {
            id(decorator)
            for node in ast.walk(tree)
            if isinstance(node, (*_FUNCTIONS, ast.ClassDef))
            for decorator in node.decorator_list
        }
        self._inner = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        self._constant_imports = {
            id(node.func)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and node.args and self.text_of(node.args[0]) is not None
        }
        self._collect_imports()
        self._collect_aliases()
        self._executed: set[int] = set()
        # Whether the import calls something through a variable, a table or another call.
        self.calls_indirectly = False
        self._find_executed()

    # -- names -----------------------------------------------------------------------------------

    def _collect_imports(self) -> None:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    local = alias.asname or alias.name.partition(".")[0]
                    self._aliases[local] = alias.name if alias.asname else local
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self._aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def _collect_aliases(self) -> None:
        """Follow `f = os.system` and `e = eval`."""
        for node in ast.walk(self._tree):
            if not isinstance(node, (ast.Assign, ast.NamedExpr, ast.AnnAssign)) or not node.value:
                continue
            dotted = self.dotted(node.value)
            if dotted is None or (dotted.startswith("builtins.") and not _runs_code(dotted)):
                continue
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    self._aliases.setdefault(target.id, dotted)

    def dotted(self, node: ast.expr) -> str | None:
        """Give what an expression leads to, such as `os.path.join` or `builtins.open`."""
        parts: list[str] = []
        current: ast.expr = node
        for _ in range(_MAX_CHAIN):
            root: str | None = None
            if isinstance(current, ast.Attribute):
                parts.append(current.attr)
                current = current.value
                continue
            if isinstance(current, ast.Name):
                root = self._root(current.id)
            elif isinstance(current, ast.Subscript):
                root = self._looked_up(current)
            elif isinstance(current, ast.Call):
                root = self.imported_by_call(current)
                step = None if root else self._read_by_name(current)
                if step:
                    current, name = step
                    parts.append(name)
                    continue
            return _direct(".".join([root, *reversed(parts)])) if root else None
        return None

    def _root(self, name: str) -> str | None:
        if name in self._aliases:
            return self._aliases[name]
        if name == "__builtins__":
            return "builtins"
        if name in self._own:
            return None
        known = hasattr(builtins, name) or name in {"get_ipython", "exit", "quit"}
        return f"builtins.{name}" if known else None

    def imported_by_call(self, call: ast.Call) -> str | None:
        """Give the module that `__import__("os")` or `import_module("os")` gives."""
        function = call.func
        name = None
        if isinstance(function, ast.Name):
            name = self._root(function.id)
        elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            root = self._root(function.value.id)
            name = f"{root}.{function.attr}" if root else None
        if name not in {"builtins.__import__", "importlib.import_module"} or not call.args:
            return None
        return self.text_of(call.args[0])

    def imports_constant(self, node: ast.expr) -> bool:
        """Tell whether a name is `import_module`, called with a name that stands in the code."""
        known = id(node) in self._constant_imports
        return known and self.dotted(node) == "importlib.import_module"

    def _read_by_name(self, call: ast.Call) -> tuple[ast.expr, str] | None:
        """Read `getattr(x, "name")` as `x.name`."""
        if not isinstance(call.func, ast.Name) or call.func.id != "getattr" or len(call.args) < 2:  # noqa: PLR2004
            return None
        text = self.text_of(call.args[1])
        return (call.args[0], text) if text else None

    def _looked_up(self, node: ast.Subscript) -> str | None:
        """Read `sys.modules["os"]`, `vars(os)["system"]` and `__builtins__["eval"]`."""
        text = self.text_of(node.slice)
        base = node.value
        if text is None:
            return None
        if isinstance(base, ast.Call) and isinstance(base.func, ast.Name):
            if base.func.id in {"globals", "locals"}:
                return self._root(text)
            module = self._simple(base.args[0]) if base.func.id == "vars" and base.args else None
            return f"{module}.{text}" if module else None
        if isinstance(base, ast.Attribute) and base.attr == "__dict__":
            module = self._simple(base.value)
            return f"{module}.{text}" if module else None
        dotted = self._simple(base)
        if dotted == "sys.modules":
            return text
        return f"builtins.{text}" if dotted == "builtins" else None

    def _simple(self, node: ast.expr) -> str | None:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        root = self._root(node.id) if isinstance(node, ast.Name) else None
        return _direct(".".join([root, *reversed(parts)])) if root else None

    def module_of(self, node: ast.expr) -> str | None:
        """Give the imported module, or part of one, that an expression is."""
        dotted = self._simple(node)
        if dotted is None or (dotted.startswith("builtins.")):
            return None
        return dotted

    def text_of(self, node: ast.expr) -> str | None:
        """Give the text of a string, also of one put together from constants."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        pieces: list[str] = []
        waiting: list[ast.expr] = [node]
        while waiting and len(pieces) < _MAX_CHAIN:
            item = waiting.pop()
            if isinstance(item, ast.BinOp) and isinstance(item.op, ast.Add):
                waiting.extend([item.right, item.left])
            elif isinstance(item, ast.Constant) and isinstance(item.value, str):
                pieces.append(item.value)
            else:
                return None
        return "".join(pieces)

    def is_called(self, node: ast.expr) -> bool:
        """Tell whether something is called right where it stands."""
        return id(node) in self._callees

    def is_used_as_call(self, node: ast.expr) -> bool:
        """Tell whether something is called, or handed to what may call it."""
        own = id(node)
        return own in self._callees or own in self._passed or own in self._decorators

    def is_inner(self, node: ast.expr) -> bool:
        """Tell whether something is only the way to an attribute of it."""
        return id(node) in self._inner

    # -- import time -----------------------------------------------------------------------------

    def walk(self) -> Iterator[tuple[ast.AST, bool]]:
        """Give every node, and whether it runs when the module is imported."""
        waiting: list[tuple[ast.AST, bool]] = [(self._tree, True)]
        while waiting:
            node, at_import = waiting.pop()
            yield node, at_import
            if isinstance(node, _FUNCTIONS):
                inside = id(node) in self._executed
                waiting.extend((child, at_import) for child in _around(node))
                waiting.extend((child, inside) for child in node.body)
            elif isinstance(node, ast.If) and is_main_guard(node.test):
                waiting.extend((child, False) for child in node.body)
                waiting.extend((child, at_import) for child in node.orelse)
            else:
                waiting.extend((child, at_import) for child in ast.iter_child_nodes(node))

    def _find_executed(self) -> None:
        """Find the functions of the module that its import calls, and those that they call."""
        functions: dict[str, list[ast.AST]] = {}
        classes = {n.name: n for n in ast.walk(self._tree) if isinstance(n, ast.ClassDef)}
        for node in ast.walk(self._tree):
            if isinstance(node, _FUNCTIONS):
                functions.setdefault(node.name, []).append(node)
        known = {*functions, *classes, *self._aliases, *dir(builtins)}
        while True:
            called = set(_CALLED_BY_CLASSES) | self._called_at_import(known)
            for name in called & set(classes):
                called |= {
                    member.name
                    for member in classes[name].body
                    if isinstance(member, _FUNCTIONS) and member.name.startswith("__")
                }
            executed = {id(node) for name in called for node in functions.get(name, ())}
            if executed <= self._executed:
                return
            self._executed |= executed

    def _called_at_import(self, known: set[str]) -> set[str]:
        called: set[str] = set()
        loaded: set[str] = set()
        indirect = self.calls_indirectly
        for node, at_import in self.walk():
            if not at_import:
                continue
            called |= set(_called_names(node))
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                loaded.add(node.id)
            elif isinstance(node, ast.Call):
                function = node.func
                named = isinstance(function, ast.Name) and function.id in known
                indirect |= not named and not isinstance(function, ast.Attribute)
        self.calls_indirectly = indirect
        # Through a variable or a table any function that the import mentions may be called.
        return called | loaded if indirect else called


def _direct(dotted: str) -> str:
    """Read `logging.os.system` and `random._os.system` as the `os.system` that they are."""
    parts = dotted.split(".")
    for index in range(len(parts) - 1, 0, -1):
        if parts[index].lstrip("_") in _REACHED_THROUGH:
            return ".".join([parts[index].lstrip("_"), *parts[index + 1 :]])
    return dotted


def _runs_code(dotted: str) -> bool:
    return dotted.partition(".")[2] in {"eval", "exec", "compile", "open", "__import__"}


def _own_names(tree: ast.Module) -> Iterator[str]:
    """Give the functions and classes at the top level: from there on they hide builtins."""
    used: set[str] = set()
    for statement in tree.body:
        if not isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
            used |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        elif statement.name not in used | {"exec", "__import__"}:
            yield statement.name


def _around(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """Give what of a function is evaluated where it is defined."""
    yield from node.decorator_list
    yield node.args
    if node.returns:
        yield node.returns


def is_main_guard(test: ast.expr) -> bool:
    """Tell the test of the block that runs only when the module is the script."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return False
    sides = [test.left, test.comparators[0]]
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    texts = [side.value for side in sides if isinstance(side, ast.Constant)]
    return isinstance(test.ops[0], ast.Eq) and names == ["__name__"] and texts == ["__main__"]


def _called_names(node: ast.AST) -> Iterator[str]:
    """Give the names that a node may call: callees, what is passed on, decorators, attributes."""
    if isinstance(node, ast.Call):
        parts = [node.func, *node.args, *(keyword.value for keyword in node.keywords)]
        yield from (part.id for part in parts if isinstance(part, ast.Name))
    elif isinstance(node, ast.Attribute):
        yield node.attr
        if node.attr.startswith("__") and isinstance(node.value, ast.Name):
            yield node.value.id
    elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        yield from (d.id for d in node.decorator_list if isinstance(d, ast.Name))
        if isinstance(node, ast.ClassDef):
            yield from (k.value.id for k in node.keywords if isinstance(k.value, ast.Name))
