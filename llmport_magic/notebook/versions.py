"""Versions of a module or a specification: the list, `show`, `diff`, `rollback` and `retry`."""

from __future__ import annotations

import difflib
import uuid
from types import ModuleType
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import ConsentRequired, ModuleNotStoredError, StoreError, UsageError
from llmport_magic.modules.sorts import MODULE, SPECIFICATION, Sort
from llmport_magic.modules.version import Version
from llmport_magic.notebook.differences import difference, harmless
from llmport_magic.notebook.display import say
from llmport_magic.session import Session, session
from llmport_magic.settings import Settings, allows_colour, resolve

if TYPE_CHECKING:
    from llmport_magic.registration import Registered


def listing(words: list[str], shell: Any, sort: Sort = MODULE) -> None:
    """List what is stored: `%llmport modules`, `%gmn`."""
    from llmport_magic.registration import needs_consent

    settings, memory = resolve(), session()
    store = memory.store(settings, sort)
    if not store.names():
        say(f"no {sort.noun}s yet: `{sort.magic} NAME` and a prompt below make one")
    for name in store.names():
        current = memory.current(settings, name, sort)
        versions = store.versions(name)
        at = f"v{current.number} is current" if current else "not registered in this kernel"
        count = "1 version" if len(versions) == 1 else f"{len(versions)} versions"
        line = f"{name:<20} {count}, newest v{versions[-1].number} · {at}"
        lacking = _lacking(versions[-1])
        if lacking:
            line += f" · v{versions[-1].number} waits for `{lacking}`: `%llmport retry {name}`"
        elif versions[-1].verdict and needs_consent(versions[-1], settings):
            line += (
                f" · v{versions[-1].number} waits for your consent: read it with `%llmport show "
                f"{name} v{versions[-1].number}`, then `%llmport rollback {name} "
                f"v{versions[-1].number}`"
            )
        try:
            if store.foreign_text(name) is not None:
                line += f" · `{store.path(name).name}` holds a text that is no version"
        except StoreError as error:
            # One file that nobody can read does not hide the other modules.
            line += f" · {str(error).rstrip('.')}"
        say(line)


def _lacking(version: Version) -> str:
    """Name the packages without which a version could not be registered."""
    from llmport_magic.modules.verdict import Verdict

    verdict = Verdict.from_dict(version.verdict) if version.verdict and version.signed else None
    return "`, `".join(item.name for item in verdict.missing) if verdict else ""


def show(words: list[str], shell: Any, sort: Sort = MODULE) -> None:
    """Show a version's source: `%llmport show NAME [VERSION | --draft] [--colour]`.

    Raises:
        UsageError: the words are not understood, or there is no such version.
        ModuleNotStoredError: nothing of that name is stored, or no draft.
    """
    usage = f"{sort.command} show NAME [VERSION | --draft] [--colour]"
    flags = {word for word in words if word.startswith("--")}
    if unknown := flags - {"--draft", "--colour", "--color"}:
        raise UsageError(f"there is no `{min(unknown)}`: `{usage}`")
    words = [word for word in words if word not in flags]
    coloured = flags & {"--colour", "--color"} and allows_colour() and sort is MODULE
    draw = _highlighted if coloured else str
    if "--draft" in flags and words:
        _refuse_more(words, 1, usage)
        draft = session().store(resolve(), sort).draft(words[0])
        if draft is None:
            raise ModuleNotStoredError(f"there is no draft of `{words[0]}`")
        say(f"# draft of {words[0]}: did not pass, never registered", draw(harmless(draft.source)))
        return
    name, settings, memory = named(words, usage, sort)
    version = (
        _version(words[1], name, settings, memory, sort)
        if len(words) > 1
        else _current(name, settings, memory, sort)
    )
    say(*_provenance(version, settings, memory), draw(harmless(version.source)))


def _provenance(version: Version, settings: Settings, memory: Session) -> list[str]:
    """Say in comment lines where a version comes from and what vouches for it."""
    from llmport_magic.modules.verdict import Verdict
    from llmport_magic.registration import needs_consent

    head = f"{version.name} v{version.number} · {version.origin} · {_author(version)}"
    lines = [f"{head} · {version.created} · {version.id}"]
    store = memory.store(settings, version.sort)
    parent = store.get(version.name, version.parent) if version.parent else None
    if parent:
        lines.append(f"from v{parent.number} ({parent.origin}, {_author(parent)})")
    if version.prompt:
        first, *more = version.prompt.strip().splitlines()
        lines.append(f"prompt: {first}" + (f" … and {len(more)} more lines" if more else ""))
    if version.verdict is None or not version.signed:
        lines.append("not checked by you: it will be, before it is registered")
    else:
        allowed = not needs_consent(version, settings)
        lines.append(Verdict.from_dict(version.verdict).line(allowed=allowed))
    return [f"# {harmless(line)}" for line in lines]


