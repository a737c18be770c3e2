"""Raw httpx2."""

from __future__ import annotations

import httpx2
from raw import Raw


class Client(Raw):
    """Asks with httpx2."""

    def __init__(self, url: str) -> None:
        super().__init__(httpx2, url)
