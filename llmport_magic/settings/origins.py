"""Where a URL leads: what a key is bound to."""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import urlsplit

Origin: TypeAlias = tuple[str, str, int | None]
_PORTS = {"http": 80, "https": 443}


def origin(url: str | None) -> Origin | None:
    """Give scheme, host and port of a URL, or `None` where it is none."""
    if not url:
        return None
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    return parts.scheme.lower(), host.rstrip("."), port or _PORTS.get(parts.scheme.lower())


def lies_below(url: str, base: str) -> bool:
    """Tell whether a URL has the origin of another and lies at or below its path."""
    if origin(url) is None or origin(url) != origin(base):
        return False
    path, top = (urlsplit(one.strip()).path.rstrip("/") + "/" for one in (url, base))
    return path.startswith(top) and "/../" not in path and "%2e" not in path.lower()
