"""Answers in JSON, from every connector: asked for in words, checked, and asked for once more.

Only whole answers are checked: a stream is given as it comes.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from llmport_magic.errors import LLMContentError, LLMOutputError, UsageError
from llmport_magic.llm.messages import LLMRole, Message, as_messages
from llmport_magic.llm.reply import LLMResponse
from llmport_magic.secrets import redact

_WISH = "Answer with one JSON object and nothing else."
_OWN_KINDS = frozenset({"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"})
_SCALARS = ("string", "number", "integer", "boolean", "null")
_BRACKET = re.compile(r"[\[{]")
_TAKEN = ("sends", "latency_ms", "cost_reported", "usage_estimated")
_FENCE = re.compile(r"\s*```\w*\s*")


def watch(kind: type) -> None:
    """Check the JSON that a connector class gives, where it defines `complete()` itself."""
    method = kind.__dict__.get("complete")
    if inspect.isfunction(method):
        kind.complete = _checked(method)  # type: ignore[attr-defined]  # any class


def instructed(messages: Iterable[Message], schema: Mapping[str, Any] | None) -> list[Message]:
    """Tell the model in the system's message to answer in JSON, where no message does."""
    given = list(messages)
    if schema:
        fitting = json.dumps(schema, default=dict)
        wish = f"Answer with JSON that fits this schema, and with nothing else: {fitting}"
    elif any("json" in message.content.lower() for message in given):
        return given
    else:
        wish = _WISH
    if any(wish in message.content for message in given):
        return given
    if given and given[0].role == LLMRole.SYSTEM:
        given[0] = replace(given[0], content=f"{given[0].content}\n\n{wish}".lstrip())
    else:
        given.insert(0, Message(LLMRole.SYSTEM, wish))
    return given


def read_json(text: str, schema: Mapping[str, Any] | None = None) -> str:
    """Give the JSON of an answer, without a fence and without the prose around it.

    Args:
        text: as the model wrote it.
        schema: what the value must fit; without one it must be an object.

    Raises:
        ValueError: there is none, or it is not what is asked for; the message says where.
        UsageError: the schema is none.
    """
    start = _start(text, schema)
    try:
        value, end = _decoder.raw_decode(text, start)
        wrong = _problem(value, schema) if schema else None
    except RecursionError:
        raise ValueError("it is too deeply nested") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if wrong is not None:
        raise ValueError(f"it does not fit the schema: {wrong}")
    if not isinstance(value, dict) and not (schema and _OWN_KINDS & schema.keys()):
        raise ValueError(f"it is {_named(value)}, not an object")
    return text[start:end]


def _start(text: str, schema: Mapping[str, Any] | None) -> int:
    """Find where the value begins; one that is no object and no list has nothing before it."""
    if schema and schema.get("type") in _SCALARS:
        fence = _FENCE.match(text)
        return fence.end() if fence else len(text) - len(text.lstrip())
    bracket = _BRACKET.search(text)
    if bracket is None:
        raise ValueError("there is no JSON in it" if text.strip() else "it is empty")
    return bracket.start()


def _problem(value: Any, schema: Mapping[str, Any]) -> str | None:
    from llmport_magic.llm.tool_schema import problem

    return problem(value, schema, "`json_schema`")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is no value of JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse)


def _named(value: Any) -> str:
    return "a list" if isinstance(value, list) else f"the value {json.dumps(value)[:50]}"


def _checked(complete: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(complete)
    async def call(self: Any, messages: Any, **options: Any) -> Any:
        schema = options.get("json_schema")
        if not schema and not options.get("json_mode"):
            return await complete(self, messages, **options)
        if schema:
            # A schema that is none is told before anybody is asked.
            _problem({}, schema)
        given = as_messages(messages)
        if not self.asks_for_json:
            given = tuple(instructed(given, schema))
        ask = functools.partial(complete, self, **options)
        return await _asked(ask, given, schema, options.get("prefill") or "")

    return call


async def _asked(
    ask: Callable[..., Any],
    given: tuple[Message, ...],
    schema: Mapping[str, Any] | None,
    prefill: str,
) -> LLMResponse:
    """Ask, check, and ask once more with what was wrong."""
    first: LLMResponse = await ask(given)
    clean, wrong = _judged(first, schema, prefill)
    if not wrong:
        return clean
    _refuse_hopeless(first)
    said = (first.message,) if first.content.strip() else ()
    again = "Answer again, with nothing but that JSON." if schema else _WISH
    complaint = f"That is not the JSON that was asked for: {wrong}. {again}"
    second: LLMResponse = await ask((*given, *said, Message(LLMRole.USER, complaint)))
    clean, wrong = _judged(_summed(first, second), schema, prefill)
    if not wrong:
        return clean
    _refuse_hopeless(second)
    raise LLMOutputError(
        f"`{second.provider}` was asked twice for JSON, and the answer is none: {wrong}: "
        "ask another model, or for something simpler",
        **_details(second),
    )


def _judged(
    response: LLMResponse, schema: Mapping[str, Any] | None, prefill: str
) -> tuple[LLMResponse, str]:
    """Give the response with nothing but its JSON, or as it is and what is wrong with it."""
    wrong = ""
    if response.tool_calls:
        # It has not answered yet.
        return response, wrong
    # Some servers repeat the start that they were given.
    for text in dict.fromkeys((prefill + response.content, response.content)):
        try:
            return replace(response, content=read_json(text, schema)), ""
        except UsageError:
            raise
        except ValueError as error:
            wrong = redact(str(error))
    return response, wrong


def _refuse_hopeless(response: LLMResponse) -> None:
    """Raise where asking once more cannot help."""
    if response.finish_reason == "length":
        raise LLMOutputError(
            f"`{response.provider}` was cut off at the token limit before its JSON was whole: "
            "raise `max_tokens`",
            **_details(response),
        )
    if response.finish_reason == "content_filter":
        said = redact(" ".join(response.content.split()))[:200] or "no words"
        raise LLMContentError(
            f"`{response.provider}` refused to answer ({said}): change what the prompt says",
            provider=response.provider,
            model=response.model,
        )


def _details(response: LLMResponse) -> dict[str, Any]:
    return {"text": response.content, "provider": response.provider, "model": response.model}


def _summed(first: LLMResponse, second: LLMResponse) -> LLMResponse:
    """Give the second answer with what both took; a kept one took nothing."""
    if second.metadata.get("cached") and not first.metadata.get("cached"):
        told = {name: first.metadata.get(name) for name in _TAKEN if name in first.metadata}
        metadata = {**second.metadata, "repaired": True, "cached": False, **told}
        return replace(second, usage=first.usage, metadata=metadata)
    usage = {
        name: first.usage.get(name, 0) + second.usage.get(name, 0)
        for name in {**first.usage, **second.usage}
    }
    metadata = {**second.metadata, "repaired": True}
    for name in ("sends", "latency_ms", "cost_reported"):
        parts = [r.metadata[name] for r in (first, second) if name in r.metadata]
        if len(parts) == 2:  # a sum needs both
            metadata[name] = sum(parts)
        else:
            metadata.pop(name, None)
    estimated = [bool(r.metadata.get("usage_estimated")) for r in (first, second)]
    metadata["usage_estimated"] = any(estimated)
    return replace(second, usage=usage, metadata=metadata)
