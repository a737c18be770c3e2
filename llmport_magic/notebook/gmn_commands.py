"""`%gmn SUBCOMMAND`: change a specification, look at it, run it, take it elsewhere."""

from __future__ import annotations

import base64
import functools
import io
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmport_magic import bridge
from llmport_magic.editing import CellText, write_cell
from llmport_magic.errors import ConflictError, GMNError, UsageError
from llmport_magic.files import Folder
from llmport_magic.modules.sorts import SPECIFICATION
from llmport_magic.notebook import versions
from llmport_magic.notebook.differences import difference, harmless
from llmport_magic.notebook.display import CellInterrupted, say
from llmport_magic.notebook.gmn import ask, in_words, refuse_taken, specification, take
from llmport_magic.notebook.gmn_options import (
    GMN_HELP,
    PLOT_OPTIONS,
    parse_gmn_command,
    parse_refine_line,
)
from llmport_magic.notebook.options import read_options
from llmport_magic.progress import Selected, Stored
from llmport_magic.session import session
from llmport_magic.settings import resolve
from llmport_magic.specifying import read

if TYPE_CHECKING:
    from llmport_magic.gmn.spec import Spec
    from llmport_magic.modules.version import Version

STEPS = 10
_MOST_STEPS = 10_000
_USAGE = """\
%gmn                          the stored specifications
%gmn refine NAME FEEDBACK     a new version, changed as FEEDBACK says; options as for `%%gmn`,
                              but not --type, --validate, --base and --update
%gmn validate [NAME]          check one, or all; no model is asked
%gmn plot NAME [STEPS] [--seed N] [--dark]
                              run its agent in its own world; beliefs, entropy, free energy
%gmn export NAME [FILE]       NAME.json, or FILE.json or FILE.gmn
%gmn history NAME             its versions, and the feedback that made them
%gmn show NAME [VERSION | --draft]
%gmn diff NAME [A B]          what changed between two versions
%gmn rollback NAME [VERSION]  make an older version the current one
%gmn help                     this, and the options of `%%gmn`"""


def run(line: str, shell: Any) -> None:
    """Run a `%gmn` line; without a subcommand it lists what is stored.

    Raises:
        LLMPortError: as the subcommand.
    """
    command, words = parse_gmn_command(line)
    if command == "refine":
        _refine(words, shell, whole=f"%gmn {line}")
    else:
        _COMMANDS[command](words, shell)


def _refine(words: list[str], shell: Any, *, whole: str) -> None:
    options = parse_refine_line(words)
    refuse_taken(options.name, shell)
    _keep_bound(options.name, shell)
    made = ask(options, options.words[0], shell, whole=whole)
    if made is None or not isinstance(made.event, Stored):
        return
    version = made.event.version
    store = session().store(resolve(), SPECIFICATION)
    old = store.get(version.name, version.parent or "")
    if old is not None:
        say(*versions.diff_lines(old, version))


def _keep_bound(name: str, shell: Any) -> None:
    """Make what the notebook has under a name the current version, where it is another one.

    Raises:
        ModuleNotStoredError: there is none of that name, neither stored nor in the notebook.
    """
    bound = shell.user_ns.get(name)
    if bound is not None and bound == _in_own_file(name):
        # What is changed is the file's text, which is kept as a version then.
        return
    if bound is None or bound == _stored(name):
        versions.named([name], "", SPECIFICATION)
        return
    memory, settings = session(), resolve()
    text = CellText(name=name, source=bound.to_text(), sort=SPECIFICATION)
    event, _ = bridge.run(write_cell(text, settings, memory, run=uuid.uuid4().hex))
    if not isinstance(event, Selected):
        raise ConflictError(
            f"`{name}` in the notebook is an older version than the current one: `%gmn rollback "
            f"{name} VERSION` makes it current, `%gmn history {name}` lists them"
        )
    take(event.version, settings, memory, shell)
    say(f"· `{name}` as it is in the notebook is v{event.version.number}")


def _in_own_file(name: str) -> Spec | None:
    """Give what the user wrote into the file of a name."""
    from llmport_magic.gmn.validation import validate

    text = _own_text(name)
    return None if text is None else validate(text).spec


def _own_text(name: str) -> str | None:
    return session().store(resolve(), SPECIFICATION).foreign_text(name)


def _stored(name: str) -> Spec | None:
    if name not in session().store(resolve(), SPECIFICATION).names():
        return None
    return read(versions.current_of(name, SPECIFICATION))


def _validate(words: list[str], shell: Any) -> None:
    if len(words) > 1:
        raise UsageError("one is checked, or all: `%gmn validate [NAME]`")
    known = session().store(resolve(), SPECIFICATION).names()
    if not words and not known:
        say("no specifications yet: `%%gmn NAME` and a prompt below make one")
    failed: list[str] = []
    for name in words or known:
        texts = {name: _text_of(name, shell), f"{name}.gmn": _own_text(name)}
        for what, source in texts.items():
            if source is not None:
                failed += _checked(what, source)
    if failed:
        raise GMNError(f"not valid: {failed[0]}", findings=failed)


