"""The only module that talks HTTP: the pooled client, the deadlines, and the errors of the wire.

Errors are raised outside the `except` that caught httpx's own: a chained exception, and a
traceback with locals, would lead to frames that hold the key.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import httpx

from llmport_magic.errors import ConfigError, LLMError, LLMStreamError
from llmport_magic.llm.addresses import is_loopback
from llmport_magic.secrets import redact

if TYPE_CHECKING:
    import ssl

    from llmport_magic.llm.clock import Clock
    from llmport_magic.llm.wire import Limits, Target
    from llmport_magic.secrets import Secret

_MAX_ERROR_BYTES = 65_536
_MAX_KEPT_ERROR_BYTES = 2_048
_ERROR_BODY_SECONDS = 5.0
_DRAIN_SECONDS = 0.05
_KEEP_ALIVE_SECONDS = 30.0
_KEPT_HEADERS = ("content-type", "retry-after", "retry-after-ms", "request-id", "x-request-id")
_READ_HEADERS = (*_KEPT_HEADERS, "content-encoding", "location")


class _WireError(LLMError):
    """An error that also is one of httpx's, with a request that holds no key and no prompt."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[_WireError], args: tuple[Any, ...], state: dict[str, Any]) -> _WireError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class LLMStatusError(_WireError, httpx.HTTPStatusError):
    """The provider answered with an HTTP status that is an error, or with an error object.

    Attributes:
        retry_after: how many seconds the provider asks to wait, where it does.
    """

    retry_after: float | None = None


class LLMTimeoutError(_WireError, httpx.TimeoutException):
    """A deadline passed.

    Attributes:
        partial: the text that had arrived.
    """

    partial: str = ""


class LLMConnectionError(_WireError, httpx.ConnectError):
    """There is no connection to the provider, or it broke before an answer began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One HTTP request; the key is named apart so that only the header builder sees it."""

    url: str
    target: Target
    method: str = "POST"
    body: bytes | None = None
    key_header: str = "authorization"
    key_prefix: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    accept: str = "application/json"

    def scrubbed(self) -> httpx.Request:
        """Give the request as an error may carry it: no key, no prompt."""
        headers = {"accept": self.accept, "content-type": "application/json"}
        return httpx.Request(self.method, redact(self.url), headers=headers)


class Incoming:
    """An open response; `read()` gives its bytes until `None`, `close()` hangs up."""

    def __init__(self, response: httpx.Response, outgoing: Outgoing, clock: Clock) -> None:
        self._response = response
        self._raw = _read_before(response) if response.is_stream_consumed else response.aiter_raw()
        self._size = 0
        self.outgoing = outgoing
        self.clock = clock
        self.status = response.status_code
        given = response.headers
        self.headers = {name: redact(given[name]) for name in _READ_HEADERS if name in given}
        request_id = self.headers.get("x-request-id") or self.headers.get("request-id") or ""
        self.request_id = request_id[:200]

    async def read(self) -> bytes | None:
        """Give the next bytes, or `None` at the end.

        Raises:
            LLMTimeoutError: the deadline passed.
            LLMStreamError: the connection broke, or the answer is over the size limit.
        """
        failure: LLMError
        try:
            async with asyncio.timeout_at(self.clock.due):
                chunk: bytes | None = await anext(self._raw, None)
        except asyncio.CancelledError as cancelled:
            cancelled.__traceback__ = None
            raise
        except TimeoutError:
            failure = timed_out(self.outgoing, self.clock.what_passed(begun=True))
        except Exception as error:  # noqa: BLE001 - whatever it is, its frames hold the key
            failure = _stream_failure(self.outgoing, error)
        else:
            self._size += len(chunk or b"")
            if self._size <= self.clock.limits.max_body_bytes:
                return chunk
            most = self.clock.limits.max_body_bytes
            failure = LLMStreamError(
                f"the answer is over {most:,} bytes (`max_body_bytes`)", **names(self.outgoing)
            )
        await self.close()
        raise failure

    async def read_all(self) -> bytes:
        """Read the whole body."""
        parts: list[bytes] = []
        while (chunk := await self.read()) is not None:
            parts.append(chunk)
        return b"".join(parts)

    async def read_error_body(self) -> bytes:
        """Read as much of an error's body as is worth reading, without waiting long."""
        self.clock.due = self.clock.within(_ERROR_BODY_SECONDS)
        parts: list[bytes] = []
        try:
            while sum(map(len, parts)) < _MAX_ERROR_BYTES:
                chunk = await self.read()
                if chunk is None:
                    break
                parts.append(chunk)
        except LLMError:
            # The status is the failure; that its text breaks off is not worth another.
            pass
        finally:
            await self.close()
        # Providers echo keys: from here on nobody sees one.
        return redact(b"".join(parts)[:_MAX_ERROR_BYTES].decode("utf-8", "replace")).encode()

    async def drain(self) -> None:
        """Read the end of the response, so that the connection can be used again."""
        self.clock.due = self.clock.within(_DRAIN_SECONDS)
        try:
            while await self.read() is not None:
                pass
        except LLMError:
            await self.close()

    async def close(self) -> None:
        """Hang up, unless the response was read to its end."""
        await self._response.aclose()

    def scrubbed(self, body: bytes) -> httpx.Response:
        """Give the response as an error may carry it."""
        kept = {name: self.headers[name] for name in _KEPT_HEADERS if name in self.headers}
        text = redact(body[:_MAX_KEPT_ERROR_BYTES].decode("utf-8", "replace"))
        return httpx.Response(
            self.status, headers=kept, content=text.encode(), request=self.outgoing.scrubbed()
        )


