"""JSON as requests and answers hold it, also where a server writes what is almost JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from llmport_magic.errors import UsageError


def encoded(body: Mapping[str, Any]) -> bytes:
    """Write a request's body.

    Raises:
        UsageError: something in it has no place in JSON.
    """
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the request cannot be written as JSON: {error}") from None


def decoded(body: bytes) -> Any:
    """Read an answer's body.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("too deeply nested") from None


def lenient(data: bytes) -> Any:
    """Read what may be JSON; `None` where it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
