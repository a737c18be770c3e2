"""The server's side of HTTP/2, as little as a scripted answer needs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

# A status, headers, and steps: bytes to send, seconds to wait, or an event to wait for.
Answer = tuple[int, dict[str, str], Sequence[Any]]


async def serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Callable[[dict[str, str], bytes], Awaitable[Answer]],
) -> None:
    """Answer the requests of one connection side by side until the client hangs up."""
    server = _Server(writer, answer)
    try:
        while data := await reader.read(65_536):
            server.receive(data)
    finally:
        for task in server.tasks:
            task.cancel()


class _Server:
    def __init__(
        self,
        writer: asyncio.StreamWriter,
        answer: Callable[[dict[str, str], bytes], Awaitable[Answer]],
    ) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._writer = writer
        self._answer = answer
        self._connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._heads: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytes] = {}
        self._connection.initiate_connection()
        self._send()

    def receive(self, data: bytes) -> None:
        for event in self._connection.receive_data(data):
            if isinstance(event, RequestReceived):
                self._heads[event.stream_id] = dict(event.headers)
                self._bodies[event.stream_id] = b""
            elif isinstance(event, DataReceived):
                self._bodies[event.stream_id] += event.data
                self._connection.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
            elif isinstance(event, StreamEnded):
                self.tasks.add(asyncio.create_task(self._respond(event.stream_id)))
        self._send()

    async def _respond(self, stream: int) -> None:
        given = self._heads.pop(stream), self._bodies.pop(stream)
        status, headers, steps = await self._answer(*given)
        self._connection.send_headers(stream, [(":status", str(status)), *headers.items()])
        self._send()
        for step in steps:
            if isinstance(step, bytes):
                self._connection.send_data(stream, step)
                self._send()
            elif isinstance(step, threading.Event):
                while not step.is_set():  # noqa: ASYNC110 - it is set in another thread
                    await asyncio.sleep(0.001)
            else:
                await asyncio.sleep(step)
        self._connection.end_stream(stream)
        self._send()

    def _send(self) -> None:
        self._writer.write(self._connection.data_to_send())
