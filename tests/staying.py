"""Keeps a process on this machine: look-ups and connections elsewhere are refused."""

from __future__ import annotations

import socket
from typing import Any

_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex
_getaddrinfo = socket.getaddrinfo
_HERE = {"localhost", "::1", "0.0.0.0", "::", "", None}


def replacements(tried: list[object]) -> list[tuple[object, str, Any]]:
    """Give what refuses, as owner, name and function; `tried` gets each host that was refused."""

    def refuse(host: object) -> None:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in _HERE and not str(name).startswith("127."):
            tried.append(name)
            raise AssertionError(f"a test tried to leave the machine: {name!r}")

    def connect(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple):
            refuse(address[0])
        return _connect(self, address)  # type: ignore[arg-type]

    def connect_ex(self: socket.socket, address: object) -> int:
        if isinstance(address, tuple):
            refuse(address[0])
        return _connect_ex(self, address)  # type: ignore[arg-type]

    def getaddrinfo(host: object, *given: Any, **options: Any) -> Any:
        refuse(host)
        return _getaddrinfo(host, *given, **options)  # type: ignore[arg-type]

    return [
        (socket.socket, "connect", connect),
        (socket.socket, "connect_ex", connect_ex),
        (socket, "getaddrinfo", getaddrinfo),
    ]
