"""What a module would do at import, and whether the user has to allow it.

Advice, not a boundary: the sandbox is the one that holds. Effects at import and ways into the
interpreter are findings, with their line. What code can do when it is called, such as network or
files, is a label that is shown, and no finding. Functions that the import itself calls count as
import; the block under `if __name__ == "__main__"` does not.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from llmport_magic.modules.packages import well_known_names
from llmport_magic.modules.parsing import parse
from llmport_magic.modules.policy.capabilities import (
    ESCAPES,
    FACTS,
    FILE_METHODS,
    RISKY_MODULES,
    WHEN_CALLED,
    WHEN_IMPORTED,
    Severity,
    capability_of,
)
from llmport_magic.modules.policy.import_time import ImportTime
from llmport_magic.modules.policy.places import Places
from llmport_magic.modules.policy.quiet import quiet_nodes, read_for_keys
from llmport_magic.modules.policy.scopes import Scopes
from llmport_magic.modules.policy.texts import end_of, is_made, spelled, start_of, text_of

_INSIDE = "looks into the interpreter"
_CODE_BUILTINS = {"eval", "exec", "compile", "__import__"}
_BY_NAME = {"builtins.getattr", "builtins.setattr", "builtins.delattr"}
# Twice a module of 10,000 ordinary lines; each thousand costs some hundredths of a second.
_MAX_NODES = 250_000
# Streams and arguments that a function may put something else into for a while.
_LENT = {"sys.stdout", "sys.stderr", "sys.stdin", "sys.argv"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the user should know before the code runs in the kernel.

    Attributes:
        line: where it is.
        rule: its kind, in one or two words.
        message: what it is.
        severity: whether the user may allow it.
        at_import: whether it happens as soon as the module is imported.
    """

    line: int
    rule: str
    message: str
    severity: Severity = "ask"
    at_import: bool = False

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """What the policy says about a module.

    Attributes:
        outcome: `clean`, `ask` the user, or `refuse`.
        findings: why, by line.
        labels: what the code can do when it is called.
    """

    outcome: Literal["clean", "ask", "refuse"]
    findings: tuple[Finding, ...] = ()
    labels: tuple[str, ...] = ()


def assess(source: str) -> PolicyReport:
    """Say what a module's text would do; it has passed the gate and parses."""
    review = _Review(source)
    findings = sorted(set(review.findings), key=lambda found: (found.line, found.rule))
    severities = {found.severity for found in findings}
    outcome: Literal["clean", "ask", "refuse"] = (
        "refuse" if "refuse" in severities else "ask" if severities else "clean"
    )
    return PolicyReport(outcome, tuple(findings), tuple(sorted(review.labels)))


