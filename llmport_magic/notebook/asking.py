"""A request's settings; what a question about code sends, and its way there and back."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmport_magic.api import Made, make
from llmport_magic.errors import LLMPortError
from llmport_magic.notebook.display import NOT_ALL_RUN, CellDisplay, CellInterrupted, say
from llmport_magic.notebook.gmn_options import GMNLine
from llmport_magic.notebook.last_error import LastError
from llmport_magic.notebook.options import CellLine, QuestionLine
from llmport_magic.progress import Kept, ModuleRequest, Stored
from llmport_magic.session import Session, session
from llmport_magic.settings import Settings, resolve


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is sent.

    Attributes:
        name: what it is.
        what: how much of it, and what of it stays here.
        text: itself.
    """

    name: str
    what: str
    text: str


def settings_of(line: CellLine | GMNLine | QuestionLine) -> Settings:
    """Resolve the settings of one request."""
    again = not isinstance(line, QuestionLine) and line.regenerate
    found = resolve(
        provider=line.provider,
        model=line.model,
        temperature=line.temperature,
        tries=line.tries,
        # Whoever asks again wants another answer than the last one.
        cache=False if line.no_cache or again else None,
    )
    return replace(found, log=False) if line.no_log else found


def error_part(error: LastError, text: str, *, values: bool) -> Part:
    """Say what is sent of an error."""
    said = [(error.kind, error.message), *error.held]
    quoted = [f"{kind}: {message}" if message else kind for kind, message in said]
    if values:
        kept = "with the values that its message quotes"
    elif not all(each in text for each in quoted):
        kept = "without the values that its message quotes (`--values` sends them)"
    else:
        kept = "its message as it is"
    lines = f"{len(error.frames)} line{'s' * (len(error.frames) != 1)} of its traceback, "
    return Part("the error", (lines if error.frames else "") + kept, text)


def source_part(name: str, source: str, *, masked: bool = False) -> Part:
    """Say what is sent of a cell or a module."""
    lines = source.strip("\n").count("\n") + 1
    kept = ", keys in it masked" if masked else ""
    return Part(name, f"{lines} line{'s' * (lines != 1)}, {len(source):,} characters{kept}", source)


def sent_lines(parts: Sequence[Part], more: Sequence[str] = ()) -> list[str]:
    """Say what a question sends, before it is sent.

    Args:
        parts: what is sent, each with its size.
        more: further lines.
    """
    from llmport_magic.llm.cost import estimate_tokens

    wide = max(len(part.name) for part in parts)
    lines = [
        f"{'sends:' if not number else '':<7}{part.name:<{wide}}  {part.what}"
        for number, part in enumerate(parts)
    ]
    tokens = sum(estimate_tokens(part.text) for part in parts)
    lines += [f"{'':<7}{line}" for line in more]
    about = f"{'':<7}about {tokens:,} tokens; `--preview` shows them to the letter"
    # What comes back begins below an empty line.
    return [*lines, about, ""]


def asked(
    request: ModuleRequest,
    shell: Any,
    title: str,
    *,
    preview: bool,
    prose: bool = False,
    namespaces: Sequence[MutableMapping[str, Any]] = (),
    told: Callable[[str, Any], None] | None = None,
) -> tuple[Made, CellDisplay] | None:
    """Ask and wait; `None` where the request was only to be seen.

    Args:
        request: what is asked for.
        shell: IPython's shell.
        title: what is being made.
        preview: whether the request is only to be seen.
        prose: whether the answer is to be read.
        namespaces: where the names of a module that is registered are rebound.
        told: called with the name and the module that is registered.

    Raises:
        LLMPortError: as the pipeline.
        CellInterrupted: by the user, at once.
    """
    if preview:
        from llmport_magic.notebook.preview import show_preview

        show_preview(request, session())
        return None
    shown = CellDisplay(shell, title, prose=prose)
    try:
        made = make(
            request,
            session(),
            show=shown.show,
            idle=shown.catch_up,
            namespaces=namespaces,
            told=told,
        )
    except KeyboardInterrupt:
        shown.broke_off("interrupted")
        raise CellInterrupted(standing(request, session(), shown.kept)) from None
    except LLMPortError as error:
        shown.broke_off(type(error).__name__)
        raise
    return made, shown


def standing(request: ModuleRequest, memory: Session, kept: Kept | Stored | None) -> str:
    """Say what is stored and what is in use where a request was interrupted, in one line."""
    if kept is None:
        logged = "; the answer so far is in `%llmport log`" if request.settings.log else ""
        return f"nothing was written{logged}"
    version = (kept.stored if isinstance(kept, Kept) else kept).version
    known = f"`{version.name}` v{version.number} is stored"
    unsaid = f", {NOT_ALL_RUN}" if isinstance(kept, Kept) else ""
    current = memory.current(request.settings, version.name, version.sort)
    if current is not None and current.id == version.id:
        return f"{known} and in use{unsaid}"
    stays = f": v{current.number} stays" if current is not None else ""
    command = f"{version.sort.command} rollback {version.name} v{version.number}"
    return f"{known}, but not in use{stays}{unsaid}; `{command}` takes it"


def nothing_to_ask(error: LastError, verb: str) -> bool:
    """Say that an error is none of the user's code; tells whether it is so."""
    if error.whose == "code":
        return False
    if error.whose == "interrupt":
        say(f"nothing was sent: {error.title} was interrupted, there is nothing to {verb}")
        return True
    say(
        f"nothing was sent: the error of {error.title} is llmport's own and says what to do:",
        f"  {error.kind.rpartition('.')[2]}: {error.message}",
    )
    return True
