"""`%llmport SUBCOMMAND`: look at what there is, and choose between versions."""

from __future__ import annotations

import difflib
import json
import sys
import uuid
from collections.abc import Callable
from typing import Any

from llmport_magic.errors import ConfigError, ModuleNotStoredError, UsageError
from llmport_magic.modules.version import Version
from llmport_magic.notebook.configuration import config_lines, trust_lines
from llmport_magic.notebook.status import model_lines, status_lines
from llmport_magic.progress import ModuleRequest
from llmport_magic.session import Session, session
from llmport_magic.settings import Settings, resolve


def run(command: str, words: list[str], shell: Any) -> None:
    """Run a subcommand; the empty one is the status.

    Raises:
        UserError: a word that the subcommand does not know.
    """
    _COMMANDS[command](words, shell)


def _say(*lines: str) -> None:
    print("\n".join(lines))  # noqa: T201 - what the user asked for


def _status(words: list[str], shell: Any) -> None:  # noqa: ARG001
    _say(*status_lines(resolve(), session()))


def _models(words: list[str], shell: Any) -> None:  # noqa: ARG001
    _say(*model_lines(words, resolve()))


def _config(words: list[str], shell: Any) -> None:  # noqa: ARG001
    _say(*config_lines(words))


def _trust(words: list[str], shell: Any) -> None:  # noqa: ARG001
    _say(*trust_lines(words))


def _modules(words: list[str], shell: Any) -> None:  # noqa: ARG001
    settings, memory = resolve(), session()
    store = memory.store(settings)
    if not store.names():
        _say("no modules yet: `%%llmport NAME` and a prompt below make one")
    for name in store.names():
        current = memory.current(settings, name)
        versions = store.versions(name)
        newest = versions[-1]
        at = f"v{current.number} is current" if current else "not registered in this kernel"
        count = "1 version" if len(versions) == 1 else f"{len(versions)} versions"
        _say(f"{name:<20} {count}, newest v{newest.number} · {at}")


def _named(words: list[str], usage: str) -> tuple[str, Settings, Session]:
    settings, memory = resolve(), session()
    if not words:
        raise UsageError(f"which module? `{usage}`")
    name = words[0]
    known = memory.store(settings).names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "`%llmport modules` lists those there are"
        raise ModuleNotStoredError(f"there is no stored module `{name}`: {hint}")
    return name, settings, memory


def _version(word: str, name: str, settings: Settings, memory: Session) -> Version:
    version = memory.store(settings).find(name, word)
    if version is not None:
        return version
    known = ", ".join(f"v{each.number}" for each in memory.store(settings).versions(name))
    raise UsageError(f"`{name}` has no version `{word}`: there are {known}")


def _current(name: str, settings: Settings, memory: Session) -> Version:
    from llmport_magic.modules.selection import on_disk

    store = memory.store(settings)
    found = memory.current(settings, name) or on_disk(store, name)
    return found or store.versions(name)[-1]


def _show(words: list[str], shell: Any) -> None:  # noqa: ARG001
    drafted = "--draft" in words
    words = [word for word in words if word != "--draft"]
    if drafted and words:
        draft = session().store(resolve()).draft(words[0])
        if draft is None:
            raise ModuleNotStoredError(f"there is no draft of `{words[0]}`")
        _say(f"# draft of {words[0]}: did not pass, never registered", draft.source)
        return
    name, settings, memory = _named(words, "%llmport show NAME [VERSION | --draft]")
    version = (
        _version(words[1], name, settings, memory)
        if len(words) > 1
        else _current(name, settings, memory)
    )
    who = f"{version.provider} {version.model}" if version.provider else "by hand"
    _say(
        f"# {name} v{version.number} · {version.origin} · {who} · {version.created} · {version.id}",
        version.source,
    )


