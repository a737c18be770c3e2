"""A real HTTP server on this machine that does what a test scripts, and notes what clients do.

with Loopback() as server:
    server.script(reply("hello"))
    ...
    assert server.requests[0].json["model"] == "m"
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import http2

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@dataclass
class Request:
    """What a client sent; `closed_at` is when its socket was seen to close, by `monotonic`."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    version: str = "HTTP/1.1"
    closed: threading.Event = field(default_factory=threading.Event)
    closed_at: float | None = None

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Script:
    """One response: a status, headers, and steps.

    Each step is bytes to send, seconds to wait, an `Event` to wait for, `CUT` (close the connection
    at once) or `HANG` (send nothing more until the client hangs up). A silent one has no head: it
    cuts, or hangs.
    """

    steps: Sequence[Any] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = False
    length: int | None = None
    silent: bool = False


CUT = object()
HANG = object()


def reply(
    text: str = "hello", *, finish: str = "stop", usage: Any = USAGE, **fields: Any
) -> Script:
    """Answer as a chat completion."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish,
    }
    body = {"id": "c1", "object": "chat.completion", "model": "m-1", "choices": [choice]}
    if usage is not None:
        body["usage"] = usage
    return raw(json.dumps({**body, **fields}).encode())


def raw(
    body: bytes | str,
    *,
    status: int = 200,
    content_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> Script:
    """Answer with these bytes."""
    body = body.encode() if isinstance(body, str) else body
    return Script(
        (body,), status, {"content-type": content_type, **(headers or {})}, False, len(body)
    )


def failure(
    status: int, message: str = "no", *, headers: dict[str, str] | None = None, **error: Any
) -> Script:
    """Answer with an error object."""
    body = json.dumps({"error": {"message": message, **error}})
    return raw(body, status=status, headers=headers)


def event(text: str | None = None, **fields: Any) -> bytes:
    """Write one event of a chat completion stream."""
    finish = fields.pop("finish", None)
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return data({"object": "chat.completion.chunk", "model": "m-1", "choices": choices, **fields})


def data(value: Any) -> bytes:
    """Write one server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def streamed(*pieces: Any, finish: str | None = "stop", usage: Any = USAGE) -> Script:
    """Answer as a stream: texts become events, other steps stay as they are."""
    steps = [event(piece) if isinstance(piece, str) else piece for piece in pieces]
    if finish is not None:
        steps.append(event(finish=finish))
        if usage is not None:
            steps.append(data({"choices": [], "usage": usage}))
        steps.append(DONE)
    return events(*steps)


def events(*steps: Any) -> Script:
    """Answer as an event stream with just these steps."""
    return Script(steps, 200, {"content-type": "text/event-stream"}, chunked=True)


_kept: list[socket.socket] = []


def refused_url() -> str:
    """Give an address at which nobody listens, nor ever will: its port stays taken."""
    kept = socket.socket()
    kept.bind(("127.0.0.1", 0))
    _kept.append(kept)
    return f"http://127.0.0.1:{kept.getsockname()[1]}/v1"