async def _read_before(response: httpx.Response) -> AsyncIterator[bytes]:
    """Give the body of a response that holds it already, as httpx's mock transport makes them."""
    yield response.content


class Transport:
    """Sends requests over one pooled client for each event loop.

    Args:
        handler: an httpx transport that answers instead of the network, for tests.
    """

    def __init__(self, handler: httpx.AsyncBaseTransport | None = None) -> None:
        self._handler = handler
        self._clients: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[tuple[bool, int], httpx.AsyncClient]
        ] = weakref.WeakKeyDictionary()

    async def open(self, outgoing: Outgoing, clock: Clock) -> Incoming:
        """Send a request and wait until its response begins.

        Raises:
            LLMConnectionError: nobody answers there.
            LLMTimeoutError: a deadline passed.
        """
        client = self._client(outgoing.url, clock.limits)
        failure: LLMError
        clock.sent()
        try:
            async with asyncio.timeout_at(clock.due):
                response = await client.send(
                    client.build_request(
                        outgoing.method,
                        outgoing.url,
                        headers=_headers(outgoing),
                        content=outgoing.body,
                    ),
                    stream=True,
                )
        except asyncio.CancelledError as cancelled:
            cancelled.__traceback__ = None
            raise
        except TimeoutError:
            failure = timed_out(outgoing, clock.what_passed(begun=False))
        except ConfigError as error:
            raise error.with_traceback(None) from None
        except Exception as error:  # noqa: BLE001 - whatever it is, its frames hold the key
            failure = _open_failure(outgoing, error, clock.limits)
        else:
            clock.opened()
            return Incoming(response, outgoing, clock)
        raise failure

    async def aclose(self) -> None:
        """Close the connections that belong to the running loop."""
        for client in self._clients.pop(asyncio.get_running_loop(), {}).values():
            await client.aclose()

    def _client(self, url: str, limits: Limits) -> httpx.AsyncClient:
        here = is_loopback(httpx.URL(url).host)
        clients = self._clients.setdefault(asyncio.get_running_loop(), {})
        key = (here, limits.pool_size)
        if key not in clients:
            clients[key] = httpx.AsyncClient(
                transport=self._handler,
                # No proxy stands between this machine and itself.
                trust_env=not here,
                verify=_no_authorities() if here and url.startswith("http:") else _authorities(),
                follow_redirects=False,
                timeout=httpx.Timeout(None, connect=limits.connect),
                limits=httpx.Limits(
                    max_connections=limits.pool_size, keepalive_expiry=_KEEP_ALIVE_SECONDS
                ),
                # One client serves every provider: none may see another's cookies.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        return clients[key]


_shared = Transport()
_ssl_lock = threading.Lock()
_ssl_contexts: dict[str, ssl.SSLContext] = {}


def shared_transport() -> Transport:
    """Give the transport that every connector uses unless it is given another."""
    return _shared


def _authorities() -> ssl.SSLContext:
    """Make the context once: reading the certificate authorities takes 20 ms of CPU."""
    with _ssl_lock:
        if "all" not in _ssl_contexts:
            _ssl_contexts["all"] = httpx.create_ssl_context()
        return _ssl_contexts["all"]


def _no_authorities() -> ssl.SSLContext:
    """Make a context that trusts nobody, for connections that do not use TLS."""
    import ssl

    with _ssl_lock:
        if "none" not in _ssl_contexts:
            _ssl_contexts["none"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return _ssl_contexts["none"]


def _headers(outgoing: Outgoing) -> list[tuple[str, str]]:
    """Build the headers of a request: the one place where a key is taken out of its `Secret`."""
    key = outgoing.target.key
    headers = {
        "accept": outgoing.accept,
        "accept-encoding": "identity",
        "user-agent": "llmport-magic",
        **outgoing.headers,
        **{name.lower(): value for name, value in outgoing.target.headers.items()},
    }
    if outgoing.body is not None:
        headers["content-type"] = "application/json"
    if key is not None:
        if not key.reveal().isascii() or not key.reveal().isprintable():
            raise ConfigError(
                f"the key for `{outgoing.target.provider}` holds characters that no key has: "
                "copy it again"
            )
        headers[outgoing.key_header] = outgoing.key_prefix + key.reveal()
    return list(headers.items())


def hand_over(key: Secret | None) -> str | None:
    """Give a key to a connector class of a third party, which builds its own requests."""
    return None if key is None else key.reveal()


def names(outgoing: Outgoing) -> dict[str, Any]:
    """Name provider and model, for an error."""
    return {"provider": outgoing.target.provider, "model": outgoing.target.model}


def timed_out(outgoing: Outgoing, what: str) -> LLMTimeoutError:
    """Make the error of a deadline that passed."""
    return LLMTimeoutError(
        f"`{outgoing.target.provider}`: {what}; try again, or raise that setting",
        request=outgoing.scrubbed(),
        **names(outgoing),
    )


def _open_failure(outgoing: Outgoing, error: Exception, limits: Limits) -> LLMError:
    details: dict[str, Any] = {**names(outgoing), "request": outgoing.scrubbed()}
    who, where = f"`{outgoing.target.provider}`", redact(outgoing.url)
    said = redact(str(error))
    if isinstance(error, httpx.ConnectTimeout):
        return LLMTimeoutError(
            f"{who}: no connection to {where} within {limits.connect:g} s (`connect_timeout`): "
            "check the address and the network",
            retryable=True,
            **details,
        )
    if isinstance(error, httpx.ProxyError):
        what = f"the proxy refused the connection ({said}): check HTTPS_PROXY"
    elif isinstance(error, httpx.ConnectError):
        what = _connect_failure(said, where, outgoing.target.hint)
    elif isinstance(error, httpx.TransportError):
        what = f"the connection broke before an answer began ({type(error).__name__}): try again"
    else:
        return LLMConnectionError(f"{who}: cannot send to {where}: {said[:300]}", **details)
    certificate = "certificate" in said.lower()
    return LLMConnectionError(f"{who}: {what}", retryable=not certificate, **details)


def _connect_failure(said: str, where: str, hint: str) -> str:
    lower = said.lower()
    if "certificate" in lower or "ssl" in lower:
        return f"the TLS certificate of {where} is not trusted ({said}): check SSL_CERT_FILE"
    if "name or service" in lower or "getaddrinfo" in lower or "resolution" in lower:
        return f"no such host: {where}: check `base_url` and the network"
    return f"nobody answers at {where}: {hint or 'start the server there'} or check `base_url`"


def _stream_failure(outgoing: Outgoing, error: Exception) -> LLMStreamError:
    return LLMStreamError(
        f"`{outgoing.target.provider}`: the answer broke off ({type(error).__name__}): try again",
        **names(outgoing),
    )


def answers(url: str, timeout: float, headers: Mapping[str, str] | None = None) -> bool:
    """Ask this machine, and wait only so long, whether a server answers `url` with success."""
    try:
        response = httpx.get(
            url,
            timeout=timeout,
            trust_env=False,
            verify=_no_authorities(),
            headers=dict(headers or {}),
        )
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return response.is_success
