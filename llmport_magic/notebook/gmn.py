"""`%%gmn`: a prompt becomes a specification of an agent, or one that was written is taken."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmport_magic import bridge
from llmport_magic.api import Made
from llmport_magic.editing import CellText, write_cell
from llmport_magic.errors import GMNError, UsageError
from llmport_magic.gmn.spec import Spec
from llmport_magic.modules.sorts import SPECIFICATION
from llmport_magic.notebook import cells
from llmport_magic.notebook.asking import asked, settings_of
from llmport_magic.notebook.differences import harmless
from llmport_magic.notebook.display import made_lines, say
from llmport_magic.notebook.gmn_options import GMNLine, parse_gmn_line, refuse_specification
from llmport_magic.progress import Drafted, Left, ModuleRequest, Selected, Stored, Told
from llmport_magic.session import Session, session
from llmport_magic.settings import Settings, resolve
from llmport_magic.specifying import read, select

if TYPE_CHECKING:
    from llmport_magic.llm.messages import Image
    from llmport_magic.modules.version import Version

_MOST_FINDINGS, _IN_THE_ERROR = 20, 2
_MOST_LABELS = 8


def run_cell(line: str, cell: str, shell: Any) -> None:
    """Run a `%%gmn` cell.

    Raises:
        UserError: it cannot be served as written.
        GMNError: the specification is not valid.
        LLMError: the model did not deliver.
    """
    from llmport_magic.notebook.context import render

    options = parse_gmn_line(line)
    refuse_taken(options.name, shell)
    if options.validate:
        _text_cell(options, cell, shell)
        return
    if not cell.strip() and not options.image:
        raise UsageError("the prompt is empty: write below the first line what the agent is to be")
    refuse_specification(options.name, cell)
    prompt = render(cell.strip("\r\n"), shell.user_ns)
    ask(options, prompt, shell, whole=f"%%gmn {line}\n{cell}")


def refuse_taken(name: str, shell: Any) -> None:
    """Refuse the name of a variable that is no specification.

    Raises:
        UsageError: it is one.
    """
    taken = shell.user_ns.get(name)
    if taken is not None and not isinstance(taken, Spec):
        raise UsageError(
            f"`{name}` is a variable of this notebook ({type(taken).__name__}): choose another "
            "name for the specification"
        )


# -- a prompt ------------------------------------------------------------------------------------


def ask(options: GMNLine, prompt: str, shell: Any, *, whole: str) -> Made | None:
    """Have a specification written or changed; gives `None` where the request was only shown.

    Args:
        options: what the line says.
        prompt: what the agent is to be, or what should change.
        shell: IPython's shell.
        whole: the text of the cell, to be found again in the saved notebook.
    """
    request = _request(options, prompt, shell, whole)
    outcome = asked(request, shell, options.name, preview=options.preview)
    if outcome is None:
        return None
    made, shown = outcome
    if made.specification is not None:
        shell.user_ns[options.name] = made.specification
    shown.finish(*_record(made, options))
    if isinstance(made.event, Stored) and not options.no_cell:
        cells.place(shell, made.event.version, after=request.cell_id, hold=False)
    return made


def _request(options: GMNLine, prompt: str, shell: Any, whole: str) -> ModuleRequest:
    from llmport_magic.gmn.writing.prompting import Wish, texts

    images, digest = _pictures(options.image)
    wish = Wish.of(
        prompt, options.agent_type or "general", constraints=options.limits, images=images
    )
    return ModuleRequest(
        name=options.name,
        purpose="specification",
        prompt=prompt if prompt.strip() else str(texts()["picture"]).strip(),
        settings=settings_of(options),
        options={**options.shaping(), **digest},
        update=options.update,
        regenerate=options.regenerate,
        draft=options.draft,
        wish=wish,
        cell_id=cells.cell_id(shell),
        linked=lambda: cells.linked_bases(options.name, whole, SPECIFICATION),
    )


def _pictures(file: str | None) -> tuple[tuple[Image, ...], dict[str, str]]:
    """Give the picture that is sent, and what of it belongs to the version's key."""
    from llmport_magic.gmn.writing.generation import pictures

    try:
        images = pictures(file)
    except OSError as error:
        raise UsageError(f"`--image {file}` cannot be read: {error.strerror}") from None
    if not images:
        return (), {}
    return images, {"image": hashlib.sha256(images[0].data).hexdigest()[:16]}


