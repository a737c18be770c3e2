"""What the names of a module lead to."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence

from llmport_magic.modules.policy.capabilities import RISKY_MODULES, Severity
from llmport_magic.modules.policy.texts import text_of

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# Modules that others import, and that can be reached as their attributes.
_REACHED_THROUGH = {
    "os", "sys", "subprocess", "socket", "builtins", "shutil", "importlib", "ctypes", "pickle",
    "marshal", "posix", "nt", "pty", "inspect", "gc",
}  # fmt: skip
_MAX_CHAIN = 60


class Scopes:
    """One module's names; everything is found without recursion.

    Args:
        tree: the module.
        nodes: all of its nodes, as `ast.walk` gives them.

    Attributes:
        aliases: what each imported name, and each other name for one, stands for.
    """

    def __init__(self, tree: ast.Module, nodes: Sequence[ast.AST]) -> None:
        self._nodes = nodes
        self.aliases: dict[str, str] = {}
        self._own = set(_own_names(tree))
        self._callees: set[int] = set()
        self._passed: set[int] = set()
        self._decorators: set[int] = set()
        self._inner: set[int] = set()
        self._constant_imports: dict[int, str] = {}
        for node in self._nodes:
            if isinstance(node, ast.Call):
                self._callees.add(id(node.func))
                self._passed |= {id(argument) for argument in node.args}
                self._passed |= {id(keyword.value) for keyword in node.keywords}
                name = text_of(node.args[0]) if node.args else None
                if name is not None:
                    self._constant_imports[id(node.func)] = name
            elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
                self._decorators |= {id(decorator) for decorator in node.decorator_list}
            elif isinstance(node, ast.Attribute):
                self._inner.add(id(node.value))
            elif isinstance(node, ast.Assign) and any(map(_is_special, node.targets)):
                # `__getitem__ = os.system`: Python calls it for `x["id"]`.
                self._passed.add(id(node.value))
        self._subclasses: dict[int, Severity | None] | None = None
        self._collect_imports()
        self._collect_aliases()

    # -- names -----------------------------------------------------------------------------------

    def _collect_imports(self) -> None:
        for node in self._nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    local = alias.asname or alias.name.partition(".")[0]
                    self.aliases[local] = alias.name if alias.asname else local
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self.aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def _collect_aliases(self) -> None:
        """Follow `f = os.system` and `e = eval`."""
        for node in self._nodes:
            if not isinstance(node, (ast.Assign, ast.NamedExpr, ast.AnnAssign)) or not node.value:
                continue
            dotted = self.dotted(node.value)
            if dotted is None or (dotted.startswith("builtins.") and not _runs_code(dotted)):
                continue
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    self.aliases.setdefault(target.id, dotted)

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
        # However long the way is, what it ends with says where it leads.
        end = ".".join(["", *reversed(parts)])
        return None if _direct(end) == end else _direct(end)

    def _root(self, name: str) -> str | None:
        if name in self.aliases:
            return self.aliases[name]
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
        return text_of(call.args[0])

    def imports_constant(self, node: ast.expr) -> bool:
        """Tell what gives a module whose name stands in the code, as an `import` does.

        That is `import_module`, and for modules that do not lead out `__import__` and
        `sys.modules.get`, too.
        """
        name = self._constant_imports.get(id(node))
        if name is None:
            return False
        ordinary = name.partition(".")[0] not in RISKY_MODULES
        function = self.dotted(node)
        return function == "importlib.import_module" or (
            ordinary and function in {"builtins.__import__", "sys.modules.get"}
        )

    def _read_by_name(self, call: ast.Call) -> tuple[ast.expr, str] | None:
        """Read `getattr(x, "name")` as `x.name`."""
        if not isinstance(call.func, ast.Name) or call.func.id != "getattr" or len(call.args) < 2:
            return None
        text = text_of(call.args[1])
        return (call.args[0], text) if text else None

    def _looked_up(self, node: ast.Subscript) -> str | None:
        """Read `sys.modules["os"]`, `vars(os)["system"]` and `__builtins__["eval"]`."""
        text = text_of(node.slice)
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
        while isinstance(node, ast.Attribute) and len(parts) < _MAX_CHAIN:
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

    # -- classes -----------------------------------------------------------------------------------

    def severity_of_subclasses(self, node: ast.Attribute) -> Severity | None:
        """Weigh `x.__subclasses__`: those of an own class are no way out, those of `object` are."""
        if self._subclasses is None:
            self._subclasses = _weighed(self._nodes)
        return self._subclasses.get(id(node), "refuse")


def _weighed(nodes: Sequence[ast.AST]) -> dict[int, Severity | None]:
    """Weigh every `name.__subclasses__` whose name is a class of the module or an argument."""
    classes = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and _binds(node)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
    weighed: dict[int, Severity | None] = {}
    own = classes - bound - set(dir(builtins))
    for node in nodes:
        if _base_of_subclasses(node) in own:
            weighed[id(node)] = None
        elif isinstance(node, _FUNCTIONS):
            arguments = [argument.arg for argument in [*node.args.posonlyargs, *node.args.args]]
            reads = [part for part in ast.walk(node) if _base_of_subclasses(part) in arguments]
            made = any(getattr(d, "id", "") == "classmethod" for d in node.decorator_list)
            kept = made and arguments[:1] == ["cls"] and not (reads and _rebinds(node, "cls"))
            for part in reads:
                is_class = kept and _base_of_subclasses(part) == "cls"
                weighed[id(part)] = None if is_class else "ask"
    return weighed


def _base_of_subclasses(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Attribute) or node.attr != "__subclasses__":
        return None
    return node.value.id if isinstance(node.value, ast.Name) else None


def _is_special(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id.startswith("__") and target.id.endswith("__")


def _binds(node: ast.Name) -> bool:
    return not isinstance(node.ctx, ast.Load)


def _rebinds(function: ast.AST, name: str) -> bool:
    nodes = ast.walk(function)
    return any(isinstance(n, ast.Name) and n.id == name and _binds(n) for n in nodes)


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


def is_main_guard(test: ast.expr) -> bool:
    """Tell the test of the block that runs only when the module is the script."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(map(is_main_guard, test.values))
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return False
    sides = [test.left, test.comparators[0]]
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    texts = [side.value for side in sides if isinstance(side, ast.Constant)]
    return isinstance(test.ops[0], ast.Eq) and names == ["__name__"] and texts == ["__main__"]
