"""Raw httpx, the yardstick."""

from __future__ import annotations

import httpx
from raw import Raw


class Client(Raw):
    """Asks with httpx."""

    def __init__(self, url: str) -> None:
        super().__init__(httpx, url)