def _record(made: Made, options: GMNLine) -> list[str]:
    """Say what became of a prompt."""
    event, found = made.event, made.specification
    first, *more = made_lines(made, options.name)
    text = None
    if isinstance(event, Drafted):
        from llmport_magic.gmn.validation import parse

        found, text = parse(event.source), event.source
        more = more[:1]  # what follows are the findings, which come last here
    elif isinstance(event, (Stored, Selected)) and options.no_cell:
        text = event.version.source
    if isinstance(event, (Left, Told)):
        return [first, *(in_words(found) if found else ())]
    assert found is not None
    lines = [first, *in_words(found), *more, *_notes(event.verdict)]
    return [*lines, "", harmless_lines(text)] if text else lines


def harmless_lines(text: str) -> str:
    """Give a text without what moves the cursor; its lines stay."""
    return "\n".join(harmless(line) for line in text.rstrip().split("\n"))


def _notes(verdict: Any) -> list[str]:
    found = verdict.findings if verdict is not None else ()
    return [f"  {harmless(finding)}" for finding in found[:_MOST_FINDINGS]]


# -- a text --------------------------------------------------------------------------------------


def _text_cell(options: GMNLine, cell: str, shell: Any) -> None:
    memory, settings = session(), resolve()
    if options.no_log:
        settings = replace(settings, log=False)
    cell_id = cells.cell_id(shell)
    text = CellText(
        name=options.name,
        base=options.base or "",
        source=cell if cell.endswith("\n") else cell + "\n",
        sort=SPECIFICATION,
        limits=options.limits,
        cell_id=cell_id,
    )
    try:
        event, is_new = bridge.run(write_cell(text, settings, memory, run=uuid.uuid4().hex))
    except GMNError as error:
        # The error itself says the first of them.
        if len(error.findings) > _IN_THE_ERROR:
            say(*(f"  {harmless(finding)}" for finding in error.findings[:_MOST_FINDINGS]))
        raise
    if isinstance(event, Left):
        say(f"· {event.text}")
        return
    version = event.version
    found = take(version, settings, memory, shell, cell_id=cell_id)
    what = "your text, taken" if is_new else "taken"
    proof = event.verdict.line() if event.verdict else ""
    first = f"✓ {options.name} v{version.number} · {what} · {proof}"
    say(first, *in_words(found), *_notes(event.verdict))
    if is_new and options.base and not options.no_cell:
        cells.place(shell, version, after=cell_id, hold=False, rewrite=True)


def take(
    version: Version,
    settings: Settings,
    memory: Session,
    shell: Any,
    *,
    cell_id: str | None = None,
) -> Spec:
    """Make a version current and bind it in the notebook, unless a variable is called so."""
    found = select(version, settings, memory, cell_id=cell_id)
    if isinstance(shell.user_ns.get(version.name, found), Spec):
        shell.user_ns[version.name] = found
    return found


def specification(name: str, shell: Any) -> Spec:
    """Give the specification that a name means: the notebook's own, or else the stored one.

    Raises:
        UsageError: the name is that of another variable.
        ModuleNotStoredError: there is none.
    """
    from llmport_magic.notebook.versions import current_of

    refuse_taken(name, shell)
    found = shell.user_ns.get(name)
    return found if isinstance(found, Spec) else read(current_of(name, SPECIFICATION))


# -- in words ------------------------------------------------------------------------------------


def in_words(spec: Spec) -> list[str]:
    """Say what an agent may be in, see and do, and what it wants, a line each."""
    wants = (each.over for each in spec.preferences)
    rows = {
        "states": [_sized(each) for each in spec.factors],
        "observations": [_sized(each) for each in spec.modalities],
        "actions": [_sized(each) for each in spec.controls],
        "preferences": list(dict.fromkeys(wants)),
    }
    wide = max(map(len, rows))
    lines = [f"  {row:<{wide}}  {' · '.join(said)}" for row, said in rows.items() if said]
    kind = f"{spec.agent_type}, looks {spec.horizon} step{'s' * (spec.horizon != 1)} ahead"
    return [*map(harmless, lines), f"  {'agent':<{wide}}  {harmless(kind)}"]


def _sized(node: Any) -> str:
    if len(shape := getattr(node, "shape", ())) > 1:
        return f"{node.name} ({'x'.join(map(str, shape))})"
    if not node.labels:
        return f"{node.name} ({node.size})"
    shown: Sequence[str] = node.labels[:_MOST_LABELS]
    rest = ["…"] if len(node.labels) > _MOST_LABELS else []
    return f"{node.name} ({', '.join([*shown, *rest])})"
