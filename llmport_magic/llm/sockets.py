"""The connections below the HTTP library's pool, on asyncio itself.

The libraries' own way to the socket goes through anyio, which takes a cancel scope, a checkpoint
and several objects for each piece that is read or written, and asks the system before each request
whether an idle connection still stands. asyncio's protocols know that by themselves. What is
written in one go, a request's head and its body, leaves in one packet.

The methods are those of `AsyncNetworkBackend` and `AsyncNetworkStream`,
https://www.encode.io/httpcore/network-backends/ (read 2026-11-21), as far as a pool calls them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from types import ModuleType

_BUFFER_BYTES = 65_536
_MOST_WAITING = 8 * _BUFFER_BYTES
# When a name has several addresses: how long the first one has for itself, as RFC 8305 advises.
_NEXT_ADDRESS_SECONDS = 0.25


def spare_searches(core: ModuleType) -> None:
    """Let the pool look for the package `sniffio` only where that can tell it something.

    httpcore imports it four times a request, to tell trio from asyncio. Where it is not installed
    Python searches all folders each time: a fifth of a short call. Trio imports it, so as long as
    nobody has, this is asyncio, which is what httpcore concludes as well.

    Args:
        core: `httpcore` or `httpcore2`; one that asks in another way is left as it is.
    """
    place = sys.modules.get(f"{core.__name__}._synchronization")
    ask = getattr(place, "current_async_library", None)
    if place is None or ask is None or getattr(ask, "__module__", "") == __name__:
        return

    def current_async_library() -> str:
        return str(ask()) if "sniffio" in sys.modules else "asyncio"

    place.current_async_library = current_async_library  # type: ignore[attr-defined]  # put into another's module


class Backend:
    """Opens connections, for the pool of one client.

    Args:
        core: `httpcore` or `httpcore2`, whose errors are raised.
    """

    def __init__(self, core: ModuleType) -> None:
        self._core = core
        # One for all: between filling and emptying it nothing else runs.
        self._buffer = bytearray(_BUFFER_BYTES)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # the interface's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Stream:
        """Connect to a host."""
        loop, stream = asyncio.get_running_loop(), Stream(self._core, self._buffer)
        try:
            async with asyncio.timeout(timeout):
                transport, _ = await loop.create_connection(
                    lambda: stream,
                    host,
                    port,
                    local_addr=None if local_address is None else (local_address, 0),
                    happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS,
                )
        except TimeoutError as error:
            raise self._core.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise self._core.ConnectError(str(error)) from error
        for option in socket_options or ():
            transport.get_extra_info("socket").setsockopt(*option)
        return stream


class Stream(asyncio.BufferedProtocol):
    """One connection.

    Args:
        core: the library whose errors are raised.
        buffer: that is read into.
    """

    def __init__(self, core: ModuleType, buffer: bytearray) -> None:
        self._core = core
        self._loop = asyncio.get_running_loop()
        self._buffer = memoryview(buffer)
        self._received: list[bytes] = []
        self._size = 0
        self._ended = False
        self._error: Exception | None = None
        self._outgoing: list[bytes] = []
        self._reading: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: Any = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where to write what comes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
        self._received.append(bytes(self._buffer[:nbytes]))
        self._size += nbytes
        if self._size > _MOST_WAITING:
            self._transport.pause_reading()
        _wake(self._reading)

    def eof_received(self) -> None:
        """Take note that nothing more will come; the transport closes itself."""
        self._ended = True
        _wake(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end, and of its reason."""
        self._ended = True
        self._error = exc
        _wake(self._reading)
        _wake(self._writable)

    def pause_writing(self) -> None:
        """Hold back what is written: the other side does not read."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let writing go on."""
        writable, self._writable = self._writable, None
        _wake(writable)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Give what has come, at least one byte; none at the end."""
        self._flush()
        if not self._received and not self._ended:
            self._reading = self._loop.create_future()
            try:
                await self._wait(self._reading, timeout, self._core.ReadTimeout)
            finally:
                self._reading = None
        if not self._received:
            if self._error is not None:
                raise self._core.ReadError(str(self._error)) from self._error
            return b""
        received = self._received
        data = received[0] if len(received) == 1 else b"".join(received)
        received.clear()
        if len(data) > max_bytes:
            received.append(data[max_bytes:])
            data = data[:max_bytes]
        if self._size > _MOST_WAITING >= self._size - len(data):
            self._transport.resume_reading()
        self._size -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; several writes in one go leave together."""
        if self._ended or self._transport.is_closing():
            raise self._core.WriteError(str(self._error or "the connection is closed"))
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(buffer)
        if len(buffer) > _BUFFER_BYTES:
            self._flush()
        if self._writable is not None:
            await self._wait(self._writable, timeout, self._core.WriteTimeout)

    def _flush(self) -> None:
        if self._outgoing:
            data = b"".join(self._outgoing)
            self._outgoing.clear()
            self._transport.write(data)

    async def _wait(
        self, future: asyncio.Future[None], seconds: float | None, late: type[Exception]
    ) -> None:
        if seconds is None:
            await future
            return
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError as error:
            raise late(str(error)) from error

    async def aclose(self) -> None:
        """Hang up at once; when this returns, the socket is closed."""
        self._outgoing.clear()
        self._transport.abort()
        await asyncio.sleep(0)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Stream:
        """Speak TLS from here on."""
        core = self._core
        try:
            async with asyncio.timeout(timeout):
                secured = await self._loop.start_tls(
                    self._transport, self, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            await self.aclose()
            raise core.ConnectTimeout(str(error)) from error
        except OSError as error:
            await self.aclose()
            raise core.ConnectError(str(error)) from error
        if secured is None:
            raise core.ConnectError("the connection broke off while TLS was begun")
        self._transport = secured
        return self

    def get_extra_info(self, info: str) -> Any:
        """Tell the pool what it asks."""
        if info == "is_readable":
            # Of an idle connection: whether the other side has closed it.
            return bool(self._received) or self._ended or self._transport.is_closing()
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._transport.get_extra_info(names.get(info, info))


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
