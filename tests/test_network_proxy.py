"""Proxies as the environment says, and hosts that may be asked in clear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import KEY, asking, pieces_of
from elsewhere import HOST, Authority, Proxy, names_are_unknown, names_lead_here
from loopback import Loopback, reply, streamed

from llmport_magic import configure
from llmport_magic.errors import ConfigError
from llmport_magic.llm.addresses import check_address
from llmport_magic.llm.transport import LLMConnectionError, LLMStatusError


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Serve https under a name that leads here; its authority is trusted."""
    names_lead_here(monkeypatch, HOST)
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with Loopback(authority.server(HOST), HOST) as running:
        running.always(lambda r: streamed("a", "b") if r.json.get("stream") else reply("hi"))
        yield running


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Serve http under a name that leads here."""
    names_lead_here(monkeypatch, HOST)
    with Loopback(host=HOST) as running:
        running.always(lambda r: streamed("a", "b") if r.json.get("stream") else reply("hi"))
        yield running


async def test_https_goes_through_a_tunnel(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS_PROXY is asked for a tunnel, and sees neither key nor prompt (S4-20)."""
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        llm = asking(server, api_key=KEY)

        assert (await llm.call("q")).content == "hi"
        assert await pieces_of(llm) == ["a", "b"]

        place = server.url.removeprefix("https://").removesuffix("/v1")
        assert set(proxy.asked) == {f"CONNECT {place} HTTP/1.1"}
        assert len(server.requests) == 2


async def test_no_proxy_is_gone_around(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that NO_PROXY names is asked directly (S4-20)."""
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", HOST)

        assert (await asking(server).call("q")).content == "hi"
        assert proxy.asked == []


async def test_trust_env_leaves_proxies_out(
    plain: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `trust_env` off no proxy of the environment is asked (S4-20)."""
    with Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        configure(trust_env=False, plain_http_hosts=[HOST])

        assert (await asking(plain).call("q")).content == "hi"
        assert proxy.asked == []


async def test_a_proxy_that_wants_credentials_says_so_once(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """407 is one line that names the variable, after one attempt; with credentials it works."""
    with Proxy("me:proxy-password-01") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(LLMConnectionError, match=r"407.*HTTPS_PROXY") as caught:
            await asking(server).call("q")
        assert caught.value.attempts == 1
        assert len(proxy.asked) == 1

        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:proxy-password-01@"))
        assert (await asking(server).call("q")).content == "hi"


async def test_plain_http_goes_through_a_proxy(
    plain: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listed host that is asked in clear takes HTTP_PROXY, whose 407 is told, too (S4-20)."""
    configure(plain_http_hosts=HOST)
    with Proxy() as proxy, Proxy("me:proxy-password-01") as strict:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert (await asking(plain).call("q")).content == "hi"
        assert proxy.asked == [f"POST {plain.url}/chat/completions HTTP/1.1"]

        monkeypatch.setenv("HTTP_PROXY", strict.url)
        with pytest.raises(LLMStatusError, match=r"407.*the proxy wants credentials"):
            await asking(plain).call("q")
        assert len(plain.requests) == 1


@pytest.mark.parametrize("address", ["ftp://host:1", "http://host:port", "socks5://h:1"])
async def test_a_proxy_that_is_none_is_the_users_error(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """A value that is no proxy, or one that needs a package, is one line before sending."""
    monkeypatch.setenv("HTTPS_PROXY", address)

    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        await asking(server).call("q")
    assert "\n" not in str(caught.value)
    assert server.requests == []


async def test_a_proxy_that_is_not_there_is_named(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a proxy cannot be reached, the message says that there is one (S4-20)."""
    names_are_unknown(monkeypatch, "proxy.test")
    for address in ("http://127.0.0.1:9", "proxy.test:3128"):
        monkeypatch.setenv("HTTPS_PROXY", address)
        with pytest.raises(LLMConnectionError, match="HTTPS_PROXY"):
            await asking(server).call("q")


async def test_a_password_of_a_proxy_is_not_shown(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's password is in no message, whatever is wrong with its address (S1-07)."""
    for address in ("ftp://me:proxy-password-01@h:1", "http://me:proxy-password-01@127.0.0.1:9"):
        monkeypatch.setenv("HTTPS_PROXY", address)
        with pytest.raises((ConfigError, LLMConnectionError)) as caught:
            await asking(server).call("q")
        assert "proxy-password-01" not in str(caught.value)


async def test_a_listed_host_is_asked_in_clear(plain: Loopback) -> None:
    """Plain http is for this machine and for the hosts that the user listed (S4-01)."""
    llm = asking(plain)
    with pytest.raises(ConfigError, match="plain_http_hosts"):
        await llm.call("q")
    assert plain.requests == []

    configure(plain_http_hosts=[HOST])

    assert (await llm.call("q")).content == "hi"


@pytest.mark.parametrize("listed", ["GPU.lan", "gpu.lan.", " gpu.lan "])
def test_a_list_of_hosts_is_exact(listed: str) -> None:
    """A listed name counts in any case, for itself alone, and never for the link's addresses."""
    check_address("http://gpu.lan:8000/v1", [listed])
    for url in ("http://x.gpu.lan/v1", "http://gpu.lan.evil/v1", "http://gpu/v1", "http://lan/"):
        with pytest.raises(ConfigError):
            check_address(url, [listed])
    with pytest.raises(ConfigError):
        check_address("http://169.254.169.254/", ["169.254.169.254"])
    check_address("http://[fd00::1]:8000/v1", ["[fd00::1]"])
