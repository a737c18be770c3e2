"""The server's side of HTTP/2, as little as a scripted answer needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

# A status, headers, and steps: bytes to send or seconds to wait.
Answer = tuple[int, dict[str, str], Sequence[Any]]


async def serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Callable[[dict[str, str], bytes], Awaitable[Answer]],
) -> None:
    """Answer the requests of one connection side by side until the client hangs up."""
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import DataReceived, RequestReceived, StreamEnded

    connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    heads: dict[int, dict[str, str]] = {}
    bodies: dict[int, bytes] = {}
    tasks = set()

    async def respond(stream: int) -> None:
        status, headers, steps = await answer(heads.pop(stream), bodies.pop(stream))
        connection.send_headers(stream, [(":status", str(status)), *headers.items()])
        for step in steps:
            if isinstance(step, bytes):
                connection.send_data(stream, step)
                writer.write(connection.data_to_send())
            else:
                await asyncio.sleep(step)
        connection.end_stream(stream)
        writer.write(connection.data_to_send())

    while True:
        writer.write(connection.data_to_send())
        data = await reader.read(65_536)
        if not data:
            return
        for event in connection.receive_data(data):
            if isinstance(event, RequestReceived):
                heads[event.stream_id] = dict(event.headers)
                bodies[event.stream_id] = b""
            elif isinstance(event, DataReceived):
                bodies[event.stream_id] += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                task = asyncio.ensure_future(respond(event.stream_id))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
