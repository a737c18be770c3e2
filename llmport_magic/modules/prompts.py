"""What is sent to a model that is to write a module: the words of `templates.toml`, filled in."""

from __future__ import annotations

import ast
import builtins
import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from llmport_magic.llm.messages import LLMRole, Message
from llmport_magic.modules.outline import Excerpt, changed_names, excerpt, with_lines
from llmport_magic.modules.parsing import parse
from llmport_magic.modules.strategy import AttemptPlan
from llmport_magic.modules.templates import TEMPLATES, fill, read_templates

__all__ = ["TEMPLATES", "Request", "build_request", "called_names", "read_templates"]

_EXAMPLE_LINE = re.compile(r"^\s*>>>.*$", re.MULTILINE)
_PREFILL = "```python\n"
# A fence that the model closes on a line of its own ends the code; one inside a string does not.
_CHAT_STOP = ("\n```",)
# Small models like to show their module at work, which fails or prints when it is imported.
_MODULE_STOP = ("\nprint(", "\n# Example usage", "\n# Test cases")
_COMPLETION_STOP = ("\nif __name__", "\n```", "\n>>> ", "\ndef test", "\nassert ", "\nprint(")
_SMALL_MAX_TOKENS = 1200


class Capable(Protocol):
    """What the prompts ask of a model's capabilities."""

    @property
    def size(self) -> str | None:
        """`small` or `large`; `None` counts as large."""

    @property
    def reasoning(self) -> bool:
        """Whether the model thinks before it answers."""

    @property
    def prefill(self) -> bool:
        """Whether the start of the answer can be given."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to a connector.

    Attributes:
        messages: the conversation.
        options: the call's options, for `stream()` and `complete()`.
        opening: the start of the module that the model continues; it belongs before the answer.
        excerpt: what was sent of the module, where the answer is only a part of it.
    """

    messages: tuple[Message, ...]
    options: dict[str, Any] = field(default_factory=dict)
    opening: str = ""
    excerpt: Excerpt | None = None


def build_request(
    *,
    name: str,
    prompt: str,
    capabilities: Capable,
    plan: AttemptPlan,
    current: str | None = None,
    context: str = "",
    templates: str | None = None,
    part: bool = False,
) -> Request:
    """Put together what is sent to a model for one attempt.

    Args:
        name: the module's name; empty asks for the code of a plain cell.
        prompt: what the user wrote; it arrives to the letter.
        capabilities: of the model that is asked.
        plan: how it is asked.
        current: the source of the module that is to be changed.
        context: a description of data that the user named.
        templates: the path of a TOML file that replaces templates.
        part: send of the current source only what the change needs, where that is much less, and
            ask only for what changes. A model that continues text always gets the whole.

    Raises:
        ConfigError: the template file cannot be read or is not usable.
    """
    texts = read_templates(templates)
    context = fill(texts["context"], context=context) if context else ""
    values = {"name": name, "prompt": prompt.strip("\n"), "context": context}
    values["code"] = (current or "").strip("\n")
    names = _listed(called_names(prompt, name))
    values["names"] = fill(texts["names"], name=name, names=names) if names else ""
    options, small = _options(plan, capabilities), "small_" if capabilities.size == "small" else ""
    if plan.style == "completion":
        return _completion(texts, values, current, options)
    opening = ""
    if small and capabilities.prefill:
        # Samples begin with the first name that is asked for: small models like the module's own.
        sampled = plan.temperature and name and current is None
        opening = _first_definition(prompt, name) if sampled else ""
        stop = [*_CHAT_STOP, *(_MODULE_STOP if name else ())]
        options.update(prefill=_PREFILL + opening, stop=stop)
    sent = _excerpt(current, plan, prompt, name) if part and name and current else None
    if sent is not None:
        return _part_of(sent, texts, values, plan, options)
    kind = "cell" if not name else "update" if current is not None else "module"
    messages = [
        Message(LLMRole.SYSTEM, texts[f"{small}system"]),
        Message(LLMRole.USER, fill(texts[small + kind], **values)),
    ]
    if plan.style == "repair":
        findings = "\n".join(f"- {finding}" for finding in plan.findings)
        messages += [
            Message(LLMRole.ASSISTANT, plan.previous),
            Message(LLMRole.USER, fill(texts[f"{small}repair"], findings=findings, **values)),
        ]
    return Request(tuple(messages), options, opening)


def _options(plan: AttemptPlan, capabilities: Capable) -> dict[str, Any]:
    """Give the options of a call that do not depend on what is said."""
    told = {"temperature": plan.temperature, "seed": plan.seed, "max_tokens": plan.max_tokens}
    options: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    # Not where a model thinks first: that counts as well, and may be long.
    if capabilities.size == "small" and not capabilities.reasoning:
        options.setdefault("max_tokens", _SMALL_MAX_TOKENS)
    return options


