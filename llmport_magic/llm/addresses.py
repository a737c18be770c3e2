"""Where requests may go: checked before anything is sent."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from llmport_magic.errors import ConfigError
from llmport_magic.secrets import redact_address

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - never bound, only read
# A URL stands in logs, and what is in its query with it.
_CREDENTIAL = re.compile(r"key|token|secret|auth|signature", re.IGNORECASE)
_METADATA_HOSTS = frozenset({"metadata.google.internal", "metadata"})


def endpoint(
    base_url: str, path: str, default_path: str = "/v1", plain_http_hosts: Collection[str] = ()
) -> str:
    """Join the base URL of an API and a path below it, after checking where it leads.

    What a base URL already has of the path's beginning is not written twice: both
    `https://host/api` and `https://host` lead to `api/chat`.

    Args:
        base_url: as the user or the catalogue gives it; its query is kept.
        path: for example `chat/completions`; it may have a query of its own.
        default_path: of a base URL without a path. Where it is empty, the paths of the format begin
            at the server's root: a `/v1` there belongs to another format of the same server.
        plain_http_hosts: other machines that may be asked without encryption.

    Raises:
        ConfigError: nothing may be sent to that address.
    """
    parts = check_address(base_url, plain_http_hosts)
    path, _, query = path.partition("?")
    base = parts.path.rstrip("/") or default_path.rstrip("/")
    if not default_path:
        base = base.removesuffix("/v1")
    joined = f"{base}/{_rest(base, path)}".rstrip("/")
    queries = "&".join(filter(None, (parts.query, query)))
    return urlunsplit((parts.scheme, parts.netloc, joined, queries, ""))


def server_url(address: str, default: str, provider: str) -> str:
    """Write the URL of a server that is named by a host, a host and a port, or a URL.

    Args:
        address: for example `0.0.0.0`, which a server listens at and no client can ask, `:8080`
            or `https://host`.
        default: a URL with the port of an address that has none.
        provider: whose server it is, for an error.

    Raises:
        ConfigError: it is none of these.
    """
    is_url = "://" in address
    try:
        parts = urlsplit(address if is_url else f"http://{address}")
        host, port = parts.hostname or "localhost", parts.port
    except ValueError:
        raise ConfigError(
            f"`{address.rpartition('@')[2][:50]}` is no address of `{provider}`'s server: write "
            "host:port"
        ) from None
    if is_url and host not in _EVERY_ADDRESS:
        return address
    host = "localhost" if host in _EVERY_ADDRESS else host
    port = port or (None if is_url else urlsplit(default).port)
    shown = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{shown}:{port}" if port else shown, parts.path, "", ""))


def _rest(base: str, path: str) -> str:
    """Give what is left of a path below a base that may end in its beginning."""
    steps = path.split("/")
    for count in range(len(steps), 0, -1):
        if base.endswith("/" + "/".join(steps[:count])):
            return "/".join(steps[count:])
    return path


def check_address(base_url: str, plain_http_hosts: Collection[str] = ()) -> SplitResult:
    """Refuse addresses that a prompt or a key must not go to.

    Raises:
        ConfigError: not http or https, credentials in the URL, plain http to another machine,
            or an address of the link or of a cloud's metadata service.
    """
    try:
        parts = urlsplit(base_url.strip())
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError("`base_url` is not a URL: write it as https://host/v1") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(
            f"`base_url` must begin with https:// (or http:// for this machine), not "
            f"`{parts.scheme or redact_address(base_url)[:20]}`"
        )
    if holds_credentials(parts):
        raise ConfigError(
            f"`base_url` for `{host}` holds credentials: take them out and set `api_key`"
        )
    if _is_link_local(host):
        raise ConfigError(f"`base_url` leads to `{host}`, an address that no model answers at")
    if parts.scheme == "http" and not is_loopback(host) and not _is_listed(host, plain_http_hosts):
        raise ConfigError(
            f"`base_url` would send prompts to `{host}` unencrypted: use https://, or list the "
            "host in `plain_http_hosts` where you trust the way to it"
        )
    return parts


def holds_credentials(parts: SplitResult) -> bool:
    """Tell whether a URL has a user, a password, or what is a key by its name in its query."""
    in_query = any(_CREDENTIAL.search(name) for name, _ in parse_qsl(parts.query))
    return parts.username is not None or parts.password is not None or in_query


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine."""
    host = host.lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _is_listed(host: str, hosts: Collection[str]) -> bool:
    plain = host.lower().rstrip(".")
    return any(plain == one.strip().lower().strip("[]").rstrip(".") for one in hosts)


def _is_link_local(host: str) -> bool:
    address = _address(host)
    if address is None:
        return host.lower().rstrip(".") in _METADATA_HOSTS
    return address.is_link_local or address.is_multicast


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