class _Review:
    """One walk over a module; it keeps its own stack, so depth costs nothing."""

    def __init__(self, source: str) -> None:
        tree = parse(source)
        nodes = list(ast.walk(tree))
        self.findings: list[Finding] = []
        self.labels: set[str] = set()
        if len(nodes) > _MAX_NODES:
            message = f"is too large to be looked through: {len(nodes)} parts"
            # Nobody knows what it does, neither then nor later.
            self.findings.append(Finding(1, "size", message))
            self.findings.append(Finding(1, "size", f"{message} when imported", at_import=True))
            return
        self._scopes = Scopes(tree, nodes)
        self._places = Places(source, nodes)
        self._quiet = set(quiet_nodes(nodes))
        self._for_keys = set(read_for_keys(nodes))
        import_time = ImportTime(tree, nodes, self._scopes.aliases)
        self._calls_indirectly = import_time.calls_indirectly
        checks: dict[type[ast.AST], tuple[Callable[[Any, bool], None], ...]] = {
            ast.Name: (self._check_name,),
            ast.Attribute: (self._check_attribute, self._check_set_attribute),
            ast.Call: (self._check_call, self._check_text),
            ast.Import: (self._check_import,),
            ast.ImportFrom: (self._check_import,),
            ast.Subscript: (self._check_item, self._check_set_item, self._check_text),
            ast.Global: (self._check_global,),
            ast.Constant: (self._check_text,),
            ast.BinOp: (self._check_text,),
            ast.JoinedStr: (self._check_text,),
        }
        for node, at_import in import_time.walk():
            for check in checks.get(type(node), ()):
                check(node, at_import)

    def _found(
        self,
        node: ast.AST,
        rule: str,
        message: str,
        severity: Severity = "ask",
        *,
        at_import: bool = False,
        word: str = "",
    ) -> None:
        """Note a finding in the line where `word` stands, or else the last name of the node."""
        word = word or getattr(node, "attr", "") or getattr(node, "id", "")
        line = self._places.line_of(node, word)
        when = " when imported" if at_import else ""
        self.findings.append(Finding(line, rule, message + when, severity, at_import))

    def _check_name(self, node: ast.Name, at_import: bool) -> None:
        if not isinstance(node.ctx, ast.Load):
            return
        if node.id == "__builtins__":
            self._found(node, "escape", "uses `__builtins__`", "refuse")
        elif node.id in {"__loader__", "__spec__"}:
            self._found(node, "escape", f"uses `{node.id}`")
        else:
            self._check_use(node, at_import)

    def _check_attribute(self, node: ast.Attribute, at_import: bool) -> None:
        inner = node.value
        if node.attr in FACTS and isinstance(inner, ast.Attribute):
            # `f.__code__.co_name` and `tb.tb_frame.f_lineno` lead no further.
            self._quiet |= {id(inner)} if inner.attr in {"__code__", "tb_frame"} else set()
        elif node.attr in {"__class__", "__name__"} and isinstance(inner, ast.Attribute):
            self._quiet |= {id(inner)} if inner.attr == "__self__" else set()
        severity = ESCAPES.get(node.attr)
        if node.attr == "__subclasses__":
            severity = self._scopes.severity_of_subclasses(node)
        if severity and id(node) not in self._quiet:
            self._found(node, "escape", f"reaches for `{node.attr}`", severity)
        if node.attr == "__dict__" and self._scopes.module_of(inner):
            self._found(node, "escape", "reads a module's `__dict__`")
        self._check_use(node, at_import)

    def _check_use(self, node: ast.expr, at_import: bool) -> None:
        """Look at what a name or an attribute leads to, whether it is called or passed on."""
        if self._scopes.is_inner(node) or id(node) in self._quiet:
            return
        dotted = self._scopes.dotted(node)
        capability = capability_of(dotted) if dotted else None
        if dotted is None or capability is None or self._scopes.imports_constant(node):
            return
        if dotted in {"sys.modules", "sys.meta_path"} and id(node) in self._for_keys:
            return
        only_mentioned = not self._scopes.is_used_as_call(node)
        if dotted.startswith(("types.", "builtins.")) and not _is_code(dotted):
            # `isinstance(x, types.FunctionType)`, and parameters that are named `input`.
            only_mentioned = not self._scopes.is_called(node)
            if only_mentioned:
                return
        counts = _is_code(dotted) or capability == _INSIDE or self._calls_indirectly
        if only_mentioned and at_import and not counts:
            return
        self._report(node, capability, dotted, at_import)

    def _report(self, node: ast.AST, capability: str, dotted: str, at_import: bool) -> None:
        shown = dotted.removeprefix("builtins.")
        self.labels.add(capability)
        severity = (WHEN_IMPORTED if at_import else WHEN_CALLED).get(capability)
        if severity:
            message = f"uses `{shown}` ({capability})"
            self._found(node, capability, message, severity, at_import=at_import)

    def _check_call(self, node: ast.Call, at_import: bool) -> None:
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in FILE_METHODS:
            self.labels.add("files")
            if at_import:
                message = f"calls `.{function.attr}()` (files)"
                self._found(function, "files", message, at_import=True)
        dotted = self._scopes.dotted(function)
        if dotted in _BY_NAME:
            self._check_by_name(node, dotted.removeprefix("builtins."))
            self._check_use(node, at_import)
        elif isinstance(function, ast.Attribute) and function.attr == "__getattribute__":
            self._check_by_name(node, "getattr")
        elif dotted in {"sys.path.append", "sys.path.insert", "sys.path.extend"}:
            self._found(function, "import path", "changes `sys.path`", at_import=at_import)
        elif dotted and dotted.startswith(("os.environ.", "os.putenv")) and _writes(dotted):
            self._changes_environment(function, at_import)
        imported = self._scopes.imported_by_call(node)
        if imported and (capability := capability_of(imported)):
            self.labels.add(capability)

    def _check_by_name(self, node: ast.Call, function: str) -> None:
        """Look at `getattr(x, name)`, its relatives, and `x.__getattribute__(name)`."""
        if not node.args:
            return
        name = node.args[min(1, len(node.args) - 1)]
        base = node.args[0] if len(node.args) > 1 else _base_of(node)
        text = text_of(name)
        if text is not None:
            severity = ESCAPES.get(text)
            if severity:
                self._found(name, "escape", f"reaches for `{text}`", severity, word=text)
            if function == "getattr":
                self._quiet.add(id(base))
                return
        module = self._scopes.module_of(base)
        changes = function != "getattr"
        if module and (changes or module.partition(".")[0] in RISKY_MODULES):
            message = f"{function} on the module `{module}` with a computed name"
            if text is not None:
                message = f"changes `{module}.{text}`"
            severity = "refuse" if module == "builtins" else "ask"
            self._found(node, "module change", message, severity, word=function)
        elif text is None and not changes and is_made(name) and _may_escape(name, base):
            message = f"{function} with a name that is put together"
            self._found(node, "computed name", message, word=function)

    def _check_import(self, node: ast.Import | ast.ImportFrom, at_import: bool) -> None:
        names: list[tuple[ast.AST, str]] = []
        if isinstance(node, ast.Import):
            names = [(alias, alias.name) for alias in node.names]
        elif not node.level:
            names = [(node, node.module or "")]
            if node.names[0].name == "*":
                self._check_star(node, node.module or "")
        for place, name in names:
            if name.partition(".")[0] in {"__main__", "antigravity"}:
                self._found(place, "import", f"imports `{name}`", at_import=at_import, word=name)
            capability = capability_of(name)
            if capability in {"network", "native code", "processes", "pickles"}:
                self.labels.add(capability)

    def _check_star(self, node: ast.ImportFrom, module: str) -> None:
        root = module.partition(".")[0]
        known = root in sys.stdlib_module_names or root.casefold() in well_known_names()
        risky = root in {"os", "sys", "builtins", "shutil", "io", "pickle"} or capability_of(root)
        if risky or not known:
            message = f"`from {module} import *` hides what the code uses"
            self._found(node, "star import", message, word="import")

    def _check_set_attribute(self, node: ast.Attribute, at_import: bool) -> None:
        if isinstance(node.ctx, ast.Load):
            return
        own = getattr(node.value, "id", "") == "self" and node.attr == "__dict__"
        if node.attr in {"__class__", "__code__", "__dict__"} and not own:
            self._found(node, "escape", f"sets `{node.attr}`")
        module = self._scopes.module_of(node.value)
        if not module or ".options" in module or "rcParams" in module:
            return
        lent = f"{module}.{node.attr}" in _LENT and not at_import
        own = module.partition(".")[0] in sys.stdlib_module_names
        if not lent and (own or id(node) not in self._quiet):
            severity: Severity = "refuse" if module == "builtins" else "ask"
            message = f"changes `{module}.{node.attr}` for everybody"
            self._found(node, "module change", message, severity, at_import=at_import)

    def _check_set_item(self, node: ast.Subscript, at_import: bool) -> None:
        if isinstance(node.ctx, ast.Load):
            return
        dotted = self._scopes.dotted(node.value)
        if dotted == "sys.modules":
            message = "changes `sys.modules`"
            self._found(node.value, "module change", message, "refuse", at_import=at_import)
        elif dotted == "os.environ":
            self._changes_environment(node.value, at_import)

    def _changes_environment(self, node: ast.AST, at_import: bool) -> None:
        self.labels.add("environment")
        if at_import:
            self._found(node, "environment", "changes the environment", at_import=True)

    def _check_global(self, node: ast.Global, _at_import: bool) -> None:
        if "__builtins__" in node.names:
            message = "rebinds `__builtins__`"
            self._found(node, "escape", message, "refuse", word="__builtins__")

    def _check_text(self, node: ast.expr, _at_import: bool) -> None:
        """Find escapes that are spelled in strings, for `format` and `attrgetter`."""
        if id(node) in self._quiet:
            return
        text, parts = spelled(node)
        # What a text is put together from needs no look of its own.
        self._quiet |= parts
        for name in ESCAPES:
            if name.startswith("__") and name in text:
                self._found(node, "escape", f"a text names `{name}`", word=name)

    def _check_item(self, node: ast.Subscript, at_import: bool) -> None:
        call = node.value
        if isinstance(call, ast.Call) and self._is_namespace(call, at_import):
            text = text_of(node.slice)
            stored = isinstance(node.ctx, ast.Store)
            given = not is_made(node.slice)
            hidden = text is None and not stored and (given or _may_escape(node.slice, None))
            if hidden or (text is not None and text.startswith("__")):
                message = "looks names up in a namespace"
                self._found(call.func, "namespace", message, at_import=at_import)
        if self._scopes.dotted(call) == "sys.modules" and _is_own_or_ordinary(node.slice):
            self._quiet.add(id(call))
        if self._scopes.dotted(node):
            self._check_use(node, at_import)

    def _is_namespace(self, call: ast.Call, at_import: bool) -> bool:
        """Tell the names of a module from those of a function or of an object."""
        dotted = self._scopes.dotted(call.func)
        if dotted == "builtins.vars" and call.args:
            return self._scopes.module_of(call.args[0]) is not None
        called = dotted in {"builtins.locals", "builtins.vars"} and at_import
        return called or dotted == "builtins.globals"