def _author(version: Version) -> str:
    return f"{version.provider} {version.model}" if version.provider else "by hand"


def _highlighted(source: str) -> str:
    # It comes with IPython, and without types.
    from pygments import highlight  # type: ignore[import-untyped]  # it has no types
    from pygments.formatters import TerminalFormatter  # type: ignore[import-untyped]  # it has no types
    from pygments.lexers import PythonLexer  # type: ignore[import-untyped]  # it has no types

    return str(highlight(source, PythonLexer(), TerminalFormatter())).rstrip("\n")


def diff(words: list[str], shell: Any, sort: Sort = MODULE) -> None:
    """Show what changed between two versions: `%llmport diff NAME [A B]`.

    Raises:
        UsageError: the words are not understood, or there are no two such versions.
        ModuleNotStoredError: nothing of that name is stored.
    """
    usage = f"{sort.command} diff NAME [A B]"
    if len(words) > 3:  # NAME A B
        raise UsageError(f"two versions are compared: `{usage}`")
    name, settings, memory = named(words, usage, sort, most=3)
    new = (
        _version(words[2], name, settings, memory, sort)
        if len(words) > 2  # NAME A B
        else _current(name, settings, memory, sort)
    )
    if len(words) > 1:
        old: Version | None = _version(words[1], name, settings, memory, sort)
    else:
        old = memory.store(settings, sort).get(name, new.parent) if new.parent else None
    if old is None:
        raise _made_from_none(new, "diff")
    say(*diff_lines(old, new))


def _made_from_none(version: Version, command: str) -> UsageError:
    """Say why a version has none before it: it is the first, or its prompt made it anew."""
    said = f"`{version.name}` v{version.number}"
    if version.number == 1:
        return UsageError(f"{said} is the first: there is no version before it")
    before = f"`{version.sort.command} {command} {version.name} v{version.number - 1}`"
    return UsageError(f"{said} was made from no other version: name one, as in {before}")


def diff_lines(old: Version, new: Version) -> list[str]:
    """Say what changed from one version to another, the prompts' change included."""
    colour = allows_colour()
    said = [
        f"v{version.number} ({version.origin}, {_author(version)}, {version.created[:10]})"
        for version in (old, new)
    ]
    lines = [harmless(f"{new.name} {said[0]} -> {said[1]}")]
    # A hand edit has no prompt: that is no change of it. A refinement's is what was said of it.
    if new.sort is SPECIFICATION and new.origin == "update":
        lines += [*(f"feedback: {harmless(line)}" for line in new.prompt.splitlines()), ""]
    elif new.prompt and new.prompt != old.prompt:
        lines += ["prompt:", *difference(old.prompt, new.prompt, context=1, colour=colour), ""]
    names = (f"{old.name} v{old.number}", f"{new.name} v{new.number}")
    changed = difference(old.source, new.source, names=names, colour=colour)
    return [*lines, *(changed or [f"the {new.sort.text} is the same"])]


def rollback(words: list[str], shell: Any, sort: Sort = MODULE) -> None:
    """Make an older version current: `%llmport rollback NAME [VERSION]`.

    Raises:
        UsageError: the words are not understood, or there is no such version to go back to.
        ModuleNotStoredError: nothing of that name is stored.
        VerificationError: it does not pass here.
        GMNError: the specification is not valid.
    """
    from llmport_magic import bridge
    from llmport_magic.notebook.display import register_lines
    from llmport_magic.pipeline import ensure_checked

    name, settings, memory = named(words, f"{sort.command} rollback NAME [VERSION]", sort)
    store, current = memory.store(settings, sort), _current(name, settings, memory, sort)
    if len(words) > 1:
        version = _version(words[1], name, settings, memory, sort)
    else:
        parent = store.get(name, current.parent) if current.parent else None
        if parent is None:
            raise _made_from_none(current, "rollback")
        version = parent
    held = memory.current(settings, name, sort)
    edited = store.foreign_text(name) is not None
    if held is not None and version.id == current.id == held.id and not edited:
        raise UsageError(f"`{name}` v{version.number} is current already")
    version, verdict = bridge.run(ensure_checked(version, settings, memory))
    # Naming a version to go back to is the user's own act, as running its cell is.
    version = store.confirm(version, consented=True)
    registered = _register(version, settings, memory, shell)
    back = f"`{sort.command} rollback {name} v{current.number}` goes back"
    # What is only now allowed, or live for the first time, left nothing behind.
    left = [f"  v{current.number} stays stored; {back}"] if current.id != version.id else []
    say(*register_lines(registered, verdict, edited=False), *left)


