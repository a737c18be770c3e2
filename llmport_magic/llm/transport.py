"""The only module that talks HTTP: the pooled client, the deadlines, and the errors of the wire.

It runs on httpx, or on httpx2, which has the same names; its errors are httpx's on both. They are
raised outside the `except` that caught the library's own: a chained exception, and a traceback
with locals, would lead to frames that hold the key.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import httpx

from llmport_magic import bridge
from llmport_magic.errors import ConfigError, LLMError, LLMStreamError
from llmport_magic.llm.clients import Client, Route, goes_by_proxy, make_client, route_to
from llmport_magic.llm.failures import not_sent
from llmport_magic.llm.inflow import Inflow
from llmport_magic.secrets import Secret, masked, redact

if TYPE_CHECKING:
    from llmport_magic.llm.clock import Clock
    from llmport_magic.llm.wire import Limits, Target

_MAX_ERROR_BYTES = 65_536
_MAX_KEPT_ERROR_BYTES = 2_048
_ERROR_BODY_SECONDS = 5.0
_DRAIN_SECONDS = 0.05
_EXIT_SECONDS = 1.0
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
    """One HTTP request; the key is named apart so that only the header builder sees it.

    Attributes:
        streamed: whether the answer shall arrive in pieces.
    """

    url: str = field(repr=False)
    target: Target
    method: str = "POST"
    body: bytes | None = None
    key_header: str = "authorization"
    key_prefix: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    accept: str = "application/json"
    streamed: bool = False

    def scrubbed(self) -> httpx.Request:
        """Give the request as an error may carry it: no key, no prompt."""
        headers = {"accept": self.accept, "content-type": "application/json"}
        return httpx.Request(self.method, redact(self.url), headers=headers)


class Incoming:
    """An open response; `read()` gives its bytes until `None`, `close()` hangs up."""

    def __init__(
        self,
        response: httpx.Response,
        outgoing: Outgoing,
        clock: Clock,
        client: Client | None = None,
    ) -> None:
        self._response = response
        self._client = client
        # The mock transport's responses hold their body. Not `aiter_raw` for the others: it closes
        # the response at its end, and cancelled in that, the pool would lose the place.
        body: Any = response.aiter_bytes() if response.is_stream_consumed else response.stream
        self._inflow = Inflow(aiter(body))
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
        most, before = self.clock.limits.max_body_bytes, self._size
        try:
            chunk = b"" if before > most else await self._inflow.take(self.clock.due)
        except asyncio.CancelledError as cancelled:
            cancelled.__traceback__ = None
            raise
        except TimeoutError:
            failure = timed_out(self.outgoing, self.clock.what_passed(begun=True))
        except Exception as error:  # noqa: BLE001 - whatever it is, its frames hold the key
            what = f"the answer broke off ({type(error).__name__}): try again"
            failure = LLMStreamError(
                f"`{self.outgoing.target.provider}`: {what}", **names(self.outgoing)
            )
        else:
            self._size += len(chunk or b"")
            if before <= most:
                return chunk and masked(chunk[: most - before])
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
        # Once more: a key may have come in two parts.
        return masked(b"".join(parts))

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
        whole = self._inflow.whole
        await self._inflow.close()
        client, self._client = self._client, None
        if client is not None:
            await client.hang_up(self._response, whole=whole)

    def scrubbed(self, body: bytes) -> httpx.Response:
        """Give the response as an error may carry it."""
        kept = {name: self.headers[name] for name in _KEPT_HEADERS if name in self.headers}
        text = redact(body[:_MAX_KEPT_ERROR_BYTES].decode("utf-8", "replace"))
        return httpx.Response(
            self.status, headers=kept, content=text.encode(), request=self.outgoing.scrubbed()
        )


class Transport:
    """Sends requests over pooled clients, one for each route; an event loop has its own.

    Args:
        handler: a transport of httpx or httpx2 that answers instead of the network, for tests.
    """

    def __init__(self, handler: Any = None) -> None:
        self._handler = handler
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Route, Client]] = (
            weakref.WeakKeyDictionary()
        )

    async def open(self, outgoing: Outgoing, clock: Clock) -> Incoming:
        """Send a request and wait until its response begins.

        Raises:
            LLMConnectionError: nobody answers there.
            LLMTimeoutError: a deadline passed.
            ConfigError: the HTTP library is not there, or the environment's proxy is none.
        """
        client = self._client(outgoing, clock.limits)
        failure: LLMError
        clock.sent()
        try:
            async with asyncio.timeout_at(clock.due):
                response = await client.send(
                    outgoing.method,
                    outgoing.url,
                    clock.limits.connect,
                    headers=_headers(outgoing),
                    content=outgoing.body,
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
            return Incoming(response, outgoing, clock, client)
        raise failure

    async def aclose(self) -> None:
        """Close the connections that belong to the running loop."""
        for client in self._clients.pop(asyncio.get_running_loop(), {}).values():
            await client.aclose()

    def _client(self, outgoing: Outgoing, limits: Limits) -> Client:
        network = outgoing.target.network
        route = route_to(outgoing.url, network, limits, streamed=outgoing.streamed)
        clients = self._clients.setdefault(asyncio.get_running_loop(), {})
        if route not in clients or clients[route].retired:
            if self._handler is None:
                http = library(route.library)
            else:
                http = httpx if isinstance(self._handler, httpx.AsyncBaseTransport) else library()
            clients[route] = make_client(http, route, self._handler)
        return clients[route]


@cache
def library(name: str = "httpx2") -> ModuleType:
    """Give an HTTP library: `httpx`, `httpx2`, or `auto` for the second where it is installed.

    Raises:
        ConfigError: it is not installed.
    """
    if name != "httpx":
        try:
            import httpx2
        except ImportError:
            if name != "auto":
                raise ConfigError(
                    "`transport` is httpx2, which is not installed: `pip install "
                    "'llmport-magic[httpx2]'`, or set `transport` to httpx"
                ) from None
        else:
            return httpx2
    return httpx


_shared = Transport()
_inherited: list[Transport] = []


def shared_transport() -> Transport:
    """Give the transport that every connector uses unless it is given another."""
    return _shared


@atexit.register
def _hang_up() -> None:
    """Close what is open while there still is a loop to do it."""
    if any(loop.is_running() for loop in _shared._clients):  # noqa: SLF001 - one of ours
        with contextlib.suppress(Exception):
            bridge.submit(_shared.aclose()).result(_EXIT_SECONDS)


def _leave_to_the_parent() -> None:
    """Begin anew in a forked child: closing an inherited connection would disturb its parent."""
    global _shared
    _inherited.append(_shared)
    _shared = Transport()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)


def _headers(outgoing: Outgoing) -> list[tuple[str, str]]:
    """Build the headers of a request: the one place where a key is taken out of its `Secret`."""
    key = outgoing.target.key
    headers = {
        "accept": outgoing.accept,
        "accept-encoding": "identity",
        "user-agent": "llmport-magic",
        **outgoing.headers,
        **{
            name.lower(): value.reveal() if isinstance(value, Secret) else value
            for name, value in outgoing.target.headers.items()
        },
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
    what, retryable, late = not_sent(error, outgoing.url, outgoing.target.hint, limits.connect)
    kind = LLMTimeoutError if late else LLMConnectionError
    if "PROXY" not in what and goes_by_proxy(outgoing.url, outgoing.target.network):
        what += "; the environment names a proxy (HTTPS_PROXY): check that, too"
    failure = kind(
        f"`{outgoing.target.provider}`: {what}",
        retryable=retryable,
        request=outgoing.scrubbed(),
        **names(outgoing),
    )
    failure.unreachable = type(error).__name__ in ("ConnectError", "ConnectTimeout")
    return failure


def answers(url: str, timeout: float, headers: Mapping[str, str] | None = None) -> bool:
    """Ask this machine, and wait only so long, whether a server answers `url` with success."""
    from llmport_magic.llm.clients import no_authorities

    try:
        response = httpx.get(
            url,
            timeout=timeout,
            trust_env=False,
            verify=no_authorities(),
            headers=dict(headers or {}),
        )
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return response.is_success
