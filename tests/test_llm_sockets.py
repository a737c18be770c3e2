"""The connections on asyncio itself: what a pool needs of them, and what it cannot see."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from types import ModuleType
from typing import Any

import httpcore
import httpx
import pytest
from asking import PATIENT, asking, pieces_of
from loopback import HANG, Loopback, data, event, events, refused_url, reply

from llmport_magic.errors import LLMStreamError
from llmport_magic.llm.clients import make_client, route_to
from llmport_magic.llm.sockets import Backend, spare_searches
from llmport_magic.llm.wire import Limits, Network

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[int]:
    """Serve each connection, and give the port."""
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def test_what_is_written_in_one_go_leaves_together() -> None:
    """A request's head and its body are one packet, not two."""
    came: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read(65_536))
        writer.write(b"ok")
        await writer.drain()
        writer.close()

    async with server(serve) as port:
        stream = await Backend(httpcore).connect_tcp("127.0.0.1", port, timeout=60)
        await stream.write(b"head")
        await stream.write(b"body")
        assert await stream.read(100) == b"ok"
        assert await stream.read(100) == b""
        await stream.aclose()

    assert came == [b"headbody"]


async def test_no_byte_is_lost_or_added_however_much_comes() -> None:
    """Eight megabytes go through in both directions in pieces of the size that was asked for."""
    size = 8_000_000
    sent = bytes(range(256)) * (size // 256)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(size))
        await writer.drain()
        writer.close()

    async with server(serve) as port:
        stream = await Backend(httpcore).connect_tcp("127.0.0.1", port, timeout=60)
        await stream.write(sent, timeout=60)
        pieces = []
        while piece := await stream.read(50_000, timeout=60):
            pieces.append(piece)
        await stream.aclose()

    assert b"".join(pieces) == sent
    assert max(map(len, pieces)) <= 50_000


async def test_its_failures_are_the_pools_own() -> None:
    """Nobody there, nothing in time and a closed connection are errors that the pool knows."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    async with server(serve) as port:
        stream = await Backend(httpcore).connect_tcp("127.0.0.1", port, timeout=60)
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(100, timeout=0.01)
        await stream.write(b"x")
        assert await stream.read(100) == b""
        await stream.aclose()
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"x")
    nowhere = httpx.URL(refused_url())
    with pytest.raises(httpcore.ConnectError):
        await Backend(httpcore).connect_tcp(nowhere.host, nowhere.port or 0, timeout=60)


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    """An idle connection tells that the other side has hung up, before a request goes that way."""
    hang_up = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hang_up.wait()
        writer.close()

    async with server(serve) as port:
        stream = await Backend(httpcore).connect_tcp("127.0.0.1", port, timeout=60)
        assert stream.get_extra_info("is_readable") is False
        hang_up.set()
        async with asyncio.timeout(60):
            while stream.get_extra_info("is_readable") is not True:  # noqa: ASYNC110 - as the pool
                await asyncio.sleep(0.01)
        await stream.aclose()


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
async def test_both_libraries_use_it(library: str) -> None:
    """The clients of httpx and of httpx2 open their connections this way."""
    http = pytest.importorskip(library)
    network, limits = Network(transport=library), Limits()
    client = make_client(http, route_to("http://127.0.0.1/v1", network, limits, streamed=False))

    with Loopback() as there:
        there.script(reply("yes"))
        response = await client.send("POST", f"{there.url}/chat/completions", 60.0, content=b"{}")
        await response.aread()

        stream = response.extensions["network_stream"]
        assert type(stream).__module__ == "llmport_magic.llm.sockets"
        assert response.json()["choices"][0]["message"]["content"] == "yes"
        await client.aclose()


async def test_a_long_prompt_arrives_whole() -> None:
    """A request of three megabytes is sent to its end, and answered (S4-19)."""
    with Loopback() as there:
        there.script(reply("read"))

        answer = await asking(there).complete("é" * 1_500_000)

        assert answer.content == "read"
        assert there.requests[0].json["messages"][0]["content"] == "é" * 1_500_000


@pytest.mark.parametrize("end", [(), (0.01,), (HANG,)], ids=["ended", "ending", "hanging"])
async def test_a_stream_that_fails_gives_its_connection_back(end: tuple[Any, ...]) -> None:
    """Many failures, however the server goes on after them, leave room for a call (S4-19)."""
    failing = events(event("a"), data({"error": {"message": "no"}}), *end)
    with Loopback() as there:
        llm = asking(there, limits=replace(PATIENT, pool_size=2))
        for _ in range(12):
            there.script(failing)
            with pytest.raises(LLMStreamError):
                await pieces_of(llm)
        there.script(reply("still here"))

        assert (await llm.complete("q")).content == "still here"


class _Searches:
    """Counts the searches for one package, as the first of Python's finders."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.count = 0

    def find_spec(self, name: str, *_: object) -> None:
        """Find nothing."""
        self.count += name == self._name


async def test_no_call_searches_the_disk_for_a_package(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the first call has loaded what it needs, no call looks for `sniffio` any more."""
    searches = _Searches("sniffio")
    server.always(reply())
    llm = asking(server)
    await llm.complete("q")
    monkeypatch.setattr(sys, "meta_path", [searches, *sys.meta_path])
    for _ in range(3):
        await llm.complete("q")

    assert searches.count == 0


async def test_where_sniffio_is_loaded_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trio loads sniffio: what that says counts, as without us."""
    spare_searches(httpcore)
    library = sys.modules["httpcore._synchronization"].current_async_library
    assert library() == "asyncio"
    told = ModuleType("sniffio")
    told.current_async_library = lambda: "trio"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sniffio", told)
    monkeypatch.setattr("httpcore._synchronization.trio", ModuleType("trio"))

    assert library() == "trio"


def test_another_version_of_the_pool_is_left_as_it_is() -> None:
    """Where the pool asks in another way, or was seen to before, nothing is changed."""
    spare_searches(ModuleType("httpcore_of_tomorrow"))
    spare_searches(httpcore)
    before = sys.modules["httpcore._synchronization"].current_async_library
    spare_searches(httpcore)

    assert sys.modules["httpcore._synchronization"].current_async_library is before
