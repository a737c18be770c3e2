"""The synchronous face: `llmport()` and `update()`, and the driver that the magics share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from llmport_magic import bridge
from llmport_magic.errors import (
    ConfigError,
    ConsentRequired,
    MissingKeyError,
    ModuleNotStoredError,
    VerificationError,
)
from llmport_magic.pipeline import write
from llmport_magic.progress import (
    Drafted,
    Left,
    ModuleRequest,
    Noted,
    PipelineEvent,
    Selected,
    Stored,
    Told,
)
from llmport_magic.refusals import frozen
from llmport_magic.registration import Registered, needs_consent, register
from llmport_magic.session import Session, session
from llmport_magic.settings import resolve

if TYPE_CHECKING:
    from llmport_magic.gmn.spec import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How a request ended; `module` and `specification` are `None` where none was made live."""

    event: Stored | Selected | Drafted | Left | Told
    module: ModuleType | None = None
    specification: Spec | None = None
    registered: Registered | None = None
    held: bool = False


def _silent(event: PipelineEvent) -> None:
    """Show nothing."""


def _warn(event: PipelineEvent) -> None:
    """Tell what the user should know, for example that another provider answers."""
    if isinstance(event, Noted) and event.warns:
        warnings.warn(event.text, UserWarning, stacklevel=2)


def make(
    request: ModuleRequest,
    memory: Session,
    *,
    show: Callable[[PipelineEvent], None] = _silent,
    idle: Callable[[], object] | None = None,
    namespaces: Sequence[MutableMapping[str, Any]] = (),
    told: Callable[[str, Any], None] | None = None,
) -> Made:
    """Take a request all the way, registration included; blocks, and an interrupt frees it.

    Raises:
        LLMPortError: whatever `pipeline.write` and `pipeline.register` raise.
    """
    try:
        final = _written(request, memory, show, idle)
    except MissingKeyError as missing:
        from llmport_magic.llm.asking import ask_for_key

        # Here is where the user is: the road itself runs on the loop, and can ask nobody.
        if not ask_for_key(missing, request.settings):
            raise
        final = _written(request, memory, show, idle)
    if request.purpose == "specification":
        return _specified(request, memory, final)
    if isinstance(final, Left):
        module = _import_foreign(request, memory, final, namespaces, told)
        return Made(event=final, module=module)
    if isinstance(final, (Drafted, Told)):
        return Made(event=final)
    if needs_consent(final.version, request.settings):
        return Made(event=final, held=True)
    registered = register(
        final.version,
        request.settings,
        memory,
        run=request.run,
        namespaces=namespaces,
        told=told,
    )
    return Made(event=final, module=live_module(final.version.name), registered=registered)


def _written(
    request: ModuleRequest,
    memory: Session,
    show: Callable[[PipelineEvent], None],
    idle: Callable[[], object] | None,
) -> Stored | Selected | Drafted | Left | Told:
    final: PipelineEvent | None = None
    with closing(bridge.iterate(write(request, memory), idle)) as events:
        for event in events:
            show(event)
            final = event
    assert isinstance(final, (Stored, Selected, Drafted, Left, Told))
    return final


def _specified(
    request: ModuleRequest, memory: Session, final: Stored | Selected | Drafted | Left | Told
) -> Made:
    """Make a stored specification the current one; a file of the user's own is read as it is."""
    from llmport_magic.specifying import read_file, select

    found = None
    if isinstance(final, (Stored, Selected)):
        found = select(final.version, request.settings, memory)
    elif isinstance(final, Left) and final.foreign_file is not None:
        found = read_file(memory.store(request.settings, request.sort), str(request.name))
    return Made(event=final, specification=found)


def live_module(name: str) -> ModuleType | None:
    """Give the module of that name that is registered in this process."""
    import sys

    return sys.modules.get(name)


