"""What a module would do at import, and whether the user has to allow it.

Advice, not a boundary: the sandbox is the one that holds. Effects at import and ways into the
interpreter are findings, with their line. What code can do when it is called, such as network or
files, is a label that is shown, and no finding. Functions that the import itself calls count as
import; the block under `if __name__ == "__main__"` does not.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from llmport_magic.modules.capabilities import (
    ESCAPES,
    FILE_METHODS,
    WHEN_CALLED,
    WHEN_IMPORTED,
    Severity,
    capability_of,
)
from llmport_magic.modules.packages import well_known_names
from llmport_magic.modules.scopes import Scopes

_INSIDE = "looks into the interpreter"
_CODE_BUILTINS = {"eval", "exec", "compile", "__import__"}


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
    review = _Review(ast.parse(source))
    findings = sorted(set(review.findings), key=lambda found: (found.line, found.rule))
    severities = {found.severity for found in findings}
    outcome: Literal["clean", "ask", "refuse"] = (
        "refuse" if "refuse" in severities else "ask" if severities else "clean"
    )
    return PolicyReport(outcome, tuple(findings), tuple(sorted(review.labels)))


class _Review:
    """One walk over a module; it keeps its own stack, so depth costs nothing."""

    def __init__(self, tree: ast.Module) -> None:
        self.findings: list[Finding] = []
        self.labels: set[str] = set()
        self._scopes = Scopes(tree)
        self._docstrings = set(_docstrings(tree))
        for node, at_import in self._scopes.walk():
            for check in (
                self._check_name,
                self._check_attribute,
                self._check_call,
                self._check_import,
                self._check_store,
                self._check_text,
                self._check_subscript,
            ):
                check(node, at_import)

    def _found(
        self, node: ast.AST, rule: str, message: str, severity: Severity, *, at_import: bool
    ) -> None:
        when = " when imported" if at_import else ""
        line = getattr(node, "lineno", 1)
        self.findings.append(Finding(line, rule, message + when, severity, at_import))

    def _check_name(self, node: ast.AST, at_import: bool) -> None:
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            return
        if node.id == "__builtins__":
            self._found(node, "escape", "uses `__builtins__`", "refuse", at_import=False)
        elif node.id in {"__loader__", "__spec__"}:
            self._found(node, "escape", f"uses `{node.id}`", "ask", at_import=False)
        else:
            self._check_use(node, at_import)

    def _check_attribute(self, node: ast.AST, at_import: bool) -> None:
        if not isinstance(node, ast.Attribute):
            return
        severity = ESCAPES.get(node.attr)
        if severity:
            self._found(node, "escape", f"reaches for `{node.attr}`", severity, at_import=False)
        if node.attr == "__dict__" and self._scopes.module_of(node.value):
            self._found(node, "escape", "reads a module's `__dict__`", "ask", at_import=False)
        self._check_use(node, at_import)

    def _check_use(self, node: ast.expr, at_import: bool) -> None:
        """Look at what a name or an attribute leads to, whether it is called or passed on."""
        if self._scopes.is_inner(node):
            return
        dotted = self._scopes.dotted(node)
        capability = capability_of(dotted) if dotted else None
        if dotted is None or capability is None or self._scopes.imports_constant(node):
            return
        only_mentioned = not self._scopes.is_used_as_call(node)
        if dotted.startswith(("types.", "builtins.")) and not _is_code(dotted):
            # `isinstance(x, types.FunctionType)`, and parameters that are named `input`.
            only_mentioned = not self._scopes.is_called(node)
            if only_mentioned:
                return
        counts = _is_code(dotted) or capability == _INSIDE or self._scopes.calls_indirectly
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

    def _check_call(self, node: ast.AST, at_import: bool) -> None:
        if not isinstance(node, ast.Call):
            return
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in FILE_METHODS:
            self.labels.add("files")
            if at_import:
                message = f"calls `.{function.attr}()` (files)"
                self._found(node, "files", message, "ask", at_import=True)
        dotted = self._scopes.dotted(function)
        if dotted in {"builtins.getattr", "builtins.setattr", "builtins.delattr"}:
            self._check_getattr(node, dotted.removeprefix("builtins."))
            self._check_use(node, at_import)
        elif dotted in {"sys.path.append", "sys.path.insert", "sys.path.extend"}:
            self._found(node, "import path", "changes `sys.path`", "ask", at_import=at_import)
        elif dotted and dotted.startswith(("os.environ.", "os.putenv")) and _writes(dotted):
            self._found(node, "environment", "changes the environment", "ask", at_import=at_import)
        imported = self._scopes.imported_by_call(node)
        if imported and (capability := capability_of(imported)):
            self.labels.add(capability)

    def _check_getattr(self, node: ast.Call, function: str) -> None:
        if len(node.args) < 2:  # noqa: PLR2004 - an object and a name
            return
        base, name = node.args[:2]
        text = self._scopes.text_of(name)
        if text is not None:
            severity = ESCAPES.get(text)
            if severity:
                self._found(node, "escape", f"reaches for `{text}`", severity, at_import=False)
            if function == "getattr":
                return
        module = self._scopes.module_of(base)
        if module:
            message = f"{function} on the module `{module}` with a computed name"
            if text is not None:
                message = f"changes `{module}.{text}`"
            severity = "refuse" if module == "builtins" else "ask"
            self._found(node, "module change", message, severity, at_import=False)
        elif text is None and isinstance(name, (ast.BinOp, ast.Call, ast.Subscript)):
            prefix = name.left if isinstance(name, ast.BinOp) else None
            start = self._scopes.text_of(prefix) if prefix is not None else None
            if not start or start.startswith("_"):
                message = f"{function} with a name that is put together"
                self._found(node, "computed name", message, "ask", at_import=False)

    def _check_import(self, node: ast.AST, at_import: bool) -> None:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
            if node.names[0].name == "*":
                self._check_star(node, node.module or "")
        for name in names:
            if name.partition(".")[0] in {"__main__", "antigravity"}:
                message = f"imports `{name}`"
                self._found(node, "import", message, "ask", at_import=at_import)
            capability = capability_of(name)
            if capability in {"network", "native code", "processes", "pickles"}:
                self.labels.add(capability)

    def _check_star(self, node: ast.ImportFrom, module: str) -> None:
        root = module.partition(".")[0]
        known = root in sys.stdlib_module_names or root.casefold() in well_known_names()
        risky = root in {"os", "sys", "builtins", "shutil", "io", "pickle"} or capability_of(root)
        if risky or not known:
            message = f"`from {module} import *` hides what the code uses"
            self._found(node, "star import", message, "ask", at_import=False)

    def _check_store(self, node: ast.AST, at_import: bool) -> None:
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            if node.attr in {"__class__", "__code__", "__dict__"}:
                self._found(node, "escape", f"sets `{node.attr}`", "ask", at_import=False)
            module = self._scopes.module_of(node.value)
            if module and ".options" not in module and "rcParams" not in module:
                severity: Severity = "refuse" if module == "builtins" else "ask"
                message = f"changes `{module}.{node.attr}` for everybody"
                self._found(node, "module change", message, severity, at_import=at_import)
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            dotted = self._scopes.dotted(node.value)
            if dotted == "sys.modules":
                self._found(
                    node, "module change", "changes `sys.modules`", "refuse", at_import=at_import
                )
            elif dotted == "os.environ":
                message = "changes the environment"
                self._found(node, "environment", message, "ask", at_import=at_import)
        elif isinstance(node, ast.Global) and "__builtins__" in node.names:
            self._found(node, "escape", "rebinds `__builtins__`", "refuse", at_import=False)

    def _check_text(self, node: ast.AST, _at_import: bool) -> None:
        """Find escapes that are spelled in strings, for `format` and `attrgetter`."""
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            return
        if id(node) in self._docstrings:
            return
        for name, severity in ESCAPES.items():
            if name.startswith("__") and name in node.value:
                message = f"a text names `{name}`"
                self._found(node, "escape", message, severity, at_import=False)

    def _check_subscript(self, node: ast.AST, at_import: bool) -> None:
        if not isinstance(node, ast.Subscript):
            return
        call = node.value
        if isinstance(call, ast.Call) and self._scopes.dotted(call.func) in {
            "builtins.globals",
            "builtins.locals",
            "builtins.vars",
        }:
            text = self._scopes.text_of(node.slice)
            if text is None or text.startswith("__"):
                message = "looks names up in a namespace"
                self._found(node, "namespace", message, "ask", at_import=at_import)
        if self._scopes.dotted(node):
            self._check_use(node, at_import)


def _is_code(dotted: str) -> bool:
    return dotted.startswith("builtins.") and dotted.partition(".")[2] in _CODE_BUILTINS


def _writes(dotted: str) -> bool:
    return dotted.rpartition(".")[2] in {"update", "setdefault", "pop", "clear", "putenv"}


def _docstrings(tree: ast.Module) -> Iterator[int]:
    """Give every string that stands alone as a statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield id(node.value)
