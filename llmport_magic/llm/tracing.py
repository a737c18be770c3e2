"""Spans of the calls, where this process traces with OpenTelemetry; nothing where it does not.

The package is never imported for its own sake: a process in which nobody has imported it has no
tracer that a span could go to. The names of the attributes are those of the semantic conventions,
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ (read 2026-11-21), and our own
`llm.*`. What was said is recorded only where `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`
asks for it in the spans.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from llmport_magic.llm.messages import Message, as_messages
from llmport_magic.llm.reply import Chunk
from llmport_magic.llm.streams import ResponseStream
from llmport_magic.secrets import redact
from llmport_magic.settings import captures_content, names_tracer

if TYPE_CHECKING:
    from llmport_magic.llm.reply import LLMResponse

_API = "opentelemetry.trace"
# The conventions' own names for providers, where they are not ours.
_PROVIDERS = {"gemini": "gcp.gemini"}
_OPTIONS = {
    "temperature": "gen_ai.request.temperature",
    "max_tokens": "gen_ai.request.max_tokens",
    "top_p": "gen_ai.request.top_p",
    "seed": "gen_ai.request.seed",
}
_USAGE = {
    "prompt_tokens": ("gen_ai.usage.input_tokens", "llm.tokens.prompt"),
    "completion_tokens": ("gen_ai.usage.output_tokens", "llm.tokens.completion"),
    "cached_tokens": ("gen_ai.usage.cache_read.input_tokens",),
    "cache_write_tokens": ("gen_ai.usage.cache_creation.input_tokens",),
    "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens",),
}

# The call that the running code is a part of.
_running: ContextVar[CallSpan | None] = ContextVar("llmport_call", default=None)


def watch(kind: type, names: Iterable[str] = ("call_llm", "complete", "stream")) -> None:
    """Make the calls of a connector class spans, in whichever of its own methods they are made."""
    for name in names:
        method = kind.__dict__.get(name)
        if inspect.isfunction(method):
            setattr(kind, name, _WATCHED[name](method))


def headers() -> dict[str, str]:
    """Give the headers that let a gateway join the trace of the running call.

    The baggage stays here: it is the application's own, and no provider's.
    """
    if _running.get() is None:
        return {}
    from opentelemetry import propagate

    found: dict[str, str] = {}
    propagate.inject(found)
    return {name: value for name, value in found.items() if name.lower() != "baggage"}


def _sync(call_llm: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(call_llm)
    def call(self: Any, prompt: str, *args: Any, **options: Any) -> str:
        span = _span(self, prompt, options)
        if span is None:
            return call_llm(self, prompt, *args, **options)
        with span:
            text = call_llm(self, prompt, *args, **options)
            # A coroutine is awaited elsewhere.
            if isinstance(text, str):
                span.answer(prompt, text)
        return text

    return call


def _awaited(complete: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(complete)
    async def call(self: Any, messages: Any, **options: Any) -> Any:
        span = _span(self, messages, options)
        if span is None:
            return await complete(self, messages, **options)
        with span:
            span.response = await complete(self, span.messages or messages, **options)
        return span.response

    return call


def _streamed(stream: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stream)
    def call(self: Any, messages: Any, **options: Any) -> Any:
        span = _span(self, messages, options, stream=True)
        if span is None:
            return stream(self, messages, **options)
        found = stream(self, span.messages or messages, **options)
        if isinstance(found, ResponseStream) and found.span is None:
            found.span = span
        return found

    return call


def _span(
    connector: Any, messages: Any, options: Mapping[str, Any], *, stream: bool = False
) -> CallSpan | None:
    """Make the span of a call, unless nobody traces or the call is a part of one that has its own.

    A connector that asks another provider makes a call of its own; one that asks itself, or the
    same provider by another road, does not.
    """
    if _API not in sys.modules and not names_tracer():
        return None
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    outer = _running.get()
    if outer is not None and outer.provider == connector.provider_name:
        return None
    return CallSpan(trace, connector, messages, options, stream=stream)


class CallSpan:
    """The span of one call: begun where the request is sent, ended once, however the call ends.

    Args:
        trace: the API of OpenTelemetry.
        connector: that is called.
        messages: as the caller gave them.
        options: of the call.
        stream: whether the answer arrives in pieces.

    Attributes:
        provider: who is asked.
        messages: what is asked, where it is recorded.
        response: the answer, when it is there.
    """

    def __init__(
        self,
        trace: Any,
        connector: Any,
        messages: Any,
        options: Mapping[str, Any],
        *,
        stream: bool,
    ) -> None:
        from opentelemetry import context

        self._trace = trace
        self._connector = connector
        self._options = options
        self._stream = stream
        # The caller's, who may be in another thread than the one that sends.
        self._parent = context.get_current()
        self._captures = captures_content()
        self.provider = str(connector.provider_name)
        self.messages: tuple[Message, ...] = as_messages(messages) if self._captures else ()
        self.response: LLMResponse | None = None
        self._span: Any = None
        self._attached: tuple[Any, Any] | None = None
        self._first: float | None = None
        self._begun = 0.0

    def begin(self) -> None:
        """Begin, and let the running code be a part of this call."""
        from opentelemetry import context

        model = self._model()
        name = _PROVIDERS.get(self.provider, self.provider)
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": name,
            "gen_ai.system": name,
            "llm.provider": self.provider,
        }
        self._span = self._trace.get_tracer("llmport_magic").start_span(
            redact(f"chat {model}".strip()),
            context=self._parent,
            kind=self._trace.SpanKind.CLIENT,
            attributes=attributes,
        )
        if self._span.is_recording():
            self._span.set_attributes(self._asked(model))
        token = context.attach(self._trace.set_span_in_context(self._span, self._parent))
        self._attached = (token, _running.set(self))
        self._begun = time.monotonic()

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        from opentelemetry import context

        self.end(self.response, error)
        # A coroutine that is thrown away may be closed in a context that is not its own.
        if self._attached is not None and not isinstance(error, GeneratorExit):
            token, running = self._attached
            context.detach(token)
            _running.reset(running)

    def piece(self) -> None:
        """Note when the first piece came."""
        if self._first is None:
            self._first = time.monotonic() - self._begun
            self._span.set_attribute("gen_ai.response.time_to_first_chunk", self._first)

    def answer(self, prompt: str, text: str) -> None:
        """Take the text of an answer that comes without anything else."""
        gathering = self._connector.gathering(as_messages(prompt), {})
        gathering.add(Chunk(text=text))
        self.response = gathering.response()

    def end(self, response: LLMResponse | None, error: BaseException | None) -> None:
        """End, once; without a word of what was said or of what a provider quotes of it.

        Args:
            response: the answer, or what has arrived of it.
            error: what ended the call before its answer was whole.
        """
        span, self._span = self._span, None
        if span is None:
            return
        if span.is_recording():
            milliseconds = round((time.monotonic() - self._begun) * 1000)
            span.set_attribute("llm.latency.ms", milliseconds)
            if response is not None:
                span.set_attributes(self._answered(response))
            if isinstance(error, (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt)):
                span.set_attribute("llm.cancelled", True)
            elif error is not None:
                self._fail(span, error)
        span.end()

    def _fail(self, span: Any, error: BaseException) -> None:
        status = getattr(error, "status", None)
        kind = type(error).__name__
        span.set_attribute("error.type", str(status) if status else kind)
        if status:
            span.set_attribute("http.response.status_code", status)
        attempts = getattr(error, "attempts", None)
        if attempts:
            span.set_attribute("llm.attempts", attempts)
        # A provider's message may quote the prompt.
        said = redact(f"{kind}: {error}") if self._captures else kind
        span.set_status(self._trace.StatusCode.ERROR, said)

    def _model(self) -> str:
        return str(self._options.get("model") or self._connector.model_name_for_api)

    def _asked(self, model: str) -> dict[str, Any]:
        config = getattr(self._connector, "config", None)
        given: dict[str, Any] = {"gen_ai.request.model": model, "llm.model": model}
        for name, attribute in _OPTIONS.items():
            given[attribute] = self._options.get(name, getattr(config, name, None))
        stop = self._options.get("stop")
        given["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else stop
        if self._stream:
            given["gen_ai.request.stream"] = True
        if self._options.get("json_mode") or self._options.get("json_schema"):
            given["gen_ai.output.type"] = "json"
        given |= _server(getattr(config, "base_url", None))
        if self._captures:
            given["gen_ai.input.messages"] = _recorded(map(_parts, self.messages))
        return _known(given)

    def _answered(self, response: LLMResponse) -> dict[str, Any]:
        metadata = response.metadata
        found: dict[str, Any] = {
            "gen_ai.response.model": response.model,
            "llm.model": self._model() or response.model,
            "gen_ai.response.id": metadata.get("response_id"),
            "llm.request_id": metadata.get("request_id"),
            "llm.attempts": metadata.get("sends"),
            "llm.tokens.estimated": metadata.get("usage_estimated"),
            "llm.cost.usd": response.cost.dollars,
            "llm.cost.source": response.cost.source,
        }
        if not metadata.get("cut_off"):
            found["gen_ai.response.finish_reasons"] = (response.finish_reason,)
        if metadata.get("cached"):
            found["llm.cached"] = True
        for name, attributes in _USAGE.items() if not metadata.get("cached") else ():
            found |= dict.fromkeys(attributes, response.usage.get(name))
        if self._captures:
            said = {**_parts(response.message), "finish_reason": response.finish_reason}
            found["gen_ai.output.messages"] = _recorded([said])
        return _known(found)


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not known, and any secret."""
    return {
        name: redact(value) if isinstance(value, str) else value
        for name, value in attributes.items()
        if value not in (None, "", ())
    }


def _server(base_url: str | None) -> dict[str, Any]:
    try:
        parts = urlsplit(base_url or "")
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return {}
    return {"server.address": parts.hostname, "server.port": port} if parts.hostname else {}


def _parts(message: Message) -> dict[str, Any]:
    """Write a message as the conventions do; a picture is named, not copied."""
    parts: list[dict[str, Any]] = []
    if message.tool_call_id:
        answer = {"id": message.tool_call_id, "response": message.content}
        parts.append({"type": "tool_call_response", **answer})
    elif message.content:
        parts.append({"type": "text", "content": message.content})
    parts += [{"type": "image", "mime_type": image.media_type} for image in message.images]
    for call in message.tool_calls:
        parts.append(
            {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}
        )
    return {"role": str(message.role), "parts": parts}


def _recorded(messages: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps(list(messages), ensure_ascii=False, default=str)


_WATCHED = {"call_llm": _sync, "complete": _awaited, "stream": _streamed}