def _diff(words: list[str], shell: Any) -> None:  # noqa: ARG001
    name, settings, memory = _named(words, "%llmport diff NAME [A B]")
    new = (
        _version(words[2], name, settings, memory)
        if len(words) > 2  # noqa: PLR2004 - NAME A B
        else _current(name, settings, memory)
    )
    if len(words) > 1:
        old: Version | None = _version(words[1], name, settings, memory)
    else:
        old = memory.store(settings).get(name, new.parent) if new.parent else None
    if old is None:
        raise UsageError(f"`{name}` v{new.number} has no version before it to compare with")
    lines = difflib.unified_diff(
        old.source.splitlines(),
        new.source.splitlines(),
        f"{name} v{old.number}",
        f"{name} v{new.number}",
        lineterm="",
    )
    _say(*(list(lines) or [f"{name} v{old.number} and v{new.number} are the same"]))


def _rollback(words: list[str], shell: Any) -> None:
    from llmport_magic import bridge
    from llmport_magic.notebook.display import register_lines
    from llmport_magic.pipeline import ensure_checked
    from llmport_magic.registration import register

    name, settings, memory = _named(words, "%llmport rollback NAME [VERSION]")
    current = _current(name, settings, memory)
    if len(words) > 1:
        version = _version(words[1], name, settings, memory)
    else:
        parent = memory.store(settings).get(name, current.parent) if current.parent else None
        if parent is None:
            raise UsageError(f"`{name}` v{current.number} has no version before it")
        version = parent
    version, verdict = bridge.run(ensure_checked(version, settings, memory))
    # Naming a version to go back to is the user's own act, as running its cell is.
    version = memory.store(settings).confirm(version, consented=True)
    registered = register(
        version, settings, memory, run=uuid.uuid4().hex, namespaces=(shell.user_ns,)
    )
    _say(
        *register_lines(registered, verdict.line(), edited=False),
        f"  v{current.number} stays stored; `%llmport rollback {name} v{current.number}` goes back",
    )


def show_preview(request: ModuleRequest, memory: Session) -> None:
    """Show the request that a cell would send, to the letter; sends nothing."""
    from llmport_magic.llm.registry import capabilities_of
    from llmport_magic.llm.standing import standing
    from llmport_magic.modules.prompts import build_request
    from llmport_magic.modules.selection import on_disk
    from llmport_magic.modules.strategy import first_attempt

    settings = request.settings
    found = standing(settings, looks=False)
    if found.provider is None:
        raise ConfigError(found.why)
    capabilities = capabilities_of(found.provider, found.model)
    parent = None
    if request.update and request.name:
        store = memory.store(settings)
        parent = memory.current(settings, request.name) or on_disk(store, request.name)
    wire = build_request(
        name=request.name or "",
        prompt=request.prompt,
        capabilities=capabilities,
        plan=first_attempt(capabilities, settings),
        current=parent.source if parent else None,
        context=request.context,
        templates=settings.templates,
        part=settings.update_context == "needed",
    )
    messages = [message.to_dict() for message in wire.messages]
    memory.last_request = {"messages": messages, **wire.options}
    _say(f"{found.who} ({found.why}) would get; nothing was sent:")
    _say_request(memory.last_request, found.provider, found.model)


def _say_request(request: dict[str, Any], provider: str, model: str) -> None:
    from llmport_magic.llm.cost import estimate_cost, estimate_tokens, family_named

    options = {key: value for key, value in request.items() if key != "messages"}
    for message in request["messages"]:
        _say(f"[{message['role']}]", str(message["content"]))
    said = (str(message["content"]) for message in request["messages"])
    tokens = sum(estimate_tokens(text, family_named(model)) for text in said)
    cost = estimate_cost(tokens, 0, model)
    price = "price unknown" if cost is None else f"${cost:.4f} for the prompt"
    _say(
        f"[options] {json.dumps(options, default=str)}",
        f"about {tokens:,} tokens · {price} · {provider}",
    )


