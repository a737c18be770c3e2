"""One exchange with a provider: send, negotiate, retry, and read the answer, whole or in pieces."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from llmport_magic.errors import LLMError, LLMStreamError
from llmport_magic.llm import tracing
from llmport_magic.llm.addresses import endpoint
from llmport_magic.llm.bodies import decoded, encoded, lenient
from llmport_magic.llm.clock import Clock
from llmport_magic.llm.failures import (
    body_failure,
    format_failure,
    status_failure,
    stream_failure,
)
from llmport_magic.llm.renewal import renewing
from llmport_magic.llm.reply import Chunk
from llmport_magic.llm.retry import RetryBudget, RetryPolicy, with_retries
from llmport_magic.llm.sse import JSONLines, LineTooLongError, ServerEvent, SSEDecoder
from llmport_magic.llm.transport import Incoming, LLMTimeoutError, Outgoing, Transport, names
from llmport_magic.llm.wire import ErrorDetails, WireRequest, answer_id
from llmport_magic.secrets import masked, masked_text

if TYPE_CHECKING:
    from llmport_magic.llm.admission import Admission
    from llmport_magic.llm.wire import Call, Dialect, Limits, Target
    from llmport_magic.secrets import Secret

_MOST_BAD_EVENTS = 10
_TRAILER_SECONDS = 5.0
_HEAD_BYTES = 2_048
_NEGOTIATED_STATUS = (400, 422)
_STREAM_TYPES = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}
_decode = msgspec.json.Decoder().decode


@dataclass(slots=True, kw_only=True)
class Ask:
    """One request and everything that is needed to make it.

    Attributes:
        target: who is asked.
        dialect: how.
        call: what.
        limits: deadlines and sizes.
        policy: of the retries.
        budget: of the retries; shared by a connector's calls.
        transport: sends it.
        admission: keeps the limits of the account that is asked, where it has some.
        refused: parameters that the model refuses; added to when it refuses one more.
        renew: looks the key up anew where the provider refuses it.
        notes: `sends`, `request_id` and the like, for the response's metadata.
    """

    target: Target
    dialect: Dialect
    call: Call
    limits: Limits
    policy: RetryPolicy
    budget: RetryBudget
    transport: Transport
    refused: set[str]
    renew: Callable[[], Awaitable[Secret | None]] | None = None
    admission: Admission | None = None
    notes: MutableMapping[str, Any] = field(default_factory=dict)


async def whole(ask: Ask) -> tuple[Chunk, Any]:
    """Get the whole answer at once, and the provider's own object.

    Raises:
        LLMError: of every kind.
    """
    clock = Clock(ask.limits, reasoning=ask.target.reasoning)

    async def once(number: int) -> tuple[Chunk, Any]:
        ask.notes["sends"] = number
        incoming = await _send(ask, clock)
        try:
            body = await incoming.read_all()
        finally:
            await incoming.close()
        return _reply(ask, incoming, body)

    answer = with_retries(once, ask.policy, ask.budget, clock.left)
    return await (answer if ask.admission is None else ask.admission.whole(answer))


async def question(ask: Ask, request: WireRequest) -> Any:
    """Ask the server about itself and not a model, and get its object; no body asks with GET."""
    clock = Clock(ask.limits)
    outgoing = Outgoing(
        method="POST" if request.body else "GET",
        url=endpoint(
            ask.target.base_url,
            request.path,
            ask.dialect.DEFAULT_PATH,
            ask.target.network.plain_http_hosts,
        ),
        target=ask.target,
        body=encoded(request.body) if request.body else None,
        # A format's headers, for example its version, are the same for all requests.
        headers=ask.dialect.build_request(ask.call).headers,
        key_header=ask.dialect.KEY_HEADER,
        key_prefix=ask.dialect.KEY_PREFIX,
    )

    async def open_() -> Incoming:
        told = replace(outgoing, target=ask.target)
        return await _success(ask, await ask.transport.open(told, clock))

    async def once(_: int) -> Any:
        incoming = await renewing(ask, open_)
        try:
            body = await incoming.read_all()
        finally:
            await incoming.close()
        try:
            return decoded(body)
        except ValueError:
            raise format_failure(incoming, body) from None

    return await with_retries(once, ask.policy, ask.budget, clock.left)


async def models(ask: Ask) -> tuple[str, ...]:
    """Ask the server which models it has."""
    listed = await question(ask, WireRequest(path=ask.dialect.MODELS_PATH, body={}))
    return ask.dialect.read_models(listed)


def streamed(ask: Ask) -> AsyncGenerator[list[Chunk], None]:
    """Get the answer in pieces, those together that arrive together; closing hangs up.

    Raises:
        LLMError: of every kind; `partial` holds what had arrived.
    """
    pieces = _pieces(ask)
    return pieces if ask.admission is None else ask.admission.streamed(pieces)


async def _pieces(ask: Ask) -> AsyncGenerator[list[Chunk], None]:
    clock = Clock(ask.limits, reasoning=ask.target.reasoning)

    async def once(number: int) -> Incoming:
        ask.notes["sends"] = number
        return await _send(ask, clock)

    incoming = await with_retries(once, ask.policy, ask.budget, clock.left)
    try:
        kind = incoming.headers.get("content-type", "")
        plain = "json" in kind and "ndjson" not in kind and "json-seq" not in kind
        if plain and ask.dialect.FRAMING == "sse":
            # Some servers do not stream, whatever they are asked.
            yield [_reply(ask, incoming, await incoming.read_all())[0]]
            return
        if "html" in kind:
            raise format_failure(incoming, await incoming.read_error_body())
        reading = _Reading(ask, incoming)
        while (chunks := await reading.chunks()) is not None:
            if chunks:
                yield chunks
    finally:
        await incoming.close()


class _Reading:
    """Reads one stream to its end, however it ends."""

    def __init__(self, ask: Ask, incoming: Incoming) -> None:
        self._ask = ask
        self._incoming = incoming
        self._reader = ask.dialect.stream_reader()
        self._quick = getattr(self._reader, "quick", None)
        size = ask.limits.max_line_bytes
        self._decoder = SSEDecoder(size) if ask.dialect.FRAMING == "sse" else JSONLines(size)
        self._text: list[str] = []
        self._head = b""
        self._events = 0
        self._bad = 0
        self._held = ""
        self._cut = False
        self._too_long = ""
        self._ended = False
        self._failure: LLMError | None = None

    async def chunks(self) -> list[Chunk] | None:
        """Give what the next bytes hold, or `None` at the end of the answer."""
        if self._failure is not None:
            raise self._failure
        if self._ended:
            await self._incoming.drain()
            return None
        raw = await self._next()
        chunks: list[Chunk] = []
        try:
            self._take(self._split(raw), chunks)
        except LLMError as error:
            # What came before the failure is given first.
            self._failure = error
        if self._too_long and self._failure is None:
            self._failure = self._error(self._too_long)
        if raw is None and not self._ended:
            self._ended = True
            if not self._reader.complete and self._failure is None:
                self._failure = self._broken_off()
        if chunks:
            self._incoming.clock.progress()
        return chunks

    def _take(self, events: list[ServerEvent], chunks: list[Chunk]) -> None:
        """Add what the events hold to the chunks, up to the end of the stream or a failure."""
        quick, end, text = self._quick, self._ask.dialect.END_OF_STREAM, self._text
        for event in events:
            if quick is not None and not self._held and (chunk := quick(event.data)) is not None:
                self._events += 1
                self._bad = 0
                text.append(chunk.text)
                chunks.append(chunk)
                continue
            if event.data == end:
                self._ended = True
                return
            chunk = self._read(event)
            if chunk is not None:
                chunks.append(chunk)

    async def _next(self) -> bytes | None:
        """Give the next bytes, or `None` at the end of the stream."""
        if self._reader.complete:
            # Only the token counts can still come: not worth the patience that an answer gets.
            clock = self._incoming.clock
            clock.due = clock.within(_TRAILER_SECONDS)
        try:
            raw = await self._incoming.read()
        except (LLMStreamError, LLMTimeoutError) as error:
            if self._reader.complete:
                return None
            error.partial = self._so_far()
            raise
        if raw and self._events == 0 and len(self._head) < _HEAD_BYTES:
            self._head += raw[:_HEAD_BYTES]
        return raw

    def _split(self, raw: bytes | None) -> list[ServerEvent]:
        try:
            events = self._decoder.flush() if raw is None else self._decoder.feed(raw)
        except LineTooLongError as error:
            self._too_long = f"{error} (`max_line_bytes`)"
            events = error.events
        if events and self._cut:
            # A line of it came in two reads, and so may have a key in it.
            events[0] = ServerEvent(masked(events[0].data), events[0].event)
            self._cut = False
        self._cut |= raw is not None and raw[-1:] not in b"\r\n"
        return events

    def _read(self, event: ServerEvent) -> Chunk | None:
        data, escaped = self._object(event.data)
        if data is None:
            return None
        if "error" in data or event.event == "error" or data.get("object") == "error":
            details = self._ask.dialect.read_error(data)
            if details is not None:
                raise stream_failure(self._incoming, details, self._so_far())
        if self._ask.notes.get("response_id") is None:
            self._ask.notes["response_id"] = answer_id(data)
        chunk = self._reader.read(data, event.event)
        if chunk is None:
            return None
        if isinstance(chunk, ErrorDetails):
            raise stream_failure(self._incoming, chunk, self._so_far())
        if escaped or self._held:
            chunk = replace(chunk, text=self._mended(chunk.text))
        if chunk.text:
            self._text.append(chunk.text)
        return chunk

    def _object(self, data: bytes) -> tuple[Mapping[str, Any] | None, bool]:
        """Decode an event; a bad one is skipped and counted. Tells if it holds half characters."""
        self._events += 1
        escaped = False
        try:
            found = _decode(data)
        except (ValueError, RecursionError):
            if not data.strip():
                self._events -= 1
                return None, False
            # msgspec refuses half of a surrogate pair, which some servers send in two events.
            found, escaped = lenient(data), True
        if isinstance(found, list) and len(found) == 1:
            # Google sends its failures as a list of one, also in a stream.
            found = found[0]
        if isinstance(found, dict):
            self._bad = 0
            return found, escaped
        self._bad += 1
        self._ask.notes["skipped_events"] = self._ask.notes.get("skipped_events", 0) + 1
        if self._bad >= _MOST_BAD_EVENTS:
            raise self._error(f"{self._bad} events in a row are not JSON: check `base_url`")
        return None, False

    def _mended(self, text: str) -> str:
        text, self._held = self._held + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _broken_off(self) -> LLMError:
        if self._events == 0:
            return format_failure(self._incoming, self._head)
        return self._error("the answer broke off before its end: try again")

    def _so_far(self) -> str:
        return masked_text("".join(self._text))

    def _error(self, what: str) -> LLMStreamError:
        return LLMStreamError(
            f"`{self._ask.target.provider}`: {what}",
            partial=self._so_far(),
            request_id=self._incoming.request_id or None,
            **names(self._incoming.outgoing),
        )


async def _send(ask: Ask, clock: Clock) -> Incoming:
    return await renewing(ask, lambda: _sent(ask, clock))


async def _sent(ask: Ask, clock: Clock) -> Incoming:
    """Send once; where the model refuses a parameter, learn that and send without it."""
    while True:
        request = ask.dialect.build_request(replace(ask.call, refused=frozenset(ask.refused)))
        outgoing = Outgoing(
            url=endpoint(
                ask.target.base_url,
                request.path,
                ask.dialect.DEFAULT_PATH,
                ask.target.network.plain_http_hosts,
            ),
            target=ask.target,
            streamed=ask.call.stream,
            headers={**request.headers, **tracing.headers()},
            body=encoded(request.body),
            key_header=ask.dialect.KEY_HEADER,
            key_prefix=ask.dialect.KEY_PREFIX,
            accept=_STREAM_TYPES[ask.dialect.FRAMING] if ask.call.stream else "application/json",
        )
        if ask.admission is not None:
            await ask.admission.enter(clock, ask.notes)
        incoming = await ask.transport.open(outgoing, clock)
        if incoming.status not in _NEGOTIATED_STATUS:
            return await _success(ask, incoming)
        body = await incoming.read_error_body()
        details = ask.dialect.read_error(lenient(body))
        refused = details and ask.dialect.refused_parameter(details, request.body)
        if not refused or refused in ask.refused:
            raise status_failure(incoming, body, ask.dialect)
        ask.refused.add(refused)
        ask.notes["refused_parameters"] = sorted(ask.refused)


async def _success(ask: Ask, incoming: Incoming) -> Incoming:
    """Give the response back where it is a success that can be read."""
    if incoming.request_id:
        ask.notes["request_id"] = incoming.request_id
    if not 200 <= incoming.status < 300:
        raise status_failure(incoming, await incoming.read_error_body(), ask.dialect)
    encoding = incoming.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        await incoming.close()
        raise LLMStreamError(
            f"`{ask.target.provider}` sent a compressed answer ({encoding[:20]!r}) though none was "
            "asked for: check `base_url`",
            **names(incoming.outgoing),
        )
    return incoming


def _reply(ask: Ask, incoming: Incoming, body: bytes) -> tuple[Chunk, Any]:
    try:
        data = decoded(body)
    except ValueError:
        raise format_failure(incoming, body) from None
    details = ask.dialect.read_error(data)
    if details is not None:
        raise body_failure(incoming, body, details)
    try:
        ask.notes["response_id"] = answer_id(data)
        return ask.dialect.read_reply(data), data
    except (ValueError, AttributeError, TypeError):
        raise format_failure(incoming, body) from None
