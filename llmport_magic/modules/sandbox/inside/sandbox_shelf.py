"""Keeps the modules that the warm worker has loaded out of sight until they are imported.

Loaded by `sandbox_child.py` before anything else of the worker's. So that all else is seen being
loaded, it uses nothing that a fresh Python does not have.
"""

from __future__ import annotations

import builtins
import contextlib
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
else:
    ModuleSpec = type(__spec__)


class Shelf:
    """Keeps what was loaded ahead out of sight until a candidate imports it.

    A candidate that uses what it did not import must fail as it would in a fresh Python. So with a
    module comes back what its own import had loaded, which is noted while it is loaded.
    """

    def __init__(self) -> None:
        self._modules: dict[str, types.ModuleType] = {}
        self._needs: dict[str, set[str]] = {}
        self._attributes: set[str] = set()

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Note which module needs which, while modules are loaded."""
        original = builtins.__import__

        def noted(
            name: str,
            globals: Mapping[str, Any] | None = None,
            locals: Mapping[str, Any] | None = None,
            fromlist: Sequence[str] | None = (),
            level: int = 0,
        ) -> types.ModuleType:
            found = original(name, globals, locals, fromlist or (), level)
            package = (globals or {}).get("__package__") or ""
            full = _absolute(name, package, level)
            names = [full, *(f"{full}.{item}" for item in fromlist or ())]
            self._note(item for item in names if item in sys.modules)
            return found

        def noted_by_name(name: str, package: str | None = None, level: int = 0) -> Any:
            found = by_name(name, package, level)
            self._note([_absolute(name, package or "", level)])
            return found

        observer = _Observer(lambda name: self._note([name]))
        # What `importlib.import_module` calls.
        machinery: Any = sys.modules["_frozen_importlib"]
        by_name = machinery._gcd_import  # noqa: SLF001 - there is no public way to see it
        machinery._gcd_import = noted_by_name  # noqa: SLF001 - what every import calls
        builtins.__import__ = noted
        sys.meta_path.insert(0, observer)
        try:
            yield
        finally:
            builtins.__import__ = original
            machinery._gcd_import = by_name  # noqa: SLF001 - put back
            sys.meta_path.remove(observer)

    def _note(self, names: Iterator[str] | Sequence[str]) -> None:
        frame = sys._getframe(2)  # noqa: SLF001 - who imports
        while frame is not None and frame.f_code.co_name != "<module>":
            frame = frame.f_back  # type: ignore[assignment]  # there is one
        if frame is not None:
            self._needs.setdefault(frame.f_globals.get("__name__", ""), set()).update(names)

    def hide(self, known: set[str]) -> None:
        """Take all modules out of sight but the known ones."""
        self._modules = {name: found for name, found in sys.modules.items() if name not in known}
        reached = {name for names in self._needs.values() for name in names}
        before = ""
        for name, module in self._modules.items():
            del sys.modules[name]
            parent, _, own = name.rpartition(".")
            holder = self._modules.get(parent) or sys.modules.get(parent)
            # What no import names was put there by its parent, or by a library before it.
            if name not in reached:
                self._needs.setdefault(parent or before, set()).add(name)
            elif str(getattr(module, "__file__", "")).endswith(".so"):
                before = name
            if getattr(holder, "__dict__", {}).get(own) is module:
                with contextlib.suppress(AttributeError, TypeError):
                    delattr(holder, own)
                    self._attributes.add(name)
        sys.meta_path.insert(0, self)

    def get(self, name: str) -> Any:
        """Give a module that is out of sight."""
        return self._modules.get(name)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Find a hidden module, for the import system."""
        del path, target
        module = self._modules.get(name)
        if module is None:
            return None
        spec = ModuleSpec(name, self, origin=getattr(module, "__file__", None))  # type: ignore[arg-type]  # a loader by its methods
        spec.submodule_search_locations = getattr(module, "__path__", None)
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to the import system, which takes what `exec_module` puts in its place."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Put the module that was loaded ahead in the place of the new one, and what it needs."""
        waiting = [module.__name__]
        while waiting:
            name = waiting.pop()
            found = self._modules.pop(name, None)
            if found is None:
                continue
            sys.modules[name] = found
            parent, _, own = name.rpartition(".")
            if name in self._attributes:
                setattr(sys.modules.get(parent) or self._modules.get(parent), own, found)
            waiting += [*self._needs.get(name, ()), *([parent] if parent else [])]


class _Observer:
    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        del path, target
        self._told(name)


def _absolute(name: str, package: str, level: int) -> str:
    """Give the full name of what an import statement names."""
    if not level:
        return name
    parent = package.rsplit(".", level - 1)[0]
    return f"{parent}.{name}" if name else parent