def _preview(words: list[str], shell: Any) -> None:  # noqa: ARG001
    request = session().last_request
    if not request:
        raise UsageError("nothing was asked yet: `%%llmport NAME --preview` shows a cell's request")
    _say("the last request, as it was built:")
    settings = resolve()
    _say_request(request, settings.provider, settings.model or "")


def _log(words: list[str], shell: Any) -> None:  # noqa: ARG001
    settings = resolve()
    sink = session().sink(settings)
    sink.pages.flush()
    pages = sorted(sink.directory.glob("llmport_log*.ipynb"))
    _say(*(str(page) for page in pages), f"journal: {sink.journal.path}")


def _panel(words: list[str], shell: Any) -> None:  # noqa: ARG001
    from IPython.display import display

    from llmport_magic.notebook.widget import panel

    display(panel(shell))


def _model(words: list[str], shell: Any) -> None:  # noqa: ARG001
    from llmport_magic.llm import weights

    if not words:
        _say(*(model.describe() for model in weights.catalogue().values()))
        found = weights.find_weights(resolve().embedded_model)
        _say(f"installed: {found}" if found else "none is installed: `%llmport model install`")
        return
    size = words[1] if len(words) > 1 else "large"
    if words[0] != "install" or size not in {"large", "small"}:
        raise UsageError(
            "`%llmport model` tells what there is; `%llmport model install [large|small]`"
        )

    _say(weights.weights_for(size).describe())

    def show(progress: weights.Progress) -> None:
        share = f"{progress.done / progress.total:4.0%} " if progress.total else ""
        sys.stdout.write(f"\r{share}{progress.text:<100}")
        sys.stdout.flush()

    path = weights.ensure_weights(size, show)
    _say("", f"installed: {path}")


def _cache(words: list[str], shell: Any) -> None:  # noqa: ARG001
    from llmport_magic.llm.cache import clear_cache, kept_answers

    if words == ["clear"]:
        _say(f"{_answers(clear_cache())} deleted")
        return
    if words:
        raise UsageError("`%llmport cache` tells what is kept; `%llmport cache clear` deletes it")
    settings, kept = resolve(), kept_answers()
    count, size = kept.size()
    state = f"{'on' if settings.cache else 'off'} ({settings.source('cache')})"
    given = session().totals.cached_calls
    _say(
        f"{state} · {_answers(count)}, {size / 1e6:,.1f} MB, in {kept.path}",
        f"{_answers(given)} of them given in this session",
    )


def _answers(count: int) -> str:
    return f"{count:,} answer{'s' * (count != 1)}"


def _help(words: list[str], shell: Any) -> None:  # noqa: ARG001
    from llmport_magic.notebook.magics import HELP

    _say(
        HELP,
        "%llmport                      who answers, what is sent, modules, tokens and cost",
        "%llmport models [PROVIDER]    providers, what is missing; one: its models, prices",
        "%llmport config [PROVIDER]    every setting and where it comes from; one provider's",
        "%llmport trust [FILE | all]   what settings files of the project may say; allow one",
        "%llmport modules              stored modules",
        "%llmport show NAME [VERSION | --draft]",
        "%llmport diff NAME [A B]      what changed between two versions",
        "%llmport rollback NAME [VERSION]",
        "%llmport preview              the last request, as it was built",
        "%llmport log                  write the log notebook now and say where it is",
        "%llmport panel                the panel as a widget, for other front ends",
        "%llmport model [install large|small]   the embedded model",
        "%llmport cache [clear]        how many answers are kept, and where; or delete them",
    )


_COMMANDS: dict[str, Callable[[list[str], Any], None]] = {
    "": _status,
    "models": _models,
    "config": _config,
    "trust": _trust,
    "modules": _modules,
    "show": _show,
    "diff": _diff,
    "rollback": _rollback,
    "preview": _preview,
    "log": _log,
    "panel": _panel,
    "model": _model,
    "cache": _cache,
    "help": _help,
}
