"""Making a module live in the running process, and leaving it as it was when that fails.

A text is first executed as a candidate, in a module object of its own. Only when that went well
is it executed in the live module's own dictionary, so that everybody who holds the module sees
the new code; a snapshot undoes it when the second execution or the writing of the file fails.
Modules are loaded without bytecode: two texts written in one second would share it.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import os
import sys
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

from llmport_magic.errors import ModuleNameError, VerificationError
from llmport_magic.locks import lock
from llmport_magic.modules.findings import describe
from llmport_magic.modules.import_caches import forget_folders
from llmport_magic.modules.rebinding import rebind

_lock = lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What registering a module changed.

    Attributes:
        module: the live module.
        removed: names that the new text no longer defines.
        rebound: names of the given namespaces that now are the new functions and classes.
        stale: names there that still are old ones, as the new text has none of that name.
        instances: names there of objects that were made by the old classes.
    """

    module: ModuleType
    removed: tuple[str, ...] = ()
    rebound: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """Say what the user should know, one sentence each; nothing for a first load."""
        said = (
            ("no longer defined: {}", self.removed),
            ("refreshed in your namespace: {}", self.rebound),
            ("still the old one, as the new code has none: {}", self.stale),
            ("made by the old code and not migrated: {}", self.instances),
        )
        return tuple(
            text.format(", ".join(f"`{n}`" for n in names)) for text, names in said if names
        )


@dataclass(slots=True)
class _Live:
    """What is known about a registered module."""

    module: ModuleType
    path: str
    source: str
    defined: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Text:
    """A text on its way into a module."""

    name: str
    source: str
    file: str
    code: CodeType

    @property
    def folder(self) -> str:
        return os.path.dirname(self.file)


_live: dict[str, _Live] = {}
_folders: list[str] = []


class ModuleLoader(importlib.abc.SourceLoader):
    """Loads a module from its text alone: never reads or writes bytecode.

    Args:
        name: the module's name.
        file: where its text lies.
    """

    def __init__(self, name: str, file: str) -> None:
        self.name = name
        self.path = file

    def get_filename(self, fullname: str) -> str:
        """Return the file of the one module that this loader is for."""
        if fullname != self.name:
            raise ImportError(f"this loader is for `{self.name}`", name=fullname)
        return self.path

    def get_data(self, path: str | bytes) -> bytes:
        """Return a file's bytes."""
        with open(path, "rb") as stream:
            return stream.read()


class ModuleFinder(importlib.abc.MetaPathFinder):
    """Finds registered modules wherever their folder is."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # the protocol's
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a registered module whose file is still there."""
        known = _live.get(fullname)
        if path is not None or known is None or not os.path.isfile(known.path):
            return None
        return _spec(fullname, known.path)


class SiblingFinder(importlib.abc.MetaPathFinder):
    """Finds what lies beside a registered module, after everything else was asked."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # the protocol's
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a plain module in the folder of a registered one."""
        if path is not None or not fullname.isidentifier():
            return None
        for folder in reversed(_folders):
            file = os.path.join(folder, f"{fullname}.py")
            if os.path.isfile(file):
                return _spec(fullname, file)
        return None


_finders = (ModuleFinder(), SiblingFinder())


def install() -> None:
    """Let `import NAME` find registered modules; doing it twice changes nothing."""
    if _finders[0] not in sys.meta_path:
        sys.meta_path.insert(0, _finders[0])
        sys.meta_path.append(_finders[1])


def uninstall() -> None:
    """Take the finders out and forget what was registered; modules stay imported."""
    for finder in _finders:
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(finder)
    _live.clear()
    _folders.clear()


def registered_source(name: str) -> str | None:
    """Return the text that a registered module runs, None where it is not registered."""
    known = _live.get(name)
    return known.source if known and sys.modules.get(name) is known.module else None


def register(
    name: str,
    source: str,
    path: str | os.PathLike[str],
    *,
    namespaces: Sequence[MutableMapping[str, Any]] = (),
    commit: Callable[[], object] | None = None,
) -> LoadReport:
    """Make a text the live module `name`, on the calling thread.

    Args:
        name: the module's name.
        source: its text.
        path: the file that holds the text, or will when `commit` has run.
        namespaces: where names that are the module's old functions and classes are rebound.
        commit: writes the file; called once the text executed.

    Raises:
        VerificationError: the text does not execute; module and file are as they were.
        ModuleNameError: another module of that name is imported.
        KeyboardInterrupt: after everything was put back.
    """
    with _lock:
        install()
        file = os.path.abspath(path)
        live = _module_to_update(name, file)
        text = _Text(name, source, file, _compile(name, source, file))
        if text.folder not in _folders:
            _folders.append(text.folder)
        with _text_in_linecache(file, source):
            candidate = _execute_candidate(text, live)
            if live is None:
                report = _put_in_place(name, candidate, commit)
            else:
                report = _update(text, live, candidate, namespaces, commit)
            report.module.__spec__ = _spec(name, file)
        _live[name] = _Live(report.module, file, source, frozenset(vars(candidate)))
        forget_folders()
        return report


