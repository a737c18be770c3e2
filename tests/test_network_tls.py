"""TLS as the environment says: which authorities count, and that nothing turns them off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from asking import PATIENT, asking, pieces_of
from elsewhere import HOST, Authority, names_are_unknown, names_lead_here
from loopback import Loopback, reply, streamed

from llmport_magic import configure
from llmport_magic.errors import ConfigError, LLMError
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.transport import LLMConnectionError, LLMTimeoutError


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that nobody trusts yet, and a name that leads here."""
    names_lead_here(monkeypatch, HOST, "other.test")
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Iterator[Loopback]:
    """Serve https under that name, with a certificate of that authority."""
    with Loopback(authority.server(HOST), HOST) as running:
        running.always(lambda r: streamed("a", "b") if r.json.get("stream") else reply("hi"))
        yield running


async def test_the_environments_authorities_count(
    server: Loopback, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE names whom to trust; calls and streams then work (S4-20)."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    llm = asking(server)

    assert (await llm.call("q")).content == "hi"
    assert await pieces_of(llm) == ["a", "b"]


async def test_an_unknown_authority_is_refused_once(server: Loopback) -> None:
    """A certificate that nobody vouches for ends in one line, after one attempt (S4-20)."""
    with pytest.raises(httpx.ConnectError, match=r"certificate.*SSL_CERT_FILE") as caught:
        await asking(server).call("q")

    assert isinstance(caught.value, LLMConnectionError)
    assert caught.value.attempts == 1
    assert "\n" not in str(caught.value)
    assert server.requests == []


async def test_a_certificate_for_another_name_is_refused(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trusted authority does not help a certificate that is for another host (S4-20)."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with Loopback(authority.server("other.test"), HOST) as server:
        with pytest.raises(LLMConnectionError, match="certificate"):
            await asking(server).call("q")

        assert server.requests == []


async def test_the_environment_can_be_corrected(
    server: Loopback, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the message advises works in the same session, with the same connector (S4-20)."""
    llm = asking(server)
    with pytest.raises(LLMConnectionError, match="SSL_CERT_FILE"):
        await llm.call("q")

    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))

    assert (await llm.call("q")).content == "hi"


async def test_authorities_that_are_not_there_are_told(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that SSL_CERT_FILE names and that is missing is the user's error, in one line."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/authority.pem")

    with pytest.raises(ConfigError, match="SSL_CERT_FILE") as caught:
        await asking(server).call("q")
    assert "\n" not in str(caught.value)


async def test_trust_env_leaves_the_environment_out(
    server: Loopback, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `trust_env` off the environment's authorities do not count, others do (S4-20)."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    llm = asking(server)
    assert (await llm.call("q")).content == "hi"

    configure(trust_env=False)

    with pytest.raises(LLMConnectionError, match="certificate"):
        await llm.call("q")
    assert len(server.requests) == 1


async def test_a_wrong_scheme_is_told(server: Loopback) -> None:
    """Plain http to a TLS port, and https to one without, are errors of ours (S4-01)."""
    configure(plain_http_hosts=[HOST])
    with pytest.raises(LLMError):
        await asking(server, base_url=server.url.replace("https", "http")).call("q")

    async def complain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(complain, "127.0.0.1", 0) as plain:
        port = plain.sockets[0].getsockname()[1]
        with pytest.raises(LLMConnectionError, match=r"no TLS connection.*scheme"):
            await asking(server, base_url=f"https://{HOST}:{port}/v1").call("q")


async def test_a_name_that_nobody_knows_is_told(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that cannot be looked up is named, in another sentence than a refusal (S4-20)."""
    names_are_unknown(monkeypatch, HOST)
    llm = asking(server, base_url=f"https://{HOST}/v1")

    with pytest.raises(httpx.ConnectError, match=rf"no such host.*{HOST}") as caught:
        await llm.call("q")

    assert "\n" not in str(caught.value)


async def test_a_handshake_that_is_not_answered_ends(authority: Authority) -> None:
    """A connection that stands and never speaks TLS ends with the number (S4-19)."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"https://{HOST}:{server.sockets[0].getsockname()[1]}/v1"
        retry, limits = RetryPolicy(attempts=1), replace(PATIENT, connect=0.3)
        config = LLMConfig(url, "m", timeout_ms=600_000, limits=limits, retry=retry)
        llm = LLMProvider(config)

        with pytest.raises(LLMTimeoutError, match=r"0\.3 s.*connect_timeout"):
            await llm.call("q")