def _is_code(dotted: str) -> bool:
    return dotted.startswith("builtins.") and dotted.partition(".")[2] in _CODE_BUILTINS


def _writes(dotted: str) -> bool:
    return dotted.rpartition(".")[2] in {"update", "setdefault", "pop", "clear", "putenv"}


def _base_of(call: ast.Call) -> ast.expr:
    return call.func.value if isinstance(call.func, ast.Attribute) else call.func


def _may_escape(name: ast.expr, base: ast.expr | None) -> bool:
    """Tell whether a name that is put together could become one that leads out."""
    start, end = start_of(name), end_of(name)
    if isinstance(base, ast.Name) and base.id == "self" and start == "_":
        return False
    return any(
        (escape.startswith(start) or start.startswith(escape))
        and (escape.endswith(end) or end.endswith(escape))
        for escape in ESCAPES
    )


def _is_own_or_ordinary(node: ast.expr) -> bool:
    """Tell which part of `sys.modules` is no way out.

    That is a module's own place, `__name__` or `x.__module__`, and a module that could as well be
    imported.
    """
    text = text_of(node)
    if text is not None:
        return text.partition(".")[0] not in RISKY_MODULES
    return (isinstance(node, ast.Name) and node.id == "__name__") or (
        isinstance(node, ast.Attribute) and node.attr == "__module__"
    )
