"""What would be sent, or was sent last, to the letter: `--preview` and `%llmport preview`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmport_magic.answering import picture_in_words
from llmport_magic.errors import ConfigError, UsageError, UserError
from llmport_magic.notebook.display import say
from llmport_magic.notebook.visible import visible
from llmport_magic.progress import Described, ModuleRequest
from llmport_magic.refusals import frozen
from llmport_magic.secrets import redact
from llmport_magic.session import Session, session
from llmport_magic.settings import for_task
from llmport_magic.specifying import begin
from llmport_magic.tries import question

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import LLMCapabilities
    from llmport_magic.modules.prompts import Request
    from llmport_magic.modules.strategy import AttemptPlan
    from llmport_magic.modules.version import Version


def show_preview(request: ModuleRequest, memory: Session) -> None:
    """Show the request that a cell would send, to the letter; sends nothing, makes no version.

    Raises:
        ConfigError: nobody can be asked.
    """
    from llmport_magic.llm.model_size import sized
    from llmport_magic.llm.registry import capabilities_of
    from llmport_magic.llm.standing import standing
    from llmport_magic.modules.strategy import first_attempt

    task = "gmn" if request.purpose == "specification" else "code"
    settings = for_task(request.settings, task)
    found = standing(settings, looks=False)
    if found.provider is None:
        raise ConfigError(found.why)
    described = request.describe() if request.describe else Described(request.context)
    request = replace(request, context=described.text)
    capabilities = sized(capabilities_of(found.provider, found.model), found.model or "")
    plan = first_attempt(capabilities, settings)
    is_about_code = request.purpose in {"fix", "explanation"}
    if is_about_code:
        wire = question(request, capabilities, plan)
    elif request.purpose == "specification":
        wire = begin(request, _parent(request, memory), capabilities)[0].next_request()
    else:
        wire = _wire(request, memory, capabilities, plan)
    messages = [message.to_dict() for message in wire.messages]
    memory.last_request = {"messages": messages, **wire.options}
    memory.last_asked = (found.provider, found.model)
    say(f"{found.who} ({found.why}) would get this; nothing was sent:")
    _say_request(memory)
    if found.fallback:
        say(f"where it fails, it goes to {', '.join(found.fallback)}")
    if not is_about_code:
        images = request.wish.images if request.wish else ()
        pictures = [f"with a picture: {picture_in_words(each)}" for each in images]
        say(*pictures, *_context_lines(described), *_afterwards(request, memory))
    elif settings.mode == "frozen":
        say(f"without `--preview` it sends nothing: {frozen(settings)}")


def _context_lines(described: Described) -> list[str]:
    """Say what of the notebook is in the request, and that nothing else is."""
    lines = [f"with {line}" for line in described.sent] + [f"  {line}" for line in described.notes]
    if described.tokens:
        lines.append(f"  about {described.tokens:,} of the tokens describe it")
    other = "no other" if described.sent else "no"
    return [*lines, f"not sent: {other} variable, cell or output of the notebook"]


def _afterwards(request: ModuleRequest, memory: Session) -> list[str]:
    """Say what running the cell does, and what becomes of the answer."""
    from llmport_magic.modules.examples import parse_examples

    if request.name and (instead := _instead(request, memory)):
        return [instead]
    if request.settings.mode == "frozen":
        return [f"running the cell sends nothing: {frozen(request.settings)}"]
    count = len(parse_examples(request.prompt))
    against = f" against {_counted(count, 'example')}" if count else ""
    steps = [f"checked in the sandbox{against}" if request.name else "checked as text"]
    if request.purpose == "specification":
        steps = ["checked without a model, and its agent tried for a few steps"]
    if request.samples is not None:
        names = ", ".join(f"`{name}`" for name in sorted(request.copied))
        rows = _counted(request.settings.trial_rows, "sampled row")
        where = "there" if request.name else "in the sandbox"
        steps.append(f"tried {where} on a copy of {names} of at most {rows}")
    if request.draft:
        steps.append("shown, neither stored nor run")
    elif request.purpose == "specification":
        steps.append(f"stored as a version of `{request.name}` and taken if it is valid")
    elif request.name:
        steps.append(f"stored as a version of `{request.name}` and registered if it passes")
    else:
        steps.append("put into a cell below, neither stored nor run")
    return [f"the answer is then {', '.join(steps)}"]


def _instead(request: ModuleRequest, memory: Session) -> str:
    """Say what happens instead of a call, where running the cell sends nothing."""
    from llmport_magic.modules.selection import CellPrompt, select_for_prompt

    assert request.name is not None
    settings, store = request.settings, memory.store(request.settings, request.sort)
    if store.foreign_text(request.name) is not None:
        return ""  # deciding would keep that text as a version, and this makes none
    cell = CellPrompt(
        name=request.name,
        prompt=request.prompt,
        options=request.options,
        update=request.update,
        regenerate=request.regenerate or request.draft,
    )
    try:
        decision = select_for_prompt(
            store, cell, memory.current(settings, request.name, request.sort)
        )
    except UserError as error:
        return f"running the cell sends nothing and fails: {error}"
    if decision.act == "reuse" and decision.version:
        return (
            f"running the cell sends nothing: it selects `{request.name}` "
            f"v{decision.version.number}, which is stored for this prompt (`--regenerate` asks)"
        )
    return ""


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _parent(request: ModuleRequest, memory: Session) -> Version | None:
    """Give the version that would be changed."""
    from llmport_magic.modules.selection import on_disk

    if not request.update or not request.name:
        return None
    store = memory.store(request.settings, request.sort)
    current = memory.current(request.settings, request.name, request.sort)
    return current or on_disk(store, request.name)


def _wire(
    request: ModuleRequest, memory: Session, capabilities: LLMCapabilities, plan: AttemptPlan
) -> Request:
    from llmport_magic.modules.prompts import build_request

    settings, parent = request.settings, _parent(request, memory)
    return build_request(
        name=request.name or "",
        prompt=request.prompt,
        capabilities=capabilities,
        plan=plan,
        current=parent.source if parent else None,
        context=request.context,
        templates=settings.templates,
        part=settings.update_context == "needed",
    )


def _say_request(memory: Session) -> None:
    """Show the messages and options; what hides in them is written out."""
    from llmport_magic.llm.cost import estimate_cost, estimate_tokens, family_named

    request, (provider, model) = memory.last_request, memory.last_asked
    options = {key: value for key, value in request.items() if key != "messages"}
    texts = [str(message["content"]) for message in request["messages"]]
    for message, text in zip(request["messages"], texts, strict=True):
        say(f"[{message['role']}]", redact(visible(text)))
    tokens = sum(estimate_tokens(text, family_named(model)) for text in texts)
    cost = estimate_cost(tokens, 0, model)
    price = "price unknown" if cost is None else f"${cost:.4f} for the prompt, the answer is extra"
    say(
        f"[options] {redact(visible(json.dumps(options, default=str)))}",
        f"about {tokens:,} tokens, estimated from the length of the texts · {price} · {provider}",
    )
    if any(visible(text) != text for text in texts):
        say("hidden characters are written out above; those of the prompt are sent as they are")


def preview(words: list[str], shell: Any) -> None:
    """Show the last request again: `%llmport preview`.

    Raises:
        UsageError: nothing was asked yet.
    """
    memory = session()
    if not memory.last_request:
        raise UsageError("nothing was asked yet: `%%llmport NAME --preview` shows a cell's request")
    provider, model = memory.last_asked
    say(f"the last request, as it was built for {provider} {model}:")
    _say_request(memory)