def _excerpt(current: str, plan: AttemptPlan, prompt: str, name: str) -> Excerpt | None:
    """Choose what is sent of the module: of the candidate where that one is to be repaired."""
    # In `circle.area` the module's name is no name of the module.
    about = re.sub(rf"\b{re.escape(name)}\.(?=\w)", "", prompt)
    if plan.style != "repair":
        return excerpt(current, about)
    found = "\n".join([about, *with_lines(plan.findings, plan.previous)])
    return excerpt(plan.previous, found, also=changed_names(current, plan.previous))


def _part_of(
    sent: Excerpt,
    texts: Mapping[str, str],
    values: Mapping[str, str],
    plan: AttemptPlan,
    options: dict[str, Any],
) -> Request:
    """Ask for what changes of the module, or of the candidate that does not pass."""
    kind = "needed_repair" if plan.style == "repair" else "needed_update"
    findings = "\n".join(f"- {finding}" for finding in with_lines(plan.findings, sent.source))
    given = {**values, "code": sent.text.strip("\n"), "findings": findings}
    messages = (
        Message(LLMRole.SYSTEM, texts["needed_system"]),
        Message(LLMRole.USER, fill(texts[kind], **given)),
    )
    return Request(messages, options, excerpt=sent)


def _listed(names: tuple[str, ...]) -> str:
    classes = [name for name in names if name[:1].isupper()]
    functions = [name for name in names if not name[:1].isupper()]
    return " and ".join(
        f"the {kinds if len(found) > 1 else kind} {', '.join(f'`{name}`' for name in found)}"
        for kind, kinds, found in (
            ("function", "functions", functions),
            ("class", "classes", classes),
        )
        if found
    )


# -- completion style --------------------------------------------------------------------------


def _completion(
    texts: Mapping[str, str], values: dict[str, str], current: str | None, options: dict[str, Any]
) -> Request:
    """Give the start of the module for the model to continue, the prompt as its docstring."""
    module = values["name"]
    # Inside the module its own names stand bare, as in any docstring.
    prompt = _EXAMPLE_LINE.sub(
        lambda line: re.sub(rf"\b{re.escape(module)}\.(?=\w)", "", line[0]), values["prompt"]
    )
    quoted = (prompt + values["context"]).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    opening = fill(texts["completion"], **{**values, "prompt": quoted})
    before = ""
    if current is None:
        opening += _first_definition(values["prompt"], module)
    else:
        before = fill(texts["completion_update"], **values)
    options.update(raw=True, stop=list(_COMPLETION_STOP))
    return Request((Message(LLMRole.USER, before + opening),), options, opening)


def _first_definition(prompt: str, module: str) -> str:
    """Begin the first definition that the examples use, with the arguments that the text gives."""
    names = called_names(prompt, module)
    if not names:
        return ""
    if names[0][:1].isupper():
        return f"class {names[0]}"
    told = _told_parameters(names[0], prompt)
    # A bracket alone is no beginning that models know: theirs are of one piece with what follows.
    return f"def {names[0]}({told}" if told else f"def {names[0]}"


def _told_parameters(name: str, prompt: str) -> str:
    """Give the parameters that the prose writes behind a name, the most that it does anywhere."""
    prose, found = _EXAMPLE_LINE.sub("", prompt), [""]
    for told in re.findall(rf"\b{re.escape(name)}\(([^()\n]*)\)", prose):
        # `slug("a b")` shows a call and tells no parameters.
        with contextlib.suppress(SyntaxError, ValueError):
            parse(f"def _({told}): ...")
            found.append(told)
    return max(found, key=len)


def called_names(prompt: str, module: str) -> tuple[str, ...]:
    """Name what the examples call of the module, in the order in which they do."""
    return tuple(dict.fromkeys(_called(prompt, module)))


def _called(prompt: str, module: str) -> Iterator[str]:
    bound: set[str] = set(vars(builtins))
    for tree in _example_lines(prompt):
        for node in ast.walk(tree):
            if isinstance(node, ast.alias):
                bound.add(node.asname or node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound.add(node.id)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield from _own_name(node.func, module, bound)


def _example_lines(prompt: str) -> Iterator[ast.Module]:
    for line in prompt.splitlines():
        text = line.strip()
        if text.startswith(">>>"):
            try:
                yield parse(text.removeprefix(">>>").strip())
            except (SyntaxError, ValueError):
                continue


def _own_name(called: ast.expr, module: str, bound: set[str]) -> Iterator[str]:
    if isinstance(called, ast.Name) and called.id not in bound:
        yield called.id
    elif isinstance(called, ast.Attribute) and ast.unparse(called.value) == module:
        yield called.attr
