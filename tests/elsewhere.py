"""Other machines that are this one: names that lead here, certificates, and a proxy."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
import trustme
from awaiting import PATIENCE
from loopback import end_of_all

HOST = "api.test"


def names_lead_here(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Let these names be looked up as this machine, though nothing about them says so."""
    real = socket.getaddrinfo

    def look_up(host: object, *given: object, **named: object) -> object:
        name = host.decode() if isinstance(host, bytes) else host
        return real("127.0.0.1" if name in hosts else host, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def names_are_unknown(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Let nobody know these names, without asking anybody."""
    real = socket.getaddrinfo

    def look_up(host: object, *given: object, **named: object) -> object:
        if (host.decode() if isinstance(host, bytes) else host) in hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


class Authority:
    """A certificate authority of its own; `file` is what to trust to trust it."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def server(self, *hosts: str, alpn: tuple[str, ...] = ("h2", "http/1.1")) -> ssl.SSLContext:
        """Make the context of a server that has a certificate for these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*hosts).configure_cert(context)
        context.set_alpn_protocols(list(alpn))
        return context


class Proxy:
    """A proxy that forwards to this machine, whatever host it is asked for.

    Attributes:
        asked: the first lines of the requests that came.
        url: its address.
    """

    def __init__(self, credentials: str = "") -> None:
        self.asked: list[str] = []
        self.url = ""
        self._wanted = base64.b64encode(credentials.encode()).decode() if credentials else ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the proxy does not end"

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._over.wait()
        await end_of_all(server, self._writers)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with _closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            self.asked.append(first)
            if self._wanted and not any(line.endswith(f"Basic {self._wanted}") for line in lines):
                writer.write(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
                return
            method, target, _ = first.split(" ", 2)
            place = target if method == "CONNECT" else target.split("/")[2]
            there_reader, there = await asyncio.open_connection(
                "127.0.0.1", int(place.rpartition(":")[2])
            )
            self._writers.append(there)
            with _closing(there):
                if method == "CONNECT":
                    writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    path = "/" + target.split("/", 3)[3]
                    there.write(head.replace(target.encode(), path.encode(), 1))
                await asyncio.wait(
                    [
                        asyncio.ensure_future(_copy(reader, there)),
                        asyncio.ensure_future(_copy(there_reader, writer)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with _closing(writer):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


@contextmanager
def _closing(writer: asyncio.StreamWriter) -> Iterator[None]:
    try:
        yield
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()