def retry(words: list[str], shell: Any) -> None:
    """Register what waited for a package, without a call: `%llmport retry NAME [VERSION]`.

    Raises:
        UsageError: the words are not understood, or there is no such version.
        ModuleNotStoredError: nothing of that name is stored.
        MissingPackageError: it needs a package that is not installed.
        VerificationError: it does not pass here.
        ConsentRequired: it does what only the user may allow.
    """
    from llmport_magic import bridge
    from llmport_magic.notebook import cells
    from llmport_magic.notebook.display import register_lines
    from llmport_magic.pipeline import ready
    from llmport_magic.registration import needs_consent

    name, settings, memory = named(words, "%llmport retry NAME [VERSION]")
    version = (
        _version(words[1], name, settings, memory)
        if len(words) > 1
        else memory.store(settings).versions(name)[-1]
    )
    version, verdict = bridge.run(ready(version, settings, memory))
    if needs_consent(version, settings):
        raise ConsentRequired(
            f"`{name}` v{version.number} does what only you may allow "
            f"({'; '.join(verdict.findings[:2]) or 'trust is `never`'}): read it with `%llmport "
            f"show {name} v{version.number}`, then `%llmport rollback {name} v{version.number}` "
            "allows and registers it"
        )
    registered = _register(version, settings, memory, shell)
    if registered.report is not None:
        cells.place(shell, version, after=cells.cell_id(shell), hold=False)
    say(*register_lines(registered, verdict, edited=False))


def _register(version: Version, settings: Settings, memory: Session, shell: Any) -> Registered:
    """Make a version live, in the notebook under its name, unless a variable is called so."""
    from llmport_magic.api import live_module
    from llmport_magic.notebook.magics import tell_autoreload
    from llmport_magic.registration import Registered, register

    if version.sort is SPECIFICATION:
        from llmport_magic.notebook.gmn import take

        take(version, settings, memory, shell)
        return Registered(version=version, report=None)
    registered = register(
        version,
        settings,
        memory,
        run=uuid.uuid4().hex,
        namespaces=(shell.user_ns,),
        told=tell_autoreload(shell),
    )
    module = live_module(version.name)
    if isinstance(shell.user_ns.get(version.name, module), ModuleType):
        shell.user_ns[version.name] = module
    return registered


def current_of(name: str, sort: Sort = MODULE) -> Version:
    """Give the current version of a stored module or specification.

    Raises:
        ModuleNotStoredError: there is none of that name.
    """
    return _current(*named([name], "", sort), sort)


def named(
    words: list[str], usage: str, sort: Sort = MODULE, *, most: int = 2
) -> tuple[str, Settings, Session]:
    """Give the stored name that a command begins with.

    Args:
        words: the command's words.
        usage: how it is written.
        sort: what it is about.
        most: how many words it may have.

    Raises:
        UsageError: it has no name, or too many words.
        ModuleNotStoredError: nothing of that name is stored.
    """
    settings, memory = resolve(), session()
    if not words:
        raise UsageError(f"which {sort.noun}? `{usage}`")
    _refuse_more(words, most, usage)
    name = words[0]
    known = memory.store(settings, sort).names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"`{sort.listing}` lists those there are"
        raise ModuleNotStoredError(f"there is no stored {sort.noun} `{name}`: {hint}")
    return name, settings, memory


def _refuse_more(words: list[str], most: int, usage: str) -> None:
    if len(words) > most:
        raise UsageError(f"`{words[most]}` is one word too many: `{usage}`")


def _version(
    word: str, name: str, settings: Settings, memory: Session, sort: Sort = MODULE
) -> Version:
    version = memory.store(settings, sort).find(name, word)
    if version is not None:
        return version
    known = ", ".join(f"v{each.number}" for each in memory.store(settings, sort).versions(name))
    raise UsageError(f"`{name}` has no version `{word}`: there are {known}")


def _current(name: str, settings: Settings, memory: Session, sort: Sort = MODULE) -> Version:
    from llmport_magic.modules.selection import on_disk

    store = memory.store(settings, sort)
    found = memory.current(settings, name, sort) or on_disk(store, name)
    return found or store.versions(name)[-1]
