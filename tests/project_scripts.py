"""The project's own scripts as modules, so that tests can ask them what they would write."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_FOLDER = Path(__file__).resolve().parents[1] / "scripts"


def script(name: str) -> ModuleType:
    """Load `scripts/NAME.py` without running it."""
    spec = importlib.util.spec_from_file_location(f"scripts_{name}", _FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass looks for it
    spec.loader.exec_module(module)
    return module