def _checked(what: str, source: Any) -> tuple[str, ...]:
    """Check a text and say what was found; gives the errors."""
    from llmport_magic.gmn.validation import validate

    report = bridge.run(bridge.in_thread(validate, source))
    head = f"✓ {what} · valid" if report.ok else f"✗ {what} · not valid"
    say(head, *(f"  {each.level}: {harmless(str(each))}" for each in report.findings))
    if report.spec is not None:
        say(*in_words(report.spec))
    return report.errors


def _text_of(name: str, shell: Any) -> Any:
    """Give what is to be checked: a stored text, which has lines, or the notebook's own value."""
    found = specification(name, shell)
    return versions.current_of(name, SPECIFICATION).source if found == _stored(name) else found


def _plot(words: list[str], shell: Any) -> None:
    from IPython.display import display

    usage = "`%gmn plot NAME [STEPS]`"
    found = read_options(words, PLOT_OPTIONS, "%gmn plot")
    name, *rest = found["names"] or [""]
    if not name or len(rest) > 1:
        raise UsageError(f"which agent, and how many steps? {usage}")
    steps = rest[0] if rest else str(STEPS)
    if not steps.isdecimal() or not 0 < int(steps) <= _MOST_STEPS:
        raise UsageError(f"`{steps}` is no number of steps from 1 to {_MOST_STEPS:,}: {usage}")
    spec, seed = specification(name, shell), found["seed"] or 0
    picture = io.BytesIO()
    try:
        history = spec.agent(seed=seed).run(spec.environment(seed=seed), steps=int(steps))
        figure = history.plot(theme="dark" if found["dark"] else "light")
        figure.savefig(picture, format="png", dpi=100)
    except KeyboardInterrupt:
        raise CellInterrupted("nothing was changed; fewer steps take less time") from None
    said = repr(history).strip("<>")
    bundle = {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": said}
    display(bundle, raw=True)
    say(f"✓ {name} · {harmless(said)} · seed {seed}")
    if _own_text(name) is not None and spec != _in_own_file(name):
        say(
            f"· `{name}.gmn` holds another text, which was not run: "
            f"`%gmn validate {name}` checks it"
        )


def _export(words: list[str], shell: Any) -> None:
    usage = "`%gmn export NAME [FILE.json | FILE.gmn]`"
    if not words or len(words) > 2:  # NAME FILE
        raise UsageError(f"which specification, into which file? {usage}")
    spec = specification(words[0], shell)
    path = Path(words[1] if len(words) > 1 else f"{words[0]}.json").expanduser()
    if path.suffix == ".json":
        text = json.dumps(spec.to_json(), indent=2, ensure_ascii=False) + "\n"
    elif path.suffix == ".gmn":
        text = spec.to_text()
    else:
        raise UsageError(f"`{path.name}` is neither JSON nor GMN: {usage}")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder `{path.parent}`")
    folder = Folder(path.parent.resolve())
    if path.exists() and folder.read(path.name) != text.encode():
        raise UsageError(f"`{path}` is there already, with another text: name another file")
    folder.write(path.name, text.encode(), mode=0o666)
    say(f"✓ {path} · {len(text):,} characters")


def _history(words: list[str], shell: Any) -> None:
    name, settings, memory = versions.named(words, "%gmn history NAME", SPECIFICATION, most=1)
    store = memory.store(settings, SPECIFICATION)
    current = versions.current_of(name, SPECIFICATION)
    found = store.versions(name)
    count = f"{len(found)} version{'s' * (len(found) != 1)}"
    say(f"{name} · {count}, v{current.number} is current")
    for version in found:
        parent = store.get(name, version.parent) if version.parent else None
        say(*_entry(version, parent))


def _entry(version: Version, parent: Version | None) -> list[str]:
    who = f"{version.provider} {version.model}" if version.provider else "by hand"
    parts = [f"v{version.number}", version.created[:16].replace("T", " "), version.origin, who]
    if parent is not None:
        lines = difference(parent.source, version.source, context=0, colour=False)
        signs = [line[0] for line in lines]
        parts.append(f"from v{parent.number}: +{signs.count('+')} -{signs.count('-')} lines")
    said = [f"    {line}" for line in version.prompt.strip().splitlines()]
    return [harmless(line) for line in (" · ".join(parts), *said)]


def _help(words: list[str], shell: Any) -> None:
    say(GMN_HELP, _USAGE)


_COMMANDS: dict[str, Callable[[list[str], Any], None]] = {
    "": functools.partial(versions.listing, sort=SPECIFICATION),
    "validate": _validate,
    "plot": _plot,
    "export": _export,
    "history": _history,
    "show": functools.partial(versions.show, sort=SPECIFICATION),
    "diff": functools.partial(versions.diff, sort=SPECIFICATION),
    "rollback": functools.partial(versions.rollback, sort=SPECIFICATION),
    "help": _help,
}
