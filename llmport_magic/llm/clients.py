"""Makes the clients of the HTTP library: which proxies, authorities and protocol each one uses.

A client is made once for a route and kept: making its TLS context takes 20 ms of CPU.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import cache, lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from llmport_magic.errors import ConfigError
from llmport_magic.llm.addresses import is_loopback
from llmport_magic.llm.sockets import Backend, spare_searches
from llmport_magic.secrets import guard_logs
from llmport_magic.settings import names_proxy, network_environment

if TYPE_CHECKING:
    from types import ModuleType

    from llmport_magic.llm.wire import Limits, Network

_CORE = ("connection", "http11", "http2", "proxy", "socks")
_LOGGERS = (
    "asyncio",
    *(f"httpx{version}" for version in ("", "2")),
    *(f"httpcore{version}.{part}" for version in ("", "2") for part in _CORE),
)
# HTTP/2 packs the headers: the details are keys that no search finds.
_SILENT_LOGGERS = ("hpack.hpack", "hpack.table")
_MOST_IDLE = 20


class Route(NamedTuple):
    """What two requests must have in common to share a client.

    Attributes:
        library: the name of the HTTP library.
        here: whether it ends on this machine: then there is no proxy.
        plain: whether it stays on this machine without TLS: then no authority is needed.
        http2: whether HTTP/2 may be spoken, if the server does.
        environment: what the environment says about proxies and authorities; `None` where that
            does not count.
        pool_size: open connections at most.
        keep_alive: how long an idle connection is kept, in seconds.
    """

    library: str
    here: bool
    plain: bool
    http2: bool
    environment: tuple[str | None, ...] | None
    pool_size: int
    keep_alive: float


def route_to(url: str, network: Network, limits: Limits, *, streamed: bool) -> Route:
    """Choose the route of a request.

    A stream takes HTTP/1.1: hanging up on it then ends its connection at once; see `Client`.
    """
    here, plain = _leads_here(url)
    return Route(
        network.transport,
        here,
        plain,
        http2=network.http2 and not here and not streamed and _speaks_http2(),
        environment=network_environment() if network.trust_env and not plain else None,
        pool_size=limits.pool_size,
        keep_alive=network.keep_alive,
    )


def goes_by_proxy(url: str, network: Network) -> bool:
    """Tell whether the environment names a proxy that may stand on the way."""
    return network.trust_env and not _leads_here(url)[0] and names_proxy()


class Client:
    """A client of the HTTP library, and how many answers it is busy with.

    Over HTTP/2 the libraries cannot hang up on one answer: a stream that is left is not reset
    (httpcore 1.0.9 and httpcore2 2.16.2, `_response_closed` in `http2.py`). The provider would go
    on, and the bill with it, and the connection would count it as open. So a client that had to
    leave one gets no more requests, and closes as soon as its other answers are there.

    Over HTTP/1.1 a request waits here until a connection is free: those that wait in the libraries'
    pools are looked at anew, all of them, with each one that comes or goes.

    Args:
        http: the library.
        inner: its client.
        places: connections at most.
        shares: whether answers share a connection.

    Attributes:
        retired: whether it gets no more requests.
    """

    def __init__(self, http: ModuleType, inner: Any, places: int, *, shares: bool) -> None:
        self._http = http
        self._inner = inner
        self._free = None if shares else asyncio.Semaphore(places)
        self._busy = 0
        self.retired = False

    async def send(self, method: str, url: str, connect: float, **parts: Any) -> Any:
        """Send, and wait until the response begins; each one that did needs its `hang_up`.

        Args:
            method: of HTTP.
            url: where to.
            connect: the deadline for the connection in seconds; there is no other one here.
            **parts: `headers` and `content`.
        """
        # The library's `build_request` takes five times as long.
        address = _url(self._http, url)
        timeouts = {"timeout": {"connect": connect}}
        request = self._http.Request(method, address, extensions=timeouts, **parts)
        if self._free is not None:
            await self._free.acquire()
        self._busy += 1
        try:
            return await self._inner.send(request, stream=True)
        except BaseException:
            await self._done(whole=False)
            raise

    async def hang_up(self, response: Any, *, whole: bool) -> None:
        """Close a response; where it was not read to its end, see to the end of its connection."""
        try:
            await response.aclose()
        finally:
            await self._done(whole=whole)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()

    async def _done(self, *, whole: bool) -> None:
        self._busy -= 1
        if self._free is not None:
            self._free.release()
            return
        self.retired |= not whole
        if self.retired and not self._busy:
            await self._inner.aclose()


def make_client(http: ModuleType, route: Route, handler: Any = None) -> Client:
    """Make the client of a route.

    Args:
        http: the HTTP library.
        route: of the requests that will share the client.
        handler: a transport of that library that answers instead of the network.

    Raises:
        ConfigError: the environment names authorities or a proxy that cannot be used.
    """
    guard_logs(_LOGGERS, silent=_SILENT_LOGGERS)
    try:
        verify = no_authorities() if route.plain else _authorities(http, route.environment)
    except OSError as error:
        raise ConfigError(
            f"the certificate authorities cannot be read ({error}): check SSL_CERT_FILE and "
            "SSL_CERT_DIR, or set `trust_env` to false"
        ) from None
    try:
        client = http.AsyncClient(
            transport=handler,
            # No proxy stands between this machine and itself.
            trust_env=route.environment is not None and not route.here,
            verify=verify,
            http2=route.http2,
            follow_redirects=False,
            timeout=None,
            limits=http.Limits(
                max_connections=route.pool_size,
                # The pools look at every idle connection with every request, at each one for each
                # other: with 100 of them a request takes 20 ms.
                max_keepalive_connections=_MOST_IDLE,
                keepalive_expiry=route.keep_alive,
            ),
            # One client serves every provider: none may see another's cookies.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )
    except (ImportError, ValueError, http.InvalidURL) as error:
        why = "a SOCKS proxy needs the package `socksio`" if isinstance(error, ImportError) else ""
        raise ConfigError(
            f"the proxy that the environment names cannot be used{why and f' ({why})'}: check "
            "HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or set `trust_env` to false"
        ) from None
    pool = getattr(getattr(client, "_transport", None), "_pool", None)
    if hasattr(pool, "_network_backend"):
        # There is no public way to hand it over; a version that has another name keeps its own.
        core = import_module(http.__name__.replace("httpx", "httpcore"))
        pool._network_backend = Backend(core)  # type: ignore[union-attr] # noqa: SLF001
        spare_searches(core)
    return Client(http, client, route.pool_size, shares=route.http2)


@cache
def no_authorities() -> ssl.SSLContext:
    """Give a context that trusts nobody, for connections that do not use TLS."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@cache
def _authorities(http: ModuleType, environment: tuple[str | None, ...] | None) -> ssl.SSLContext:
    context: ssl.SSLContext = http.create_ssl_context(trust_env=environment is not None)
    return context


@lru_cache(maxsize=256)
def _url(http: ModuleType, url: str) -> Any:
    return http.URL(url)


@lru_cache(maxsize=256)
def _leads_here(url: str) -> tuple[bool, bool]:
    parts = urlsplit(url)
    here = is_loopback(parts.hostname or "")
    return here, here and parts.scheme == "http"


@cache
def _speaks_http2() -> bool:
    return find_spec("h2") is not None