def tell_autoreload(reloader: Any, name: str, module: ModuleType) -> None:
    """Tell IPython's autoreload that the module is what its file holds.

    Args:
        reloader: anything with `modules_mtimes`; others are left alone.
        name: the module's name.
        module: the live module.
    """
    times = getattr(reloader, "modules_mtimes", None)
    if isinstance(times, dict) and module.__file__ is not None:
        with contextlib.suppress(OSError):
            times[name] = os.stat(module.__file__).st_mtime


def _spec(name: str, file: str) -> importlib.machinery.ModuleSpec | None:
    return importlib.util.spec_from_file_location(name, file, loader=ModuleLoader(name, file))


def _module_to_update(name: str, file: str) -> ModuleType | None:
    found = sys.modules.get(name)
    known = _live.get(name)
    if found is None or (known is not None and found is known.module):
        return found
    origin = getattr(found, "__file__", None)
    if origin is not None and os.path.realpath(origin) == os.path.realpath(file):
        return found
    raise ModuleNameError(
        f"`{name}` is imported already, from {origin or 'inside Python'}; choose another name."
    )


def _compile(name: str, source: str, file: str) -> CodeType:
    try:
        return compile(source, file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _failure(name, error, source, file) from error


def _execute(text: _Text, names: dict[str, Any]) -> None:
    try:
        exec(text.code, names)  # noqa: S102 - what a module loader does
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _failure(text.name, error, text.source, text.file) from error


def _execute_candidate(text: _Text, live: ModuleType | None) -> ModuleType:
    """Execute the text in a module object of its own."""
    spec = _spec(text.name, text.file)
    assert spec is not None
    candidate = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    # Dataclasses, enumerations and pickle look the module up while its body runs.
    sys.modules[text.name] = candidate
    executed = False
    try:
        _execute(text, vars(candidate))
        executed = True
    finally:
        if live is not None:
            sys.modules[text.name] = live
        else:
            sys.modules.pop(text.name, None)
        if live is not None or not executed:
            _forget_siblings(before, text.folder)
    return candidate


def _forget_siblings(before: set[str], folder: str) -> None:
    # They may hold on to the candidate, which nobody else will ever see.
    for name in set(sys.modules) - before:
        origin = getattr(sys.modules.get(name), "__file__", None)
        if origin is not None and os.path.dirname(origin) == folder:
            sys.modules.pop(name, None)


def _put_in_place(
    name: str, candidate: ModuleType, commit: Callable[[], object] | None
) -> LoadReport:
    if commit is not None:
        commit()
    sys.modules[name] = candidate
    return LoadReport(module=candidate)


def _update(
    text: _Text,
    live: ModuleType,
    candidate: ModuleType,
    namespaces: Sequence[MutableMapping[str, Any]],
    commit: Callable[[], object] | None,
) -> LoadReport:
    """Execute the text in the live module's dictionary, or leave that as it was."""
    names, old = vars(live), dict(vars(live))
    known = _live.get(text.name)
    ours = known.defined if known is not None and known.module is live else frozenset(old)
    try:
        names.pop("__annotations__", None)
        names.pop("__warningregistry__", None)
        names["__doc__"] = None
        names["__file__"] = text.file
        _execute(text, names)
        removed = [each for each in ours if each in names and each not in vars(candidate)]
        for each in removed:
            del names[each]
        if commit is not None:
            commit()
    except BaseException:
        _restore(names, old)
        raise
    rebinding = rebind(text.name, old, names, namespaces)
    return LoadReport(
        module=live,
        removed=tuple(sorted(each for each in removed if not each.startswith("__"))),
        rebound=rebinding.rebound,
        stale=rebinding.stale,
        instances=rebinding.instances,
    )


def _restore(names: dict[str, Any], old: dict[str, Any]) -> None:
    # Never empty in between: another thread may be inside one of the module's functions.
    names.update(old)
    for name in set(names) - set(old):
        del names[name]


def _failure(name: str, error: BaseException, source: str, file: str) -> VerificationError:
    finding = describe(error, source, file)
    return VerificationError(
        f"`{name}` does not execute: {finding}. Nothing was registered.",
        findings=(finding,),
        source=source,
    )


@contextlib.contextmanager
def _text_in_linecache(file: str, source: str) -> Iterator[None]:
    """Let tracebacks and `inspect` see a text whose file is not written yet."""
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    try:
        yield
    finally:
        linecache.cache.pop(file, None)