def _import_foreign(
    request: ModuleRequest,
    memory: Session,
    left: Left,
    namespaces: Sequence[MutableMapping[str, Any]],
    told: Callable[[str, Any], None] | None,
) -> ModuleType | None:
    """Import a file of the user's own as it is, read as Python reads it."""
    name = request.name
    if left.foreign_file is None or name is None:
        return None
    from llmport_magic.modules import loader

    source = memory.store(request.settings).current_text(name)
    if source is None:
        raise ModuleNotStoredError(f"`{left.foreign_file}` has just been deleted: run the cell")
    try:
        module = loader.register(name, source, left.foreign_file, namespaces=namespaces).module
    except VerificationError as error:
        raise VerificationError(
            f"`{left.foreign_file.name}` is your own text and does not execute: "
            f"{'; '.join(error.findings)}. Correct it, or run the cell with `--update` to have it "
            "changed, with `--regenerate` to have it written anew; either keeps its text",
            findings=error.findings,
            source=source,
        ) from error.__cause__
    if told:
        told(name, module)
    return module


def llmport(
    module_name: str,
    prompt: str,
    *,
    overwrite: bool = False,
    log: bool = True,
    stdout: bool = False,
    **settings: Any,
) -> ModuleType:
    """Write a module from a prompt, check it, and import it.

    A prompt that was asked before gives the stored module, without a call.

    Args:
        module_name: the module's name; the file is `<module_dir>/<module_name>.py`.
        prompt: what the module should do; its `>>>` examples are checked.
        overwrite: ask again although this prompt's module is stored.
        log: write the journal and the log notebook.
        stdout: print every event as it happens.
        **settings: any setting, for example `provider`, `model` or `module_dir`.

    Returns:
        The live module, the same object as `import module_name` gives.

    Raises:
        UserError: the name, the prompt or a setting cannot be used.
        LLMError: the model did not deliver.
        VerificationError: no answer passed its checks.
        ConsentRequired: the code does something that only you may allow.
    """
    return _make(module_name, prompt, log=log, stdout=stdout, regenerate=overwrite, **settings)


def update(
    module_name: str,
    prompt: str,
    *,
    log: bool = True,
    stdout: bool = False,
    **settings: Any,
) -> ModuleType:
    """Change a module as a prompt says; the module object stays the same.

    Args:
        module_name: the name of a module that is there.
        prompt: what should change.
        log: write the journal and the log notebook.
        stdout: print every event as it happens.
        **settings: any setting.

    Raises:
        FileNotFoundError: there is no module of that name.
        LLMPortError: as for `llmport()`; the module then stays as it was.
    """
    return _make(module_name, prompt, log=log, stdout=stdout, update=True, **settings)


def _make(
    name: str,
    prompt: str,
    *,
    log: bool,
    stdout: bool,
    update: bool = False,
    regenerate: bool = False,
    **settings: Any,
) -> ModuleType:
    if regenerate:
        # Whoever asks again wants another answer than the last one.
        settings["cache"] = False
    values = resolve(**{"log": log or None, "stdout": stdout or None, **settings})
    if not log:
        values = resolve(**{"stdout": stdout or None, **settings, "log": False})
    request = ModuleRequest(
        name=name,
        prompt=prompt.strip("\r\n"),
        settings=values,
        update=update,
        regenerate=regenerate,
    )
    made = make(request, session(), show=_warn)
    if isinstance(made.event, Left) and made.module is None:
        raise ConfigError(
            f"{frozen(values)}; `{name}` is not stored for this prompt: set `live` to ask one"
        )
    if made.module is None:
        verdict = made.event.verdict if isinstance(made.event, (Stored, Selected)) else None
        reasons = "; ".join(verdict.findings[:3]) if verdict else ""
        path = session().store(values).path(name)
        raise ConsentRequired(
            f"`{name}` is stored but not imported, it needs your consent ({reasons or 'see it'}): "
            f"read it, then call again with `trust='always'`, or write `{path}` yourself"
        )
    return made.module
