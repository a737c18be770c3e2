"""Which names a generated module may have: nothing that shadows what others import.

A specification is no file to be imported: its name only has to be a variable's.
"""

from __future__ import annotations

import builtins
import keyword
import re
import sys
import unicodedata
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path

from llmport_magic.errors import ModuleNameError
from llmport_magic.modules.packages import installed_names, well_known_names

MAX_LENGTH = 50

# Names that Python, IPython or a test runner gives a meaning of its own.
_SPECIAL = frozenset(
    {
        "sitecustomize", "usercustomize", "conftest", "setup", "test", "tests", "antigravity",
        "this", "in", "out", "get_ipython", "exit", "quit", "main", "site", "ipython_config",
        "llmport", "llmport_magic", "llmport_log",
    }
)  # fmt: skip
_PATH = re.compile(r"[/\\]|\A\.")
_RESERVED = re.compile(r"_+\Z|__\w*__\Z")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\Z")


def check_module_name(name: str, *, directory: Path | None = None) -> str:
    """Give the name as Python will see it, or say why a module cannot have it.

    Args:
        name: what the user wrote.
        directory: where the module will be written; the current folder by default.

    Raises:
        ModuleNameError: the name is no identifier, or would shadow something.
    """
    name = unicodedata.normalize("NFKC", name) if isinstance(name, str) else name
    directory = Path.cwd() if directory is None else directory
    reason = _form(name) or _meaning(name) or _file(name, directory)
    if reason is None:
        return name
    other = _suggestion(name, lambda candidate: _is_free(candidate, directory))
    advice = f"try `{other}`" if other else "choose another name"
    raise ModuleNameError(f"{reason}: {advice}")


def check_specification_name(name: str) -> str:
    """Give the name as Python will see it, or say why a specification cannot have it.

    Raises:
        ModuleNameError: the name is no identifier, or means something to Python or the system.
    """
    name = unicodedata.normalize("NFKC", name) if isinstance(name, str) else name
    reason = _form(name, "specification") or _taken(name)
    if reason is None:
        return name
    other = _suggestion(name, lambda candidate: not (_form(candidate) or _taken(candidate)))
    raise ModuleNameError(f"{reason}: " + (f"try `{other}`" if other else "choose another name"))


def _shown(name: object) -> str:
    return repr(name)[1:-1][:60]


def _form(name: object, noun: str = "module") -> str | None:
    if not isinstance(name, str) or not name:
        return f"a {noun} needs a name, such as `circle`"
    shown = f"`{_shown(name)}`"
    reasons = {
        f"{shown} is longer than {MAX_LENGTH} characters": len(name) > MAX_LENGTH,
        f"{shown} is a path; the folder is the setting `module_dir`": bool(_PATH.search(name)),
        f"{shown} names a package; a {noun}'s name has no dots": "." in name,
        f"{shown} is no Python identifier": not name.isidentifier(),
        f"{shown} is a Python keyword": keyword.iskeyword(name),
        f"{shown} is reserved by Python": bool(_RESERVED.match(name)),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _taken(name: str) -> str | None:
    if hasattr(builtins, name) or name in {"True", "False", "None"}:
        return f"`{name}` is a builtin of Python"
    if _DEVICES.match(name.casefold()):
        return f"`{name}` has a meaning of its own to Python, IPython or the system"
    return None


def _meaning(name: str) -> str | None:
    folded = name.casefold()
    if reason := _taken(name):
        return reason
    if folded in {known.casefold() for known in sys.stdlib_module_names}:
        return f"`{name}` is a module of Python's standard library"
    if folded in _SPECIAL:
        return f"`{name}` has a meaning of its own to Python, IPython or the system"
    if folded in installed_names():
        return f"`{name}` is an installed package"
    if folded in well_known_names():
        return f"`{name}` is a well-known package"
    return None


def _file(name: str, directory: Path) -> str | None:
    """Find what the module would hide, or what would hide the module."""
    own = directory.resolve()
    if (own / name / "__init__.py").exists():
        return f"`{name}` is a package in the module folder"
    for entry in _entries(own):
        # Some disks give their names decomposed.
        found = unicodedata.normalize("NFKC", entry)
        if found != f"{name}.py" and found.casefold() == f"{name}.py".casefold():
            return f"`{name}` differs from the file `{entry}` only by its case"
    loaded = sys.modules.get(name)
    if loaded is not None and not _lies_in(getattr(loaded, "__file__", None), own):
        return f"`{name}` is a module that is already imported from elsewhere"
    spec = PathFinder.find_spec(name, [entry or "." for entry in sys.path])
    if spec is not None:
        # Only now: to resolve every folder takes longer than to look into them.
        others = [entry or "." for entry in sys.path if Path(entry or ".").resolve() != own]
        spec = PathFinder.find_spec(name, others)
    if spec is not None and spec.origin and not _lies_in(spec.origin, own):
        return f"`{name}` already imports `{Path(spec.origin).name}` from another folder"
    return None


def _entries(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in directory.iterdir())
    except OSError:
        return []


def _lies_in(file: str | None, directory: Path) -> bool:
    return file is not None and Path(file).resolve().parent == directory


def _is_free(name: str, directory: Path) -> bool:
    return _form(name) is None and _meaning(name) is None and _file(name, directory) is None


def _suggestion(name: object, is_free: Callable[[str], bool]) -> str | None:
    """Offer a near name that would be accepted."""
    words = re.findall(r"\w+", str(name)) if isinstance(name, str) else []
    stem = "_".join(words).strip("_")[: MAX_LENGTH - len("_module")]
    if not stem:
        return None
    if not stem.isidentifier():
        stem = f"m_{stem}"
    tried = (stem, stem.lower(), f"my_{stem}", f"{stem}_module")
    return next((candidate for candidate in tried if is_free(candidate)), None)
