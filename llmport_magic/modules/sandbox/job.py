"""What is given to the sandbox and what comes back."""

from __future__ import annotations

import site
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from llmport_magic.modules.comparison import Observation

Status = Literal["ok", "import_error", "crashed", "timeout", "forged", "unavailable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxJob:
    """What to run.

    Attributes:
        source: the module's text, which passed the gate.
        module_name: its name.
        examples: the code of each example, by a number of the caller's.
        search_path: the kernel's import path.
        module_dir: the folder of the user's generated modules.
        seconds: how long all of it may take.
        memory_mb: how much memory it may use, besides the libraries that the worker shares.
        fixed_names: names that the examples know, with the text of their literal values.
        confined: whether it may only run where Landlock and seccomp hold it.
        files: what lies in the child's folder when it begins, by name.
        trial: what to try with these files after the examples, see `modules/trial.py`; must be
            JSON.
        least: the weakest level at which it may run.
        warm: whether it may be forked from a worker that has libraries loaded.
        preload: these libraries; `None` is those of the kernel that take long.
    """

    source: str
    module_name: str
    examples: Sequence[tuple[int, str]] = ()
    search_path: Sequence[str] = ()
    module_dir: Path | None = None
    seconds: float = 20.0
    memory_mb: int = 2048
    fixed_names: Mapping[str, str] = field(default_factory=dict)
    confined: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict)
    trial: Mapping[str, Any] | None = None
    least: str = "static only"
    warm: bool = True
    preload: tuple[str, ...] | None = None

    def texts(self) -> list[str]:
        """Give all code that it runs."""
        trial = self.trial or {}
        examples = [*self.examples, *trial.get("examples", ())]
        code = [source for _, source in examples]
        return [self.source, trial.get("cell") or "", *code, *self.fixed_names.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFailure:
    """Why the module did not import.

    Attributes:
        error: the exception's type.
        message: its text.
        line: the line of the module, where one is known.
        missing: the name that an `ImportError` was about.
        own: whether the module itself raised it, and not a package that it imports.
        bases: the names of the exception's classes, its own first.
    """

    error: str
    message: str = ""
    line: int | None = None
    missing: str | None = None
    own: bool = True
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxResult:
    """What came of it.

    Attributes:
        status: how it ended.
        observations: what was seen of each example that came to its end.
        hung: the example that was running when time was up or the process died.
        failure: why the module did not import.
        error: one line about anything else.
        level: what held the child, one of `levels.LEVELS`.
        seconds: how long it took.
        printed: what the import printed.
        trial: what the trial saw, where it came to its end; the child's word, like all of this.
        warm: whether the child was forked from the worker that has libraries loaded.
        too_weak: whether nothing was run because the level is below what the user accepts.
    """

    status: Status
    observations: Mapping[int, Observation] = field(default_factory=dict)
    hung: int | None = None
    failure: ImportFailure | None = None
    error: str = ""
    level: str = "static only"
    seconds: float = 0.0
    printed: str = ""
    trial: Mapping[str, Any] | None = None
    warm: bool = False
    too_weak: bool = False


def own_folders(module_dir: Path | None) -> list[str]:
    """Give the user's folders: the notebook's and that of the generated modules."""
    folders = {Path.cwd(), *([module_dir.absolute()] if module_dir else [])}
    return [str(folder) for folder in folders]


def listed_folders(path: Sequence[str], module_dir: Path | None) -> list[str]:
    """Give the folders of which the child may read all but hidden entries.

    One that holds the user's home is never among them, from wherever it is named: hidden entries
    lie deeper there. An import path that begins with the notebook's folder may name `/`.
    """
    entries = [*own_folders(module_dir), *(entry for entry in path if not _is_library(entry))]
    return [entry for entry in dict.fromkeys(entries) if not _holds_home(Path(entry))]


def _is_library(entry: str) -> bool:
    """Tell whether an entry of the import path holds installed packages only."""
    return entry.endswith((".zip", ".egg", "site-packages", "dist-packages"))


def _holds_home(folder: Path) -> bool:
    home = Path.home()
    above = {Path(home.anchor), *home.parents, *home.resolve().parents}
    return bool(above & {folder.absolute(), folder.resolve()})


def import_path(search_path: Sequence[str], module_dir: Path | None) -> list[str]:
    """Give the child's import path: the kernel's, its own folders spelled out, then ours."""
    here = str(Path.cwd())
    path = [entry or here for entry in (search_path or sys.path)]
    own = str(module_dir) if module_dir else here
    return [*path, *([own] if own not in path else [])]


def user_sites(path: Sequence[str]) -> list[str]:
    """Give the user's own site-packages, where this Python reads it: `-I` leaves it out."""
    own = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
    return [own] if own in path else []


def library_folders(path: Sequence[str]) -> list[str]:
    """Give the folders of installed packages, those of editable installs on no path included."""
    folders = list(filter(_is_library, path))
    for name, module in list(sys.modules.items()):
        mapping = getattr(module, "MAPPING", None)
        if name.startswith("__editable__") and isinstance(mapping, Mapping):
            folders += [str(Path(folder).absolute()) for folder in mapping.values()]
    return folders
