"""Lets the journal of a kernel wait for a slow disk: when it moves elsewhere is for its own tests.

It is read before all else, so it loads nothing that the package's load is measured by.
"""

from __future__ import annotations

from typing import Any

# As long as `awaiting.PATIENCE`, whose file loads too much.
_PATIENCE = 120.0


class Patient:
    """Finds the journal's module, and gives it more time as soon as it is loaded."""

    @staticmethod
    def find_spec(name: str, path: Any, target: object = None) -> Any:
        """Find where it is as Python does; of every other module nothing is known."""
        if name != "llmport_magic.log.journal":
            return None
        from importlib.machinery import PathFinder

        spec: Any = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def patiently(module: Any) -> None:
            execute(module)
            module._SLOW = _PATIENCE

        spec.loader.exec_module = patiently
        return spec