class Loopback:
    """The server; every connection is served by its own task on the server's own thread.

    Args:
        tls: makes it speak https, and HTTP/2 with clients that ask for it.
        host: the name in its `url`; it always listens on this machine.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._tls = tls
        self._host = host
        self.requests: list[Request] = []
        self.accepts = 0
        self.url = ""
        self._scripts: list[Script] = []
        self._default: Script | Callable[[Request], Script] | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._over = asyncio.Event()

    def script(self, *scripts: Script) -> None:
        """Answer the next requests with these, in turn."""
        self._scripts.extend(scripts)

    def always(self, script: Script | Callable[[Request], Script]) -> None:
        """Answer every request that nothing was scripted for."""
        self._default = script

    def wait_for_requests(self, count: int, seconds: float = 60.0) -> None:
        """Wait until so many requests have come."""
        end = time.monotonic() + seconds
        while len(self.requests) < count:
            assert time.monotonic() < end, f"{len(self.requests)} of {count} requests came"
            time.sleep(0.002)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(60)
        assert not self._thread.is_alive(), "the server does not end"

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=self._tls)
        port = server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._tls else ''}://{self._host}:{port}/v1"
        self._ready.set()
        await self._over.wait()
        await end_of_all(server, self._writers)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepts += 1
        number = self.accepts
        self._writers.append(writer)
        tls = writer.get_extra_info("ssl_object")
        try:
            if tls is not None and tls.selected_alpn_protocol() == "h2":
                import http2

                await http2.serve(reader, writer, lambda *given: self._answer2(*given, number))
            while await self._exchange(reader, writer, number):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            for request in self.requests:
                if (request.connection, request.version) == (number, "HTTP/2"):
                    _note_closed(request)

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        request = await _read_request(reader, number)
        if request is None:
            return False
        script = self._next(request)
        watch = asyncio.ensure_future(_watch(reader, request))
        try:
            return await _answer(script, writer, watch)
        except ConnectionError:
            _note_closed(request)
            raise
        finally:
            watch.cancel()

    async def _answer2(self, headers: dict[str, str], body: bytes, number: int) -> http2.Answer:
        method, path = headers[":method"], headers[":path"]
        script = self._next(Request(method, path, headers, body, number, "HTTP/2"))
        if script.silent:
            await asyncio.sleep(3_600)
        return script.status, script.headers, script.steps

    def _next(self, request: Request) -> Script:
        # Chosen first: who sees the request come may already script the next one.
        script = self._scripts.pop(0) if self._scripts else self._default
        self.requests.append(request)
        if callable(script):
            script = script(request)
        assert script is not None, f"nothing scripted for {request.method} {request.path}"
        return script


async def _answer(
    script: Script, writer: asyncio.StreamWriter, watch: asyncio.Future[None]
) -> bool:
    if script.silent:
        if CUT in script.steps:
            writer.transport.abort()
        else:
            await watch
        return False
    writer.write(_head(script))
    for step in script.steps:
        if step is CUT:
            writer.transport.abort()
            return False
        if step is HANG:
            await watch
            return False
        if not isinstance(step, bytes):
            await asyncio.wait([watch, pause := _pause(step)], return_when="FIRST_COMPLETED")
            pause.cancel()
            if watch.done():
                return False
            continue
        writer.write(b"%x\r\n%s\r\n" % (len(step), step) if script.chunked else step)
        await writer.drain()
    if script.chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return script.chunked or script.length is not None


async def end_of_all(server: asyncio.Server, writers: Sequence[asyncio.StreamWriter]) -> None:
    """Close a server, end every other task of this loop, and close the connections that they had.

    What is left when its loop is closed complains when it is collected, in the midst of any test.
    """
    for listening in server.sockets:
        asyncio.get_running_loop().remove_reader(listening)
    # A connection that was accepted and has not begun when its server is closed is never closed.
    await _begun()
    server.close()
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await _begun()
    for writer in writers:
        writer.transport.abort()
    await _begun()


async def _begun() -> None:
    """Let what was just accepted get its task and its first step, and what was closed its last."""
    for _ in range(5):
        await asyncio.sleep(0)


async def _read_request(reader: asyncio.StreamReader, number: int) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body, number)


async def _watch(reader: asyncio.StreamReader, request: Request) -> None:
    """Note the moment at which the client closes; a client sends nothing before its answer."""
    while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(0.001)
    _note_closed(request)


def _pause(step: float | threading.Event) -> asyncio.Task[None]:
    """Wait so many seconds, or until the test sets the event."""

    async def pause() -> None:
        if isinstance(step, threading.Event):
            while not step.is_set():  # noqa: ASYNC110 - it is set in another thread
                await asyncio.sleep(0.001)
        else:
            await asyncio.sleep(step)

    return asyncio.ensure_future(pause())


def _note_closed(request: Request) -> None:
    request.closed_at = time.monotonic()
    request.closed.set()


def _head(script: Script) -> bytes:
    headers = dict(script.headers)
    if script.chunked:
        headers["transfer-encoding"] = "chunked"
    elif script.length is not None:
        headers["content-length"] = str(script.length)
    else:
        headers["connection"] = "close"
    lines = [f"HTTP/1.1 {script.status} X", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
