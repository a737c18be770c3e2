"""What is sent about code that is there: the cell that fails, or the module to be explained."""

from __future__ import annotations

from typing import Any, Literal

from llmport_magic.llm.messages import LLMRole, Message
from llmport_magic.modules.prompts import Capable, Request
from llmport_magic.modules.strategy import AttemptPlan
from llmport_magic.modules.templates import fill, read_templates

_PREFILL = "```python\n"
_STOP = ("\n```",)
# A small model that writes on and on explains nothing.
_SMALL_MAX_TOKENS = {"fix": 1200, "explanation": 400}


def build_question(
    *,
    purpose: Literal["fix", "explanation"],
    code: str,
    error: str,
    capabilities: Capable,
    plan: AttemptPlan,
    name: str = "",
    prompt: str = "",
    context: str = "",
    templates: str | None = None,
) -> Request:
    """Put together what is sent for one attempt at a correction or an explanation.

    Args:
        purpose: whether a corrected cell or prose is wanted.
        code: the cell that fails, or a module's source.
        error: the error with its traceback; empty where a module is to be explained.
        capabilities: of the model that is asked.
        plan: how it is asked.
        name: of the module that is to be explained.
        prompt: what the user wants of the correction, in words.
        context: a description of data that the user named.
        templates: the path of a TOML file that replaces templates.

    Raises:
        ConfigError: the template file cannot be read or is not usable.
    """
    texts = read_templates(templates)
    small = "small_" if capabilities.size == "small" else ""
    kind = "fix" if purpose == "fix" else "explain" if error else "explain_module"
    values = {
        "name": name,
        "code": code.strip("\n"),
        "error": error,
        "prompt": prompt,
        "wish": fill(texts["wish"], prompt=prompt) if prompt else "",
        "context": fill(texts["context"], context=context) if context else "",
    }
    messages = [
        Message(LLMRole.SYSTEM, texts["fix_system" if purpose == "fix" else "explain_system"]),
        Message(LLMRole.USER, fill(texts[small + kind], **values)),
    ]
    if plan.style == "repair":
        findings = "\n".join(f"- {finding}" for finding in plan.findings)
        messages += [
            Message(LLMRole.ASSISTANT, plan.previous),
            Message(LLMRole.USER, fill(texts["fix_repair"], **values, findings=findings)),
        ]
    return Request(tuple(messages), _options(purpose, capabilities, plan))


def _options(purpose: str, capabilities: Capable, plan: AttemptPlan) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if plan.temperature is not None:
        options["temperature"] = plan.temperature
    if plan.seed is not None:
        options["seed"] = plan.seed
    if plan.max_tokens is not None:
        options["max_tokens"] = plan.max_tokens
    if capabilities.size == "small":
        if not capabilities.reasoning:
            options.setdefault("max_tokens", _SMALL_MAX_TOKENS[purpose])
        if purpose == "fix" and capabilities.prefill:
            options.update(prefill=_PREFILL, stop=list(_STOP))
    return options
